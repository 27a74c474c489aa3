"""Everything in a line that has the shape of a code, and what it is instead when it is none.

Digits of other scripts become ASCII digits one for one, so that positions stay what they are in the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

from mailbridge.core.dataclass import dataclass
from mailbridge.core.letters import reads_as_word, wordlikeness
from mailbridge.core.looks import Look, Stretch, certain, likely
from mailbridge.core.presence import Presence

MIN_LENGTH = 4
MAX_LENGTH = 10
LONGEST_PREFIXED = 12
LONGEST_PHRASE = 24
"""Octets of a code of random syllables with hyphens; only such codes, and digits behind a prefix, are longer than ten."""

MAX_PER_LINE = 40

ADDRESSED: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("//", re.compile(r"https?://\S+")),
    ("@", re.compile(r"(?<!\S)@[A-Za-z0-9.-]{1,253}(?= #)|(?<![\w.+%-])[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}")),
    (".", re.compile(r"www\.\S+|(?<!\S)[\w/-]*\.(?:com|net|org|io|app|html?|png)\b\S*")),
    ("&", re.compile(r"&[a-z]{2,8};|&#x?[0-9a-fA-F]{1,6};")),
    ("-", re.compile(r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F-]{4,22}\b")),
)
"""What holds digits and letters that are no code, with the mark without which it is not there: web and mail addresses, ids."""

ALPHABETS = r"\u00b5\u00b9\u00ba\u00bc-\u00be\u00c0-\u024f\u0370-\u037d\u037f-\u0386\u0388-\u055b\u0560-\u0588\u058a-\u058f"
"""What goes on a word or number in the alphabets with capitals beside ASCII, for a class of a pattern; marks like ``»`` and ``։`` do not."""

GOES_BEFORE = rf"A-Za-z0-9_%{ALPHABETS}\-–/#+&@"
"""Behind what no shape begins, for a class of a pattern."""

LEFT = rf"(?<![{GOES_BEFORE}])"
RIGHT = rf"(?![A-Za-z0-9_{ALPHABETS}\-–/@=%]|[.,:]\d)"
WRITTEN = r"[A-Za-z][a-z]++(?![A-Za-z0-9\-–‐‑])"
"""A word as people write it, which nothing goes on: no shape begins with one, and most of a text is such words."""

SHAPES = re.compile(
    rf"{LEFT}(?<!\d[.,:])(?!{WRITTEN})(?P<any>#?(?:"
    r"(?P<glued>\d{4,8}(?=[A-Z][a-z]+(?![A-Za-z0-9_\-–/@=%])))"
    r"|(?P<ended>(?:\d{4,8}|\d{3}[ -]\d{3}(?:[ -]\d{3})?)(?=[\-‐‑][^\W\d_a-zA-Z]{1,6}(?![\w\-]))|\d{5,8}(?=[\-‐‑](?!bit|px|[kmg]b)[a-z]{1,3}(?![\w\-])))"
    r"|(?:(?P<spaced>[A-Z0-9](?:[ ][A-Z0-9]){3,9}|(?=[a-z ]{0,18}\d)[a-z0-9](?: [a-z0-9]){3,9})"
    r"|(?P<prefixed>[A-Z]{1,4}-\d{4,8})"
    r"|(?P<grouped>\d{2,5}(?:[ \-–.‐‑]\d{2,5}){1,3})"
    r"|(?P<digits>\d{4,10})"
    r"|(?P<mixed>[A-Za-z0-9]{2,6}(?:[\-–‐‑][A-Za-z0-9]{2,6}){1,3})"
    r"|(?P<phrase>[a-z]{3,6}(?:-[a-z]{3,6}){1,3})"
    r"|(?P<word>(?=[A-Za-z0-9]*(?:\d|[A-Z]{2}|[a-z][A-Z]))[A-Za-z0-9]{4,10})"
    rf"){RIGHT}))"
)
"""``glued`` is a number into which the next sentence runs, ``ended`` one with a hyphen and the ending of its language behind it
(``482913-as``, ``482913-ը``)."""

SMALL = re.compile(rf"[a-z](?<![{GOES_BEFORE}'’.][a-z])[a-z]{{3,9}}(?!['’]){RIGHT}(?!\.\w)")
PROMISING = Presence({"shape": r"\d|[A-Z]{4}|[a-z][A-Z]|[a-z]-[a-z]|[A-Z][- ][A-Z]|[A-Z]-[A-Z]"})
"""What a line must have for any shape to be in it; most lines have not."""

DIGIT = re.compile(r"\d")
SEPARATORS = re.compile(r"[\s\-–.‐‑]")
ORDINAL = re.compile(
    r"(?i)\d{1,4}(?:st|nd|rd|th|px|pt|em|rem|[kmgt]i?b|[kmg]?bits?|[kmg]?bps|[km]?hz|ghz|dpi|fps|rpm|[kcm]m|[km]g|ml|mah|kwh?|ms|am|pm|min|mins|hrs|h|d|x|k|m|s|p|w|v)|\d{5}(?:[kmg]?bits?|[kmg]b|px|mah)|\d{1,3}h\d{1,2}m?|\d{1,3}m\d{1,2}s"
)
"""A number with a unit or an ending: ``4096bit``, ``1080p``, ``3rd``."""

RANGE = re.compile(r"(\d\d)[-–](\d\d)")
"""From so much to so much: ``24-48 hours``."""

PHRASE = re.compile(r"[a-z]{3,6}(?:-[a-z]{3,6}){1,3}")
CONSONANTS = re.compile(r"[bcdfghjklmnpqrstvwxz]{3}(?:-|$)|(?:^|-)[bcdfghjklmnpqrstvwxz]{3}|[bcdfghjklmnpqrstvwxyz]{4}")
"""What words do not have, and what is drawn at random has soon."""

PIECES = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
"""The parts that a name in mixed case is made of: ``You`` and ``Tube``."""

LIKELY_CODE = 6
"""Capitals from which a word may be a code that chance made speakable, if a link of the mail carries it too."""

IN_SENTENCE = 2.0
"""Bits by which small letters in a sentence must be less like a word than alone on their line."""

SPOKEN = -4.0
"""Bits below which the pieces of a name together are drawn at random."""

NAMED_NUMBER = re.compile(r"[A-Za-z]{4,}\d{1,5}|\d{1,5}[A-Za-z]{4,}|[A-Za-z]{3,}\d{2,3}[A-Za-z]{3,}")
"""A word with a number at it: names of users, coupons, machines."""

GLUED = re.compile(r"(?:\d{5,8}|(?:19|20)\d{2})[a-z]{1,3}")
"""A number, or a year, with the ending of a language: ``2026ko``."""

SUFFIXED = re.compile(r"(\d{6})[a-z]{2,3}")
"""Six digits with an ending, as languages have it that write endings at numbers too."""

PREFIXED = re.compile(r"[A-Z]{1,4}-\d{4,8}")
LABELLED = re.compile(r"(?:OTP|PIN|TAN)-(\d{4,8})")
"""A word for a code tied to it with a hyphen."""

GOOGLE = re.compile(r"G-\d{4,8}")
"""Google's field shows the G- itself and takes the digits (support.google.com/accounts/answer/1085463)."""

FOREIGN = re.compile("[\\d\uff01-\uff5e](?<![\0-\x7f])")
"""A digit of another script, or a character of full width."""

ORIGIN_BOUND = re.compile(r"(?:@|^)[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,6} #([A-Za-z0-9]{4,10})(?: [@%][^ ]{1,255})?\s*$")
"""The last line of a code that is bound to its site (wicg.github.io/sms-one-time-codes), with or without its ``@``. Nothing follows it but
the site of a frame: what stands in a sentence may be a name that a user chose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Something of the shape of a code, in one line. ``value`` is what a field wants, ``shown`` what stands there.

    ``kind``: digits, mixed (letters and digits), letters, or phrase (groups of small letters with hyphens). ``refusal`` names what
    it certainly is instead, ``look`` what it is likely to be. ``is_run_in``: a word follows without a blank. ``is_random``: it has
    letters that nobody would write as a word or a name. ``is_bound``: the line binds it to a site.
    """

    value: str
    shown: str
    start: int
    end: int
    kind: str
    refusal: str | None = None
    look: Look | None = None
    is_grouped: bool = False
    is_run_in: bool = False
    is_random: bool = False
    is_bound: bool = False


def ascii_digits(text: str) -> str:
    """The text with every decimal digit of any script, and full-width letter, as ASCII; positions unchanged."""
    return text if text.isascii() else FOREIGN.sub(_ascii, text)


def _ascii(match: re.Match[str]) -> str:
    letter = match[0]
    if letter.isdecimal():
        return str(unicodedata.decimal(letter))
    if "\uff01" <= letter <= "\uff5e" and letter.isalnum():
        return chr(ord(letter) - 0xFEE0)
    return letter


def shapes(line: str, *, is_slot: bool = False, looks: Callable[[str], list[Stretch]] = certain) -> tuple[Shape, ...]:
    """Every shape in a line (as `ascii_digits` gives it), from left to right, at most 40. ``looks`` tells what a line, masked, is certain
    to hold instead.

    ``is_slot``: the line names a code, or is one word. Only there small letters may be one, if they are no word.
    """
    is_promising = DIGIT.search(line) is not None or PROMISING.any(line)
    if not is_promising and not is_slot:
        return ()
    if " #" in line and (bound := ORIGIN_BOUND.search(line)) is not None:
        shape = _shape(bound[1], bound.start(1), line, [])
        if shape is not None:
            return (replace(shape, is_bound=True),)
    text = masked(line)
    found = [shape for shape in _found(text, looks) if is_slot or shape.look is not Look.WORD] if is_promising else []
    if is_slot and (small := _small(text)):
        found = sorted([*found, *small], key=lambda shape: shape.start)
    return tuple(found[:MAX_PER_LINE])


def _found(text: str, looks: Callable[[str], list[Stretch]]) -> list[Shape]:
    found: list[Shape] = []
    stretches: list[Stretch] | None = None
    for count, match in enumerate(SHAPES.finditer(text)):
        shown, start = match["any"], match.start("any")
        if shown[0] == "#":
            shown, start = shown[1:], start + 1
        if stretches is None:
            stretches = looks(text) if DIGIT.search(text) else []
        shape = _shape(shown, start, text, stretches, is_run_in=match["glued"] is not None)
        if shape is not None and shape.refusal != "word":
            found.append(shape)
        if count >= 4 * MAX_PER_LINE:
            break
    return found


def _small(text: str) -> list[Shape]:
    """Small letters that nobody would write as a word."""
    margin = IN_SENTENCE if " " in text.strip() else 0.0
    return [
        Shape(value=match[0], shown=match[0], start=match.start(), end=match.end(), kind="letters", is_random=True)
        for match in SMALL.finditer(text)
        if not reads_as_word(match[0], margin=margin)
    ]


def masked(line: str) -> str:
    """The line with addresses and ids blotted out, at its length."""
    for mark, pattern in ADDRESSED:
        if mark in line:
            line = pattern.sub(lambda match: "\0" * len(match.group()), line)
    return line


def _shape(shown: str, start: int, text: str, stretches: list[Stretch], *, is_run_in: bool = False) -> Shape | None:
    if shown.isdigit():
        return _number(shown, start, text, stretches, is_run_in=is_run_in)
    bare = SEPARATORS.sub("", shown)
    is_phrase = PHRASE.fullmatch(shown) is not None
    if not MIN_LENGTH <= len(bare) <= _longest(shown, is_phrase=is_phrase):
        return None
    if (tied := LABELLED.fullmatch(shown)) is not None:
        start += tied.start(1)
        shown = bare = tied[1]
    if GOOGLE.fullmatch(shown):
        return Shape(value=bare[1:], shown=shown, start=start, end=start + len(shown), kind="digits", is_grouped=True)
    end = start + len(shown)
    refusal = _refusal(start, end, stretches)
    if refusal is None and (run := SUFFIXED.fullmatch(shown)) is not None:
        return Shape(value=run[1], shown=run[1], start=start, end=start + 6, kind="digits", is_run_in=True)
    look = None
    if bare.isdigit():
        kind = "digits"
        refusal = refusal or _digits_refusal(shown, bare)
        look = likely(text, shown, start) if refusal is None else None
    else:
        kind = "mixed" if any(c.isdigit() for c in bare) else "phrase" if is_phrase else "letters"
        if refusal is None:
            refusal, look = _as_word(shown, bare, kind)
    is_dashed = kind != "digits" and len(shown) != len(bare) and " " not in shown
    return Shape(
        value=shown if is_dashed and (len(shown) <= MAX_LENGTH or kind == "phrase" or len(bare) > MAX_LENGTH) else bare,
        shown=shown,
        start=start,
        end=end,
        kind=kind,
        refusal=refusal,
        look=look,
        is_grouped=len(shown) != len(bare),
        is_run_in=is_run_in,
        is_random=refusal is None and look is None and kind != "digits" and _is_random(shown, bare, kind),
    )


def _number(shown: str, start: int, text: str, stretches: list[Stretch], *, is_run_in: bool) -> Shape | None:
    """The shape of digits that nothing divides, as most are."""
    if not MIN_LENGTH <= len(shown) <= MAX_LENGTH:
        return None
    end = start + len(shown)
    refusal = _refusal(start, end, stretches) or (None if shown.strip("0") else "zeros")
    look = likely(text, shown, start) if refusal is None else None
    return Shape(value=shown, shown=shown, start=start, end=end, kind="digits", refusal=refusal, look=look, is_run_in=is_run_in)


def _refusal(start: int, end: int, stretches: list[Stretch]) -> str | None:
    """What the first certain stretch that reaches into a place is; None where none does."""
    for low, high, why in stretches:
        if low < end and start < high:
            return why
    return None


def _digits_refusal(shown: str, bare: str) -> str | None:
    if not bare.strip("0"):
        return "zeros"
    if "." in shown:
        return "number"
    bounds = RANGE.fullmatch(shown)
    return "range" if bounds is not None and bounds[1] < bounds[2] else None


def _longest(shown: str, *, is_phrase: bool) -> int:
    if is_phrase:
        return LONGEST_PHRASE
    return LONGEST_PREFIXED if PREFIXED.fullmatch(shown) else MAX_LENGTH


def _as_word(shown: str, bare: str, kind: str) -> tuple[str | None, Look | None]:
    """What letters, or letters and digits, are certainly or likely instead of a code."""
    if kind == "phrase":
        return (None if CONSONANTS.search(shown) else "word"), None
    if kind == "letters":
        refusal = _letters_refusal(shown)
        return (None, Look.WORD) if refusal == "word" and bare.isupper() and len(bare) >= LIKELY_CODE else (refusal, None)
    if GLUED.fullmatch(bare):
        return "number run into a word", None
    if ORDINAL.fullmatch(shown):
        return "measure", None
    runs = re.findall(r"[A-Za-z]+", shown)
    letters = "".join(runs)
    if NAMED_NUMBER.fullmatch(bare) and (len(runs) == 1 or min(map(len, runs)) > 2) and all(map(_is_written_word, runs)):
        return None, Look.WORD_AND_NUMBER
    is_short = re.fullmatch(r"[A-Za-z]{2,}-?\d{1,2}|[A-Za-z]+[-–]\d{1,3}|\d{1,2}-[A-Za-z]{2,}", shown) is not None
    if is_short and not shown.isupper() and reads_as_word(letters):
        return "word", None
    return None, None


def _is_written_word(letters: str) -> bool:
    """Whether letters are a word, in one case or with a capital, as people write it."""
    return (letters.islower() or letters.isupper() or letters.istitle()) and reads_as_word(letters)


def _letters_refusal(shown: str) -> str | None:
    """Words and names are no codes; letters drawn at random may be one."""
    if len(shown) < LIKELY_CODE and len(set(shown.casefold())) < 3:
        return "word"  # XXXX stands for something else
    parts = re.split(r"[-–‐‑ ]", shown)
    if len(parts) == 1 and not shown.isupper():
        pieces = PIECES.findall(shown)
        if len(pieces) == 1:
            return "word" if reads_as_word(shown.lower()) else None
        return "name" if _is_name(pieces) else None
    if all(len(part) == 1 for part in parts):
        parts = ["".join(parts)]
    if not any(part.isupper() for part in parts):
        return "word"
    return "word" if all(len(part) < 3 or reads_as_word(part) for part in parts) else None


def _is_name(pieces: list[str]) -> bool:
    """Whether a word in mixed case is made of words, as names are; a piece of one or two letters only begins or ends one."""
    longer = [piece for piece in pieces if len(piece) > 2]
    is_regular = all(len(piece) > 2 for piece in pieces[1:-1]) and len(pieces) <= 3 and len(longer) >= len(pieces) - 1
    return is_regular and all(map(reads_as_word, longer)) and sum(map(wordlikeness, longer)) > SPOKEN


def _is_random(shown: str, bare: str, kind: str) -> bool:
    """What no word looks like: a digit between letters, cases that change more than once, letters that nobody can speak."""
    if kind == "letters":
        return True
    if re.search(r"[A-Za-z]\d+[A-Za-z]|\d[A-Za-z]+\d", bare) is not None:
        return True
    if sum(one.islower() and two.isupper() for one, two in pairwise(bare)) >= 2:
        return True
    runs = re.findall(r"[A-Za-z]{3,}", shown)
    return bool(runs) and not any(reads_as_word(run) for run in runs)
