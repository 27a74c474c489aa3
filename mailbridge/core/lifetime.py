"""How long a code lives, as its mail says it: a number beside a unit of time, near a word of expiry, in any language."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

from mailbridge.core.candidates import ascii_digits
from mailbridge.core.script import folded, is_spaceless
from mailbridge.core.wording import Wording

BEHIND = re.compile(r"(?<![\d.,:])(\d{1,3})\W{0,2}(?:(?<=\W)[^\W\d_]{1,3} )?$")
"""The number at the end of what stands before a unit: ``10 minutes``, ``10-minute``, ``10 de minute``."""

AHEAD = re.compile(r"\W{0,2}(\d{1,3})(?![\d:]|,\d)")
"""The number right behind a unit, as many languages write it: ``dakika 10``."""

NAMES_BEHIND = re.compile(r"(?:(?:[^\s\d.,;:!?()]+[ \-]){0,3}[^\s\d.,;:!?()]+)(?=[ \-]{0,2}$)")
NAMES_AHEAD = re.compile(r" (?:[^\s\d.,;:!?()]+ ){0,2}[^\s\d.,;:!?()]+")
COMPACT = re.compile(r"\b(?:(\d{1,2})h)?(\d{1,3})m(?:\d{1,2}s)\b")
"""A duration as programs print it: ``5m0s``, ``1h0m0s``."""

IN_SECONDS = re.compile(r"\dm\d")
"""What such a duration has, and most lines have not."""

LONGEST_NAME = 4
"""Words, or characters in scripts without blanks, that the name of a number has."""

TIME_OF_DAY = re.compile(r"\d:\d\d")
"""What an absolute expiry has, and most mails have not."""

ZONE = r"(?P<zone>(?:UTC|GMT)?[+-]\d{2}:?\d{2}|Z|UTC|GMT)\b"
CLOCK = r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::\d{2}(?:\.\d+)?)?(?: ?(?P<half>[ap])\.?m\.?)?"
MONTH = r"(?P<name>[^\W\d_]{3,12})\.?"
ABSOLUTE = tuple(
    re.compile(rf"(?i)\b{day}[T, ]+(?:[^\W\d_]{{1,3}} )?{CLOCK} ?\(?{ZONE}")
    for day in (
        r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})",
        rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.)? (?:de )?{MONTH},?(?: de)? (?P<year>\d{{4}})",
        rf"{MONTH} (?P<day>\d{{1,2}})(?:st|nd|rd|th)?,? (?P<year>\d{{4}})",
    )
)
"""A day and a time of day with its zone: ISO 8601, and day, month's name and year in both orders."""

NEAR = 40
LONGEST = timedelta(days=3)
SHORTEST = MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def stated_lifetime(lines: list[str], wording: Wording) -> timedelta | None:
    """The lifetime that the lines state, between a minute and three days; None if they state none.

    A duration counts only in a line that also has a word of expiry, in the line before it, or in the one after.
    """
    plain = [folded(ascii_digits(line)) for line in lines]
    if not wording.knows(plain):
        whole = wording.read_together(plain)
        if not wording.expiry.any(whole) or not _names_a_duration(whole, wording):
            return None
    expiring = [index for index, line in enumerate(plain) if wording.expiry.any(line)]
    for index in sorted({index + step for index in expiring for step in (-1, 0, 1)}):
        found = _duration(plain[index], wording) if 0 <= index < len(plain) else None
        if found is not None and SHORTEST <= found <= LONGEST:
            return found
    return None


def stated_expiry(lines: list[str], wording: Wording) -> datetime | None:
    """An absolute expiry (aware UTC) where a line states one with its zone, behind a word of expiry; else None.

    Other moments, such as that of the request, are no expiry; without a zone nobody can tell when it is.
    """
    whole = "\n".join(lines)
    patterns = [pattern for pattern in ABSOLUTE if pattern.search(whole)] if TIME_OF_DAY.search(whole) else ()
    for line in lines if patterns else ():
        for pattern in patterns:
            match = pattern.search(line)
            if match is None or not wording.expiry.any(folded(ascii_digits(line[: match.start()]))[-NEAR:]):
                continue
            moment = _moment(match, wording)
            if moment is not None:
                return moment
    return None


def _moment(match: re.Match[str], wording: Wording) -> datetime | None:
    found = match.groupdict()
    month = wording.dates.month(folded(found["name"])) if found.get("name") else int(found["month"])
    if month is None:
        return None
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


def _names_a_duration(text: str, wording: Wording) -> bool:
    return bool(wording.minutes.any(text) or wording.hours.any(text) or IN_SECONDS.search(text))


def _duration(line: str, wording: Wording) -> timedelta | None:
    """The first number of minutes or hours in a line without capitals, in digits or in words."""
    units = [(span, MINUTE) for span in wording.minutes.spans(line)]
    units += [(span, HOUR) for span in wording.hours.spans(line)]
    if len(units) > 1:
        units.sort(key=lambda one: (one[0][0], -one[0][1]))
    for read in (_in_digits, _in_words):
        for (start, end), unit in units:
            number = read(line, start, end, wording)
            if number is not None:
                return number * unit
    compact = COMPACT.search(line) if IN_SECONDS.search(line) else None
    return timedelta(hours=int(compact[1] or 0), minutes=int(compact[2])) if compact is not None else None


def _in_digits(line: str, start: int, end: int, _wording: Wording) -> int | None:
    """The number beside a unit of time at a place of the line."""
    found = BEHIND.search(line, max(0, start - 12), start) or AHEAD.match(line, end)
    return int(found[1]) if found is not None else None


def _in_words(line: str, start: int, end: int, wording: Wording) -> int | None:
    """As `_in_digits`, for a number that is written out: ``ten minutes``, ``dakika kumi``, ``十分钟``."""
    before = NAMES_BEHIND.search(line, max(0, start - 60), start)
    if before is not None:
        names = before.group().replace("-", " ").split()
        for first in range(max(0, len(names) - LONGEST_NAME), len(names)):
            number = wording.numerals.get(" ".join(names[first:]))
            if number is not None:
                return number
    after = NAMES_AHEAD.match(line, end)
    if after is not None:
        names = after.group().split()
        for last in range(len(names), 0, -1):
            number = wording.numerals.get(" ".join(names[:last]))
            if number is not None:
                return number
    if end - start < 2 or not is_spaceless(line[start]):
        return None
    sizes = range(min(LONGEST_NAME, start), 0, -1)
    return next((wording.numerals[name] for size in sizes if (name := line[start - size : start]) in wording.numerals), None)
