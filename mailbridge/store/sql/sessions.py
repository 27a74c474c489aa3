"""Sessions of the page, and login links, in SQL."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from mailbridge.clock import SteadyClock, from_micros, to_micros
from mailbridge.store.sessions import LoginWay, PageRole, Session
from mailbridge.store.sql import Database, Transaction

COLUMNS = "id, name, role, way, created_at, seen_at, expires_at"

BEGIN = (
    "INSERT INTO session (hash, name, role, way, created_at, seen_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " RETURNING id, name, role, way, created_at, seen_at, expires_at"
)
EXTEND = (
    "UPDATE session SET seen_at = CASE WHEN seen_at < ? THEN ? ELSE seen_at END, expires_at = ? WHERE id = ? AND expires_at > ?"
)


class SqlSessions:
    """Implements `mailbridge.store.sessions.Sessions`."""

    def __init__(self, *, database: Database, clock: SteadyClock) -> None:
        self._database = database
        self._clock = clock

    async def invite(self, digest: bytes, *, name: str, role: PageRole, until: datetime) -> None:
        """See `Sessions.invite`."""
        values = (digest, name, role, to_micros(until))

        async def work(transaction: Transaction) -> None:
            await transaction.change("INSERT INTO invitation (hash, name, role, expires_at) VALUES (?, ?, ?, ?)", values)

        await self._database.write(work)

    async def redeem(self, digest: bytes) -> tuple[str, PageRole] | None:
        """See `Sessions.redeem`."""

        async def work(transaction: Transaction) -> tuple[str, PageRole] | None:
            rows = await transaction.rows(
                "DELETE FROM invitation WHERE hash = ? AND expires_at > ? RETURNING name, role", (digest, self._clock.micros())
            )
            return (rows[0][0], rows[0][1]) if rows else None

        return await self._database.write(work)

    async def begin(self, digest: bytes, *, name: str, role: PageRole, way: LoginWay, until: datetime) -> Session:
        """See `Sessions.begin`."""

        async def work(transaction: Transaction) -> Session:
            now = self._clock.micros()
            (row,) = await transaction.rows(BEGIN, (digest, name, role, way, now, now, to_micros(until)))
            return _session(row)

        return await self._database.write(work)

    async def find(self, digest: bytes) -> Session | None:
        """See `Sessions.find`."""
        query = f"SELECT {COLUMNS} FROM session WHERE hash = ? AND expires_at > ?"  # noqa: S608  (names of columns)
        rows = await self._database.rows(query, (digest, self._clock.micros()))
        return _session(rows[0]) if rows else None

    async def extend(self, number: int, until: datetime) -> None:
        """See `Sessions.extend`."""

        async def work(transaction: Transaction) -> None:
            now = self._clock.micros()
            await transaction.change(EXTEND, (now, now, to_micros(until), number, now))

        await self._database.write(work)

    async def sessions(self) -> tuple[Session, ...]:
        """See `Sessions.sessions`."""
        query = f"SELECT {COLUMNS} FROM session WHERE expires_at > ? ORDER BY id DESC"  # noqa: S608  (names of columns)
        return tuple(_session(row) for row in await self._database.rows(query, (self._clock.micros(),)))

    async def end(self, number: int) -> bool:
        """See `Sessions.end`."""

        async def work(transaction: Transaction) -> bool:
            values = (number, self._clock.micros())
            return await transaction.change("DELETE FROM session WHERE id = ? AND expires_at > ?", values) > 0

        return await self._database.write(work)

    async def set_password(self, phc: str | None) -> None:
        """See `Sessions.set_password`."""

        async def work(transaction: Transaction) -> None:
            await transaction.change("DELETE FROM page_password")
            if phc is not None:
                await transaction.change("INSERT INTO page_password (id, phc) VALUES (1, ?)", (phc,))
            await transaction.change("DELETE FROM session WHERE way = 'password'")
            transaction.erases()

        await self._database.write(work)

    async def password(self) -> str | None:
        """See `Sessions.password`."""
        rows = await self._database.rows("SELECT phc FROM page_password")
        return str(rows[0][0]) if rows else None


async def purge(transaction: Transaction, now: int) -> None:
    """Remove sessions and links that have expired."""
    await transaction.change("DELETE FROM session WHERE expires_at <= ?", (now,))
    await transaction.change("DELETE FROM invitation WHERE expires_at <= ?", (now,))


def _session(row: Any) -> Session:
    number, name, role, way, created_at, seen_at, expires_at = row
    return Session(
        id=number,
        name=name,
        role=role,
        way=way,
        created_at=from_micros(created_at),
        seen_at=from_micros(seen_at),
        expires_at=from_micros(expires_at),
    )
