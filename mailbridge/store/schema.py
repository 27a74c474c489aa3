"""The tables of the SQLite store, made so that nonsense does not fit in, and the way a database is opened.

Times are microseconds of steady UTC since 1970. ``raw``, ``sealed``, ``passed`` and ``code`` are ciphertext, NULL once erased.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import apsw

from mailbridge.core.delivery import TRANSITIONS, UNFINISHED, State
from mailbridge.store import StoreError

VERSION = 1
APPLICATION_ID = 0x6D627267
OLDEST_SQLITE = (3, 51, 3)
"""Before it a WAL that is reset under two connections could corrupt the database (sqlite.org/wal.html)."""

FULL_CHECK = 32 * 1024 * 1024
QUICK_CHECK = 512 * 1024 * 1024


def _names(states: tuple[State, ...]) -> str:
    return ", ".join(f"'{state}'" for state in states)


_STATES = _names(tuple(State))
_UNFINISHED = _names(UNFINISHED)
_FINAL = _names(tuple(state for state in State if state not in UNFINISHED))
_EDGES = ", ".join(
    f"'{before}>{after}'" for before, after in dict.fromkeys((before, after) for (before, _), after in TRANSITIONS.items())
)

FIRST = f"""
CREATE TABLE migration(version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL DEFAULT (datetime('now'))) STRICT;
CREATE TABLE meta(key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE cursor(mailbox TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE mail(
  id INTEGER PRIMARY KEY CHECK (id > 0),
  fingerprint TEXT NOT NULL UNIQUE CHECK (fingerprint <> ''),
  received_at INTEGER NOT NULL CHECK (received_at > 0),
  ingress TEXT NOT NULL CHECK (ingress IN ('smtp', 'lmtp', 'imap', 'http')),
  mail_from TEXT NOT NULL,
  rcpt_to TEXT NOT NULL CHECK (json_valid(rcpt_to)),
  peer TEXT NOT NULL,
  cursor TEXT,
  sender TEXT NOT NULL,
  message_id TEXT NOT NULL,
  verdict TEXT NOT NULL,
  identifiers TEXT NOT NULL CHECK (json_valid(identifiers)),
  identifier_from TEXT,
  rule TEXT,
  reason TEXT NOT NULL,
  defects TEXT NOT NULL CHECK (json_valid(defects)),
  size INTEGER NOT NULL CHECK (size >= 0),
  raw BLOB,
  sealed BLOB,
  passed BLOB
) STRICT;
CREATE INDEX mail_raw ON mail(received_at) WHERE raw IS NOT NULL;
CREATE INDEX mail_passed ON mail(received_at) WHERE passed IS NOT NULL;
CREATE TABLE delivery(
  id INTEGER PRIMARY KEY CHECK (id > 0),
  mail_id INTEGER NOT NULL REFERENCES mail(id) ON DELETE CASCADE,
  target TEXT NOT NULL CHECK (target <> ''),
  identifier TEXT NOT NULL COLLATE NOCASE CHECK (identifier <> ''),
  kind TEXT NOT NULL CHECK (kind IN ('code', 'link', 'body')),
  sender TEXT NOT NULL COLLATE NOCASE,
  workflow_run_id TEXT,
  workflow_id TEXT,
  task_id TEXT,
  code BLOB,
  rule TEXT,  # noqa: S608  (names of states, from our own Enum)
  received_at INTEGER NOT NULL CHECK (received_at > 0),
  lifetime INTEGER NOT NULL CHECK (lifetime >= 0),
  deadline INTEGER NOT NULL CHECK (deadline >= received_at),
  due_at INTEGER NOT NULL,
  blocked_until INTEGER,
  state TEXT NOT NULL CHECK (state IN ({_STATES})),
  attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  is_doubtful INTEGER NOT NULL DEFAULT 0 CHECK (is_doubtful IN (0, 1)),
  without_run INTEGER NOT NULL DEFAULT 0 CHECK (without_run IN (0, 1)),
  token INTEGER NOT NULL DEFAULT 0 CHECK (token >= 0),
  lease_until INTEGER,
  reason TEXT NOT NULL DEFAULT '',
  ref TEXT NOT NULL DEFAULT '',
  final_at INTEGER,
  CHECK (due_at <= deadline OR blocked_until = due_at),
  CHECK ((state = 'in_flight') = (lease_until IS NOT NULL)),
  CHECK ((state IN ({_FINAL})) = (final_at IS NOT NULL)),
  CHECK (state NOT IN ({_UNFINISHED}) OR code IS NOT NULL),
  CHECK (state <> 'in_flight' OR token > 0),
  CHECK (blocked_until IS NULL OR (is_doubtful AND state IN ('pending', 'in_flight')))
) STRICT;
CREATE INDEX delivery_line ON delivery(target, identifier, id) WHERE state IN ({_UNFINISHED});
CREATE UNIQUE INDEX delivery_one_in_flight ON delivery(target, identifier) WHERE state = 'in_flight';
CREATE INDEX delivery_due ON delivery(due_at) WHERE state = 'pending';
CREATE INDEX delivery_deadline ON delivery(deadline) WHERE state = 'pending';
CREATE INDEX delivery_code ON delivery(identifier, id) WHERE code IS NOT NULL;
CREATE INDEX delivery_mail ON delivery(mail_id);
CREATE TRIGGER delivery_transition BEFORE UPDATE OF state ON delivery
  WHEN old.state <> new.state AND old.state || '>' || new.state NOT IN ({_EDGES})
  BEGIN SELECT RAISE(ABORT, 'no such transition of a delivery'); END;
CREATE TABLE journal(
  id INTEGER PRIMARY KEY CHECK (id > 0),
  at INTEGER NOT NULL,
  event TEXT NOT NULL CHECK (event <> ''),
  mail_id INTEGER NOT NULL,
  delivery_id INTEGER,
  detail TEXT NOT NULL
) STRICT;
CREATE INDEX journal_at ON journal(at);
"""

MIGRATIONS = (FIRST,)
"""One script a version, in order; never changed once released."""


def connect(path: Path, *, busy_timeout: timedelta, is_readonly: bool = False) -> apsw.Connection:
    """A connection with our pragmas; the database file must exist. Raises apsw.Error."""
    flags = apsw.SQLITE_OPEN_READONLY if is_readonly else apsw.SQLITE_OPEN_READWRITE
    connection = apsw.Connection(str(path), flags=flags, statementcachesize=200)
    try:
        connection.set_busy_timeout(int(busy_timeout.total_seconds() * 1000))
        connection.pragma("foreign_keys", True)
        if is_readonly:
            connection.pragma("query_only", True)
            return connection
        connection.pragma("secure_delete", True)
        connection.pragma("synchronous", "FULL")
        connection.wal_autocheckpoint(0)
    except apsw.Error:
        connection.close()
        raise
    return connection


def check_library(version: str) -> None:
    """Raises StoreError if that SQLite is older than the oldest that is safe here."""
    if tuple(int(part) for part in version.split(".")) < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise StoreError(f"SQLite {version} may corrupt a database in WAL mode; {oldest} or newer is needed: upgrade apsw")


def upgrade(connection: apsw.Connection, path: Path) -> None:
    """Bring an empty or older database to our version, each step in a transaction.

    Raises:
        StoreError: it is another program's, or of a newer mailbridge.
    """
    owner = connection.pragma("application_id")
    is_empty = not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
    if owner != APPLICATION_ID and not (owner == 0 and is_empty):
        raise StoreError(f"{path}: this is the database of another program; give store.url a path of its own")
    if connection.pragma("journal_mode", "wal") != "wal":
        raise StoreError(f"{path}: the file system does not allow WAL; keep the database on a local disk")
    with connection:
        version = 0 if is_empty else connection.execute("SELECT max(version) FROM migration").get
        if version > VERSION:
            raise StoreError(
                f"{path}: written by a newer mailbridge (schema {version}, this one knows {VERSION}); "
                "run that version, or restore a backup made before its start"
            )
        for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
            connection.execute(script)
            connection.execute("INSERT INTO migration(version) VALUES (?)", (number,))
        if owner != APPLICATION_ID:
            connection.pragma("application_id", APPLICATION_ID)


def check(connection: apsw.Connection, path: Path) -> None:
    """Look for damage, as thoroughly as the size allows at a start. Raises StoreError with the way to mend it."""
    size = path.stat().st_size
    if size <= FULL_CHECK:
        question = "PRAGMA integrity_check(3)"
    elif size <= QUICK_CHECK:
        question = "PRAGMA quick_check(3)"
    else:
        question = "PRAGMA quick_check('delivery')"
    try:
        found = [str(row[0]) for row in connection.execute(question).fetchall()]
    except (apsw.CorruptError, apsw.NotADBError) as fault:
        found = [str(fault)]
    if found != ["ok"]:
        raise damaged(path, found[0])


def damaged(path: Path, found: str) -> StoreError:
    """The error for a database that cannot be trusted."""
    return StoreError(
        f"{path}: the database is damaged ({found}); save the files {path.name}*, then restore a backup, or run: "
        f"sqlite3 {path} .recover | sqlite3 {path}.mended, and put that in its place"
    )
