"""Throw-away inboxes, and what is erased with them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from mailbridge.clock import SteadyClock, from_micros
from mailbridge.core.inbox import Inbox
from mailbridge.store.cipher import Cipher
from mailbridge.store.rows import span
from mailbridge.store.sql import Database, Transaction
from mailbridge.store.sql.forgetting import forget_line

INBOX = "SELECT id, address, senders, owner, created_at, expires_at, is_pushed FROM inbox"
ADD = (
    "INSERT INTO inbox (line, address, senders, owner, created_at, expires_at, is_pushed) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " RETURNING id, address, senders, owner, created_at, expires_at, is_pushed"
)
END_OVER = "DELETE FROM inbox WHERE id IN (SELECT id FROM inbox WHERE expires_at <= ? ORDER BY expires_at LIMIT ?) RETURNING line"
ENDED_AT_ONCE = 100
"""Inboxes that one sweep ends. Each costs about as much as storing a mail."""


class SqlInboxes:
    """Implements `mailbridge.store.inboxes.Inboxes`."""

    def __init__(self, *, database: Database, cipher: Cipher, clock: SteadyClock) -> None:
        self._database = database
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

        async def work(transaction: Transaction) -> Inbox | None:
            await transaction.hold(f"inboxes of {owner}")
            now = self._clock.micros()
            query = "SELECT count(*) FROM inbox WHERE owner = ? AND expires_at > ?"
            ((count,),) = await transaction.rows(query, (owner, now))
            if count >= most:
                return None
            values = (address.casefold(), address, json.dumps(list(senders)), owner, now, now + span(lifetime), int(is_pushed))
            (row,) = await transaction.rows(ADD, values)
            return _inbox(row)

        return await self._database.write(work)

    async def live(self) -> tuple[Inbox, ...]:
        """See `Inboxes.live`."""
        rows = await self._database.rows(f"{INBOX} WHERE expires_at > ? ORDER BY id", (self._clock.micros(),))
        return tuple(_inbox(row) for row in rows)

    async def end(self, number: int) -> bool:
        """See `Inboxes.end`."""

        async def work(transaction: Transaction) -> bool:
            rows = await transaction.rows("DELETE FROM inbox WHERE id = ? RETURNING line", (number,))
            for (line,) in rows:
                await forget_line(transaction, self._cipher, line, self._clock.micros())
                transaction.erases()
            return bool(rows)

        return await self._database.write(work)


async def end_over(transaction: Transaction, cipher: Cipher, now: int) -> tuple[bool, bool]:
    """End expired inboxes, up to ENDED_AT_ONCE. Returns whether one was ended, and whether there may be more."""
    rows = await transaction.rows(END_OVER, (now, ENDED_AT_ONCE))
    for (line,) in rows:
        await forget_line(transaction, cipher, line, now)
    return bool(rows), len(rows) >= ENDED_AT_ONCE


async def next_end(transaction: Transaction) -> datetime | None:
    """When the next inbox expires; None if there is none."""
    ((at,),) = await transaction.rows("SELECT min(expires_at) FROM inbox")
    return None if at is None else from_micros(at)


async def forget_ended(transaction: Transaction, cipher: Cipher, inboxes: Iterable[str], now: int) -> frozenset[str]:
    """Erase what was just stored for inboxes that have ended meanwhile. Returns their identifiers, folded."""
    ended = set()
    for line in sorted({one.casefold() for one in inboxes}):
        if not await transaction.rows("SELECT 1 FROM inbox WHERE line = ? AND expires_at > ?", (line, now)):
            await forget_line(transaction, cipher, line, now)
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
