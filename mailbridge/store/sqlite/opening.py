"""Opens the database: locks it, checks it, creates or recovers it, and resumes its clock."""

from __future__ import annotations

from datetime import timedelta

import apsw

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.store import StoreError
from mailbridge.store.cipher import Cipher, read_key
from mailbridge.store.places import key_path_of, path_of
from mailbridge.store.sqlite.database import (
    Database,
    is_locked,
    keep_anchor,
    locked_to_open,
    read_anchor,
    require_sound_sqlite,
)
from mailbridge.store.sqlite.queues import Queues
from mailbridge.store.sqlite.readers import Readers
from mailbridge.store.sqlite.retention import REALIGN, Retention
from mailbridge.store.sqlite.rotation import cipher_at_start
from mailbridge.store.sqlite.rotation import finish as finish_rotation
from mailbridge.store.sqlite.store import SqliteStore
from mailbridge.store.sqlite.turning import Turning
from mailbridge.store.sqlite.writer import Writer

READERS = 2
"""Threads that read in parallel to the writer."""


def is_in_use(settings: StoreSettings) -> bool:
    """Whether a daemon has the database of these settings, running or still starting. Raises OSError if that cannot be
    checked."""
    return is_locked(path_of(settings))


def open_sqlite(
    settings: StoreSettings, retention: RetentionSettings, *, clock: SteadyClock, grace: timedelta, is_visitor: bool = False
) -> SqliteStore:
    """Open, check and recover. A visitor (a command while no daemon runs) only reads: it takes no lock and recovers nothing.

    Raises:
        StoreInUse: another daemon has this database.
        StoreError: it cannot be used until somebody fixes what the message names.
    """
    require_sound_sqlite()
    path = path_of(settings)
    if is_visitor and not path.exists():
        raise StoreError(f"{path}: no database there yet; has the daemon run with this configuration?")
    with locked_to_open(path, is_visitor=is_visitor) as taken:
        return _open(settings, Retention(retention), clock, grace, is_visitor=is_visitor, taken=taken)


def _open(
    settings: StoreSettings, retention: Retention, clock: SteadyClock, grace: timedelta, *, is_visitor: bool, taken: int | None
) -> SqliteStore:
    path = path_of(settings)
    database = Database(path, settings, is_read_only=is_visitor)
    connection = database.connect()
    try:
        is_made = database.is_empty(connection) and not is_visitor
        if not is_visitor and not is_made:
            finish_rotation(connection, key_path_of(settings))
        key_path = key_path_of(settings)
        cipher = Cipher(read_key(key_path, is_made=True)) if is_made else cipher_at_start(connection, key_path)
        queues = Queues(cipher=cipher, clock=clock)
        database.check(connection, cipher, is_visitor=is_visitor)
        if is_visitor:
            clock.resume(read_anchor(connection), newest=None)
        else:
            with connection:
                _resume_clock(connection, clock, queues, retention)
                queues.recover(connection, clock.micros(), grace)
        keeper = database.connect_reader()
        keeper.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    except BaseException:
        connection.close(True)
        raise
    writer = Writer(database.connect, is_in_place=database.is_in_place)
    if not is_visitor:
        writer.truncate()  # the log of a killed process may still contain what that process had erased
    writer.start(connection)
    readers = Readers(database.connect_reader, count=1 if is_visitor else READERS, idle=writer.idle, keeper=keeper)
    store = SqliteStore(
        writer=writer,
        readers=readers,
        queues=queues,
        cipher=cipher,
        clock=clock,
        retention=retention,
        lock=taken,
    )
    store.turning = None if is_visitor else Turning(cipher, key_path)
    return store


def _resume_clock(connection: apsw.Connection, clock: SteadyClock, queues: Queues, retention: Retention) -> None:
    newest = connection.execute("SELECT max(received_at) FROM mail").fetchone()
    clock.resume(read_anchor(connection), newest=newest[0] if newest else None)
    if not queues.is_busy(connection):
        if abs(clock.drift) > REALIGN:
            retention.put_right(connection, clock)
        retention.clamp(connection, clock.micros())
    keep_anchor(connection, clock.anchor)
