"""Assembles the parts of the store on SQLite, and does what concerns several of them: a mail arrives, and time passes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import apsw

from mailbridge.clock import SteadyClock
from mailbridge.core.delivery import Standing
from mailbridge.core.mail import Envelope
from mailbridge.store import Arrival, Forgotten, Kind, Receipt, StoreUnavailable
from mailbridge.store.cipher import Cipher, new_uid, place
from mailbridge.store.leases import Alone
from mailbridge.store.names import Names
from mailbridge.store.one_time import Unshared
from mailbridge.store.packing import facts_of, link_of, private_of
from mailbridge.store.probing import Probe
from mailbridge.store.processes import OnlyThis
from mailbridge.store.queueing import received_by
from mailbridge.store.sql import answers, sessions
from mailbridge.store.sql.answers import SqlAnswers
from mailbridge.store.sql.copies import compared
from mailbridge.store.sql.entries import SqlEntries
from mailbridge.store.sql.events import SqlEvents
from mailbridge.store.sql.forgetting import forget
from mailbridge.store.sql.inboxes import SqlInboxes, end_over, forget_ended, next_end
from mailbridge.store.sql.mailboxes import SqlMailboxes, keep_cursor, keep_pending_action
from mailbridge.store.sql.sessions import SqlSessions
from mailbridge.store.sql.sites import SqlSites, forget_proven, keep_proven
from mailbridge.store.sql.vault import SqlVault
from mailbridge.store.sqlite.codes import SqliteCodes
from mailbridge.store.sqlite.database import keep_anchor, read_anchor, unlock
from mailbridge.store.sqlite.journal import SqliteJournal
from mailbridge.store.sqlite.large import LARGE, write_large
from mailbridge.store.sqlite.lines import journal
from mailbridge.store.sqlite.mails import SqliteMails
from mailbridge.store.sqlite.outbox import SqliteOutbox
from mailbridge.store.sqlite.queues import Queues
from mailbridge.store.sqlite.readers import Readers
from mailbridge.store.sqlite.retention import REALIGN, Retention
from mailbridge.store.sqlite.shared import SqliteDatabase, SqliteTransaction, through
from mailbridge.store.sqlite.turning import Turning
from mailbridge.store.sqlite.writer import Writer

SWEEP_EVERY = timedelta(seconds=30)

PROBE = "INSERT OR REPLACE INTO meta VALUES ('probe', ?)"

SHORT, FEW = 65_536, 4
"""The largest size in octets and number of deliveries of a mail that is written in the event loop. That takes less than a
millisecond."""


class SqliteStore:
    """Implements `mailbridge.store.Store`."""

    def __init__(
        self,
        *,
        writer: Writer,
        readers: Readers,
        queues: Queues,
        cipher: Cipher,
        clock: SteadyClock,
        retention: Retention,
        lock: int | None,
    ) -> None:
        self.outbox = SqliteOutbox(writer=writer, readers=readers, queues=queues, cipher=cipher, clock=clock)
        self.mails = SqliteMails(readers=readers, cipher=cipher)
        self.journal = SqliteJournal(readers=readers, bells=writer.bells)
        self.codes = SqliteCodes(writer=writer, readers=readers, cipher=cipher, clock=clock, is_moving=lambda: self._is_moving)
        database = SqliteDatabase(writer=writer, readers=readers)
        self.vault = SqlVault(database=database, cipher=cipher, clock=clock)
        self.mailboxes = SqlMailboxes(database=database)
        self.leases = Alone(self.mailboxes)
        self.one_time = Unshared()
        self.processes = OnlyThis()
        self.entries = SqlEntries(database=database, cipher=cipher, clock=clock)
        self.events = SqlEvents(database=database, clock=clock)
        self.sites = SqlSites(database=database, clock=clock)
        self.answers = SqlAnswers(database=database, cipher=cipher, clock=clock)
        self.sessions = SqlSessions(database=database, clock=clock)
        self.inboxes = SqlInboxes(database=database, cipher=cipher, clock=clock)
        self._database = database
        self.names = Names(cipher.names_key)
        self.writer = writer
        self.readers = readers
        self._queues = queues
        self.cipher = cipher
        self.clock = clock
        self._retention = retention
        self._is_to_forget = False
        self._is_moving = False
        self._lock = lock
        self._is_closed = False
        self._probe = Probe(lambda: writer.trouble, self._try)
        self.turning: Turning | None = None

    @property
    def time_base(self) -> int:
        """See `Store.time_base`."""
        return self.clock.base

    @property
    def is_shared(self) -> bool:
        """See `Store.is_shared`. A lock keeps others away."""
        return False

    @property
    def may_attempt(self) -> bool:
        """See `Store.may_attempt`."""
        return True

    @property
    def is_first(self) -> bool:
        """See `Store.is_first`."""
        return True

    @property
    def trouble(self) -> Kind | None:
        """See `Store.trouble`."""
        return self.writer.trouble

    async def put(self, arrival: Arrival) -> Receipt:
        """See `Store.put`."""
        facts, private, link = facts_of(arrival), private_of(arrival), link_of(arrival)
        return await self.writer.do(
            lambda connection: self._put(connection, arrival, facts, private, link),
            on_abandoned=lambda connection, receipt: self.outbox.give_back(connection, receipt.claims),
            is_short=len(arrival.envelope.content) <= SHORT and len(arrival.drafts) <= FEW,
        )

    def _put(self, connection: apsw.Connection, arrival: Arrival, facts: bytes, private: bytes, link: bytes | None) -> Receipt:
        envelope = arrival.envelope
        now = self.clock.micros()
        if envelope.cursor is not None:
            through(keep_cursor(self._shared(connection), envelope.cursor))
        fingerprint = self.cipher.digest(arrival.fingerprint)
        known: Any = connection.execute("SELECT id, received_at FROM mail WHERE fingerprint = ?", (fingerprint,)).fetchone()
        if known is not None:
            return self._put_copy(connection, arrival, facts, known[0], known[1], now)
        received = received_by(self.clock, arrival, now)
        uid, seal, is_large = new_uid(), self.cipher.seal, len(envelope.content) > LARGE
        connection.execute(
            "INSERT INTO mail (fingerprint, received_at, ingress, verdict, rule, size, facts, uid, sender, is_held, private, link, raw)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                fingerprint,
                received,
                envelope.ingress,
                str(arrival.extraction.verdict),
                arrival.extraction.rule,
                len(envelope.content),
                facts,
                uid,
                arrival.sender.lower(),
                int(bool(arrival.held)),
                seal(private, place("mail", uid, None)),
                seal(link, place("link", uid, None)) if link is not None else None,
                b"" if is_large else seal(envelope.content, place("raw", uid, None)),
            ),
        )
        number: int = connection.last_insert_rowid()
        if is_large:
            write_large(connection, self.cipher, number, uid, envelope.content)
        for line in dict.fromkeys(one.casefold() for one in arrival.identification.identifiers):
            connection.execute("INSERT INTO mail_identifier VALUES (?, ?)", (line, number))
        through(keep_proven(self._shared(connection), arrival, now))
        journal(connection, now, "stored", number)
        if any(one.standing is Standing.FIRST_SEEN for one in arrival.drafts):
            journal(connection, now, "first_seen", number, None, arrival.domain or "not proven")
        if arrival.origin:
            journal(connection, now, arrival.verb, arrival.origin, None, f"as mail {number}")
        claims, superseded, held = self._queues.add(connection, number, arrival.drafts, received, now, arrival.extraction.rule)
        if held:
            facts = self._held_facts(arrival, held)
            connection.execute("UPDATE mail SET facts = ?, is_held = 1 WHERE id = ?", (facts, number))
        is_pushed = sum(one.standing is not Standing.ASIDE for one in arrival.drafts) > len(held)
        self._keep_action(connection, envelope, is_pushed=is_pushed)
        if arrival.inboxes:
            ended = through(forget_ended(self._shared(connection), self.cipher, arrival.inboxes, now))
            claims = tuple(one for one in claims if one.delivery.draft.identifier.casefold() not in ended)
        return Receipt(mail_id=number, claims=claims, superseded=superseded, is_pushed=is_pushed, held=held)

    def _put_copy(
        self, connection: apsw.Connection, arrival: Arrival, facts: bytes, number: int, first_at: int, now: int
    ) -> Receipt:
        """Store a second copy of the same mail. It delivers only what the first copy could not, because less was known of its
        sender. The codes live from the receipt of the first copy."""
        journal(connection, now, "duplicate", number)
        copy = through(compared(self._shared(connection), number, arrival.drafts))
        claims, superseded, held = self._queues.add(connection, number, copy.left, first_at, now, arrival.extraction.rule)
        if copy.is_surer:
            through(keep_proven(self._shared(connection), arrival, now))
            facts = self._held_facts(arrival, held) if held else facts
            is_held = bool(arrival.held or held)
            connection.execute("UPDATE mail SET facts = ?, is_held = ? WHERE id = ?", (facts, int(is_held), number))
        is_pushed = sum(one.standing is not Standing.ASIDE for one in arrival.drafts) > len(held)
        self._keep_action(connection, arrival.envelope, is_pushed=is_pushed)
        return Receipt(
            mail_id=number, is_duplicate=not copy.left, claims=claims, superseded=superseded, is_pushed=is_pushed, held=held
        )

    def _held_facts(self, arrival: Arrival, held: tuple[str, ...]) -> bytes:
        """The facts of a mail of which a part is held while a known sender's code is live."""
        told = tuple(f"{arrival.stranger}: {why}" for why in dict.fromkeys(held))
        return facts_of(replace(arrival, held=(*arrival.held, *told)))

    def _keep_action(self, connection: apsw.Connection, envelope: Envelope, *, is_pushed: bool) -> None:
        """Remember the action in the mailbox for a mail that is pushed."""
        if envelope.cursor is not None and envelope.has_action and is_pushed:
            through(keep_pending_action(self._shared(connection), envelope.cursor))

    def _shared(self, connection: apsw.Connection) -> SqliteTransaction:
        """The writer's transaction, for the parts that are written once for every database."""
        return SqliteTransaction(connection, self.writer)

    async def forget(self, identifier: str) -> Forgotten:
        """See `Store.forget`."""
        return await self._database.write(lambda transaction: forget(transaction, self.cipher, identifier, self.clock.micros()))

    async def confirmed(self, mail_id: int) -> None:
        """See `Store.confirmed`."""

        def work(connection: apsw.Connection) -> None:
            if connection.execute("SELECT 1 FROM mail WHERE id = ?", (mail_id,)).fetchall():
                journal(connection, self.clock.micros(), "confirmed", mail_id)

        await self.writer.do(work)

    async def probe(self) -> None:
        """See `Store.probe`."""
        if self._is_closed:
            raise StoreUnavailable("closed", "the store is closed")
        await self._probe.ask()

    async def _try(self, octets: int) -> None:
        await self.writer.do(lambda connection: connection.execute(PROBE, ("x" * octets,)))

    async def sweep(self) -> datetime | None:
        """See `Store.sweep`."""
        await self._probe.now()
        try:
            again_at = await self.writer.do(self._sweep)
        except StoreUnavailable:
            if self._is_moving:
                self.clock.take_back()
            raise
        finally:
            self._is_moving = False
        self._retention.keep()
        return again_at

    def _sweep(self, connection: apsw.Connection) -> datetime | None:
        now = self.clock.micros()
        is_more = self._queues.pass_time(connection, now)
        is_over, are_more_over = through(end_over(self._shared(connection), self.cipher, now))
        is_erased, is_left = self._retention.erase(connection, now)
        is_left = is_left or are_more_over
        self._is_to_forget = self._is_to_forget or is_erased or is_over
        if self._is_to_forget and not is_left:
            self.writer.truncate()
            self._is_to_forget = False
        is_more = self._retention.purge(connection, now) or is_left or is_more
        through(forget_proven(self._shared(connection)))
        through(answers.purge(self._shared(connection), now))
        through(sessions.purge(self._shared(connection), now))
        if abs(self.clock.drift) > REALIGN and not self._queues.is_busy(connection):
            self._is_moving = True
            self._retention.put_right(connection, self.clock)
        if read_anchor(connection) != self.clock.anchor:
            keep_anchor(connection, self.clock.anchor)
        is_turning = self.turning is not None and self.turning.step(connection)
        if is_turning or is_more:
            return self.clock.now()
        again_at, ends_at = self.clock.now() + SWEEP_EVERY, through(next_end(self._shared(connection)))
        return again_at if ends_at is None else min(again_at, ends_at)

    async def close(self) -> None:
        """See `Store.close`."""
        self._is_closed = True
        await self.readers.close()
        await self.writer.close()
        unlock(self._lock)
        self._lock = None
