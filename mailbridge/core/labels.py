"""The words of a line that name numbers: codes, and everything else that has a number."""

from __future__ import annotations

from mailbridge.core.dataclass import dataclass
from mailbridge.core.script import folded
from mailbridge.core.wording import Wording

REACH = 120
"""Characters from a label up to the number that it may name."""


@dataclass(frozen=True, slots=True)
class Label:
    """A word that names numbers, by its place in a line. ``is_code`` tells a code from everything else; ``is_generic``: a code of any kind."""

    start: int
    end: int
    is_code: bool
    is_generic: bool = False


def labels(text: str, wording: Wording) -> tuple[Label, ...]:
    """The labels of a line, in order. The longer of two that overlap counts, and a code of something else is none."""
    plain = folded(text)
    codes, others = wording.code.spans(plain), wording.other.spans(plain)
    if not codes and not others:
        return ()
    idioms = wording.idiom.spans(plain) if others else ()
    if idioms:
        others = [(start, end) for start, end in others if not any(low <= start and end <= high for low, high in idioms)]
    if not codes:
        return tuple([Label(start, end, False) for start, end in others])
    generic = set(codes).intersection(wording.generic.spans(plain))
    if generic:  # "*code" covers "Anmeldecode" too, which is listed by itself and says what for
        generic.difference_update(wording.specific.spans(plain))
    if not others:
        return tuple([Label(start, end, True, (start, end) in generic) for start, end in codes])
    kept: list[tuple[int, int, bool]] = []
    both = [*((start, end, True) for start, end in codes), *((start, end, False) for start, end in others)]
    for start, end, is_code in sorted(both, key=lambda one: (one[0], -one[1], one[2])):
        if kept and start < kept[-1][1]:
            if end - start > kept[-1][1] - kept[-1][0]:
                kept[-1] = (start, end, is_code)
            continue
        kept.append((start, end, is_code))
    named = [one for one in kept if one[2] or not _is_purpose(one, kept, plain, wording)]
    return tuple(_compounded(named, generic, plain, wording))


def _is_purpose(other: tuple[int, int, bool], kept: list[tuple[int, int, bool]], text: str, wording: Wording) -> bool:
    """Whether a word for something else says what a code is for, and so names no number."""
    start = other[0]
    code = max((end for _, end, is_code in kept if is_code and end <= start), default=-1)
    return 0 <= start - code <= REACH and code >= 0 and wording.purpose.search(text[code:start]) is not None


def _compounded(kept: list[tuple[int, int, bool]], generic: set[tuple[int, int]], text: str, wording: Wording) -> list[Label]:
    """Neighbours that make one name, one of which says something else: the name does too."""
    found: list[Label] = []
    for start, end, is_code in kept:
        previous = found[-1] if found else None
        if previous is not None and previous.is_code != is_code and wording.joined.fullmatch(text[previous.end : start]):
            code = (start, end) if is_code else (previous.start, previous.end)
            if code in generic:
                found[-1] = Label(previous.start, end, False)
                continue
        found.append(Label(start, end, is_code, is_code and (start, end) in generic))
    return found
