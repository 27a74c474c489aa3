"""The database file: locked, opened, checked, and never mistaken for another one that was put in its place."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

import apsw

from mailbridge.clock import Anchor
from mailbridge.config.settings import StoreSettings
from mailbridge.store import HALF_MOVED, StoreError, StoreInUse, StoreOutdated
from mailbridge.store.cipher import Cipher
from mailbridge.store.sqlite import migrations

OLDEST_SQLITE = 3_051_003
FULL_CHECK = 64 * 1_048_576
"""Octets up to which the whole database is checked at a start; above it the quick check has to do."""

PRAGMAS = {
    "secure_delete": "on",
    "journal_mode": "wal",
    "synchronous": "full",
    "foreign_keys": "on",
    "wal_autocheckpoint": 0,
    "cache_size": -2048,
    "journal_size_limit": 67_108_864,
    "temp_store": "memory",
}
"""Set on every connection. FULL: fsync of the log at each commit; without it a 250 would promise what a power cut takes."""

READER_PRAGMAS = {"cache_size": -1024, "temp_store": "memory"}
"""Set on a connection that only reads: what it has read lies in the cache of the operating system too."""

MOVING = "moving"
"""The key in ``meta`` under which a move into this database keeps how far it is; no daemon starts while it is there."""

DAMAGED = "the database is damaged; move it away with its -wal and -shm (or restore a backup) and start again"


class Database:
    """One file, from `connect` on always the same one. ``is_read_only``: every write on a connection is a fault."""

    def __init__(self, path: Path, settings: StoreSettings, *, is_read_only: bool = False) -> None:
        self.path = path
        self._is_read_only = is_read_only
        self._settings = settings
        self._identity: tuple[int, int] | None = None

    def is_in_place(self) -> bool:
        """Whether the file that was opened still lies where its name says: what goes into another one would be lost."""
        try:
            found = self.path.stat()
        except OSError:
            return self._identity is None
        return self._identity in (None, (found.st_dev, found.st_ino))

    def connect(self) -> apsw.Connection:
        """Open it; the first time it may be made.

        Raises:
            apsw.Error, OSError: it cannot be opened now.
            StoreError: it is another one than before, or its file system allows no write-ahead log.
        """
        flags = apsw.SQLITE_OPEN_READWRITE | (apsw.SQLITE_OPEN_CREATE if self._identity is None else 0)
        if not self.is_in_place():
            raise StoreError(f"{self.path}: is not the database that was opened; put that back, or restart mailbridge")
        old = os.umask(0o077)
        try:
            connection = apsw.Connection(str(self.path), flags=flags)
        finally:
            os.umask(old)
        try:
            self._set_up(connection)
            for name, value in PRAGMAS.items():
                connection.pragma(name, value)
            if connection.pragma("journal_mode") != "wal":
                raise StoreError(f"{self.path}: the file system allows no write-ahead log; put the database on a local disk")
            if self._is_read_only:
                connection.pragma("query_only", "on")
        except BaseException:
            connection.close(True)
            raise
        with contextlib.suppress(OSError):
            self.path.chmod(0o600)
        found = self.path.stat()
        self._identity = (found.st_dev, found.st_ino)
        return connection

    def connect_reader(self) -> apsw.Connection:
        """Open it for reading alone.

        Raises:
            apsw.Error, OSError: it cannot be opened now.
            StoreError: it is another one than before.
        """
        if not self.is_in_place():
            raise StoreError(f"{self.path}: is not the database that was opened; put that back, or restart mailbridge")
        connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            self._set_up(connection)
            for name, value in READER_PRAGMAS.items():
                connection.pragma(name, value)
        except BaseException:
            connection.close(True)
            raise
        return connection

    def _set_up(self, connection: apsw.Connection) -> None:
        """Wait for a lock, and plan a query by its words alone: else SQLite may plan it anew for every value, for 20 µs each."""
        connection.set_busy_timeout(int(self._settings.busy_timeout.total_seconds() * 1000))
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        if self._is_read_only:
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)

    def is_empty(self, connection: apsw.Connection) -> bool:
        """Whether nothing was ever made in it. Raises StoreError where it holds the tables of something else."""
        if connection.pragma("user_version") != 0:
            return False
        if connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is not None:
            raise StoreError(f"{self.path}: a database of something else; give mailbridge a [store] url of its own")
        return True

    def check(self, connection: apsw.Connection, cipher: Cipher, *, is_visitor: bool, is_moving: bool = False) -> None:
        """Whole, of our version, and of this key; made if it is empty. ``is_moving``: it is one side of a move, which reads every row
        of it anyway, and may be half done.

        Raises:
            StoreError: it is not, with what to do.
        """
        version, newest = connection.pragma("user_version"), migrations.newest()
        if version > newest:
            raise StoreError(
                f"{self.path}: written by a newer mailbridge (schema {version}, this one knows {newest}); upgrade mailbridge"
            )
        if not is_visitor and not is_moving:
            check = "integrity_check" if self.path.stat().st_size <= FULL_CHECK else "quick_check"
            verdict = connection.execute(f"PRAGMA {check}(1)").fetchone()
            if verdict is None or verdict[0] != "ok":
                raise StoreError(f"{self.path}: {DAMAGED}")
        if version == 0:
            if is_visitor:
                raise StoreOutdated(f"{self.path}: an empty database; has the daemon run with this configuration?")
            with connection:
                migrations.apply(connection)
                connection.execute("INSERT INTO meta VALUES ('seal', ?)", (cipher.seal(b"mailbridge", "meta"),))
        row = connection.execute("SELECT value FROM meta WHERE key = 'seal'").fetchone()
        if row is None:
            raise StoreError(f"{self.path}: made by a mailbridge before its first release; move it away, with its key file")
        if cipher.open(row[0], "meta") is None:
            raise StoreError(f"{self.path}: was written with another key file; restore that one from the backup")
        if not is_moving and connection.execute("SELECT 1 FROM meta WHERE key = ?", (MOVING,)).fetchone() is not None:
            raise StoreError(f"{self.path}: {HALF_MOVED}")
        if 0 < version < newest:
            if is_visitor:
                raise StoreOutdated(
                    f"{self.path}: written by an older mailbridge (schema {version}, this one has {newest}); restart the daemon"
                )
            with connection:
                migrations.apply(connection)
        row = connection.execute("SELECT value FROM meta WHERE key = 'handed on'").fetchone()
        if row is not None:
            cipher.adopt(row[0])


def require_sound_sqlite() -> None:
    """Raises StoreError for an SQLite with the WAL-reset bug (fixed in 3.51.3)."""
    if apsw.SQLITE_VERSION_NUMBER < OLDEST_SQLITE:
        raise StoreError(f"SQLite {apsw.sqlite_lib_version()} has the WAL-reset bug; install apsw 3.51.3 or later")


LOCK_PATIENCE = 1.0
"""Seconds for which the lock is waited for: a command that changes something alone has it for so long."""


def lock(path: Path) -> int:
    """Take the lock beside the database. Raises StoreInUse, OSError."""
    taken = os.open(_lock_of(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(taken, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < until:
                time.sleep(0.02)
                continue
            os.close(taken)
            raise StoreInUse(
                f"{path}: another mailbridge uses this database; stop it, or give this one a [store] url of its own"
            ) from None
        return taken


def is_locked(path: Path) -> bool:
    """Whether a daemon has the database, or a command that changes something alone. Raises OSError where that cannot be seen."""
    try:
        taken = os.open(_lock_of(path), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(taken, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(taken)
    return False


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def unlock(taken: int | None) -> None:
    """Give the lock back, if it was taken."""
    if taken is not None:
        os.close(taken)


@contextlib.contextmanager
def locked_to_open(path: Path, *, is_visitor: bool = False) -> Iterator[int | None]:
    """The lock, in a folder that is made, for opening a database within: it is kept where that works, and given back where it does not.
    A visitor has none.

    Raises:
        StoreInUse: another process has it.
        StoreError: the database, or its folder, cannot be used; the message says why.
    """
    taken = None
    try:
        if not is_visitor:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            taken = lock(path)
        yield taken
    except apsw.Error as fault:
        unlock(taken)
        raise StoreError(f"{path}: {hint_of(fault)}") from None
    except OSError as fault:
        unlock(taken)
        raise StoreError(f"{path}: {fault.strerror}; the folder must be writable for the user that runs mailbridge") from None
    except BaseException:
        unlock(taken)
        raise


def hint_of(fault: apsw.Error) -> str:
    """What stands in the way of opening a database, and what to do."""
    if isinstance(fault, apsw.NotADBError):
        return "not a database; move it away (or restore a backup) and start again"
    if isinstance(fault, apsw.CorruptError):
        return DAMAGED
    if isinstance(fault, apsw.CantOpenError | apsw.ReadOnlyError | apsw.PermissionsError):
        return "cannot be opened for writing; file and folder must belong to the user that runs mailbridge"
    if isinstance(fault, apsw.BusyError | apsw.LockedError):
        return "another process keeps it locked; stop that, and start again"
    if isinstance(fault, apsw.FullError):
        return "the disk is full; make room, and start again"
    if isinstance(fault, apsw.IOError):
        return "cannot be read or written (an input/output error); look at the disk"
    return f"SQLite says {type(fault).__name__}; move it away (or restore a backup) and start again"


def read_anchor(connection: apsw.Connection) -> Anchor | None:
    """What ties steady time to a boot, as an earlier run kept it."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'anchor'").fetchone()
    if row is None:
        return None
    boot, _, offset = row[0].rpartition(":")
    return Anchor(boot=boot, offset=int(offset))


def keep_anchor(connection: apsw.Connection, anchor: Anchor) -> None:
    """Keep it for the next run."""
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('anchor', ?)", (f"{anchor.boot}:{anchor.offset}",))
