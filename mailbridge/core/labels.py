"""The words of a line that name numbers: codes, and everything else that has a number."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailbridge.core.wording import Wording

REACH = 120
"""Characters from a label up to the number that it may name."""

JOINED = re.compile(r"[ \-]?|[ ](?:de|di|da|do|du|del|della|dla|af|av|для)[ ]|[ ]d['’]")
"""What stands between the two halves of a name such as ``ticket code`` or ``código de reserva``."""

GENERIC = re.compile(
    r"\W*(?:\w{0,12}code|codes|pin|key|passcode|password|kod\w{0,3}|kód\w{0,3}|c[oóò]di?go?|codice|codi|cod|cód|kode\w{0,2}|koodi?n?|код\w{0,3}|пин|κωδικ\w{0,3}"
    r"|コード|코드|代码|代碼|رمز|كود|کد|קוד)\W*"
)
"""Words for a code that say nothing by themselves: a ``delivery code`` is none, an ``order verification code`` is."""

PURPOSE = re.compile(
    r"^[^\d]*\b(?:to(?! the\b| your\b| an?\b| my\b)|um|pour|para|per|om|aby|żeby|abyste|att|at|for å|чтобы|щоб|pentru a|hogy)\b[^.:;!?\d]{0,40}$"
)
"""What stands between a code and that which it is for: ``the code to confirm your phone number``."""


@dataclass(frozen=True, slots=True)
class Label:
    """A word that names numbers, by its place in a line. ``is_code`` tells a code from everything else; ``is_generic``: a code of any kind."""

    start: int
    end: int
    is_code: bool
    is_generic: bool = False


def folded(text: str) -> str:
    """The text without case, character for character."""
    whole = text.casefold()
    if len(whole) == len(text):
        return whole
    return "".join(one if len(one) == 1 else letter for letter, one in ((letter, letter.casefold()) for letter in text))


def labels(text: str, wording: Wording) -> tuple[Label, ...]:
    """The labels of a line, in order. The longer of two that overlap counts, and a code of something else is none."""
    plain = folded(text)
    codes = [(*_trimmed(plain, *match.span()), True) for match in wording.code.finditer(plain)]
    others = [(*_trimmed(plain, *match.span()), False) for match in wording.other.finditer(plain)]
    if not codes and not others:
        return ()
    idioms = [match.span() for match in wording.idiom.finditer(plain)] if others else []
    kept: list[tuple[int, int, bool]] = []
    for start, end, is_code in sorted(codes + others, key=lambda one: (one[0], -one[1])):
        if not is_code and any(low <= start and end <= high for low, high in idioms):
            continue
        if kept and start < kept[-1][1]:
            if end - start > kept[-1][1] - kept[-1][0]:
                kept[-1] = (start, end, is_code)
            continue
        kept.append((start, end, is_code))
    return tuple(_compounded([one for one in kept if one[2] or not _is_purpose(one, kept, plain)], plain))


def _is_purpose(other: tuple[int, int, bool], kept: list[tuple[int, int, bool]], text: str) -> bool:
    """Whether a word for something else says what a code is for, and so names no number."""
    start = other[0]
    code = max((end for _, end, is_code in kept if is_code and end <= start), default=-1)
    return 0 <= start - code <= REACH and code >= 0 and PURPOSE.search(text[code:start]) is not None


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """A match without the edges that made sure of a whole word."""
    while start < end and not text[start].isalnum():
        start += 1
    while end > start and not text[end - 1].isalnum():
        end -= 1
    return start, end


def _compounded(kept: list[tuple[int, int, bool]], text: str) -> list[Label]:
    """Neighbours that make one name, one of which says something else: the name does too."""
    found: list[Label] = []
    for start, end, is_code in kept:
        previous = found[-1] if found else None
        if previous is not None and previous.is_code != is_code and JOINED.fullmatch(text[previous.end : start]):
            code = text[start:end] if is_code else text[previous.start : previous.end]
            if GENERIC.fullmatch(code):
                found[-1] = Label(previous.start, end, False)
                continue
        found.append(Label(start, end, is_code, is_code and GENERIC.fullmatch(text[start:end]) is not None))
    return found
