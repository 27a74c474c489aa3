"""Addresses for one test mail each, in a table of PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

from mailbridge.store.postgres.database import PostgresDatabase
from mailbridge.store.sql import Transaction

KEEP = (
    "INSERT INTO one_time (address, identifier, asked_by, until) VALUES (?, ?, ?, now_micros() + ?)"
    " ON CONFLICT (address) DO UPDATE SET identifier = excluded.identifier, asked_by = excluded.asked_by, until = excluded.until"
)
FIND = "SELECT identifier, asked_by FROM one_time WHERE address = ? AND until > now_micros()"


class PostgresOneTime:
    """Implements `mailbridge.store.one_time.OneTimeAddresses`."""

    def __init__(self, *, database: PostgresDatabase) -> None:
        self._database = database

    async def keep(self, address: str, *, identifier: str, by: str, lives: timedelta) -> None:
        """See `OneTimeAddresses.keep`."""
        values = (address, identifier, by, lives // timedelta(microseconds=1))
        await self._database.transact(lambda transaction: transaction.change(KEEP, values), is_quiet=True)

    async def find(self, address: str) -> tuple[str, str] | None:
        """See `OneTimeAddresses.find`."""
        rows = await self._database.rows(FIND, (address,))
        return (rows[0][0], rows[0][1]) if rows else None

    async def spend(self, address: str) -> None:
        """See `OneTimeAddresses.spend`."""
        statement = "DELETE FROM one_time WHERE address = ?"
        await self._database.transact(lambda transaction: transaction.change(statement, (address,)), is_quiet=True)


async def purge(transaction: Transaction) -> None:
    """Remove the addresses that have expired."""
    await transaction.change("DELETE FROM one_time WHERE until < now_micros()")
