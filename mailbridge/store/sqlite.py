"""The store on embedded SQLite: one writer thread, write-ahead log, fsync at every commit, one daemon on one database.

apsw brings its own SQLite: 3.51.3 and later are free of the WAL-reset corruption bug that the system's library may have.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import apsw
import msgspec

from mailbridge.clock import Anchor, SteadyClock, from_micros, to_micros
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.delivery import Claim, Delivery, State, Step
from mailbridge.core.mail import Envelope
from mailbridge.store import Arrival, Due, JournalLine, MailRow, Receipt, StoreError, StoreInUse
from mailbridge.store.cipher import Cipher, read_key
from mailbridge.store.outbox import Outbox
from mailbridge.store.rows import DELIVERY, MAIL, facts_of, journal, link_of, private_of, read_delivery, read_mail
from mailbridge.store.schema import SCHEMA, VERSION
from mailbridge.store.writer import Writer

OLDEST_SQLITE = 3_051_003
FULL_CHECK = 64 * 1_048_576
"""Octets up to which the whole database is checked at a start; above it the quick check has to do."""

REALIGN = timedelta(seconds=1)
SWEEP_EVERY = timedelta(seconds=30)
PURGE_EVERY = timedelta(hours=1)

PRAGMAS = {
    "secure_delete": "on",
    "journal_mode": "wal",
    "synchronous": "full",
    "foreign_keys": "on",
    "wal_autocheckpoint": 0,
    "cache_size": -4096,
    "journal_size_limit": 67_108_864,
    "temp_store": "memory",
}
"""Set on every connection. FULL: fsync of the log at each commit; without it a 250 would promise what a power cut takes."""


class SqliteStore:
    """Implements `mailbridge.store.Store`."""

    def __init__(
        self,
        *,
        writer: Writer,
        outbox: Outbox,
        cipher: Cipher,
        clock: SteadyClock,
        retention: RetentionSettings,
        lock: int | None,
    ) -> None:
        self._writer = writer
        self._outbox = outbox
        self._cipher = cipher
        self._clock = clock
        self._retention = retention
        self._lock = lock
        self._erased = {"delivery": 0, "mail": 0, "raw": 0}
        self._purge_at = 0

    async def put(self, arrival: Arrival) -> Receipt:
        """See `Store.put`."""
        facts, private, link = facts_of(arrival), private_of(arrival), link_of(arrival)
        return await self._writer.do(lambda connection: self._put(connection, arrival, facts, private, link))

    def _put(self, connection: apsw.Connection, arrival: Arrival, facts: bytes, private: bytes, link: bytes | None) -> Receipt:
        envelope = arrival.envelope
        now = self._clock.micros()
        self._keep_cursor(connection, envelope.cursor)
        known = connection.execute("SELECT id FROM mail WHERE fingerprint = ?", (arrival.fingerprint,)).fetchone()
        if known is not None:
            journal(connection, now, "duplicate", known[0])
            return Receipt(mail_id=known[0], is_duplicate=True, is_pushed=bool(arrival.drafts))
        received = to_micros(envelope.received_at)
        number = self._outbox.numbers.next("mail")
        seal = self._cipher.seal
        connection.execute(
            "INSERT INTO mail VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                number,
                arrival.fingerprint,
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
        claims, superseded = self._outbox.add(connection, number, arrival.drafts, received, now, arrival.extraction.rule)
        return Receipt(mail_id=number, claims=claims, superseded=superseded, is_pushed=bool(arrival.drafts))

    def _keep_cursor(self, connection: apsw.Connection, cursor: str | None) -> None:
        if cursor is None:
            return
        mailbox, validity, uid = cursor.rsplit("/", 2)
        connection.execute(
            "INSERT INTO cursor VALUES (?, ?) ON CONFLICT (mailbox) DO UPDATE SET position = excluded.position",
            (mailbox, f"{validity}/{uid}"),
        )

    async def claim(self, *, limit: int) -> Due:
        """See `Store.claim`."""
        return await self._writer.do(lambda connection: self._outbox.claim(connection, limit, self._clock.micros()))

    async def settle(self, claim: Claim, step: Step) -> tuple[Claim, ...]:
        """See `Store.settle`."""
        return await self._writer.do(lambda connection: self._outbox.settle(connection, claim, step, self._clock.micros()))

    async def release(self, claims: Sequence[Claim]) -> None:
        """See `Store.release`."""
        await self._writer.do(lambda connection: self._outbox.release(connection, claims, self._clock.micros()))

    async def retry(self, delivery_id: int) -> bool:
        """See `Store.retry`."""
        return await self._writer.do(lambda connection: self._outbox.retry(connection, delivery_id, self._clock.micros()))

    async def sweep(self) -> datetime | None:
        """See `Store.sweep`."""
        return await self._writer.do(self._sweep)

    def _sweep(self, connection: apsw.Connection) -> datetime | None:
        now = self._clock.micros()
        self._outbox.expire(connection, now)
        code_limit = now - _micros(self._retention.code)
        mail_limit = now - _micros(self._retention.mail)
        journal_limit = now - _micros(self._retention.journal)
        erased = 0
        for statement, values in (
            (
                "UPDATE delivery SET content = NULL WHERE id > ? AND content IS NOT NULL AND max(final_at, deadline) < ?",
                (self._erased["delivery"], code_limit),
            ),
            (
                "UPDATE mail SET private = NULL WHERE id > ? AND private IS NOT NULL AND received_at < ?",
                (self._erased["mail"], code_limit),
            ),
            (
                "UPDATE mail SET raw = NULL, link = NULL WHERE id > ? AND (raw IS NOT NULL OR link IS NOT NULL) AND received_at < ?",
                (self._erased["raw"], mail_limit),
            ),
            ("DELETE FROM journal WHERE at < ?", (journal_limit,)),
            ("DELETE FROM delivery WHERE received_at < ? AND content IS NULL", (journal_limit,)),
            (
                "DELETE FROM mail WHERE received_at < ? AND raw IS NULL AND id NOT IN (SELECT mail_id FROM delivery)",
                (journal_limit,),
            ),
        )[: 6 if now >= self._purge_at else 3]:
            connection.execute(statement, values)
            erased += connection.changes()
        if now >= self._purge_at:
            self._purge_at = now + _micros(PURGE_EVERY)
        self._note_erased(connection)
        if erased:
            self._writer.checkpoint(connection)
        if abs(self._clock.drift) > REALIGN and not self._outbox.is_busy(connection):
            _keep_anchor(connection, self._clock.realign())
        return self._clock.now() + SWEEP_EVERY

    def _note_erased(self, connection: apsw.Connection) -> None:
        """Remember up to which row nothing is left to erase, so that a sweep looks at live rows only."""
        for name, query in (
            ("delivery", "SELECT min(id) FROM delivery WHERE id > ? AND content IS NOT NULL"),
            ("mail", "SELECT min(id) FROM mail WHERE id > ? AND private IS NOT NULL"),
            ("raw", "SELECT min(id) FROM mail WHERE id > ? AND raw IS NOT NULL"),
        ):
            row = connection.execute(query, (self._erased[name],)).fetchone()
            if row is not None and row[0] is not None:
                self._erased[name] = row[0] - 1

    async def deliveries(
        self, *, states: Sequence[State] = (), mail_id: int | None = None, limit: int = 100
    ) -> tuple[Delivery, ...]:
        """See `Store.deliveries`; ``mail_id`` narrows it to one mail's."""
        chosen = [str(state) for state in states] or [str(state) for state in State]
        marks = ", ".join("?" * len(chosen))
        query = f"SELECT {DELIVERY} FROM delivery WHERE state IN ({marks})"  # noqa: S608  (names of columns and question marks)
        values: list[Any] = list(chosen)
        if mail_id is not None:
            query, values = f"{query} AND mail_id = ?", [*values, mail_id]
        rows = await self._read(f"{query} ORDER BY id DESC LIMIT ?", (*values, limit))
        return tuple(read_delivery(row, self._cipher) for row in rows)

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
        rows = await self._read(
            "SELECT state, count(*) FROM delivery WHERE state IN ('pending', 'in_flight') GROUP BY state"
            " UNION ALL SELECT state, count(*) FROM delivery WHERE state IN ('expired', 'dead') GROUP BY state"
        )
        return {State(state): count for state, count in rows}

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
        rows = await self._read("SELECT position FROM cursor WHERE mailbox = ?", (mailbox,))
        return f"{mailbox}/{rows[0][0]}" if rows else None

    async def advance(self, cursor: str) -> None:
        """See `Store.advance`."""
        await self._writer.do(lambda connection: self._keep_cursor(connection, cursor))

    async def close(self) -> None:
        """See `Store.close`."""
        await self._writer.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _read(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        return await self._writer.do(lambda connection: list(connection.execute(query, tuple(values))))


def path_of(settings: StoreSettings) -> Path:
    """The database file of ``sqlite:///relative`` or ``sqlite:////absolute``."""
    return Path(urlsplit(settings.url).path.removeprefix("/"))


def open_sqlite(
    settings: StoreSettings, retention: RetentionSettings, *, clock: SteadyClock, grace: timedelta, is_visitor: bool = False
) -> SqliteStore:
    """Open, check and recover. A visitor (a command beside the running daemon) takes no lock and recovers nothing.

    Raises:
        StoreInUse: another daemon has this database.
        StoreError: it cannot be used until somebody mends what the message names.
    """
    if apsw.sqlite_lib_version() and apsw.SQLITE_VERSION_NUMBER < OLDEST_SQLITE:
        raise StoreError(f"SQLite {apsw.sqlite_lib_version()} has the WAL-reset bug; install apsw 3.51.3 or later")
    path = path_of(settings)
    if is_visitor and not path.exists():
        raise StoreError(f"{path}: no database there yet; has the daemon run with this configuration?")
    lock = None
    try:
        if not is_visitor:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = _lock(path)
        key = read_key(settings.key_file or path.with_suffix(".key"), is_made=not is_visitor and not path.exists())
        connection = _connect(path, settings)
        _check(connection, path)
        if not is_visitor:
            _resume_clock(connection, clock)
    except apsw.Error as fault:
        _unlock(lock)
        raise StoreError(f"{path}: {_mend(fault)}") from None
    except OSError as fault:
        _unlock(lock)
        raise StoreError(f"{path}: {fault.strerror}; the folder must be writable for the user that runs mailbridge") from None
    except StoreError:
        _unlock(lock)
        raise
    cipher = Cipher(key)
    outbox = Outbox(cipher=cipher, clock=clock)
    if is_visitor:
        _adopt_clock(connection, clock)
    else:
        outbox.numbers.read(connection)
        with connection:
            outbox.recover(connection, clock.micros(), grace)
    writer = Writer(lambda: _connect(path, settings))
    writer.start(connection)
    return SqliteStore(writer=writer, outbox=outbox, cipher=cipher, clock=clock, retention=retention, lock=lock)


def _connect(path: Path, settings: StoreSettings) -> apsw.Connection:
    old = os.umask(0o077)
    try:
        connection = apsw.Connection(str(path))
    finally:
        os.umask(old)
    connection.set_busy_timeout(int(settings.busy_timeout.total_seconds() * 1000))
    for name, value in PRAGMAS.items():
        connection.pragma(name, value)
    if connection.pragma("journal_mode") != "wal":
        raise StoreError(f"{path}: the file system allows no write-ahead log; put the database on a local disk")
    with contextlib.suppress(OSError):
        path.chmod(0o600)
    return connection


def _check(connection: apsw.Connection, path: Path) -> None:
    """Whole, and of our version; made if it is empty."""
    version = connection.pragma("user_version")
    if version > VERSION:
        raise StoreError(
            f"{path}: written by a newer mailbridge (schema {version}, this one knows {VERSION}); upgrade mailbridge"
        )
    check = "integrity_check" if path.stat().st_size <= FULL_CHECK else "quick_check"
    verdict = connection.execute(f"PRAGMA {check}(1)").fetchone()
    if verdict is None or verdict[0] != "ok":
        raise StoreError(f"{path}: the database is damaged; move it away (or restore a backup) and start again")
    if version == 0:
        with connection:
            connection.execute(SCHEMA)


def _lock(path: Path) -> int:
    place = path.with_name(path.name + ".lock")
    lock = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise StoreInUse(
            f"{path}: another mailbridge uses this database; stop it, or give this one a [store] url of its own"
        ) from None
    return lock


def _unlock(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)


def _mend(fault: apsw.Error) -> str:
    if isinstance(fault, apsw.NotADBError):
        return "not a database; move it away (or restore a backup) and start again"
    if isinstance(fault, apsw.CorruptError):
        return "the database is damaged; move it away (or restore a backup) and start again"
    if isinstance(fault, apsw.CantOpenError | apsw.ReadOnlyError | apsw.PermissionsError):
        return "cannot be opened for writing; file and folder must belong to the user that runs mailbridge"
    if isinstance(fault, apsw.BusyError | apsw.LockedError):
        return "another process keeps it locked; stop that, and start again"
    if isinstance(fault, apsw.FullError):
        return "the disk is full"
    return f"SQLite says {type(fault).__name__}"


def _anchor(connection: apsw.Connection) -> Anchor | None:
    row = connection.execute("SELECT value FROM meta WHERE key = 'anchor'").fetchone()
    if row is None:
        return None
    boot, _, offset = row[0].rpartition(":")
    return Anchor(boot=boot, offset=int(offset))


def _keep_anchor(connection: apsw.Connection, anchor: Anchor) -> None:
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('anchor', ?)", (f"{anchor.boot}:{anchor.offset}",))


def _resume_clock(connection: apsw.Connection, clock: SteadyClock) -> None:
    newest = connection.execute("SELECT max(received_at) FROM mail").fetchone()
    is_idle = connection.execute("SELECT 1 FROM delivery WHERE final_at IS NULL LIMIT 1").fetchone() is None
    anchor = clock.resume(_anchor(connection), newest=newest[0] if newest else None, is_idle=is_idle)
    with connection:
        _keep_anchor(connection, anchor)


def _adopt_clock(connection: apsw.Connection, clock: SteadyClock) -> None:
    clock.resume(_anchor(connection), newest=None, is_idle=False)


def _micros(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)
