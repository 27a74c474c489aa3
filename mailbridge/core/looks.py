"""What stretches of a line are by their look: dates, phones, prices and other things that are no code.

A certain look refuses whatever lies in it. A likely one (a zip code before a town, groups of digits as in a phone number) is
evidence that ranking weighs, since codes look like that too.
"""

from __future__ import annotations

import re
from enum import StrEnum

import re2

from mailbridge.core.presence import Presence

MONTHS = r"(?i:jan|feb|mar|apr|mai|may|jun|jul|aug|sep|okt|oct|nov|dec|dez|ene|fev|avr|août|janv|févr|juil|gen|mag|giu|lug|ago|set|ott|dic)"
DATES = re2.compile(
    rf"\b\d{{1,4}}[./-]\d{{1,2}}[./-]\d{{1,4}}\b|\b\d{{1,2}}:\d{{2}}(?::\d{{2}})?\b|\b{MONTHS}\w{{0,9}}\.?,? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}\b"
    rf"|\b\d{{1,2}}(?:st|nd|rd|th|\.)? (?:de )?{MONTHS}\w{{0,9}}\.?,?(?: de)? \d{{4}}\b|\b{MONTHS}\w{{0,9}}\.? \d{{4}}\b|\d{{4}}\s?[年년]|\b\d{{4}}-\d{{2}}-\d{{2}}T\S+"
)
PHONES = re2.compile(r"\+\s?\d[\d\s().-]{6,18}\d|\(\d{2,5}\)[\s\d.-]{5,14}\d|\b1-\d{3}-\d{3}-\d{4}\b|\b\d{3}-\d{3}-\d{4}\b")
DOMESTIC = re2.compile(r"\b0\d{2,4}[ /-]\d{3,4}[ -]?\d{2,6}\b")
"""A phone number as it is written inside a country, or nine digits in groups that begin with a zero."""

MONEY = re2.compile(
    r"[$€£¥₹₽₩₺₴₫฿]\s?\d[\d.,]*(?:\s\d{3}\b)*|\d[\d.,]*\s?(?:[$€£¥₹₽₩₺₴₫฿元円원]|(?:USD|EUR|GBP|JPY|CHF|SEK|NOK|DKK|PLN|CZK|RUB|INR|TRY|BRL|CNY|SGD|Kč|zł|kr|руб|лв)\b)"
    r"|(?:\b(?:USD|EUR|GBP|CHF|SGD|Rs\.?|INR)|R\$)\s?\d[\d.,]*\b|\d+[.,]\d{2}(?:\s|$)"
)
ADDRESSES = re2.compile(
    r"\b[A-Z]{2},? \d{5}(?:-\d{4})?\b|\b[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}\b|\b(?i:po box|suite|ste\.?|apt\.?|floor) #?\d+|\b\d{1,5} [A-Z][A-Za-z]+ (?:St|Street|Ave|Avenue|Rd|Road|Blvd|Boulevard|Drive|Dr|Lane|Way|Parkway|Pkwy|Square|Court|Place)\b"
)
TOWN = re.compile(r"(?a:\b)[0-9]{4,5}(?:-[0-9]{3})? [A-Z][a-zäöüéß]{2,}")
"""A zip code and a town, or four or five digits before a new sentence."""

VERSIONS = re2.compile(
    r"\b[vV]?\d+(?:\.\d+){2,4}\b|\b(?:\d{1,3}\.){3}\d{1,3}\b|\bv\d+\b|\b(?:[0-9a-fA-F]{1,4}:){3,7}[0-9a-fA-F]{0,4}\b|\b(?:Chrome|Safari|Firefox|Edge|Windows|Android|iOS|macOS|Linux|Mozilla|iPhone|Ubuntu|Opera)[ /][\d.]+"
)
MASKS = re2.compile(r"(?:\*+|[xX]{2,}|\b[xX]|•+|…|\.{2,}) ?\d{3,5}(?:[^\d*]|$)")
"""The end of a number of which the rest is hidden: a card, an account, a phone."""

SHORT_NUMBER = "number to send a word to"
SHORT_NUMBERS = re2.compile(r"\b(?:STOP|HELP|INFO)\b(?i: sms| to| au| an| al| til| till| na| naar)? \d{4,6}\b")
"""The number to which a word is sent that ends text messages."""

COLOURS = re2.compile(r"#[0-9a-fA-F]{6}\b|#[0-9a-fA-F]{3}\b")
COPYRIGHT = re2.compile(r"©|\(c\)|(?i:copyright|all rights reserved)")
YEAR = re.compile(r"(?:19|20)\d{2}")
ERA = re.compile(r"13[89]\d|14[0-5]\d|25[5-9]\d|57[89]\d")
"""A year of the Persian, Muslim, Buddhist or Jewish calendar."""

OF_DAY = re.compile(r"(?<!\d)\d{1,2}\.?[ \u00a0][^\s\d:]{2,20}[ \u00a0,]{1,2}(?:[^\s\d:]{2,6} )?$")
"""A day and a word, as they stand before a year in a date with the month's name."""

DAY = re.compile(r"(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
"""A day written in eight digits."""

CERTAIN = (
    (DATES, "date or time"),
    (PHONES, "phone"),
    (MONEY, "price"),
    (VERSIONS, "version or address"),
    (ADDRESSES, "postal address"),
    (COLOURS, "colour"),
    (MASKS, "end of a hidden number"),
    (SHORT_NUMBERS, SHORT_NUMBER),
)


COPYRIGHT_LINE = "copyright line"
SOMETHING = Presence({**{why: pattern.pattern for pattern, why in CERTAIN}, COPYRIGHT_LINE: COPYRIGHT.pattern})
"""Which of them are in a line: most lines have none, and only what is there is searched for its place."""


class Look(StrEnum):
    """What a shape is likely to be, by its look alone. The value is what people read."""

    YEAR = "year"
    DAY = "day"
    ZIP = "zip code and town"
    PHONE = "phone"
    WORD_AND_NUMBER = "word and number"
    WORD = "word"


Stretch = tuple[int, int, str]
"""Start, end, and what it is."""


def has_copyright(text: str) -> bool:
    """Whether a text has the mark or the words of a copyright line; most have none of what stands in each of them."""
    return ("©" in text or "(c)" in text or "right" in text.casefold()) and COPYRIGHT.search(text) is not None


def certain(text: str) -> list[Stretch]:
    """The stretches of a line with digits that are something else, whatever its words say."""
    there = SOMETHING.found(text)
    if not there:
        return []
    found = [(*match.span(), why) for pattern, why in CERTAIN if why in there for match in pattern.finditer(text)]
    if COPYRIGHT_LINE in there:
        mark = COPYRIGHT.search(text)
        found.append((max(0, mark.start() - 12), mark.end() + 60, COPYRIGHT_LINE))
    return found


def likely(text: str, shown: str, start: int) -> Look | None:
    """What digits in a line are likely to be, by their look and by what stands right behind them."""
    size = len(shown)
    if size == 4 and (YEAR.fullmatch(shown) or (ERA.fullmatch(shown) and OF_DAY.search(text[max(0, start - 40) : start]))):
        return Look.YEAR
    if size == 8 and DAY.fullmatch(shown):
        return Look.DAY
    around = text[max(0, start - 1) : start + size + 40]
    if size <= 9 and (TOWN.match(around) or TOWN.match(around, 1)):
        return Look.ZIP
    if shown[0] == "0" and size != 4 and not shown.isdigit() and DOMESTIC.search(around) is not None:
        return Look.PHONE
    return None
