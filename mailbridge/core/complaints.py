"""What msgspec finds wrong with a request, in words that say what to write instead. No value is repeated: it may be a secret."""

from __future__ import annotations

import re

LONGEST = 200
PLAIN: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"^Invalid enum value.*", "not one of the words that it may be"),
        (r"^Expected `str` matching regex .*\(\?:ms\|s\|m\|h\|d\).*", "must be a duration such as 90s, 10m or 2h"),
        (r"^Expected `str` matching regex .*", "must not be empty, nor hold a NUL character"),
        (r"^Expected `str` of length >= 1$", "must not be empty"),
        (r"^Expected `str` of length <= (\d+)$", r"must be a text of at most \1 characters"),
        (r"^Expected `array` of length <= (\d+)$", r"must be a list of at most \1"),
        (r"^Expected `(?:int|float)` >= (\S+)$", r"must be a number, \1 or more"),
        (r"^Expected `(?:int|float)` <= (\S+)$", r"must be a number, \1 at most"),
        (r"^Expected `int`, got .*", "must be a whole number"),
        (r"^Expected `float`, got .*", "must be a number"),
        (r"^Expected `str`, got .*", "must be a text"),
        (r"^Expected `bool`, got .*", "must be true or false"),
        (r"^Expected `array`, got .*", "must be a list"),
        (r"^Object missing required field `(\w+)`$", r"\1 is missing"),
        (r"^Object contains unknown field `(.{0,60}).*`$", r"\1 is not known here"),
        (r"^(?:Invalid RFC3339 encoded datetime|Expected `datetime`).*", "must be a moment such as 2026-01-31T12:00:00Z"),
    )
)
"""Complaints of msgspec, and ours for them; the first that fits counts."""


def plainly(fault: ValueError) -> str:
    """A complaint in our words: the place first, where there is one."""
    what, _, where = str(fault).partition(" - at `")
    place = where.removesuffix("`").removeprefix("$").removeprefix(".")
    for pattern, words in PLAIN:
        if (found := pattern.match(what)) is not None:
            what = found.expand(words)
            break
    else:
        what = f"{what[:1].lower()}{what[1:LONGEST]}" if place else what
    return f"{place}: {what}" if place else what
