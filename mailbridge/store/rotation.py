"""Another key for the whole database: every sealed value anew in one transaction, and two files that can never disagree for long.

The order is what makes it safe: the new key is on disk beside the old one before the transaction; the transaction also writes which
key it was made with; only then the new key takes the old one's name. Whoever opens the database first looks for a rotation that was
interrupted, and finishes or forgets it.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from mailbridge.config.settings import StoreSettings
from mailbridge.store import StoreError
from mailbridge.store.cipher import Cipher, read_key

SEALED = (("mail", "private", "mail"), ("mail", "link", "link"), ("mail", "raw", "raw"), ("delivery", "content", "delivery"))
"""Table, column, and the word that the value is sealed with beside the row's number."""


def rotate_all(connection: apsw.Connection, key_path: Path, *, step: Callable[[str], None] = lambda _: None) -> int:
    """Give a database that nobody else has open a new key. Returns how many values were sealed anew.

    ``step`` is told the name of each step before it is taken.

    Raises:
        StoreError: a value does not open with the old key, or the key file cannot be replaced.
    """
    old = Cipher(read_key(key_path, is_made=False))
    draft = _draft(key_path)
    try:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()
        fresh = read_key(draft, is_made=True)
        step("the new key is written")
        _sync(draft.parent)
        with connection:
            count = _reseal(connection, old, Cipher(fresh))
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('key', ?)", (name_of(fresh),))
            step("everything is sealed anew, and not yet committed")
        step("the database has the new key")
        draft.replace(key_path)
        _sync(key_path.parent)
    except OSError as fault:
        raise StoreError(f"{key_path}: the key cannot be replaced: {fault.strerror}; its folder must be writable") from None
    step("the key file is the new one")
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    return count


def is_unfinished(key_path: Path) -> bool:
    """Whether a rotation was interrupted."""
    return _draft(key_path).exists()


def finish(connection: apsw.Connection, key_path: Path) -> None:
    """End a rotation that was interrupted: with the new key where the database has it already, else with the old one."""
    draft = _draft(key_path)
    row: Any = connection.execute("SELECT value FROM meta WHERE key = 'key'").fetchone()
    try:
        if row is not None and row[0] == name_of(draft.read_bytes()):
            draft.replace(key_path)
        else:
            draft.unlink()
        _sync(key_path.parent)
    except OSError as fault:
        raise StoreError(f"{draft}: an interrupted key rotation cannot be finished: {fault.strerror}") from None


def name_of(key: bytes) -> str:
    """What tells one key from another and gives neither away."""
    return hashlib.sha256(b"mailbridge: the name of a key" + key).hexdigest()[:16]


def _reseal(connection: apsw.Connection, old: Cipher, fresh: Cipher) -> int:
    count = 0
    for table, column, word in SEALED:
        numbers: list[Any] = connection.execute(f"SELECT id FROM {table} WHERE {column} IS NOT NULL").fetchall()  # noqa: S608
        for (number,) in numbers:
            row: Any = connection.execute(f"SELECT {column} FROM {table} WHERE id = ?", (number,)).fetchone()  # noqa: S608
            name = f"{word} {number}"
            connection.execute(
                f"UPDATE {table} SET {column} = ? WHERE id = ?",  # noqa: S608  (names from SEALED)
                (fresh.seal(old.open(row[0], name), name), number),
            )
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


def rotate(settings: StoreSettings) -> int:
    """Rotate the key of the configured store, which no daemon may have open.

    Raises:
        StoreInUse: a daemon runs on it.
        StoreError: see `rotate_all`.
    """
    from mailbridge.store.sqlite import exclusive, key_path_of

    with exclusive(settings) as connection:
        return rotate_all(connection, key_path_of(settings))
