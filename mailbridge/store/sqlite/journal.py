"""The journal as it grows, with the identifiers that each line is about, for readers who may see only some of them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from mailbridge.clock import to_micros
from mailbridge.store import JournalLine
from mailbridge.store.bells import Bells
from mailbridge.store.lists import Happened
from mailbridge.store.rows import read_happened, read_line
from mailbridge.store.sqlite.readers import Readers, Reading
from mailbridge.waiting import Bell

QUERY = (
    "SELECT journal.id, at, event, journal.mail_id, delivery_id, detail, coalesce(delivery.identifier, nullif(journal.identifier, '')),"
    " mail.facts FROM journal"
    " LEFT JOIN mail ON mail.id = journal.mail_id LEFT JOIN delivery ON delivery.id = journal.delivery_id"
    " WHERE journal.id > ?{} ORDER BY journal.id LIMIT ?"
)

HAPPENED = (
    "SELECT journal.id, journal.mail_id, at, event, mail.verdict, EXISTS (SELECT 1 FROM mail AS held INDEXED BY mail_held WHERE held.is_held = 1 AND"
    " held.id = mail.id), mail.rule, delivery.received_at FROM journal LEFT JOIN mail ON event = 'stored' AND mail.id = journal.mail_id"
    " LEFT JOIN delivery ON event = 'delivered' AND delivery.id = journal.delivery_id WHERE journal.id > ? ORDER BY journal.id LIMIT ?"
)
"""Whether a mail is held is looked up in its index. In the row it is stored after the octets of the mail."""

AT = "SELECT id, at FROM journal WHERE id >= ? ORDER BY id LIMIT 1"


class SqliteJournal:
    """Implements `mailbridge.store.lists.Journal`."""

    def __init__(self, *, readers: Readers, bells: Bells) -> None:
        self._readers = readers
        self._bells = bells

    async def newest(self) -> int:
        """See `Journal.newest`."""
        rows = await self._readers.rows("SELECT max(id) FROM journal")
        return int(rows[0][0] or 0)

    async def after(self, number: int = 0, *, mail_id: int | None = None, limit: int = 100) -> tuple[JournalLine, ...]:
        """See `Journal.after`."""
        query = QUERY.format("" if mail_id is None else " AND journal.mail_id = ?")
        values = (number, limit) if mail_id is None else (number, mail_id, limit)
        return await self._readers.do(lambda reading: tuple(read_line(row) for row in reading.rows(query, values)))

    async def line_before(self, at: datetime) -> int:
        """See `Journal.line_before`."""
        return await self._readers.do(lambda reading: _line_before(reading, to_micros(at)))

    async def happened(self, number: int = 0, *, limit: int = 1000) -> tuple[Happened, ...]:
        """See `Journal.happened`."""
        return await self._readers.do(
            lambda reading: tuple(read_happened(row) for row in reading.rows(HAPPENED, (number, limit)))
        )

    def bell(self) -> AbstractContextManager[Bell]:
        """See `Journal.bell`."""
        return self._bells.bell()


def _line_before(reading: Reading, at: int) -> int:
    """A binary search: ids grow with time, and an index on times would cost something for every mail."""
    low, high = 0, int(next(iter(reading.rows("SELECT max(id) FROM journal", ())))[0] or 0) + 1
    while high - low > 1:
        middle = (low + high) // 2
        row: Any = next(iter(reading.rows(AT, (middle,))), None)
        if row is None or row[1] >= at:
            high = middle
        else:
            low = row[0]
            if low >= high:
                break
    return low
