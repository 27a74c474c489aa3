"""Assembles the parts of the store on PostgreSQL, and does what concerns several of them: a mail arrives, and time passes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from mailbridge.clock import SteadyClock, from_micros
from mailbridge.core.delivery import Claim, Delivery, Standing
from mailbridge.core.occurrence import Arrived
from mailbridge.store import Arrival, Forgotten, Kind, Receipt, StoreUnavailable
from mailbridge.store.cipher import Cipher, new_uid, place
from mailbridge.store.names import Names
from mailbridge.store.packing import facts_of, link_of, private_of
from mailbridge.store.postgres import leases, one_time
from mailbridge.store.postgres.codes import PostgresCodes
from mailbridge.store.postgres.database import WHOLE, PostgresDatabase, PostgresTransaction
from mailbridge.store.postgres.journal import PostgresJournal
from mailbridge.store.postgres.leases import PostgresLeases
from mailbridge.store.postgres.mails import PostgresMails
from mailbridge.store.postgres.one_time import PostgresOneTime
from mailbridge.store.postgres.outbox import PostgresOutbox
from mailbridge.store.postgres.queues import INSERT_FIRST, Queues, looking
from mailbridge.store.postgres.replicas import Replicas
from mailbridge.store.postgres.retention import Retention
from mailbridge.store.probing import Probe
from mailbridge.store.processes import OnlyThis, Processes
from mailbridge.store.queueing import received_by
from mailbridge.store.rows import span
from mailbridge.store.sql import Transaction, answers, sessions
from mailbridge.store.sql.answers import SqlAnswers
from mailbridge.store.sql.copies import compared
from mailbridge.store.sql.entries import SqlEntries
from mailbridge.store.sql.events import SqlEvents
from mailbridge.store.sql.forgetting import forget
from mailbridge.store.sql.inboxes import SqlInboxes, end_over, forget_ended, next_end
from mailbridge.store.sql.lines import tell
from mailbridge.store.sql.mailboxes import SqlMailboxes, check_lease, keep_cursor, keep_pending_action
from mailbridge.store.sql.sessions import SqlSessions
from mailbridge.store.sql.sites import REMEMBERED, SqlSites, forget_proven, keep_proven
from mailbridge.store.sql.vault import SqlVault

SWEEP_EVERY = timedelta(seconds=30)
FORGOTTEN_AFTER = timedelta(hours=1)
"""How long an account that nobody watches is remembered. Its place in the mailbox is stored separately."""

PUT = (
    "WITH new AS (INSERT INTO mail (uid, fingerprint, received_at, ingress, verdict, rule, size, sender, is_held, facts, private, link,"  # noqa: S608
    " raw) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (fingerprint) DO NOTHING RETURNING id),"
    " named AS (INSERT INTO mail_identifier (line, mail_id) SELECT line, new.id FROM new, unnest(?::text[]) AS line),"
    " told AS (INSERT INTO journal (at, event, mail_id) SELECT ?, 'stored', new.id FROM new),"
    " known AS (INSERT INTO proven (line, domain, last_at) SELECT line, ?::text, ?::bigint FROM new, unnest(?::text[]) AS line"
    f" ON CONFLICT (line, domain) DO UPDATE SET last_at = excluded.last_at WHERE proven.last_at < excluded.last_at - {REMEMBERED})"
)
"""Inserts the mail, its identifiers, its journal line and what it proves, in one round trip. Inserts nothing for a duplicate."""

ALONE = f"{PUT} SELECT new.id FROM new"  # noqa: S608
AND_LOOK = f"{PUT}, looked AS ({{}}) SELECT new.id, NULL::bigint, looked.* FROM new LEFT JOIN looked ON true"  # noqa: S608
"""The same, and reads what the queue of its first delivery contains."""

AND_FIRST = (
    f"{PUT}, looked AS ({{}}), added AS ({INSERT_FIRST}) SELECT new.id, added.id, looked.* FROM new LEFT JOIN looked ON true"  # noqa: S608
    " LEFT JOIN added ON true"
)
"""The same, and inserts the delivery if its queue is empty."""


class PostgresStore:
    """Implements `mailbridge.store.Store`."""

    def __init__(
        self,
        *,
        database: PostgresDatabase,
        queues: Queues,
        replicas: Replicas | None,
        cipher: Cipher,
        clock: SteadyClock,
        retention: Retention,
    ) -> None:
        self.outbox = PostgresOutbox(database=database, queues=queues, cipher=cipher, clock=clock)
        self.mails = PostgresMails(database=database, cipher=cipher)
        self.journal = PostgresJournal(database=database)
        self.codes = PostgresCodes(database=database, cipher=cipher, clock=clock)
        self.vault = SqlVault(database=database, cipher=cipher, clock=clock)
        self.mailboxes = SqlMailboxes(database=database)
        self.leases = PostgresLeases(database=database, replicas=replicas)
        self.one_time = PostgresOneTime(database=database)
        self.processes: Processes = OnlyThis() if replicas is None else replicas
        self.entries = SqlEntries(database=database, cipher=cipher, clock=clock)
        self.events = SqlEvents(database=database, clock=clock)
        self.sites = SqlSites(database=database, clock=clock)
        self.answers = SqlAnswers(database=database, cipher=cipher, clock=clock)
        self.sessions = SqlSessions(database=database, clock=clock)
        self.inboxes = SqlInboxes(database=database, cipher=cipher, clock=clock)
        self.names = Names(cipher.names_key)
        self.database = database
        self.replicas = replicas
        self._queues = queues
        self._cipher = cipher
        self._clock = clock
        self._retention = retention
        self._is_closed = False
        self._probe = Probe(lambda: database.trouble, database.probe)

    @property
    def time_base(self) -> int:
        """See `Store.time_base`."""
        return self._clock.base

    @property
    def is_shared(self) -> bool:
        """See `Store.is_shared`."""
        return True

    @property
    def may_attempt(self) -> bool:
        """See `Store.may_attempt`. Without a heartbeat the others believe that this process is gone, and take over its claims."""
        return self.replicas is not None and self.replicas.is_alive

    @property
    def is_first(self) -> bool:
        """See `Store.is_first`. It is the oldest live replica."""
        return self.replicas is not None and self.replicas.is_first

    @property
    def trouble(self) -> Kind | None:
        """See `Store.trouble`."""
        return self.database.trouble

    async def put(self, arrival: Arrival) -> Receipt:
        """See `Store.put`."""
        facts, private, link = facts_of(arrival), private_of(arrival), link_of(arrival)
        queues = {(draft.target, draft.identifier.casefold()) for draft in arrival.drafts}
        queues |= {(WHOLE, inbox.casefold()) for inbox in arrival.inboxes}
        receipt = await self.database.write(
            lambda transaction: self._put(transaction, arrival, facts, private, link),
            queues=queues,
            on_abandoned=lambda receipt: self.outbox.release(receipt.claims),
        )
        self._queues.take(receipt.claims)
        return receipt

    async def _put(
        self, transaction: PostgresTransaction, arrival: Arrival, facts: bytes, private: bytes, link: bytes | None
    ) -> Receipt:
        envelope, now = arrival.envelope, self._clock.micros()
        fingerprint = self._cipher.digest(arrival.fingerprint)
        received = received_by(self._clock, arrival, now)
        await check_lease(transaction, envelope.lease)
        if envelope.cursor is not None:
            await keep_cursor(transaction, envelope.cursor)
        first = self._first(arrival, received, now)
        rows = await self._insert(transaction, arrival, (fingerprint, facts, private, link), received, now, first)
        if not rows:
            return await self._put_copy(transaction, arrival, fingerprint, now)
        number = rows[0][0]
        if any(one.standing is Standing.FIRST_SEEN for one in arrival.drafts):
            await tell(transaction, now, "first_seen", number, None, arrival.domain or "not proven")
        if arrival.origin:
            await tell(transaction, now, arrival.verb, arrival.origin, None, f"as mail {number}")
        claims, superseded, held = await self._deliver(transaction, arrival, rows, first, received, now)
        if held:
            await self._keep_facts(transaction, arrival, number, held)
        is_pushed = sum(one.standing is not Standing.ASIDE for one in arrival.drafts) > len(held)
        await self._keep_action(transaction, arrival, is_pushed=is_pushed)
        if arrival.inboxes:
            ended = await forget_ended(transaction, self._cipher, arrival.inboxes, now)
            claims = tuple(one for one in claims if one.delivery.draft.identifier.casefold() not in ended)
        return Receipt(mail_id=number, claims=claims, superseded=superseded, is_pushed=is_pushed, held=held)

    async def _put_copy(self, transaction: PostgresTransaction, arrival: Arrival, fingerprint: bytes, now: int) -> Receipt:
        """Store a second copy of the same mail. It delivers only what the first copy could not, because less was known of its
        sender. The codes live from the receipt of the first copy."""
        query = "SELECT id, received_at FROM mail WHERE fingerprint = ?"
        ((number, first_at),) = await transaction.rows(query, (fingerprint,))
        await tell(transaction, now, "duplicate", number)
        copy = await compared(transaction, number, arrival.drafts)
        rule = arrival.extraction.rule
        claims, superseded, held = await self._queues.add(transaction, number, copy.left, first_at, now, rule)
        if copy.is_surer:
            await keep_proven(transaction, arrival, now)
            await self._keep_facts(transaction, arrival, number, held)
        is_pushed = sum(one.standing is not Standing.ASIDE for one in arrival.drafts) > len(held)
        await self._keep_action(transaction, arrival, is_pushed=is_pushed)
        return Receipt(
            mail_id=number, is_duplicate=not copy.left, claims=claims, superseded=superseded, is_pushed=is_pushed, held=held
        )

    async def _keep_facts(self, transaction: PostgresTransaction, arrival: Arrival, number: int, held: tuple[str, ...]) -> None:
        """Write the facts of a mail as they are known now. ``held`` are the reasons why parts are held while a known sender's
        code is live."""
        told = tuple(f"{arrival.stranger}: {why}" for why in dict.fromkeys(held))
        facts = facts_of(replace(arrival, held=(*arrival.held, *told)))
        is_held = int(bool(arrival.held or held))
        await transaction.change("UPDATE mail SET facts = ?, is_held = ? WHERE id = ?", (facts, is_held, number))

    def _first(self, arrival: Arrival, received: int, now: int) -> Delivery | None:
        """The first delivery if its queue is empty; None if that is not a plain case."""
        if not arrival.drafts:
            return None
        arrived = Arrived(draft=arrival.drafts[0], received_at=from_micros(received), rule=arrival.extraction.rule)
        return self._queues.first_of(arrived, now)

    async def _deliver(
        self,
        transaction: PostgresTransaction,
        arrival: Arrival,
        rows: list[Any],
        first: Delivery | None,
        received: int,
        now: int,
    ) -> tuple[tuple[Claim, ...], int, tuple[str, ...]]:
        """Write the deliveries of a mail. ``rows`` are the result of `_insert`, which has written ``first`` if its queue was
        empty."""
        number, rule, drafts = rows[0][0], arrival.extraction.rule, arrival.drafts
        if first is None or rows[0][1] is None:
            seen = [row[2:] for row in rows if row[2] is not None] if drafts else None
            return await self._queues.add(transaction, number, drafts, received, now, rule, seen=seen)
        own = self._queues.claim_of_first(first, rows[0][1], number)
        claims, superseded, held = await self._queues.add(transaction, number, drafts[1:], received, now, rule)
        return (own, *claims), superseded, held

    async def _insert(
        self,
        transaction: PostgresTransaction,
        arrival: Arrival,
        octets: tuple[bytes, bytes, bytes, bytes | None],
        received: int,
        now: int,
        first: Delivery | None,
    ) -> list[Any]:
        """Insert the row of a mail and its line in the journal. ``octets`` are fingerprint, facts, private part and link.

        Returns rows that begin with the mail's number and the number of its first delivery, if that was written too. The rest of
        each row is what that delivery's queue contains. Empty for a duplicate.
        """
        fingerprint, facts, private, link = octets
        uid, seal = new_uid(), self._cipher.seal
        values = (
            uid,
            fingerprint,
            received,
            arrival.envelope.ingress,
            str(arrival.extraction.verdict),
            arrival.extraction.rule,
            len(arrival.envelope.content),
            arrival.sender.lower(),
            int(bool(arrival.held)),
            facts,
            seal(private, place("mail", uid, None)),
            seal(link, place("link", uid, None)) if link is not None else None,
            seal(arrival.envelope.content, place("raw", uid, None)),
            sorted({one.casefold() for one in arrival.identification.identifiers}),
            now,
            arrival.domain,
            now,
            sorted({one.identifier.casefold() for one in arrival.drafts}) if arrival.domain else [],
        )
        if not arrival.drafts:
            return await transaction.rows(ALONE, values)
        draft = arrival.drafts[0]
        arrived = Arrived(draft=draft, received_at=from_micros(received), rule=arrival.extraction.rule)
        query, more = looking(draft.target, draft.identifier.casefold(), arrived, from_micros(now))
        if first is None:
            return await transaction.rows(AND_LOOK.format(query), (*values, *more))
        return await transaction.rows(AND_FIRST.format(query), (*values, *more, *self._queues.values_of(first)))

    async def _keep_action(self, transaction: PostgresTransaction, arrival: Arrival, *, is_pushed: bool) -> None:
        """Remember the action in the mailbox for a mail that is pushed."""
        cursor = arrival.envelope.cursor
        if cursor is not None and arrival.envelope.has_action and is_pushed:
            await keep_pending_action(transaction, cursor)

    async def forget(self, identifier: str) -> Forgotten:
        """See `Store.forget`. Old octets stay in the server's files until it vacuums, and in its log until that is recycled."""
        return await self.database.write(lambda transaction: forget(transaction, self._cipher, identifier, self._clock.micros()))

    async def confirmed(self, mail_id: int) -> None:
        """See `Store.confirmed`."""

        async def work(transaction: Transaction) -> None:
            if await transaction.rows("SELECT 1 FROM mail WHERE id = ?", (mail_id,)):
                await tell(transaction, self._clock.micros(), "confirmed", mail_id)

        await self.database.write(work)

    async def probe(self) -> None:
        """See `Store.probe`."""
        if self._is_closed:
            raise StoreUnavailable("closed", "the store is closed")
        await self._probe.ask()

    async def sweep(self) -> datetime | None:
        """See `Store.sweep`."""
        await self._probe.now()
        return await self.database.finish(self._sweep)

    async def _sweep(self) -> datetime | None:
        """Every replica ends overdue deliveries of queues. Only one at a time does the rest; the others try again later."""
        is_more = await self._queues.pass_time()

        async def work(transaction: PostgresTransaction) -> tuple[bool, datetime | None]:
            if not await self._retention.may_sweep(transaction):
                return False, None
            now = self._clock.micros()
            _, are_more_over = await end_over(transaction, self._cipher, now)
            is_left = await self._retention.erase(transaction, now)
            is_left = await self._retention.purge(transaction, now) or is_left or are_more_over
            await forget_proven(transaction)
            await answers.purge(transaction, now)
            await sessions.purge(transaction, now)
            await leases.purge(transaction, now - span(FORGOTTEN_AFTER))
            await one_time.purge(transaction)
            return is_left, await next_end(transaction)

        is_left, ends_at = await self.database.transact(work)
        if is_more or is_left:
            return self._clock.now()
        again_at = self._clock.now() + SWEEP_EVERY
        return again_at if ends_at is None else min(again_at, ends_at)

    async def close(self) -> None:
        """See `Store.close`."""
        if self._is_closed:
            return
        self._is_closed = True
        await self.database.settle()
        if self.replicas is not None:
            await self.replicas.leave()
        await self.database.close()
