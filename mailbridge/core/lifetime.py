"""How long a code lives, as its mail says it: a number beside a unit of time, near a word of expiry, in any language."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from mailbridge.core.candidates import ascii_digits
from mailbridge.core.wording import Wording

NUMBER = re.compile(r"(?<![\d.,:])(\d{1,3})(?![\d,:])")
ZONE = r"(?P<zone>(?:UTC|GMT)?[+-]\d{2}:?\d{2}|Z|UTC|GMT)\b"
CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::\d{2}(?:\.\d+)?)?(?: ?(?P<half>[ap])\.?m\.?)?"
MONTH = r"(?P<name>jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
ABSOLUTE = tuple(
    re.compile(rf"(?i)\b{day}[T, ]+(?:at )?{CLOCK} ?\(?{ZONE}")
    for day in (
        r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})",
        rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th)? {MONTH},? (?P<year>\d{{4}})",
        rf"{MONTH} (?P<day>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<year>\d{{4}})",
    )
)
"""A day and a time of day with its zone: ISO 8601, and day and month in English words."""

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
COUNTED = re.compile(r"\d| minute| hour")
NEAR = 40
LONGEST = timedelta(days=3)
SHORTEST = timedelta(minutes=1)
WORDS = {"one": 1, "two": 2, "five": 5, "ten": 10, "fifteen": 15, "twenty": 20, "thirty": 30, "sixty": 60}


def stated_lifetime(lines: list[str], wording: Wording) -> timedelta | None:
    """The lifetime that the lines state, between a minute and three days; None if they state none.

    A duration counts only in a line that also has a word of expiry, in the line before it, or in the one after.
    """
    folded = [ascii_digits(line).casefold() for line in lines]
    for index, line in enumerate(folded):
        found = _duration(line, wording)
        if found is None or not SHORTEST <= found <= LONGEST:
            continue
        around = " ".join(folded[max(0, index - 1) : index + 2])
        if wording.expiry.search(around):
            return found
    return None


def stated_expiry(lines: list[str], wording: Wording) -> datetime | None:
    """An absolute expiry (aware UTC) where a line states one with its zone, behind a word of expiry; else None.

    Other moments, such as that of the request, are no expiry; without a zone nobody can tell when it is.
    """
    whole = "\n".join(lines)
    patterns = [pattern for pattern in ABSOLUTE if pattern.search(whole)]
    for line in lines if patterns else ():
        for pattern in patterns:
            match = pattern.search(line)
            if match is None or not wording.expiry.search(ascii_digits(line[: match.start()]).casefold()[-NEAR:]):
                continue
            moment = _moment(match)
            if moment is not None:
                return moment
    return None


def _moment(match: re.Match[str]) -> datetime | None:
    found = match.groupdict()
    month = MONTHS.index(found["name"].lower()) + 1 if found.get("name") else int(found["month"])
    hour = int(found["hour"])
    if found["half"]:
        hour = hour % 12 + (12 if found["half"] in "pP" else 0)
    try:
        stated = datetime(int(found["year"]), month, int(found["day"]), hour, int(found["minute"]), tzinfo=_zone(found["zone"]))
        return stated.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _zone(text: str) -> timezone:
    offset_text = text.upper().removeprefix("UTC").removeprefix("GMT")
    if offset_text in ("", "Z"):
        return UTC
    digits = offset_text[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if offset_text[0] == "-" else offset)


def _duration(line: str, wording: Wording) -> timedelta | None:
    if not COUNTED.search(line) or (wording.minutes.search(line) is None and wording.hours.search(line) is None):
        return None
    for match in NUMBER.finditer(line):
        beside = line[match.end() : match.end() + 24]
        before = line[max(0, match.start() - 24) : match.start()]
        for pattern, unit in ((wording.minutes, timedelta(minutes=1)), (wording.hours, timedelta(hours=1))):
            after = pattern.search(f" {beside.lstrip(' -–')} ")
            if after is not None and after.start() <= 3:
                return int(match[1]) * unit
            ahead = [found.end() for found in pattern.finditer(f" {before} ")]
            if ahead and len(before) + 2 - ahead[-1] <= 3:
                return int(match[1]) * unit
    for word, number in WORDS.items():
        if f"{word} minute" in line:
            return timedelta(minutes=number)
        if f"{word} hour" in line:
            return timedelta(hours=number)
    return None
