"""A code of an authenticator that lives long enough to be typed in."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret
from mailbridge.store.reading import StoredTotp

LEAST = 10.0
"""Seconds that a code must still live, unless the configuration says otherwise; else the next one is waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """A code, the counter of its period, and when it is over (aware UTC). ``what`` names it without the code."""

    code: Secret
    counter: int
    expires_at: datetime
    what: str


def current(stored: StoredTotp, at: float | None = None) -> Fresh:
    """The code of this moment (seconds since 1970), however little of it is left."""
    at = time.time() if at is None else at
    one = stored.authenticator
    counter = one.counter(at)
    return Fresh(
        code=one.code(counter),
        counter=counter,
        expires_at=datetime.fromtimestamp((counter + 1) * one.period, UTC),
        what=f"totp {stored.name} {counter}",
    )


async def fresh(stored: StoredTotp, *, after: int = -1, patience: float | None = None, least: float = LEAST) -> Fresh | None:
    """A code with ``least`` seconds left (or half its period, where that is less), of a period after ``after``.

    Waits for it at most ``patience`` seconds, by default as long as that can take; None where that is too short.
    """
    one = stored.authenticator
    until = time.monotonic() + (least if patience is None else patience)
    while True:
        at = time.time()
        if one.remaining(at) >= min(least, one.period / 2) and one.counter(at) > after:
            return current(stored, at)
        left = until - time.monotonic()
        if left <= 0:
            return None
        await asyncio.sleep(min(one.remaining(at) + 0.001, left))
