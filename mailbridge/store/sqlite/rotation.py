"""Another key for the whole database: every sealed value anew in one transaction, and two files that can never disagree for long.

The order is what makes it safe: the new key is on disk beside the old one before the transaction; the transaction also writes which
key it was made with; only then the new key takes the old one's name. Whoever opens the database first looks for a rotation that was
interrupted, and finishes or forgets it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import apsw

from mailbridge.config.settings import StoreSettings
from mailbridge.store import StoreError
from mailbridge.store.cipher import Cipher, name_of, place, read_key
from mailbridge.store.sql import sealed
from mailbridge.store.sql.sealed import Sealed
from mailbridge.store.sqlite.database import Database, hint_of, lock, unlock

SEALED: tuple[Sealed, ...] = (*sealed.SEALED, ("large", "octets", "mail_id", partial(place, "raw")))
"""Table, column, the row's own name, and what the value is bound to."""

Step = Callable[[str], None]


def rotate(settings: StoreSettings, *, path: Path, key_path: Path, step: Step = lambda _: None) -> int:
    """Give the database at ``path`` a new key. Returns how many values were sealed anew.

    ``step`` is told what has just been done, where an interruption would matter.

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
            old = Cipher(read_key(key_path, is_made=False))
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
        step("everything is sealed anew, and not committed")
    step("the database has the new key")
    draft.replace(key_path)
    _sync(key_path.parent)
    step("the key file is the new one")
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    return count


def finish(connection: apsw.Connection, key_path: Path) -> None:
    """End a rotation that was interrupted, if there is one: with the new key where the database has it, else with the old one.

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
    _sync(key_path.parent)


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


def _sync(folder: Path) -> None:
    """Make a rename last."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
