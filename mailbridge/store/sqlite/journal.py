"""The journal as it grows, with the identifiers that each line is about: what a reader may follow who sees only some of them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import msgspec

from mailbridge.clock import from_micros
from mailbridge.store import JournalLine
from mailbridge.store.packing import Facts
from mailbridge.store.sqlite.bells import Bells
from mailbridge.store.sqlite.readers import Readers
from mailbridge.waiting import Bell

QUERY = (
    "SELECT journal.id, at, event, journal.mail_id, delivery_id, detail, delivery.identifier, mail.facts FROM journal"
    " LEFT JOIN mail ON mail.id = journal.mail_id LEFT JOIN delivery ON delivery.id = journal.delivery_id"
    " WHERE journal.id > ?{} ORDER BY journal.id LIMIT ?"
)


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
        return await self._readers.do(lambda reading: tuple(_line(row) for row in reading.rows(query, values)))

    def bell(self) -> AbstractContextManager[Bell]:
        """See `Journal.bell`."""
        return self._bells.bell()


def _line(row: Any) -> JournalLine:
    number, at, event, mail_id, delivery_id, detail, identifier, facts = row
    identifiers: tuple[str, ...] = (identifier,) if identifier else ()
    if not identifiers and facts is not None:
        identifiers = msgspec.msgpack.decode(facts, type=Facts).identifiers
    return JournalLine(
        id=number,
        at=from_micros(at),
        event=event,
        mail_id=mail_id,
        delivery_id=delivery_id,
        detail=detail,
        identifiers=identifiers,
    )
