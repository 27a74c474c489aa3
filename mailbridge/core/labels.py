"""Which word near a number names it: each label belongs to the number that it stands next to, and is spent on it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mailbridge.core.candidates import Shape
from mailbridge.core.letters import folded
from mailbridge.core.wording import Wording

REACH = 120
"""Characters from a label up to the number that it may name."""

NEAR = 60
ADJACENT = 14
TOUCHING = 3
"""Characters between a label and a number that it names beyond doubt, so that it names no other after it."""

SHARING = re.compile(r"\W{0,4}(?:or|and|oder|und|ou|et|o|y|e|и|или|或|和)?\W{0,3}")
"""What stands between two numbers of which both are meant: ``order 4829/771``, ``482913 or 771204``."""

CLOSES = re.compile(r"[.!?।؟;](?=\s|$)|[。！？；]|\s[|•·]\s")
NUMBERED = re.compile(r"^\W*:|numb|\bno\b|\bnr|\bid\b|#|n[°ºo]\b|№|num|núm|numé|номер|番号|编号|號|번호|رقم|מספר|code|kod|cód")
"""What makes a word for a thing the name of its number: ``order number:``, and not ``order portal:``."""

APPOSED = re.compile(r"[^.,;:(\[/|!?]*")


@dataclass(frozen=True, slots=True)
class Label:
    """A word that names numbers, by its place in a line. ``is_code`` tells a code from everything else; ``is_generic``: a code of any kind."""

    start: int
    end: int
    is_code: bool
    is_generic: bool = False


@dataclass(frozen=True, slots=True)
class Naming:
    """What the words of its own line call a number: ``code``, ``other`` or None, on each side of it.

    ``gap`` counts the characters to the label before; ``is_past_sentence`` says that a sentence ends between them.
    ``is_apposed``: what follows is said of the number itself, as in ``482913 is your order number``.
    """

    before: str | None = None
    gap: int = 0
    is_past_sentence: bool = False
    after: str | None = None
    is_apposed: bool = False
    gap_after: int = 0
    is_generic: bool = False


def labels(text: str, wording: Wording) -> tuple[Label, ...]:
    """The labels of a line, in order. The longer of two that overlap counts, and a code of something else is none."""
    plain = folded(text)
    codes = [(*match.span(), True) for match in wording.code.finditer(plain)]
    others = [(*match.span(), False) for match in wording.other.finditer(plain)]
    if not codes and not others:
        return ()
    idioms = [match.span() for match in wording.idiom.finditer(plain)] if others else []
    kept: list[tuple[int, int, bool]] = []
    for start, end, is_code in sorted(codes + others, key=lambda one: (one[0], -one[1], one[2])):
        if not is_code and any(low <= start and end <= high for low, high in idioms):
            continue
        if kept and start < kept[-1][1]:
            if end - start > kept[-1][1] - kept[-1][0]:
                kept[-1] = (start, end, is_code)
            continue
        kept.append((start, end, is_code))
    named = [one for one in kept if one[2] or not _is_purpose(one, kept, plain, wording)]
    generic = {match.span() for match in wording.generic.finditer(plain)}
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


def namings(text: str, shapes: Sequence[Shape], found: Sequence[Label]) -> list[Naming]:
    """For each shape of a line, in order, what the line's labels call it."""
    taken: dict[int, tuple[int, bool]] = {}
    answers: list[Naming] = []
    for shape in shapes:
        label, is_past = _before(text, shape, found, taken)
        following, is_apposed = _after(text, shape, shapes, found)
        if label is None and following is not None and is_apposed and shape.kind == "digits" and shape.refusal is None:
            taken[found.index(following)] = shape.end, True
        nearest = label or following
        answers.append(
            Naming(
                before=_kind(label),
                gap=max(0, shape.start - label.end) if label else 0,
                is_past_sentence=is_past,
                after=_kind(following),
                is_apposed=is_apposed and label is None,
                gap_after=following.start - shape.end if following else 0,
                is_generic=nearest is not None and nearest.is_generic,
            )
        )
    return answers


def _kind(label: Label | None) -> str | None:
    return None if label is None else "code" if label.is_code else "other"


def _before(text: str, shape: Shape, found: Sequence[Label], taken: dict[int, tuple[int, bool]]) -> tuple[Label | None, bool]:
    for place in range(len(found) - 1, -1, -1):
        label = found[place]
        if label.end > shape.start:
            continue
        gap = shape.start - label.end
        if gap > REACH:
            break
        between = text[label.end : shape.start]
        if not label.is_code and _is_bracketed(between):
            continue
        spent_at, is_for_good = taken.get(place, (shape.start, False))
        if (not label.is_code or is_for_good) and not SHARING.fullmatch(text[spent_at : shape.start]):
            continue
        is_far = gap > ADJACENT or (between.rstrip().endswith((":", "：")) and not NUMBERED.search(folded(between)))
        if not label.is_code and is_far and _is_of_a_code(text, shape, found[:place]):
            continue
        if shape.kind == "digits" and shape.refusal is None:
            taken.setdefault(place, (shape.end, gap <= TOUCHING))
        closing = CLOSES.search(between)
        is_past = closing is not None and any(letter.isalpha() for letter in between[closing.end() :])
        return label, is_past
    return None, False


def _is_of_a_code(text: str, shape: Shape, earlier: Sequence[Label]) -> bool:
    """Whether the same sentence began with a code: ``the code for your order at Harbour is 482913``."""
    return any(one.is_code and CLOSES.search(text[one.end : shape.start]) is None for one in earlier)


def _is_bracketed(between: str) -> bool:
    """Whether a bracket that opened before the label closes before the number."""
    closing = between.find(")")
    return closing >= 0 and "(" not in between[:closing]


def _after(text: str, shape: Shape, shapes: Sequence[Shape], found: Sequence[Label]) -> tuple[Label | None, bool]:
    label = next((one for one in found if one.start >= shape.end), None)
    if label is None or label.start - shape.end > NEAR:
        return None, False
    following = next((one for one in shapes if one.start >= label.end), None)
    if (
        following is not None
        and following.refusal is None
        and following.kind == "digits"
        and following.start - label.end <= ADJACENT
    ):
        between = [one for one in found if label.end <= one.start and one.end <= following.start]
        if not between and shape.end + 1 < label.start:
            return None, False
    is_apposed = label.start - shape.end <= 2 * ADJACENT and APPOSED.fullmatch(text[shape.end : label.start]) is not None
    return label, is_apposed


def heading(text: str, shapes: Sequence[Shape], found: Sequence[Label]) -> Label | None:
    """The last label of a line that names nothing in it, and so may name what stands in the next."""
    if not found:
        return None
    last = found[-1]
    is_spent = any(one.start >= last.end and one.refusal is None and one.kind == "digits" for one in shapes)
    return None if is_spent and not text.rstrip().endswith((":", "：")) else last
