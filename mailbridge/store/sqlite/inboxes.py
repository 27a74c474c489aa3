"""Throw-away inboxes in SQLite, and what is erased with them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import apsw

from mailbridge.clock import SteadyClock, from_micros
from mailbridge.core.inbox import Inbox
from mailbridge.store.cipher import Cipher
from mailbridge.store.sqlite.forgetting import forget_line
from mailbridge.store.sqlite.readers import Readers
from mailbridge.store.sqlite.rows import span
from mailbridge.store.sqlite.writer import Writer

INBOX = "SELECT id, address, senders, owner, created_at, expires_at, is_pushed FROM inbox"
ADD = (
    "INSERT INTO inbox (line, address, senders, owner, created_at, expires_at, is_pushed) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " RETURNING id, address, senders, owner, created_at, expires_at, is_pushed"
)
ENDED_AT_ONCE = 100
"""Inboxes that one sweep ends: each costs about as much as a mail that is stored."""


class SqliteInboxes:
    """Implements `mailbridge.store.inboxes.Inboxes`."""

    def __init__(self, *, writer: Writer, readers: Readers, cipher: Cipher, clock: SteadyClock) -> None:
        self._writer = writer
        self._readers = readers
        self._cipher = cipher
        self._clock = clock

    async def add(
        self,
        address: str,
        *,
        owner: str,
        lifetime: timedelta,
        senders: Sequence[str] = (),
        is_pushed: bool = False,
        most: int,
    ) -> Inbox | None:
        """See `Inboxes.add`."""

        def work(connection: apsw.Connection) -> Inbox | None:
            now = self._clock.micros()
            query = "SELECT count(*) FROM inbox WHERE owner = ? AND expires_at > ?"
            count: Any = connection.execute(query, (owner, now)).fetchone()
            if count[0] >= most:
                return None
            values = (address.casefold(), address, json.dumps(list(senders)), owner, now, now + span(lifetime), int(is_pushed))
            return _inbox(connection.execute(ADD, values).fetchone())

        return await self._writer.do(work)

    async def live(self) -> tuple[Inbox, ...]:
        """See `Inboxes.live`."""
        rows = await self._readers.rows(f"{INBOX} WHERE expires_at > ? ORDER BY id", (self._clock.micros(),))
        return tuple(_inbox(row) for row in rows)

    async def end(self, number: int) -> bool:
        """See `Inboxes.end`."""

        def work(connection: apsw.Connection) -> bool:
            row: Any = connection.execute("DELETE FROM inbox WHERE id = ? RETURNING line", (number,)).fetchone()
            if row is None:
                return False
            forget_line(connection, self._cipher, row[0], self._clock.micros())
            self._writer.truncate()
            return True

        is_ended = await self._writer.do(work)
        if is_ended:
            await self._writer.do(lambda _: None)  # the log is cut behind a transaction, before the next one
        return is_ended


def end_over(connection: apsw.Connection, cipher: Cipher, now: int) -> tuple[bool, bool]:
    """End the inboxes whose time is over, up to ENDED_AT_ONCE. Returns whether one was, and whether there may be more."""
    query = (
        "DELETE FROM inbox WHERE id IN (SELECT id FROM inbox WHERE expires_at <= ? ORDER BY expires_at LIMIT ?) RETURNING line"
    )
    rows: list[Any] = connection.execute(query, (now, ENDED_AT_ONCE)).fetchall()
    for (line,) in rows:
        forget_line(connection, cipher, line, now)
    return bool(rows), len(rows) >= ENDED_AT_ONCE


def next_end(connection: apsw.Connection) -> datetime | None:
    """When the next inbox is over; None where there is none."""
    row: Any = connection.execute("SELECT min(expires_at) FROM inbox").fetchone()
    return None if row[0] is None else from_micros(row[0])


def forget_ended(connection: apsw.Connection, cipher: Cipher, inboxes: Iterable[str], now: int) -> frozenset[str]:
    """Erase what was just stored for inboxes that have ended meanwhile. Returns their identifiers, folded."""
    ended = set()
    for line in {one.casefold() for one in inboxes}:
        if connection.execute("SELECT 1 FROM inbox WHERE line = ? AND expires_at > ?", (line, now)).fetchone() is None:
            forget_line(connection, cipher, line, now)
            ended.add(line)
    return frozenset(ended)


def _inbox(row: Any) -> Inbox:
    number, address, senders, owner, created_at, expires_at, is_pushed = row
    return Inbox(
        id=number,
        address=address,
        senders=tuple(json.loads(senders)),
        owner=owner,
        created_at=from_micros(created_at),
        expires_at=from_micros(expires_at),
        is_pushed=bool(is_pushed),
    )
