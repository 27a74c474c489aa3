"""Everything in a line that has the shape of a code, and what it is instead when it is none.

Digits of other scripts become ASCII digits one for one, so that positions stay what they are in the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

import re2

MIN_LENGTH = 4
MAX_LENGTH = 10
LONGEST_PHRASE = 24
"""Octets of a code of random syllables with hyphens, the only kind that sites make longer than ten."""

MAX_PER_LINE = 40

ADDRESSED: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("//", re.compile(r"https?://\S+")),
    ("@", re.compile(r"(?<!\S)@[A-Za-z0-9.-]{1,253}(?= #)|(?<![\w.+%-])[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}")),
    (".", re.compile(r"www\.\S+|(?<!\S)[\w/-]*\.(?:com|net|org|io|app|html?|png)\b\S*")),
    ("&", re.compile(r"&[a-z]{2,8};|&#x?[0-9a-fA-F]{1,6};")),
    ("-", re.compile(r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F-]{4,22}\b")),
)
"""What holds digits and letters that are no code, with the mark without which it is not there: web and mail addresses, ids."""

SHAPES = re.compile(
    r"(?<![A-Za-z0-9_%\u00b5-\u024f\u0370-\u058f\-–/#+&])(?<!\d[.,:])(?P<any>#?(?:"
    r"(?P<spaced>[A-Z0-9](?:[ ][A-Z0-9]){3,9}|(?=[a-z ]{0,18}\d)[a-z0-9](?: [a-z0-9]){3,9})"
    r"|(?P<prefixed>[A-Z]{1,3}-\d{4,8})"
    r"|(?P<grouped>\d{2,5}(?:[ \-–.‐‑]\d{2,5}){1,3})"
    r"|(?P<digits>\d{4,10})"
    r"|(?P<mixed>[A-Za-z0-9]{2,6}(?:[\-–‐‑][A-Za-z0-9]{2,6}){1,3})"
    r"|(?P<phrase>[a-z]{3,6}(?:-[a-z]{3,6}){1,3})"
    r"|(?P<word>(?=[A-Za-z0-9]*(?:\d|[A-Z]{2}|[a-z][A-Z]))[A-Za-z0-9]{4,10})"
    r"))(?![A-Za-z0-9_\u00b5-\u024f\u0370-\u058f\-–/@=%]|[.,:]\d)"
)
PROMISING = re2.compile(r"\d|[A-Z]{4}|[a-z][A-Z]|[a-z]-[a-z]|[A-Z][- ][A-Z]")
"""What a line must have for any shape to be in it; most lines have not."""

DIGIT = re.compile(r"\d")
SEPARATORS = re.compile(r"[\s\-–.‐‑]")
MONTHS = r"(?i:jan|feb|mar|apr|mai|may|jun|jul|aug|sep|okt|oct|nov|dec|dez|ene|fev|avr|août|janv|févr|juil|gen|mag|giu|lug|ago|set|ott|dic)"
DATES = re2.compile(
    rf"\b\d{{1,4}}[./-]\d{{1,2}}[./-]\d{{1,4}}\b|\b\d{{1,2}}:\d{{2}}(?::\d{{2}})?\b|\b{MONTHS}\w{{0,9}}\.?,? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}\b"
    rf"|\b\d{{1,2}}(?:st|nd|rd|th|\.)? (?:de )?{MONTHS}\w{{0,9}}\.?,?(?: de)? \d{{4}}\b|\b{MONTHS}\w{{0,9}}\.? \d{{4}}\b|\d{{4}}\s?[年년]|\b\d{{4}}-\d{{2}}-\d{{2}}T\S+"
)
PHONES = re2.compile(
    r"\+\s?\d[\d\s().-]{6,18}\d|\(\d{2,5}\)[\s\d.-]{5,14}\d|\b1-\d{3}-\d{3}-\d{4}\b|\b\d{3}-\d{3}-\d{4}\b|\b0\d{2,4}[ /-]\d{3,4}[ -]?\d{2,6}\b"
)
MONEY = re2.compile(
    r"[$€£¥₹₽₩₺₴₫฿]\s?\d[\d.,]*(?:\s\d{3}\b)*|\d[\d.,]*\s?(?:[$€£¥₹₽₩₺₴₫฿元円원]|(?:USD|EUR|GBP|JPY|CHF|SEK|NOK|DKK|PLN|CZK|RUB|INR|TRY|BRL|CNY|Kč|zł|kr|руб|лв)\b)"
    r"|(?:USD|EUR|GBP|CHF|Rs\.?|INR|R\$)\s?\d[\d.,]*|\d+[.,]\d{2}(?:\s|$)"
)
ADDRESSES = re2.compile(
    r"\b[A-Z]{2},? \d{5}(?:-\d{4})?\b|\b[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}\b|\b\d{4,5}(?:-\d{3})? [A-Z][a-zäöüéß]{2,}|\b(?i:po box|suite|ste\.?|apt\.?|floor) #?\d+|\b\d{1,5} [A-Z][A-Za-z]+ (?:St|Street|Ave|Avenue|Rd|Road|Blvd|Boulevard|Drive|Dr|Lane|Way|Parkway|Pkwy|Square|Court|Place)\b"
)
VERSIONS = re2.compile(
    r"\b[vV]?\d+(?:\.\d+){2,4}\b|\b(?:\d{1,3}\.){3}\d{1,3}\b|\bv\d+\b|\b(?:[0-9a-fA-F]{1,4}:){3,7}[0-9a-fA-F]{0,4}\b|\b(?:Chrome|Safari|Firefox|Edge|Windows|Android|iOS|macOS|Linux|Mozilla|iPhone|Ubuntu|Opera)[ /][\d.]+"
)
MASKS = re2.compile(r"(?:\*+|[xX]{2,}|•+|…|\.{2,}) ?\d{3,5}(?:[^\d*]|$)")
"""The end of a number of which the rest is hidden: a card, an account, a phone."""

COLOURS = re2.compile(r"#[0-9a-fA-F]{6}\b|#[0-9a-fA-F]{3}\b")
YEAR = re.compile(r"(?:19|20)\d{2}(?:(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))?")
"""A year, or a day written in eight digits."""

COPYRIGHT = re2.compile(r"©|\(c\)|(?i:copyright|all rights reserved)")
WORDLIKE = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
ORDINAL = re.compile(r"(?i)\d{1,4}(?:st|nd|rd|th|px|pt|em|kb|mb|gb|ms|am|pm|min|mins|hrs|h|d|x|k|m|s|p)")
PHRASE = re.compile(r"[a-z]{3,6}(?:-[a-z]{3,6}){1,3}")
CONSONANTS = re.compile(r"[bcdfghjklmnpqrstvwxz]{3}(?:-|$)|(?:^|-)[bcdfghjklmnpqrstvwxz]{3}|[bcdfghjklmnpqrstvwxyz]{4}")
"""What words do not have, and what is drawn at random has soon."""

UNSPEAKABLE = re.compile(r"[bcdfghjklmnpqrstvwxz]{4}|^[^aeiouy]+$")
CAMEL = re.compile(r"[a-z][A-Z]")
"""Where small letters turn to capitals: names do so once, what is drawn at random more often."""

NAMED_NUMBER = re.compile(r"[A-Za-z]{4,}\d{1,5}|\d{1,5}[A-Za-z]{4,}|[A-Za-z]{3,}\d{2,3}[A-Za-z]{3,}")
"""A word with a number at it: names of users, coupons, machines."""

GLUED = re.compile(r"\d{5,8}[a-z]{1,3}")
SUFFIXED = re.compile(r"(\d{6})[a-z]{2,3}")
"""Six digits with an ending, as languages have it that write endings at numbers too."""

LABELLED = re.compile(r"(?:OTP|PIN|TAN)-(\d{4,8})")
"""A word for a code tied to it with a hyphen."""

GOOGLE = re.compile(r"G-\d{4,8}")
"""Google's field shows the G- itself and takes the digits (support.google.com/accounts/answer/1085463)."""

FOREIGN = re.compile(r"(?![0-9])\d|[\uff01-\uff5e]")
ORIGIN_BOUND = re.compile(r"@[a-z0-9.-]{3,253} #([A-Za-z0-9]{4,10})(?![A-Za-z0-9])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Something of the shape of a code, in one line. ``value`` is what a field wants, ``shown`` what stands there.

    ``kind``: digits, mixed (letters and digits), letters, or phrase (groups of small letters with hyphens). ``refusal`` names what it is instead, if its look tells.
    ``is_run_in``: letters of a word follow without a blank.
    """

    value: str
    shown: str
    start: int
    end: int
    kind: str
    refusal: str | None = None
    is_grouped: bool = False
    is_run_in: bool = False


def ascii_digits(text: str) -> str:
    """The text with every decimal digit of any script, and full-width letter, as ASCII; positions unchanged."""
    if text.isascii() or not FOREIGN.search(text):
        return text
    return "".join(_ascii(letter) for letter in text)


def _ascii(letter: str) -> str:
    if letter.isdecimal():
        return str(unicodedata.decimal(letter))
    if "\uff01" <= letter <= "\uff5e" and letter.isalnum():
        return chr(ord(letter) - 0xFEE0)
    return letter


def shapes(line: str) -> Iterator[Shape]:
    """Every shape in a line (as `ascii_digits` gives it), from left to right, at most 40."""
    if not PROMISING.search(line):
        return
    if "@" in line and (bound := ORIGIN_BOUND.search(line)) is not None:
        shape = _shape(bound[1], bound.start(1), None)
        if shape is not None:
            yield shape
    text = masked(line)
    refusals: list[tuple[int, int, str]] | None = None
    count = 0
    for match in SHAPES.finditer(text):
        shown = match["any"]
        offset = 1 if shown.startswith("#") else 0
        if refusals is None:
            refusals = _refusals(text)
        shape = _shape(shown[offset:], match.start("any") + offset, refusals)
        if shape is not None and shape.refusal != "word":
            yield shape
            count += 1
            if count >= MAX_PER_LINE:
                return


def masked(line: str) -> str:
    """The line with addresses and ids blotted out, at its length."""
    for mark, pattern in ADDRESSED:
        if mark in line:
            line = pattern.sub(lambda match: "\0" * len(match.group()), line)
    return line


def _shape(shown: str, start: int, refusals: list[tuple[int, int, str]] | None) -> Shape | None:
    bare = SEPARATORS.sub("", shown)
    is_digits = bare.isdigit()
    is_phrase = PHRASE.fullmatch(shown) is not None
    if not MIN_LENGTH <= len(bare) <= (LONGEST_PHRASE if is_phrase else MAX_LENGTH):
        return None
    is_dashed = not is_digits and len(shown) != len(bare) and " " not in shown
    if (tied := LABELLED.fullmatch(shown)) is not None:
        shown = bare = tied[1]
        start += tied.start(1)
        is_digits, is_dashed = True, False
    if GOOGLE.fullmatch(shown):
        return Shape(value=bare[1:], shown=shown, start=start, end=start + len(shown), kind="digits", is_grouped=True)
    value = shown if is_dashed and (len(shown) <= MAX_LENGTH or is_phrase) else bare
    end = start + len(shown)
    refusal = next((why for low, high, why in refusals or () if low < end and start < high), None)
    kind = "digits" if is_digits else "mixed" if any(c.isdigit() for c in bare) else "phrase" if is_phrase else "letters"
    if refusal is None and (run := SUFFIXED.fullmatch(shown)) is not None:
        return Shape(value=run[1], shown=run[1], start=start, end=start + 6, kind="digits", is_run_in=True)
    if refusal is None and kind != "digits":
        refusal = _word_refusal(shown, bare, kind)
    if refusal is None and is_digits and YEAR.fullmatch(shown):
        refusal = "year"
    if refusal is None and is_digits and not bare.strip("0"):
        refusal = "zeros"
    if refusal is None and is_digits and "." in shown:
        refusal = "number"
    return Shape(value=value, shown=shown, start=start, end=end, kind=kind, refusal=refusal, is_grouped=len(shown) != len(bare))


def _word_refusal(shown: str, bare: str, kind: str) -> str | None:
    if kind == "phrase":
        return None if CONSONANTS.search(shown) else "word"
    if kind == "mixed" and NAMED_NUMBER.fullmatch(bare) and _reads_as_word(bare.strip("0123456789")):
        return "word and number"
    if kind == "letters" and (WORDLIKE.fullmatch(shown) is None or not shown.isupper()):
        # Words of a language are no codes; random letters in mixed case may be one.
        parts = re.split(r"[-–‐‑]", shown)
        if all(part.islower() or part.istitle() or (part.isupper() and len(parts) == 1) for part in parts):
            return "word"
        if len(CAMEL.findall(shown)) < 2 and not shown.isupper():
            return "name"
    if kind == "mixed" and GLUED.fullmatch(bare):
        return "number run into a word"
    if kind == "mixed" and ORDINAL.fullmatch(bare):
        return "measure"
    if (
        kind == "mixed"
        and re.fullmatch(r"[A-Za-z]{2,}-?\d{1,2}|[A-Za-z]+[-–]\d{1,3}|\d{1,2}-[A-Za-z]{2,}", shown)
        and not shown.isupper()
        and _reads_as_word(re.sub(r"[-–\d]", "", shown))
    ):
        return "word"
    return None


def unspeakable(letters: str) -> bool:
    """Whether letters are no word of a language: four consonants in a row, or no vowel at all."""
    return UNSPEAKABLE.search(letters.lower()) is not None


def _reads_as_word(letters: str) -> bool:
    """Whether letters could be spoken, and are written as a word is: in one case, or with a capital."""
    if not (letters.islower() or letters.isupper() or letters.istitle()) or re.search(r"\d", letters):
        return re.fullmatch(r"[A-Z]+\d+[A-Z]+", letters) is not None
    vowels = sum(letter in "aeiouAEIOU" for letter in letters)
    return vowels * 5 >= len(letters) and CONSONANTS.search(letters.lower()[1:-1]) is None


def _refusals(text: str) -> list[tuple[int, int, str]]:
    """The stretches of a line that are something else."""
    found = []
    if not DIGIT.search(text):
        return []
    for pattern, why in (
        (DATES, "date or time"),
        (PHONES, "phone"),
        (MONEY, "price"),
        (VERSIONS, "version or address"),
        (ADDRESSES, "postal address"),
        (COLOURS, "colour"),
        (MASKS, "end of a hidden number"),
    ):
        found += [(match.start(), match.end(), why) for match in pattern.finditer(text)]
    if (mark := COPYRIGHT.search(text)) is not None:
        found.append((max(0, mark.start() - 12), mark.end() + 60, "copyright line"))
    return found
