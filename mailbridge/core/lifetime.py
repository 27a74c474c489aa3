"""How long a code lives, as its mail says it: a number beside a unit of time, near a word of expiry, in any language."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from mailbridge.core.candidates import ascii_digits
from mailbridge.core.wording import Wording

NUMBER = re.compile(r"(?<![\d.,:])(\d{1,3})(?![\d,:])")
ABSOLUTE = re.compile(r"(\d{4})-(\d{2})-(\d{2})[T ](\d{2}):(\d{2})(?::\d{2}(?:\.\d+)?)? ?(Z|UTC|GMT|[+-]\d{2}:?\d{2})")
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


def stated_expiry(lines: list[str]) -> datetime | None:
    """An absolute expiry with its zone, where a line states one in ISO form."""
    for line in lines:
        match = ABSOLUTE.search(line)
        if match is None:
            continue
        year, month, day, hour, minute = (int(match[n]) for n in range(1, 6))
        try:
            return datetime(year, month, day, hour, minute, tzinfo=_zone(match[6]))
        except ValueError:
            continue
    return None


def _zone(text: str) -> timezone:
    if text in ("Z", "UTC", "GMT"):
        return UTC
    digits = text[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)


def _duration(line: str, wording: Wording) -> timedelta | None:
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
