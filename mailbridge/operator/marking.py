"""The text of a mail with what was found in it marked: in clear, or with a mask for everything that may be a part of a code.

Masked, a mark says where a candidate stands and nothing of it: only words without a digit, an address and a mark stay as they are.
It is done by a worker: text and values are those of a mail that may be hostile.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from mailbridge.core.candidates import ascii_digits
from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import MASK

MOST_MARKS = 200
LONGEST_CODE = 64
LONGEST_LINK = 2_000
LONGEST_WORD = 24
"""Characters of a word beyond which it may be a token, or the rest of a link that runs over a line."""

GROUPS = r"\s.\-\u2010-\u2013"
GROUPING = rf"[{GROUPS}]{{0,2}}"
"""What may stand between two characters of a code in a mail: grouping, and the line ends between cells. No character of a code is one of
them, so that a text is looked through once, whatever the values are."""

GROUP = re.compile(rf"[{GROUPS}]")

UNSPACED = "\u0e00-\u0e7f\u1780-\u17ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff"
WORD = re.compile(rf"[{UNSPACED}]|[^\s{UNSPACED}]+")
"""The text between blanks; in scripts without blanks (CJK, Thai, Khmer) each letter is a word."""

ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://([^/\s?#]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Piece:
    """Some of the text. ``kind``: ``chosen`` for the code or link, ``passed`` for a candidate that was passed over, "" for the rest.
    ``number`` counts the candidates that were passed over, from 1; 0 is none of them."""

    text: str
    kind: str = ""
    number: int = 0


def marked(text: str, chosen: Sequence[str], passed: Sequence[str], *, is_clear: bool) -> list[Piece]:
    """The text in pieces. Where a value is both chosen and passed over, it is chosen."""
    spans = list(_spans(text, chosen, passed))
    return _clear(text, spans) if is_clear else _masked(text, spans)


def _spans(text: str, chosen: Sequence[str], passed: Sequence[str]) -> Iterator[tuple[int, int, Piece]]:
    """The place of each value, from left to right, the longest first; a value inside another one is skipped."""
    known: dict[str, Piece] = {}
    for number, value in enumerate(passed[:MOST_MARKS], 1):
        known.setdefault(value, Piece("", "passed", number))
    known |= {value: Piece("", "chosen") for value in chosen}
    patterns = [(_pattern(value, mark), mark) for value, mark in sorted(known.items(), key=lambda one: -len(one[0]))]
    found_by = [(one, mark) for one, mark in patterns if one]
    if not found_by:
        return
    for found in re.finditer("|".join(f"({one})" for one, _ in found_by), ascii_digits(text)):
        yield found.start(), found.end(), found_by[(found.lastindex or 1) - 1][1]


def _pattern(value: str, mark: Piece) -> str:
    """A value as it stands in a mail, where a code may be grouped; "" for what is neither a code nor a link.

    It is no part of a longer number, and one that was passed over no part of a longer word. The code is masked there too.
    """
    if "://" in value:
        return re.escape(value) if len(value) <= LONGEST_LINK else ""
    letters = GROUP.sub("", ascii_digits(value))
    if not 0 < len(letters) <= LONGEST_CODE:
        return ""
    is_passed = mark.kind == "passed"
    before = r"(?<!\d)" if letters[0].isdigit() else "(?<![A-Za-z])" if is_passed else ""
    after = r"(?!\d)" if letters[-1].isdigit() else "(?![A-Za-z])" if is_passed else ""
    return before + GROUPING.join(map(re.escape, letters)) + after


def _clear(text: str, spans: Sequence[tuple[int, int, Piece]]) -> list[Piece]:
    pieces, place = [], 0
    for start, end, mark in spans:
        pieces += [Piece(text[place:start]), Piece(text[start:end], mark.kind, mark.number)]
        place = end
    return [one for one in (*pieces, Piece(text[place:])) if one.text]


def _masked(text: str, spans: Sequence[tuple[int, int, Piece]]) -> list[Piece]:
    """Mask each word that a mark touches, or that may be a part of a code."""
    pieces: list[Piece] = []
    place, at = 0, 0
    for word in WORD.finditer(text):
        while at < len(spans) and spans[at][1] <= word.start():
            at += 1
        inside = []
        for start, _, one in islice(spans, at, None):
            if start >= word.end():
                break
            inside.append(one)
        gap = text[place : word.start()]
        place = word.end()
        mark = next((one for one in inside if one.kind == "chosen"), inside[0] if inside else None)
        if mark is not None:
            _put(pieces, gap, Piece(MASK, mark.kind, mark.number))
        elif (address := ADDRESS.search(word[0])) is not None:
            host = MASK if any(one.isdigit() for one in address[1]) else address[1]
            _put(pieces, gap, Piece(f"{host}/{MASK}"))
        elif len(word[0]) > LONGEST_WORD or any(one.isdigit() for one in word[0]):
            _put(pieces, gap, Piece(MASK))
        else:
            _put(pieces, gap, Piece(word[0]))
    return pieces


def _put(pieces: list[Piece], gap: str, piece: Piece) -> None:
    """Add a word. Adjacent masks of one kind become one, so that the groups of a code cannot be counted."""
    last = pieces[-1] if pieces else None
    if last is not None and piece.text == MASK and (last.kind, last.number) == (piece.kind, piece.number):
        if piece.kind and last.text == MASK:
            return
        if not piece.kind and last.text.endswith(MASK) and "\n" not in gap:
            return
    if piece.kind:
        pieces += [Piece(gap), piece] if gap else [piece]
    elif last is not None and not last.kind:
        pieces[-1] = Piece(f"{last.text}{gap}{piece.text}")
    else:
        pieces.append(Piece(f"{gap}{piece.text}"))
