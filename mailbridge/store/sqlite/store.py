"""The store on embedded SQLite: one writer thread, write-ahead log, fsync at every commit, one daemon on one database.

apsw brings its own SQLite: 3.51.3 and later are free of the WAL-reset corruption bug that the system's library may have.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import apsw
import msgspec

from mailbridge.clock import SteadyClock, from_micros, to_micros
from mailbridge.core.delivery import Claim, Delivery, Ending, State
from mailbridge.core.mail import Envelope
from mailbridge.core.occurrence import Released, Settled
from mailbridge.store import Arrival, Due, JournalLine, MailRow, Receipt, Settlement
from mailbridge.store.cipher import Cipher, Names
from mailbridge.store.packing import facts_of, link_of, private_of
from mailbridge.store.sqlite.codes import SqliteCodes
from mailbridge.store.sqlite.database import keep_anchor, read_anchor, unlock
from mailbridge.store.sqlite.queues import Queues, Written, log_ended, next_number
from mailbridge.store.sqlite.retention import Retention
from mailbridge.store.sqlite.rows import DELIVERY, MAIL, journal, read_delivery, read_mail, with_content
from mailbridge.store.sqlite.tail import SqliteTail
from mailbridge.store.sqlite.vault import SqliteVault
from mailbridge.store.sqlite.writer import Writer

REALIGN = timedelta(seconds=1)
"""How far the wall clock may be off before steady time is put back on it, once no code lives."""

SWEEP_EVERY = timedelta(seconds=30)

COUNTED = (State.PENDING, State.IN_FLIGHT, State.EXPIRED, State.DEAD)
COUNTS = """
SELECT 'pending', count(*) FROM delivery WHERE state = 'pending' UNION ALL
SELECT 'in_flight', count(*) FROM delivery WHERE state = 'in_flight' UNION ALL
SELECT state, count(*) FROM delivery WHERE state IN ('expired', 'dead') GROUP BY state
"""
"""Written so that each part is counted in an index that holds nothing else."""


class SqliteStore:
    """Implements `mailbridge.store.Store`; ``codes``, ``vault``, ``tail`` and ``names`` are what may be read out of it, and by whom."""

    def __init__(
        self,
        *,
        writer: Writer,
        queues: Queues,
        cipher: Cipher,
        names: Names,
        clock: SteadyClock,
        retention: Retention,
        lock: int | None,
    ) -> None:
        self.codes = SqliteCodes(writer=writer, cipher=cipher, clock=clock)
        self.vault = SqliteVault(writer=writer, cipher=cipher, clock=clock)
        self.tail = SqliteTail(writer)
        self.names = names
        self._writer = writer
        self._queues = queues
        self._cipher = cipher
        self._clock = clock
        self._retention = retention
        self._is_to_forget = False
        self._lock = lock

    @property
    def trouble(self) -> str | None:
        """See `Store.trouble`."""
        return self._writer.trouble

    async def put(self, arrival: Arrival) -> Receipt:
        """See `Store.put`."""
        facts, private, link = facts_of(arrival), private_of(arrival), link_of(arrival)
        return await self._writer.do(lambda connection: self._put(connection, arrival, facts, private, link))

    def _put(self, connection: apsw.Connection, arrival: Arrival, facts: bytes, private: bytes, link: bytes | None) -> Receipt:
        envelope = arrival.envelope
        now = self._clock.micros()
        self._keep_cursor(connection, envelope.cursor)
        if envelope.is_owed and envelope.cursor is not None and arrival.drafts:
            connection.execute("INSERT OR IGNORE INTO owed VALUES (?, ?, ?)", envelope.cursor.rsplit("/", 2))
        fingerprint = self._cipher.digest(arrival.fingerprint)
        known = connection.execute("SELECT id FROM mail WHERE fingerprint = ?", (fingerprint,)).fetchone()
        if known is not None:
            journal(connection, now, "duplicate", known[0])
            return Receipt(mail_id=known[0], is_duplicate=True, is_pushed=bool(arrival.drafts))
        received = min(to_micros(envelope.received_at), now)
        number = next_number(connection, "mail")
        seal = self._cipher.seal
        connection.execute(
            "INSERT INTO mail VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                fingerprint,
                received,
                envelope.ingress,
                str(arrival.extraction.verdict),
                arrival.extraction.rule,
                len(envelope.content),
                facts,
                seal(private, f"mail {number}"),
                seal(link, f"link {number}") if link is not None else None,
                seal(envelope.content, f"raw {number}"),
            ),
        )
        journal(connection, now, "stored", number)
        claims, superseded = self._queues.add(connection, number, arrival.drafts, received, now, arrival.extraction.rule)
        return Receipt(mail_id=number, claims=claims, superseded=superseded, is_pushed=bool(arrival.drafts))

    def _keep_cursor(self, connection: apsw.Connection, cursor: str | None) -> None:
        if cursor is None:
            return
        mailbox, validity, uid = cursor.rsplit("/", 2)
        connection.execute(
            "INSERT INTO cursor VALUES (?, ?, ?) ON CONFLICT (mailbox) DO UPDATE SET validity = excluded.validity, uid = excluded.uid"
            " WHERE validity != excluded.validity OR uid < excluded.uid",
            (mailbox, validity, int(uid)),
        )

    async def claim(self, *, limit: int, busy: Sequence[str] = ()) -> Due:
        """See `Store.claim`."""
        return await self._writer.do(lambda connection: self._queues.claim(connection, limit, self._clock.micros(), busy))

    async def settle(self, claim: Claim, ending: Ending, *, jitter: float, grace: timedelta) -> Settlement:
        """See `Store.settle`."""
        settled = Settled(id=claim.delivery.id, token=claim.token, ending=ending, jitter=jitter, grace=grace)
        written = await self._writer.do(lambda connection: self._happened(connection, claim, settled))
        log_ended(written.changes, but=settled.id)
        own = next((change.row for change in written.changes if change.row.id == settled.id), None)
        return Settlement(delivery=own, claims=written.claims)

    async def release(self, claims: Sequence[Claim]) -> None:
        """See `Store.release`."""

        def work(connection: apsw.Connection) -> None:
            for claim in claims:
                self._happened(connection, claim, Released(id=claim.delivery.id, token=claim.token))

        await self._writer.do(work)

    def _happened(self, connection: apsw.Connection, claim: Claim, occurrence: Settled | Released) -> Written:
        draft = claim.delivery.draft
        return self._queues.happened(connection, draft.target, draft.identifier.casefold(), occurrence, self._clock.micros())

    async def retry(self, delivery_id: int) -> bool:
        """See `Store.retry`."""
        return await self._writer.do(lambda connection: self._queues.retry(connection, delivery_id, self._clock.micros()))

    async def sweep(self) -> datetime | None:
        """See `Store.sweep`."""
        again_at = await self._writer.do(self._sweep)
        self._retention.keep()
        return again_at

    def _sweep(self, connection: apsw.Connection) -> datetime | None:
        now = self._clock.micros()
        is_more = self._queues.pass_time(connection, now)
        is_erased, is_left = self._retention.erase(connection, now)
        self._is_to_forget = self._is_to_forget or is_erased
        if self._is_to_forget and not is_left:
            self._writer.truncate()
            self._is_to_forget = False
        is_more = self._retention.purge(connection, now) or is_left or is_more
        if abs(self._clock.drift) > REALIGN and not self._queues.is_busy(connection):
            self._clock.realign()
            self._retention.clamp(connection, self._clock.micros())
        if read_anchor(connection) != self._clock.anchor:
            keep_anchor(connection, self._clock.anchor)
        if self.trouble is not None:  # only a write can tell that it is over
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('probe', ?)", (now,))
        return self._clock.now() if is_more else self._clock.now() + SWEEP_EVERY

    async def deliveries(
        self, *, states: Sequence[State] = (), mail_id: int | None = None, limit: int = 100
    ) -> tuple[Delivery, ...]:
        """See `Store.deliveries`; ``mail_id`` narrows it to one mail's."""
        chosen = [str(state) for state in states] or [str(state) for state in State]
        marks = ", ".join("?" * len(chosen))
        query = f"SELECT {DELIVERY}, content FROM delivery WHERE state IN ({marks})"  # noqa: S608  (names of columns and question marks)
        values: list[Any] = list(chosen)
        if mail_id is not None:
            query, values = f"{query} AND mail_id = ?", [*values, mail_id]
        rows = await self._read(f"{query} ORDER BY id DESC LIMIT ?", (*values, limit))
        found = ((read_delivery(row), row[-1]) for row in rows)
        return tuple(with_content(one, sealed, self._cipher) or one for one, sealed in found)

    async def mails(self, *, limit: int = 100) -> tuple[MailRow, ...]:
        """See `Store.mails`."""
        rows = await self._read(f"SELECT {MAIL} FROM mail ORDER BY id DESC LIMIT ?", (limit,))  # noqa: S608
        return tuple(read_mail(row, self._cipher) for row in rows)

    async def mail(self, mail_id: int) -> MailRow | None:
        """One mail; None where it is not, or no longer, there."""
        rows = await self._read(f"SELECT {MAIL} FROM mail WHERE id = ?", (mail_id,))  # noqa: S608
        return read_mail(rows[0], self._cipher) if rows else None

    async def raw(self, mail_id: int) -> Envelope | None:
        """See `Store.raw`."""
        rows = await self._read("SELECT raw FROM mail WHERE id = ? AND raw IS NOT NULL", (mail_id,))
        row = await self.mail(mail_id)
        if not rows or row is None:
            return None
        content = self._cipher.open(rows[0][0], f"raw {mail_id}")
        if content is None:
            return None
        return Envelope(
            mail_from=row.mail_from,
            rcpt_to=row.rcpt_to,
            content=content,
            received_at=row.received_at,
            ingress=msgspec.convert(row.ingress, type=Any),
            peer=row.peer,
        )

    async def counts(self) -> dict[State, int]:
        """See `Store.counts`."""
        rows = await self._read(COUNTS)
        return dict.fromkeys(COUNTED, 0) | {State(state): count for state, count in rows}

    async def journal(self, *, after: int = 0, limit: int = 100) -> tuple[JournalLine, ...]:
        """See `Store.journal`."""
        rows = await self._read(
            "SELECT id, at, event, mail_id, delivery_id, detail FROM journal WHERE id > ? ORDER BY id LIMIT ?", (after, limit)
        )
        return tuple(
            JournalLine(id=row[0], at=from_micros(row[1]), event=row[2], mail_id=row[3], delivery_id=row[4], detail=row[5])
            for row in rows
        )

    async def cursor(self, mailbox: str) -> str | None:
        """See `Store.cursor`."""
        rows = await self._read("SELECT validity, uid FROM cursor WHERE mailbox = ?", (mailbox,))
        return f"{mailbox}/{rows[0][0]}/{rows[0][1]}" if rows else None

    async def advance(self, cursor: str) -> None:
        """See `Store.advance`."""
        await self._writer.do(lambda connection: self._keep_cursor(connection, cursor))

    async def owed(self, mailbox: str) -> tuple[str, ...]:
        """See `Store.owed`."""
        rows = await self._read("SELECT validity, uid FROM owed WHERE mailbox = ? ORDER BY validity, uid", (mailbox,))
        return tuple(f"{mailbox}/{validity}/{uid}" for validity, uid in rows)

    async def pay(self, cursors: Sequence[str]) -> None:
        """See `Store.pay`."""
        rows = [tuple(cursor.rsplit("/", 2)) for cursor in cursors]
        statement = "DELETE FROM owed WHERE mailbox = ? AND validity = ? AND uid = ?"
        await self._writer.do(lambda connection: connection.executemany(statement, rows))

    async def close(self) -> None:
        """See `Store.close`."""
        await self._writer.close()
        unlock(self._lock)
        self._lock = None

    async def _read(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        return await self._writer.do(lambda connection: list(connection.execute(query, tuple(values))), is_read=True)
