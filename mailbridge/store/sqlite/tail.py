"""The journal as it grows, with the identifiers that each line is about: what a reader may follow who sees only some of them."""

from __future__ import annotations

from typing import Any

import apsw
import msgspec

from mailbridge.clock import from_micros
from mailbridge.store.packing import Facts
from mailbridge.store.reading import Happening
from mailbridge.store.sqlite.writer import Writer

QUERY = (
    "SELECT journal.id, at, event, journal.mail_id, delivery_id, detail, delivery.identifier, mail.facts FROM journal"
    " LEFT JOIN mail ON mail.id = journal.mail_id LEFT JOIN delivery ON delivery.id = journal.delivery_id"
    " WHERE journal.id > ? ORDER BY journal.id LIMIT ?"
)


class SqliteTail:
    """Implements `mailbridge.store.reading.Tail`."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def newest(self) -> int:
        """See `Tail.newest`."""

        def work(connection: apsw.Connection) -> int:
            row = connection.execute("SELECT max(id) FROM journal").fetchone()
            return int(row[0] or 0) if row else 0

        return await self._writer.do(work, is_read=True)

    async def after(self, number: int, *, limit: int = 100) -> tuple[Happening, ...]:
        """See `Tail.after`."""
        rows: list[Any] = await self._writer.do(lambda connection: list(connection.execute(QUERY, (number, limit))), is_read=True)
        return tuple(_happening(row) for row in rows)


def _happening(row: Any) -> Happening:
    number, at, event, mail_id, delivery_id, detail, identifier, facts = row
    identifiers: tuple[str, ...] = (identifier,) if identifier else ()
    if not identifiers and facts is not None:
        identifiers = msgspec.msgpack.decode(facts, type=Facts).identifiers
    return Happening(
        id=number,
        at=from_micros(at),
        event=event,
        mail_id=mail_id,
        delivery_id=delivery_id,
        detail=detail,
        identifiers=identifiers,
    )
