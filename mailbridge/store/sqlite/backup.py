"""Copies the database while a daemon runs on it, and restores an older copy while none does."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw

from mailbridge.clock import wall
from mailbridge.config.settings import StoreSettings
from mailbridge.core.dataclass import dataclass
from mailbridge.store import HALF_MOVED, KEY_IN_CHANGE, StoreError
from mailbridge.store.cipher import Cipher, read_key
from mailbridge.store.places import key_path_of, path_of
from mailbridge.store.sql import returning
from mailbridge.store.sqlite import migrations
from mailbridge.store.sqlite.database import MOVING, Database, hint_of, lock, require_sound_sqlite, unlock


@dataclass(frozen=True, slots=True, kw_only=True)
class BackedUp:
    """A copy that was made: its octets, and the number of mails in it."""

    path: Path
    size: int
    mails: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBack:
    """A copy that was restored. ``ended`` is the number of codes that waited in it. ``tokens`` is the number of tokens that
    are valid again, even if they were removed since."""

    mails: int
    ended: int
    tokens: int


def back_up(settings: StoreSettings, to: Path) -> BackedUp:
    """Copy the database as it is at one moment into a new file (0600), completely or not at all. Mail is still accepted
    meanwhile.

    Raises:
        StoreError: the file already exists, or cannot be written.
    """
    require_sound_sqlite()
    path = path_of(settings)
    if not to.name or to.is_dir():
        raise StoreError(f"{to}: is a folder; name a new file in it")
    draft = to.with_name(f"{to.name}.{os.getpid()}.new")
    if not path.exists():
        raise StoreError(f"{path}: no database there yet; has the daemon run with this configuration?")
    if to.exists():
        raise StoreError(f"{to}: exists already; name a new file")
    with _draft(draft):
        with _named(path):
            source = Database(path, settings, is_read_only=True).connect()
        try:
            _copy(source, draft, path)
        finally:
            source.close(True)
        mails = _examined(draft, Cipher(read_key(key_path_of(settings), is_made=False)), key_path_of(settings))
        _sync(draft)
        draft.replace(to)
        _sync(to.parent)
    return BackedUp(path=to, size=to.stat().st_size, mails=mails)


def put_back(settings: StoreSettings, copy: Path, *, is_replacing: bool) -> PutBack:
    """Replace the database with a copy, completely or not at all, and end what is live in it.

    Raises:
        StoreInUse: a daemon has the database.
        StoreError: the copy is not a database of this key, is damaged or of a newer release; or there is a database that may not
            be
            replaced.
    """
    require_sound_sqlite()
    path = path_of(settings)
    if not copy.is_file():
        raise StoreError(f"{copy}: no such file")
    if copy.resolve() == path.resolve():
        raise StoreError(f"{copy}: is the database itself")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    taken = lock(path)
    draft = path.with_name(f"{path.name}.restoring")
    try:
        with _draft(draft):
            with _named(copy):
                source = apsw.Connection(str(copy), flags=apsw.SQLITE_OPEN_READONLY)
            try:
                _copy(source, draft, copy)
            finally:
                source.close(True)
            mails = _examined(draft, Cipher(read_key(key_path_of(settings), is_made=False)), key_path_of(settings), name=copy)
            done = _made_fit(draft, mails)
            with _named(path):
                target = Database(path, settings).connect()
            try:
                with _named(path):
                    _replace(target, draft, path, is_replacing=is_replacing)
            finally:
                target.close(True)
        return done
    finally:
        unlock(taken)


def _copy(source: apsw.Connection, to: Path, name: Path) -> None:
    """Copy all pages in one step. Later writes are not in the copy."""
    with _named(name):
        target = apsw.Connection(str(to))
        try:
            with target.backup("main", source, "main") as copying:
                while not copying.done:
                    copying.step(-1)
            target.pragma("journal_mode", "delete")  # so that it is one file for everybody who opens it
        finally:
            target.close(True)


def _examined(copy: Path, cipher: Cipher, key_path: Path, *, name: Path | None = None) -> int:
    """Check that it is a complete database of this key and of no newer release. Returns the number of its mails. Raises
    StoreError."""
    shown = name or copy
    with _named(shown):
        connection = apsw.Connection(str(copy), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            version, newest = connection.pragma("user_version"), migrations.newest()
            if version > newest:
                raise StoreError(f"{shown}: written by a newer mailbridge (schema {version}, this one knows {newest})")
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict is None or verdict[0] != "ok":
                raise StoreError(f"{shown}: is damaged")
            rows: list[Any] = connection.execute("SELECT key, value FROM meta").fetchall() if version else []
            meta: dict[str, Any] = dict(rows)
            if "seal" not in meta:
                raise StoreError(f"{shown}: is not a database of mailbridge")
            if cipher.open(meta["seal"], "meta") is None:
                raise StoreError(
                    f"{shown}: was written with another key file than {key_path}; put the one of that time there first"
                )
            if "rotation" in meta:
                raise StoreError(f"{shown}: {KEY_IN_CHANGE}")
            if MOVING in meta:
                raise StoreError(f"{shown}: {HALF_MOVED}")
            count: Any = connection.execute("SELECT count(*) FROM mail").fetchone()
            return int(count[0])
        finally:
            connection.close(True)


def _made_fit(draft: Path, mails: int) -> PutBack:
    """Bring the copy up to date, and end what is live in it; see `mailbridge.store.sql.returning`."""
    connection = apsw.Connection(str(draft))
    now = wall()
    try:
        with _named(draft), connection:
            migrations.apply(connection)
            ended: Any = connection.execute(returning.WAITING).fetchone()
            newest: Any = connection.execute(returning.NEWEST_LINE).fetchone()
            line = newest[0] + returning.gap(newest[1], now)
            for statement, values in returning.ending(now):
                connection.execute(statement, tuple(values))
            detail = f"{ended[0]} codes that waited were ended"
            connection.execute(
                "INSERT INTO journal (id, at, event, mail_id, detail) VALUES (?, ?, ?, 0, ?)",
                (line, now, returning.EVENT, detail),
            )
            statement, values = returning.told(line)
            connection.execute(statement, tuple(values))
            connection.execute("UPDATE sqlite_sequence SET seq = seq + ?", (returning.OTHER_NUMBERS,))
            connection.execute("DELETE FROM meta WHERE key = 'anchor'")
            tokens: Any = connection.execute("SELECT count(*) FROM token").fetchone()
    finally:
        connection.close(True)
    return PutBack(mails=mails, ended=ended[0], tokens=tokens[0])


def _replace(target: apsw.Connection, draft: Path, path: Path, *, is_replacing: bool) -> None:
    """Replace the database in one transaction. If the process is killed in the middle, the old database is still there."""
    is_there = target.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone() is not None
    if is_there and not is_replacing:
        raise StoreError(f"{path}: there is a database; keep it with `mailbridge backup`, then put the copy back with --replace")
    source = apsw.Connection(str(draft), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        with target.backup("main", source, "main") as copying:
            while not copying.done:
                copying.step(-1)
    finally:
        source.close(True)
    target.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


@contextlib.contextmanager
def _draft(draft: Path) -> Iterator[None]:
    """An empty file (0600) for the length of the block, which may rename it. At the end it is removed, with the files next to
    it."""
    try:
        draft.unlink(missing_ok=True)
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield
    except OSError as fault:
        raise StoreError(f"{draft.parent}: {fault.strerror}; the folder must be writable for the user that runs this") from None
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            with contextlib.suppress(OSError):
                draft.with_name(draft.name + suffix).unlink()


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except apsw.Error as fault:
        raise StoreError(f"{path}: {hint_of(fault)}") from None


def _sync(path: Path) -> None:
    """Write a file, or the names in a folder, to disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
