"""Streams of events are woken by the commit: they look when there is something to see, together, and never now and then."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw

from mailbridge.core.delivery import Accepted
from mailbridge.store import JournalLine
from tests.store.opening import SECOND, done_with
from tests.web.desk import ADMIN, Desk, at_desk, until

STREAMS = 20


class Looks:
    """How often the journal was looked into."""

    def __init__(self, desk: Desk) -> None:
        self.count = 0
        self._journal = desk.store.journal
        self._after = desk.store.journal.after
        desk.store.journal.after = self._look  # type: ignore[method-assign]

    async def _look(self, number: int = 0, **of: Any) -> tuple[JournalLine, ...]:
        self.count += 1
        return await self._after(number, **of)


@asynccontextmanager
async def streams(desk: Desk, count: int) -> AsyncIterator[list[list[str]]]:
    """The events that each of so many streams has told so far, from now on."""
    told: list[list[str]] = [[] for _ in range(count)]
    begun = [asyncio.Event() for _ in range(count)]

    async def follow(number: int) -> None:
        headers = {"Authorization": f"Bearer {ADMIN}"}
        async with desk.client.stream("GET", "/api/v1/events", headers=headers) as answer:
            async for line in answer.aiter_lines():
                begun[number].set()
                if line.startswith("data: "):
                    told[number].append(json.loads(line.removeprefix("data: "))["event"])

    tasks = [asyncio.create_task(follow(number)) for number in range(count)]
    try:
        for one in begun:
            await one.wait()
        yield told
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def test_a_stream_looks_when_something_was_committed(tmp_path: Path) -> None:
    """While nothing happens the journal is not looked into; a delivery that moves on by itself is told at once."""

    async def work(desk: Desk) -> None:
        await desk.mail("111111")
        looks = Looks(desk)
        async with streams(desk, 1) as (told,):
            await until(lambda: looks.count > 0)
            await asyncio.sleep(1.2)
            assert looks.count == 1
            await desk.store.outbox.settle(desk.claims[-1], Accepted(), jitter=1.0, grace=SECOND)
            await until(lambda: told == ["delivered"])
            assert looks.count == 2

    at_desk(tmp_path, work)


def test_streams_that_are_woken_together_look_together(tmp_path: Path) -> None:
    """Of many streams every one is told every event, once and in order, and the journal is looked into for all of them at once."""

    async def work(desk: Desk) -> None:
        looks = Looks(desk)
        async with streams(desk, STREAMS) as told:
            await until(lambda: looks.count > 0)
            await done_with(desk.store)
            before = looks.count
            await desk.mail("111111")
            await until(lambda: all(one == ["stored"] for one in told))
            assert looks.count - before <= 3
            for number in range(30):
                await desk.mail(f"{number:06d}", to=f"u{number}@corp.com")
            await until(lambda: all(len(one) == 31 for one in told))
            assert all(one == ["stored"] * 31 for one in told)

    at_desk(tmp_path, work)


def test_what_another_process_wrote_is_told(tmp_path: Path) -> None:
    """A line that a command wrote beside the daemon is noticed as soon as the daemon has something to do with the database."""

    async def work(desk: Desk) -> None:
        async with streams(desk, 1) as (told,):
            with apsw.Connection(str(tmp_path / "mailbridge.db")) as other:
                other.set_busy_timeout(5_000)
                other.execute("INSERT INTO journal (at, event, mail_id) VALUES (1, 'retry', 1)")
            await desk.store.outbox.claim(limit=1)
            await until(lambda: told == ["retry"])

    at_desk(tmp_path, work)
