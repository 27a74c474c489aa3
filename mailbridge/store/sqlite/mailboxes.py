"""How far each mailbox is taken in, and what is still to be done with mails there."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from mailbridge.store.sqlite.readers import Readers
from mailbridge.store.sqlite.writer import Writer


class SqliteMailboxes:
    """Implements `mailbridge.store.Mailboxes`. A cursor is ``mailbox/uidvalidity/uid``."""

    def __init__(self, *, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def cursor(self, mailbox: str) -> str | None:
        """See `Mailboxes.cursor`."""
        rows = await self._readers.rows("SELECT validity, uid FROM cursor WHERE mailbox = ?", (mailbox,))
        return f"{mailbox}/{rows[0][0]}/{rows[0][1]}" if rows else None

    async def advance(self, cursor: str) -> None:
        """See `Mailboxes.advance`."""
        await self._writer.do(lambda connection: keep_cursor(connection, cursor))

    async def rewind(self, cursor: str) -> None:
        """See `Mailboxes.rewind`."""
        mailbox, validity, uid = cursor.rsplit("/", 2)
        statement = "INSERT OR REPLACE INTO cursor VALUES (?, ?, ?)"
        await self._writer.do(lambda connection: connection.execute(statement, (mailbox, validity, int(uid))))

    async def notes(self, mailbox: str) -> str:
        """See `Mailboxes.notes`."""
        rows = await self._readers.rows("SELECT notes FROM mailbox_notes WHERE mailbox = ?", (mailbox,))
        return str(rows[0][0]) if rows else "{}"

    async def note(self, mailbox: str, notes: str) -> None:
        """See `Mailboxes.note`."""
        statement = "INSERT OR REPLACE INTO mailbox_notes VALUES (?, ?)"
        await self._writer.do(lambda connection: connection.execute(statement, (mailbox, notes)))

    async def pending_actions(self, mailbox: str) -> tuple[str, ...]:
        """See `Mailboxes.pending_actions`."""
        rows = await self._readers.rows("SELECT validity, uid FROM owed WHERE mailbox = ? ORDER BY validity, uid", (mailbox,))
        return tuple(f"{mailbox}/{validity}/{uid}" for validity, uid in rows)

    async def actions_done(self, cursors: Sequence[str]) -> None:
        """See `Mailboxes.actions_done`."""
        rows = [tuple(cursor.rsplit("/", 2)) for cursor in cursors]
        statement = "DELETE FROM owed WHERE mailbox = ? AND validity = ? AND uid = ?"
        await self._writer.do(lambda connection: connection.executemany(statement, rows))


def keep_cursor(connection: apsw.Connection, cursor: str) -> None:
    """Move a mailbox's cursor forward, in a transaction of the writer's."""
    mailbox, validity, uid = cursor.rsplit("/", 2)
    connection.execute(
        "INSERT INTO cursor VALUES (?, ?, ?) ON CONFLICT (mailbox) DO UPDATE SET validity = excluded.validity, uid = excluded.uid"
        " WHERE validity != excluded.validity OR uid < excluded.uid",
        (mailbox, validity, int(uid)),
    )


def keep_pending_action(connection: apsw.Connection, cursor: str) -> None:
    """Remember that something is to be done with a mail there, in a transaction of the writer's."""
    connection.execute("INSERT OR IGNORE INTO owed VALUES (?, ?, ?)", cursor.rsplit("/", 2))
