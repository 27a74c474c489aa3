"""Rotates the key of the whole database: every value is sealed again in one transaction, and the two key files never disagree for
long.

The order makes it safe: before the transaction the new key is on disk next to the old one; the transaction also writes which key
it was made with; only then does the new key get the old one's name. Whoever opens the database first looks for an interrupted
rotation, and finishes or discards it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from mailbridge.config.settings import StoreSettings
from mailbridge.store import StoreError
from mailbridge.store.cipher import Cipher, cipher_of, name_of, read_key
from mailbridge.store.sqlite.database import Database, hint_of, lock, unlock
from mailbridge.store.sqlite.turning import SEALED, follower_of, meta_of, sync

Step = Callable[[str], None]

PATIENCE = 600.0
LOOK_EVERY = 0.2
"""Seconds: how long a running daemon may take (PATIENCE), and the time between two looks at its progress."""


def rotate(settings: StoreSettings, *, path: Path, key_path: Path, step: Step = lambda _: None) -> int:
    """Give the database at ``path`` a new key. Returns how many values were sealed again.

    ``step`` is called with what was just done, at the points where an interruption would matter.

    Raises:
        StoreInUse: a daemon runs on it.
        StoreError: there is no database, a value does not open with the old key, or the key file cannot be replaced.
    """
    if not path.exists():
        raise StoreError(f"{path}: no database there yet; has the daemon run with this configuration?")
    taken = lock(path)
    try:
        database = Database(path, settings)
        connection = database.connect()
        try:
            finish(connection, key_path)
            old = cipher_at_start(connection, key_path)
            database.check(connection, old, is_visitor=False)
            return _rotated(connection, old, key_path, step)
        finally:
            connection.close(True)
    except apsw.Error as fault:
        raise StoreError(f"{path}: {hint_of(fault)}") from None
    except OSError as fault:
        raise StoreError(f"{key_path}: the key cannot be replaced: {fault.strerror}; its folder must be writable") from None
    finally:
        unlock(taken)


def _rotated(connection: apsw.Connection, old: Cipher, key_path: Path, step: Step) -> int:
    draft = _draft(key_path)
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    key = read_key(draft, is_made=True)
    step("the new key is written")
    fresh = Cipher(key)
    with connection:
        count = _reseal(connection, old, fresh)
        for name, value in (
            ("seal", fresh.seal(b"mailbridge", "meta")),
            ("handed on", old.handed_on(fresh)),
            ("key", name_of(key)),
        ):
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))
        connection.execute("DELETE FROM meta WHERE key = 'rotation'")
        step("everything is sealed anew, and not committed")
    step("the database has the new key")
    draft.replace(key_path)
    sync(key_path.parent)
    follower_of(key_path).unlink(missing_ok=True)
    step("the key file is the new one")
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    return count


def rotate_running(settings: StoreSettings, *, path: Path, key_path: Path, patience: float = PATIENCE) -> None:
    """Put another key next to the present one, and wait until the running daemon has switched to it.

    Raises:
        StoreError: the daemon does not begin, or takes longer than ``patience``, in seconds.
    """
    follower = follower_of(key_path)
    try:
        name = name_of(read_key(follower, is_made=True))
        connection = Database(path, settings).connect_reader()
        try:
            until = time.monotonic() + patience
            while follower.exists():
                has_begun = meta_of(connection, "key") == name
                if time.monotonic() > until:
                    why = (
                        "goes on in the daemon"
                        if has_begun
                        else "is not taken up by the daemon; restart it, and it goes on there"
                    )
                    raise StoreError(f"{follower}: the rotation {why}")
                time.sleep(LOOK_EVERY)
        finally:
            connection.close(True)
    except apsw.Error as fault:
        raise StoreError(f"{path}: {hint_of(fault)}") from None


def cipher_at_start(connection: apsw.Connection, key_path: Path) -> Cipher:
    """The cipher of an existing database, also in the middle of a rotation. Raises StoreError."""
    found = cipher_of(key_path, follower_of(key_path), meta_of(connection, "seal"))
    return found or Cipher(read_key(key_path, is_made=False))


def finish(connection: apsw.Connection, key_path: Path) -> None:
    """End an interrupted rotation, if there is one: with the new key if the database has it, else with the old one.

    Raises:
        OSError: the key file cannot be replaced.
    """
    draft = _draft(key_path)
    if not draft.exists():
        return
    row: Any = connection.execute("SELECT value FROM meta WHERE key = 'key'").fetchone()
    if row is not None and row[0] == name_of(draft.read_bytes()):
        draft.replace(key_path)
    else:
        draft.unlink()
    sync(key_path.parent)


def _reseal(connection: apsw.Connection, old: Cipher, fresh: Cipher) -> int:
    count = 0
    for table, column, key, bound_to in SEALED:
        rows: list[Any] = connection.execute(f"SELECT {key}, uid FROM {table} WHERE length({column}) > 0").fetchall()  # noqa: S608
        for name, uid in rows:
            row: Any = connection.execute(f"SELECT {column} FROM {table} WHERE {key} = ?", (name,)).fetchone()  # noqa: S608
            value = old.open(row[0], bound_to(uid, name))
            if value is None:
                raise StoreError(f"{table} {name}: its {column} does not open with the key file; nothing was changed")
            anew = fresh.seal(value, bound_to(uid, name))
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (anew, name))  # noqa: S608
            count += 1
    return count


def _draft(key_path: Path) -> Path:
    return key_path.with_name(key_path.name + ".new")
