"""The journal as it grows. Numbers are drawn before their commit, so a reader may only go as far as open transactions allow."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from datetime import datetime

from mailbridge.clock import to_micros
from mailbridge.store import JournalLine
from mailbridge.store.lists import Happened
from mailbridge.store.postgres.database import PostgresDatabase
from mailbridge.store.rows import read_happened, read_line
from mailbridge.store.sql import Transaction
from mailbridge.waiting import Bell

LINES = (
    "SELECT journal.id, at, event, journal.mail_id, delivery_id, detail,"
    " coalesce(delivery.identifier, nullif(journal.identifier, '')), mail.facts FROM journal"
    " LEFT JOIN mail ON mail.id = journal.mail_id LEFT JOIN delivery ON delivery.id = journal.delivery_id"
    " WHERE journal.id > ? AND journal.id <= ?{} ORDER BY journal.id LIMIT ?"
)
HAPPENED = (
    "SELECT journal.id, journal.mail_id, at, event, mail.verdict, mail.is_held, mail.rule, delivery.received_at FROM journal"
    " LEFT JOIN mail ON event = 'stored' AND mail.id = journal.mail_id"
    " LEFT JOIN delivery ON event = 'delivered' AND delivery.id = journal.delivery_id"
    " WHERE journal.id > ? AND journal.id <= ? ORDER BY journal.id LIMIT ?"
)
AT = "SELECT id, at FROM journal WHERE id >= ? ORDER BY id LIMIT 1"
AGAIN = 0.02
"""Seconds before a reader of the journal looks again after an open transaction held it up."""

MOST = 64
"""The largest number of ids that are remembered until the transactions of their time have ended. After that the newest id
replaces the last one."""


class Horizon:
    """How far the journal is complete: every number up to there is committed, or never will be.

    A number is safe after the transactions have ended that were writing to the journal just after it was drawn. Only they can
    have drawn a lower number.
    """

    def __init__(self) -> None:
        self._safe = 0
        self._unsafe: list[tuple[int, frozenset[str]]] = []

    @property
    def is_behind(self) -> bool:
        """Whether lines were held back at the last look."""
        return bool(self._unsafe)

    async def look(self, reading: Transaction) -> int:
        """The number up to which the journal may be read now."""
        ((last, writing),) = await reading.rows("SELECT last, open FROM journal_seen()")
        still = frozenset(writing)
        if last > (self._unsafe[-1][0] if self._unsafe else self._safe):
            self._unsafe = [*self._unsafe[: MOST - 1], (last, still)]
        while self._unsafe and not (self._unsafe[0][1] & still):
            self._safe = self._unsafe.pop(0)[0]
        return self._safe


class PostgresJournal:
    """Implements `mailbridge.store.lists.Journal`."""

    def __init__(self, *, database: PostgresDatabase) -> None:
        self._database = database
        self._horizon = Horizon()

    async def newest(self) -> int:
        """See `Journal.newest`."""
        async with self._database.reading() as reading:
            return await self._newest(reading)

    async def after(self, number: int = 0, *, mail_id: int | None = None, limit: int = 100) -> tuple[JournalLine, ...]:
        """See `Journal.after`."""
        query = LINES.format("" if mail_id is None else " AND journal.mail_id = ?")
        async with self._database.reading() as reading:
            safe = await self._look(reading)
            values = (number, safe, limit) if mail_id is None else (number, safe, mail_id, limit)
            return tuple(read_line(row) for row in await reading.rows(query, values))

    async def line_before(self, at: datetime) -> int:
        """See `Journal.line_before`. A binary search: ids grow with time, and an index on times would cost something for every
        mail."""
        moment = to_micros(at)
        async with self._database.reading() as reading:
            low, high = 0, await self._newest(reading) + 1
            while high - low > 1:
                middle = (low + high) // 2
                rows = await reading.rows(AT, (middle,))
                if not rows or rows[0][1] >= moment:
                    high = middle
                else:
                    low = rows[0][0]
                    if low >= high:
                        break
            return low

    async def happened(self, number: int = 0, *, limit: int = 1000) -> tuple[Happened, ...]:
        """See `Journal.happened`."""
        async with self._database.reading() as reading:
            safe = await self._look(reading)
            return tuple(read_happened(row) for row in await reading.rows(HAPPENED, (number, safe, limit)))

    def bell(self) -> AbstractContextManager[Bell]:
        """See `Journal.bell`."""
        return self._database.bells.bell()

    async def _newest(self, reading: Transaction) -> int:
        safe = await self._look(reading)
        ((newest,),) = await reading.rows("SELECT max(id) FROM journal WHERE id <= ?", (safe,))
        return int(newest or 0)

    async def _look(self, reading: Transaction) -> int:
        """The horizon. If lines are held back, readers of the journal are woken soon to look again."""
        safe = await self._horizon.look(reading)
        if self._horizon.is_behind:
            asyncio.get_running_loop().call_later(AGAIN, self._database.bells.ring)
        return safe
