"""How far each mailbox has been read, and what is still to be done with mails there."""

from __future__ import annotations

from collections.abc import Sequence

from mailbridge.core.mail import Lease
from mailbridge.store import LeaseLost
from mailbridge.store.sql import Database, Transaction, Work

KEEP = (
    "INSERT INTO cursor (mailbox, validity, uid) VALUES (?, ?, ?)"
    " ON CONFLICT (mailbox) DO UPDATE SET validity = excluded.validity, uid = excluded.uid"
)
NOTE = "INSERT INTO mailbox_notes (mailbox, notes) VALUES (?, ?) ON CONFLICT (mailbox) DO UPDATE SET notes = excluded.notes"
HOLDS = "SELECT 1 FROM mailbox_lease WHERE account = ? AND epoch = ? AND owner IS NOT NULL FOR SHARE"


class SqlMailboxes:
    """Implements `mailbridge.store.Mailboxes`. A cursor is ``mailbox/uidvalidity/uid``. With a ``lease`` nothing is written
    after it has ended."""

    def __init__(self, *, database: Database, lease: Lease | None = None) -> None:
        self._database = database
        self._lease = lease

    async def cursor(self, mailbox: str) -> str | None:
        """See `Mailboxes.cursor`."""
        rows = await self._database.rows("SELECT validity, uid FROM cursor WHERE mailbox = ?", (mailbox,))
        return f"{mailbox}/{rows[0][0]}/{rows[0][1]}" if rows else None

    async def advance(self, cursor: str) -> None:
        """See `Mailboxes.advance`."""
        await self._write(lambda transaction: keep_cursor(transaction, cursor))

    async def rewind(self, cursor: str) -> None:
        """See `Mailboxes.rewind`."""
        await self._write(lambda transaction: transaction.change(KEEP, _parts(cursor)))

    async def notes(self, mailbox: str) -> str:
        """See `Mailboxes.notes`."""
        rows = await self._database.rows("SELECT notes FROM mailbox_notes WHERE mailbox = ?", (mailbox,))
        return str(rows[0][0]) if rows else "{}"

    async def note(self, mailbox: str, notes: str) -> None:
        """See `Mailboxes.note`."""
        await self._write(lambda transaction: transaction.change(NOTE, (mailbox, notes)))

    async def pending_actions(self, mailbox: str) -> tuple[str, ...]:
        """See `Mailboxes.pending_actions`."""
        rows = await self._database.rows("SELECT validity, uid FROM owed WHERE mailbox = ? ORDER BY validity, uid", (mailbox,))
        return tuple(f"{mailbox}/{validity}/{uid}" for validity, uid in rows)

    async def actions_done(self, cursors: Sequence[str]) -> None:
        """See `Mailboxes.actions_done`."""
        rows = [_parts(cursor) for cursor in cursors]
        statement = "DELETE FROM owed WHERE mailbox = ? AND validity = ? AND uid = ?"
        await self._write(lambda transaction: transaction.change_many(statement, rows))

    async def _write(self, work: Work[object]) -> None:
        async def under_lease(transaction: Transaction) -> None:
            await check_lease(transaction, self._lease)
            await work(transaction)

        await self._database.write(under_lease)


async def check_lease(transaction: Transaction, lease: Lease | None) -> None:
    """Make sure that nobody takes over the lease's account until the end of the transaction. Raises LeaseLost if somebody
    already has."""
    if lease is not None and lease.epoch and not await transaction.rows(HOLDS, (lease.account, lease.epoch)):
        raise LeaseLost(lease.account)


async def keep_cursor(transaction: Transaction, cursor: str) -> None:
    """Move a mailbox's cursor forward."""
    await transaction.change(f"{KEEP} WHERE cursor.validity != excluded.validity OR cursor.uid < excluded.uid", _parts(cursor))


async def keep_pending_action(transaction: Transaction, cursor: str) -> None:
    """Remember a pending action for a mail there."""
    await transaction.change("INSERT INTO owed (mailbox, validity, uid) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", _parts(cursor))


def _parts(cursor: str) -> tuple[str, str, int]:
    """Mailbox, UIDVALIDITY and UID of a cursor."""
    mailbox, validity, uid = cursor.rsplit("/", 2)
    return mailbox, validity, int(uid)
