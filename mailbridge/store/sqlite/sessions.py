"""Sessions of the page, and login links, in SQLite."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import apsw

from mailbridge.clock import SteadyClock, from_micros, to_micros
from mailbridge.store.sessions import LoginWay, PageRole, Session
from mailbridge.store.sqlite.readers import Readers
from mailbridge.store.sqlite.writer import Writer

COLUMNS = "id, name, role, way, created_at, seen_at, expires_at"

BEGIN = (
    "INSERT INTO session (hash, name, role, way, created_at, seen_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " RETURNING id, name, role, way, created_at, seen_at, expires_at"
)


class SqliteSessions:
    """Implements `mailbridge.store.sessions.Sessions`."""

    def __init__(self, *, writer: Writer, readers: Readers, clock: SteadyClock) -> None:
        self._writer = writer
        self._readers = readers
        self._clock = clock

    async def invite(self, digest: bytes, *, name: str, role: PageRole, until: datetime) -> None:
        """See `Sessions.invite`."""
        values = (digest, name, role, to_micros(until))

        def work(connection: apsw.Connection) -> None:
            connection.execute("INSERT INTO invitation (hash, name, role, expires_at) VALUES (?, ?, ?, ?)", values)

        await self._writer.do(work)

    async def redeem(self, digest: bytes) -> tuple[str, PageRole] | None:
        """See `Sessions.redeem`."""

        def work(connection: apsw.Connection) -> tuple[str, PageRole] | None:
            row: Any = connection.execute(
                "DELETE FROM invitation WHERE hash = ? AND expires_at > ? RETURNING name, role", (digest, self._clock.micros())
            ).fetchone()
            return None if row is None else (row[0], row[1])

        return await self._writer.do(work)

    async def begin(self, digest: bytes, *, name: str, role: PageRole, way: LoginWay, until: datetime) -> Session:
        """See `Sessions.begin`."""

        def work(connection: apsw.Connection) -> Session:
            now = self._clock.micros()
            row: Any = connection.execute(BEGIN, (digest, name, role, way, now, now, to_micros(until))).fetchone()
            return _session(row)

        return await self._writer.do(work)

    async def find(self, digest: bytes) -> Session | None:
        """See `Sessions.find`."""
        query = f"SELECT {COLUMNS} FROM session WHERE hash = ? AND expires_at > ?"  # noqa: S608  (names of columns)
        rows = await self._readers.rows(query, (digest, self._clock.micros()))
        return _session(rows[0]) if rows else None

    async def extend(self, number: int, until: datetime) -> None:
        """See `Sessions.extend`."""

        def work(connection: apsw.Connection) -> None:
            now = self._clock.micros()
            connection.execute(
                "UPDATE session SET seen_at = max(seen_at, ?), expires_at = ? WHERE id = ? AND expires_at > ?",
                (now, to_micros(until), number, now),
            )

        await self._writer.do(work)

    async def sessions(self) -> tuple[Session, ...]:
        """See `Sessions.sessions`."""
        query = f"SELECT {COLUMNS} FROM session WHERE expires_at > ? ORDER BY id DESC"  # noqa: S608  (names of columns)
        return tuple(_session(row) for row in await self._readers.rows(query, (self._clock.micros(),)))

    async def end(self, number: int) -> bool:
        """See `Sessions.end`."""

        def work(connection: apsw.Connection) -> bool:
            connection.execute("DELETE FROM session WHERE id = ? AND expires_at > ?", (number, self._clock.micros()))
            return connection.changes() > 0

        return await self._writer.do(work)

    async def set_password(self, phc: str | None) -> None:
        """See `Sessions.set_password`."""

        def work(connection: apsw.Connection) -> None:
            connection.execute("DELETE FROM page_password")
            if phc is not None:
                connection.execute("INSERT INTO page_password (id, phc) VALUES (1, ?)", (phc,))
            connection.execute("DELETE FROM session WHERE way = 'password'")
            self._writer.truncate()

        await self._writer.do(work)

    async def password(self) -> str | None:
        """See `Sessions.password`."""
        rows = await self._readers.rows("SELECT phc FROM page_password")
        return str(rows[0][0]) if rows else None


def purge(connection: apsw.Connection, now: int) -> None:
    """Forget the sessions and links that are over. In a transaction of the caller's."""
    connection.execute("DELETE FROM session WHERE expires_at <= ?", (now,))
    connection.execute("DELETE FROM invitation WHERE expires_at <= ?", (now,))


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
