"""A store in a folder of a test, opened as a daemon or a command opens it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.delivery import Accepted, Claim
from mailbridge.store.sqlite import SqliteStore, open_sqlite
from tests.moved_time import MovedTime
from tests.store.mails import arrival, draft

SECOND = timedelta(seconds=1)
SHORT = RetentionSettings(code=SECOND, mail=SECOND)


def opened(path: Path, *, time: MovedTime | None = None, is_visitor: bool = False, **settings: object) -> SqliteStore:
    """The store at a path."""
    clock = time.clock() if time is not None else SteadyClock()
    chosen = StoreSettings(url=f"sqlite:///{path}", **settings)  # type: ignore[arg-type]
    return open_sqlite(chosen, SHORT, clock=clock, grace=SECOND, is_visitor=is_visitor)


def made(path: Path) -> None:
    """A database with a mail in it, closed."""

    async def make() -> None:
        store = opened(path)
        await store.put(arrival(draft(), at=SteadyClock().now()))
        await store.close()

    asyncio.run(make())


async def settled(store: SqliteStore, claim: Claim) -> None:
    """Deliver a claim."""
    await store.outbox.settle(claim, Accepted(), jitter=1.0, grace=SECOND)


async def done_with(store: SqliteStore) -> None:
    """Return when the writer is done with everything that it was given, what it does behind a commit included."""
    await store.writer.do(lambda _: None)
    await store.writer.do(lambda _: None)
