"""The live tail: the journal by a cursor."""

from __future__ import annotations

import asyncio

from mailbridge.operator.asks import Ask, Before, PageSize, Seconds
from mailbridge.operator.faults import Fault
from mailbridge.operator.shapes import Tail
from mailbridge.operator.shown import line_shape
from mailbridge.store.lists import Journal
from mailbridge.waiting import Waiting


class TailAsk(Ask, frozen=True, kw_only=True):
    """What happened after a line; null for what happens from now on. ``timeout``: how many seconds to wait for something."""

    after: Before | None = None
    limit: PageSize = 100
    timeout: Seconds = 0.0


class JournalVerbs:
    """The verb of the journal."""

    def __init__(self, *, journal: Journal, waiting: Waiting) -> None:
        self._journal = journal
        self._waiting = waiting

    async def tail(self, ask: TailAsk) -> Tail | Fault:
        """What happened after a line, oldest first; waits for it if there is nothing yet. Clear the bell, look, and only then wait."""
        after = await self._journal.newest() if ask.after is None else ask.after
        loop = asyncio.get_running_loop()
        until = loop.time() + ask.timeout
        with self._journal.bell() as bell, self._waiting.until_close(bell):
            while True:
                bell.clear()
                page = await self._journal.after(after, limit=ask.limit)
                if page or bell.is_over or not await bell.wait(until - loop.time()):
                    break
        return Tail(lines=[line_shape(one) for one in page], next=page[-1].id if page else after)
