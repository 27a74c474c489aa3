"""Leases on mailbox accounts, logins at their hosts, and who waits at another replica; all of it by the server's clock.

An account is free if nobody owns it, or if its owner's heartbeat is too old. A replica takes free accounts up to a fair share,
and gives back those beyond it. Replicas that know the same accounts share them. A replica with another configuration keeps what
it has.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta

from mailbridge.core.mail import Lease
from mailbridge.store import Mailboxes
from mailbridge.store.leases import HOLD, NOTHING, Elsewhere, LoginSlot
from mailbridge.store.postgres.database import PostgresDatabase, PostgresTransaction
from mailbridge.store.postgres.replicas import AWAITED, Replicas
from mailbridge.store.rows import storable
from mailbridge.store.sql import Transaction
from mailbridge.store.sql.mailboxes import SqlMailboxes
from mailbridge.waiting import Bell

MICROSECOND = timedelta(microseconds=1)

GIVEN_AT_ONCE = 25
"""Accounts beyond the fair share that are given back at a time. Whoever takes them must log in, and mail hosts count logins."""

LONGEST_LOGIN = timedelta(minutes=2)
"""How long a login may last. After that another process may take its slot."""

IS_DEAD = "NOT EXISTS (SELECT 1 FROM replica WHERE replica.id = {} AND alive_until > now_micros())"

SAY = "UPDATE replica SET accounts = ? WHERE id = ?"
ABOUT = (
    "WITH alive AS (SELECT id, accounts FROM replica WHERE alive_until > now_micros())"
    " SELECT count(*) FILTER (WHERE accounts = ?), count(*) FILTER (WHERE accounts = ? AND id < ?),"
    " (SELECT count(*) FROM mailbox_lease JOIN alive ON alive.id = owner WHERE accounts != ? AND account = ANY(?::text[])) FROM alive"
)
"""How many replicas share these accounts, how many of them are older than this one, and how many accounts others have."""

MINE = "SELECT account, epoch FROM mailbox_lease WHERE owner = ? ORDER BY epoch"
KNOW = "INSERT INTO mailbox_lease (account) SELECT unnest(?::text[]) ON CONFLICT DO NOTHING"
TAKE = (
    "UPDATE mailbox_lease SET owner = ?, epoch = nextval('mailbox_epoch'), changed_at = now_micros() WHERE account IN ("  # noqa: S608
    f"SELECT account FROM mailbox_lease WHERE account = ANY(?::text[]) AND (owner IS NULL OR {IS_DEAD.format('owner')})"
    " ORDER BY account LIMIT ? FOR UPDATE SKIP LOCKED) RETURNING account, epoch"
)
FREE = "UPDATE mailbox_lease SET owner = NULL, changed_at = now_micros() WHERE owner = ? AND account = ANY(?::text[])"
FREE_ALL = "UPDATE mailbox_lease SET owner = NULL, changed_at = now_micros() WHERE owner = ?"
TELL_STATE = "INSERT INTO mailbox_state (account, state) VALUES (?, ?) ON CONFLICT (account) DO UPDATE SET state = excluded.state"
ELSEWHERE = (
    "SELECT account, name, coalesce(state, '[]') FROM mailbox_lease JOIN replica ON replica.id = owner LEFT JOIN mailbox_state USING (account)"
    " WHERE owner != ? AND alive_until > now_micros() ORDER BY account"
)

IS_FREE = f"until <= now_micros() OR {IS_DEAD.format('owner')}"
SLOTS = f"SELECT count(*), count(*) FILTER (WHERE {IS_FREE}) FROM login_slot WHERE host = ? AND number <= ?"  # noqa: S608
"""How many slots a host has, and how many of them are free. Most waiting processes learn from this read alone that they must
go on waiting, without a write."""

LOG_IN = (
    "UPDATE login_slot SET owner = ?, until = now_micros() + ? WHERE (host, number) IN ("  # noqa: S608
    f"SELECT host, number FROM login_slot WHERE host = ? AND number <= ? AND ({IS_FREE})"
    " ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING number, until"
)
KNOW_HOST = "INSERT INTO login_slot (host, number) SELECT ?, number FROM generate_series(1, ?) AS number ON CONFLICT DO NOTHING"
LOGGED_IN = "UPDATE login_slot SET until = 0 WHERE host = ? AND number = ? AND owner = ? AND until = ?"

AWAIT = (
    "INSERT INTO awaited (line, replica, until) SELECT unnest(?::text[]), ?, now_micros() + ?"
    " ON CONFLICT (line, replica) DO UPDATE SET until = excluded.until"
)
NO_LONGER = "DELETE FROM awaited WHERE replica = ? AND line != ALL(?::text[])"
WHO_WAITS = "SELECT DISTINCT line FROM awaited WHERE replica != ? AND until > now_micros()"


class PostgresLeases:
    """Implements `mailbridge.store.leases.Leases`. A visitor (``replicas`` None) has no lease."""

    def __init__(self, *, database: PostgresDatabase, replicas: Replicas | None) -> None:
        self._database = database
        self._replicas = replicas
        self._said: tuple[int, str] = (0, "")
        self._awaited: frozenset[str] = frozenset()
        self._told: Mapping[str, str] = {}

    @property
    def is_certain(self) -> bool:
        """See `Leases.is_certain`. Without a heartbeat the others believe that this process is gone and its mailboxes are
        free."""
        return self._replicas is not None and self._replicas.is_alive

    @property
    def _number(self) -> int:
        return self._replicas.number if self._replicas is not None else 0

    async def share(self, accounts: Collection[str], states: Mapping[str, str] = NOTHING) -> Mapping[str, Lease]:
        """See `Leases.share`."""
        if self._replicas is None:
            return {}
        names = sorted(accounts)
        mark = hashlib.sha256("\0".join(names).encode()).hexdigest()[:16] if names else ""
        number = self._number
        if not names and self._said in ((0, ""), (number, "")):
            return {}
        held = await self._database.transact(lambda transaction: self._shared(transaction, number, mark, names), is_quiet=True)
        self._said = (number, mark)
        if states:
            await self._tell({account: state for account, state in states.items() if account in held})
        return {account: Lease(account=account, epoch=epoch) for account, epoch in held.items()}

    async def _shared(self, transaction: PostgresTransaction, number: int, mark: str, names: list[str]) -> dict[str, int]:
        if self._said != (number, mark):
            await transaction.change(SAY, (mark, number))
        held = dict(await transaction.rows(MINE, (number,)))
        ((sharers, older, others),) = await transaction.rows(ABOUT, (mark, mark, number, mark, names))
        share = share_of(len(names) - others, sharers=max(sharers, 1), older=older)
        known = set(names)
        wanted = [account for account in held if account in known]
        unknown, beyond = [account for account in held if account not in known], wanted[share:][:GIVEN_AT_ONCE]
        if unknown or beyond:
            await transaction.change(FREE, (number, [*unknown, *beyond]))
        kept = {account: held[account] for account in wanted if account not in set(beyond)}
        if len(kept) < share:
            await transaction.change(KNOW, (names,))
            kept |= dict(await transaction.rows(TAKE, (number, names, share - len(kept))))
        return kept

    async def _tell(self, states: Mapping[str, str]) -> None:
        """Store the state that other replicas show of these accounts, if it has changed since this process last stored it."""
        new = [(account, state) for account, state in states.items() if self._told.get(account) != state]
        if new:
            await self._database.transact(lambda transaction: transaction.change_many(TELL_STATE, new), is_quiet=True)
        self._told = states

    def mailboxes(self, lease: Lease) -> Mailboxes:
        """See `Leases.mailboxes`."""
        return SqlMailboxes(database=self._database, lease=lease)

    async def give_back(self) -> None:
        """See `Leases.give_back`."""
        if self._said != (0, ""):
            await self._database.transact(self._given_back, is_quiet=True)

    async def _given_back(self, transaction: Transaction) -> None:
        await transaction.change(SAY, ("", self._number))
        await transaction.change(FREE_ALL, (self._number,))

    async def elsewhere(self) -> tuple[Elsewhere, ...]:
        """See `Leases.elsewhere`."""
        rows = await self._database.rows(ELSEWHERE, (self._number,))
        return tuple(Elsewhere(account=account, by=name, state=state) for account, name, state in rows)

    async def log_in(self, host: str, *, at_once: int) -> LoginSlot | None:
        """See `Leases.log_in`."""
        ((known, free),) = await self._database.rows(SLOTS, (host, at_once))
        if known >= at_once and not free:
            return None
        values = (self._number, LONGEST_LOGIN // MICROSECOND, host, at_once)

        async def work(transaction: Transaction) -> list[tuple[int, int]]:
            found = await transaction.rows(LOG_IN, values)
            if not found and await transaction.change(KNOW_HOST, (host, at_once)):
                found = await transaction.rows(LOG_IN, values)
            return found

        rows = await self._database.transact(work, is_quiet=True)
        return LoginSlot(host=host, number=rows[0][0], until=rows[0][1]) if rows else None

    async def logged_in(self, slot: LoginSlot) -> None:
        """See `Leases.logged_in`."""
        values = (slot.host, slot.number, self._number, slot.until)
        await self._database.transact(lambda transaction: transaction.change(LOGGED_IN, values), is_quiet=True)

    async def await_codes(self, identifiers: Collection[str]) -> None:
        """See `Leases.await_codes`. The others are notified only about new identifiers."""
        lines = frozenset(str(storable(one)) for one in identifiers)
        if not lines and not self._awaited:
            return

        async def work(transaction: Transaction) -> None:
            await transaction.change(NO_LONGER, (self._number, sorted(lines)))
            await transaction.change(AWAIT, (sorted(lines), self._number, int(HOLD * 1_000_000)))
            if lines - self._awaited:
                await transaction.change(f"NOTIFY {AWAITED}")

        await self._database.transact(work, is_quiet=True)
        self._awaited = lines

    async def awaited(self) -> frozenset[str]:
        """See `Leases.awaited`."""
        return frozenset(line for (line,) in await self._database.rows(WHO_WAITS, (self._number,)))

    def bell(self) -> AbstractContextManager[Bell]:
        """See `Leases.bell`."""
        bells = self._replicas.waits if self._replicas is not None else self._database.bells
        return bells.bell()


def share_of(total: int, *, sharers: int, older: int) -> int:
    """The share of ``total`` for one of several sharers, of whom ``older`` are older. All shares together are the total."""
    whole, rest = divmod(max(total, 0), sharers)
    return whole + (older < rest)


async def purge(transaction: Transaction, before: int) -> None:
    """Remove accounts that nobody has had since then, old logins, and old waits."""
    await transaction.change(
        f"DELETE FROM mailbox_lease WHERE changed_at < ? AND (owner IS NULL OR {IS_DEAD.format('owner')})",  # noqa: S608
        (before,),
    )
    await transaction.change("DELETE FROM mailbox_state WHERE account NOT IN (SELECT account FROM mailbox_lease)")
    await transaction.change("DELETE FROM login_slot WHERE until < ?", (before,))
    await transaction.change("DELETE FROM awaited WHERE until < ?", (before,))
