"""The query of a request, read strictly: each name once, none unknown, each value with what it must be."""

from __future__ import annotations

import contextlib
import math
from datetime import UTC, datetime
from typing import TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request

LONGEST_VALUE = 1_000
LATEST = 4e9
"""Seconds since 1970 up to which a moment is believed: the year 2096."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST = datetime.fromtimestamp(LATEST, UTC)
A_MOMENT = "must be a moment such as 2026-01-31T12:00:00Z (write + as %2B), or seconds since 1970"
Choice = TypeVar("Choice", bound=str)


class Query:
    """Reads parameters. Every method raises HTTPException 400, which names the parameter and the mistake."""

    def __init__(self, request: Request, *, known: tuple[str, ...]) -> None:
        self._values: dict[str, str] = {}
        for name, value in request.query_params.multi_items():
            if name not in known:
                raise bad(f"{name[:50]}: no such parameter here; known are {', '.join(known)}")
            if name in self._values:
                raise bad(f"{name}: given twice")
            if len(value) > LONGEST_VALUE or "\0" in value:
                raise bad(f"{name}: longer than {LONGEST_VALUE} characters, or with a NUL")
            self._values[name] = value

    def text(self, name: str) -> str:
        """A text without surrounding blanks; ``""`` if it is not given."""
        value = self._values.get(name)
        if value is not None and not value.strip():
            raise bad(f"{name}: is empty; leave it out")
        return (value or "").strip()

    def needed(self, name: str) -> str:
        """A required text."""
        if name not in self._values:
            raise bad(f"{name}: must be given")
        return self.text(name)

    def seconds(self, name: str, *, default: float, most: float) -> float:
        """A number of seconds from 0 to ``most``."""
        try:
            value = float(self._values.get(name, default))
        except ValueError:
            value = math.nan
        if not 0 <= value <= most:
            raise bad(f"{name}: must be a number of seconds from 0 to {most:g}")
        return value

    def whole(self, name: str, *, default: int, least: int, most: int) -> int:
        """A whole number."""
        text = self._values.get(name, str(default))
        value = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1
        if not least <= value <= most:
            raise bad(f"{name}: must be a whole number from {least} to {most}")
        return value

    def flag(self, name: str) -> bool:
        """``true`` or ``false``; default: false."""
        return self.choice(name, ("false", "true"), default="false") == "true"

    def choice(self, name: str, choices: tuple[Choice, ...], *, default: Choice) -> Choice:
        """One of a few words."""
        given = self.text(name) or default
        for one in choices:
            if one == given:
                return one
        raise bad(f"{name}: must be one of {', '.join(one for one in choices if one)}")

    def moment(self, name: str) -> datetime | None:
        """A time: RFC 3339, or seconds since 1970; None if not given. A time before 1970 counts as 1970."""
        text = self._values.get(name)
        if text is None:
            return None
        with contextlib.suppress(ValueError):
            seconds = float(text)
            if not 0 <= seconds <= LATEST:
                raise bad(f"{name}: {A_MOMENT}")
            return datetime.fromtimestamp(seconds, UTC)
        try:
            moment = datetime.fromisoformat(text.replace(":60", ":59"))
        except ValueError:
            raise bad(f"{name}: {A_MOMENT}") from None
        if moment.tzinfo is None:
            raise bad(f"{name}: {A_MOMENT}")
        return EPOCH if moment.year < 1971 else LAST if moment.year > 2095 else moment.astimezone(UTC)


def bad(what: str) -> HTTPException:
    """400, with what is wrong."""
    return HTTPException(400, what)
