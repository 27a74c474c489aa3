"""A database with many mails in it, as a day of a busy installation leaves it: every code was pushed, and those that are over are erased.

python -m tests.bench.filling PATH COUNT makes one of SQLite. Time is moved by the filling itself, so that the mails are a day's and not
a minute's.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import uvloop

from mailbridge.clock import MICROSECOND, wall
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.delivery import Accepted
from mailbridge.store import Store
from mailbridge.store.sqlite import open_sqlite
from tests.moved_time import MovedTime
from tests.store.mails import LIFETIME, arrival, draft

GRACE = timedelta(seconds=5)
DAY = timedelta(days=1)
IDENTIFIERS = 50_000
SENDERS = 200
AT_ONCE = 200
SIZE = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """How many have mails, and from how many senders."""

    identifiers: int = IDENTIFIERS
    senders: int = SENDERS

    def identifier(self, number: int) -> str:
        """Whose mail this is."""
        return f"u{number % self.identifiers}@example.com"

    def sender(self, number: int) -> str:
        """Who has written it."""
        return f"no-reply@sender{number % self.senders}.example"


MANY_PEOPLE = People()


async def fill(
    store: Store,
    time_: MovedTime,
    count: int,
    *,
    first: int = 0,
    over: timedelta = DAY,
    people: People = MANY_PEOPLE,
    lifetime: timedelta = LIFETIME,
) -> None:
    """So many mails, delivered, at even distances ``over`` a time that passes meanwhile; the last of them comes now."""
    step = over / count

    async def one(number: int) -> None:
        sender = people.sender(number)
        code = draft(f"{number % 1_000_000:06d}", identifier=people.identifier(number), sender=sender, lifetime=lifetime)
        mail = arrival(code, at=time_.now(), size=SIZE, sender=sender, fingerprint=f"filled {number}")
        for claim in (await store.put(mail)).claims:
            await store.outbox.settle(claim, Accepted(), jitter=0.0, grace=GRACE)

    for start in range(first, first + count, AT_ONCE):
        chosen = range(start, min(start + AT_ONCE, first + count))
        time_.pass_by(step * len(chosen))
        await asyncio.gather(*(one(number) for number in chosen))


async def erase(store: Store, now: MovedTime) -> None:
    """Sweep until there is nothing left to erase."""
    while (again_at := await store.sweep()) is not None and again_at <= now.now():
        pass


def a_day_ago(over: timedelta = DAY) -> MovedTime:
    """Time that begins so long ago."""
    return MovedTime(wall=wall() - over // MICROSECOND, boot="of the filling")


@asynccontextmanager
async def opened(path: Path, time_: MovedTime) -> AsyncIterator[Store]:
    """A database of SQLite, by moved time."""
    store = open_sqlite(
        StoreSettings(url=f"sqlite:///{path}"),
        RetentionSettings(mail=timedelta(days=30)),
        clock=time_.clock(),
        grace=GRACE,
    )
    try:
        yield store
    finally:
        await store.close()


async def main(path: Path, count: int, people: People = MANY_PEOPLE) -> None:
    """Make it, and say how long that took."""
    time_ = a_day_ago()
    began = time.monotonic()
    async with opened(path, time_) as store:
        for start in range(0, count, 50_000):
            some = min(50_000, count - start)
            await fill(store, time_, some, first=start, over=DAY * (some / count), people=people)
            await erase(store, time_)
            print(f"{start + some} mails, {time.monotonic() - began:.0f} s", flush=True)
        await erase(store, time_)
    print(f"{path}: {path.stat().st_size / 1e6:.0f} MB, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    uvloop.run(main(Path(sys.argv[1]), int(sys.argv[2])))
