"""Which word names a number: each label belongs to the number that it stands next to, and is spent on it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mailbridge.core.candidates import Shape
from mailbridge.core.dataclass import dataclass
from mailbridge.core.labels import REACH, Label
from mailbridge.core.script import folded

EDGES = " \t\"'*_`.:;,!()[]{}<>|«»“”„‘’「」【】『』-–—=~#・。、，：→▶►›"
ENDS = (".", "!", "?", "…", "。", "！", "？", "।", "॥", "؟", "۔", "։", "።", "།", "။", "។", ":", "：", "՝")
"""Marks that end a sentence, or introduce what follows."""

BREAK = re.compile(r"[,;:.!?，、；：。！？،؛؟۔।॥։՝።၊။។]")
"""What parts a word that ends one thought from an instruction that begins the next."""

FRAGMENT = 3
"""Words up to which a line above a number may be its name, and is no sentence."""

NEAR = 60
FAR = 90
"""Characters beyond which a word like "password" is of another thought, though no stop ends its sentence."""

ADJACENT = 14
BESIDE = 10
"""Characters between a label and the number right beside it: ``code is now:``."""

TOUCHING = 5
"""Characters between a label and a number that it names beyond doubt (``is:``), so that it names no other after it."""

SHARING = re.compile(r"\W{0,4}(?:or|and|oder|und|ou|et|o|y|e|и|или|或|和)?\W{0,3}")
"""What stands between two numbers of which both are meant: ``order 4829/771``, ``482913 or 771204``."""

CLOSES = re.compile(r"[.!?;।॥؟۔؛։።།](?=\s|$)|[。！？；။។៕]|\s[|•·]\s")
"""Where a sentence or clause ends, in the marks of any script."""

LONGEST_THING = 16
"""Letters of a word for a thing; longer ones are names of its number."""

NUMBERED = re.compile(r"numb|\bno\b|\bnr|\bid\b|#|\bn[°ºo]\b|№|num|núm|numé|номер|番号|编号|號|번호|رقم|מספר|code|kod|cód")
"""What makes a word for a thing the name of its number: ``order number:``, and not ``order portal:``."""

APART = re.compile(r"[\d()\[\]:：]")
APPOSED = re.compile(r"[^.,;:(\[/|!?]*")
OWN_NAME = "the sender's own name"
PASSING = frozenset({"date or time", "price", "copyright line", "version or address", OWN_NAME})
"""What may stand between a label and its number without being meant: ``the code of 12 May 2026 is 482913``."""


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


def namings(text: str, shapes: Sequence[Shape], found: Sequence[Label]) -> list[Naming]:
    """For each shape of a line, in order, what the line's labels call it."""
    if not found:
        return [Naming()] * len(shapes)
    taken: dict[int, tuple[int, bool]] = {}
    answers: list[Naming] = []
    for shape in shapes:
        label, is_past = _before(text, shape, shapes, found, taken)
        following, is_apposed = _after(text, shape, shapes, found)
        if label is not None and following is not None and is_apposed and CLOSES.search(text, label.end, shape.start) is not None:
            label, is_past = None, False  # its own sentence says what it is
        if label is None and following is not None and is_apposed and _is_number(shape):
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


def _is_number(shape: Shape) -> bool:
    return shape.kind == "digits" and shape.refusal is None


def _kind(label: Label | None) -> str | None:
    return None if label is None else "code" if label.is_code else "other"


def _before(
    text: str, shape: Shape, shapes: Sequence[Shape], found: Sequence[Label], taken: dict[int, tuple[int, bool]]
) -> tuple[Label | None, bool]:
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
        if not label.is_code and _is_purpose_of_code(text, shape, shapes, found[: place + 1]):
            continue
        if _is_number(shape):
            taken.setdefault(place, (shape.end, gap <= TOUCHING))
        elif label.is_code and gap <= BESIDE and shape.kind != "letters" and shape.refusal not in PASSING:
            # What stands where the code should, and is none, has used the label up: it never passes to the next number.
            taken.setdefault(place, (shape.end, True))
        closing = CLOSES.search(between)
        is_past = closing is not None and any(letter.isalpha() for letter in between[closing.end() :])
        return label, is_past or (label.is_generic and gap > FAR)
    return None, False


def _is_purpose_of_code(text: str, shape: Shape, shapes: Sequence[Shape], found: Sequence[Label]) -> bool:
    """Whether the last label only says what a code is for that its sentence began with: ``the code for your order is 482913``.

    In ``the code for order 7712 is 482913`` the order has a number of its own.
    """
    label = found[-1]
    code = next((one for one in reversed(found[:-1]) if one.is_code), None)
    if code is None or CLOSES.search(text[code.end : shape.start]) is not None:
        return False
    between = folded(text[label.end : shape.start])
    if len(between) > ADJACENT:
        return True
    is_last = not any(one.start > shape.start and one.kind == "digits" and one.refusal is None for one in shapes)
    is_own_number = NUMBERED.search(between.rstrip(" :：")) is not None or label.end - label.start > LONGEST_THING
    is_one_phrase = APART.search(text[code.end : label.start]) is None and label.start - code.end < NEAR
    return is_last and is_one_phrase and bool(between.strip()) and not is_own_number


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
        and CLOSES.search(text[label.end : following.start]) is None
        and (following.kind == "digits" or following.is_random)
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
