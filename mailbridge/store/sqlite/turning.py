"""Rotates the key while the daemon runs: the next key is put next to the present one as ``KEY.next``, and the sweep does the
rest.

One transaction makes it the database's key. From then on new values are sealed with it, and both keys open. Then a few values at
a time are sealed again, until none is left under the old key. Only then does it get the old key's name. After an interruption the
next start continues.
"""

from __future__ import annotations

import logging
import os
from functools import partial
from pathlib import Path
from typing import Any

import apsw

from mailbridge import log_events
from mailbridge.store import StoreError
from mailbridge.store.cipher import Cipher, name_of, place, read_key
from mailbridge.store.sql import sealed
from mailbridge.store.sql.sealed import Sealed

log = logging.getLogger("mailbridge.store")

SEALED: tuple[Sealed, ...] = (*sealed.SEALED, ("large", "octets", "mail_id", partial(place, "raw")))
AT_ONCE = 20
"""Values that are sealed again in one transaction, while incoming mail waits."""

META = "SELECT value FROM meta WHERE key = ?"
KEEP = "INSERT OR REPLACE INTO meta VALUES (?, ?)"


def follower_of(key_path: Path) -> Path:
    """Where the key is that a running daemon must switch to."""
    return key_path.with_name(key_path.name + ".next")


def meta_of(connection: apsw.Connection, key: str) -> Any:
    """The value of a key in the database's ``meta``; None if there is none."""
    row: Any = connection.execute(META, (key,)).fetchone()
    return None if row is None else row[0]


class Turning:
    """Switches to another key in steps. Each step runs in the writer's thread, in a transaction of its caller."""

    def __init__(self, cipher: Cipher, key_path: Path) -> None:
        self._cipher = cipher
        self._path = key_path
        self._table = self._found = 0
        self._last: Any = None

    def step(self, connection: apsw.Connection) -> bool:
        """Do a part of the rotation. Returns whether there is more. Raises apsw.Error."""
        follower = follower_of(self._path)
        if not follower.exists():
            return False
        try:
            key = read_key(follower, is_made=False)
        except StoreError:  # it is just being written
            return False
        if meta_of(connection, "key") != name_of(key):
            self._begin(connection, key)
            return True
        if meta_of(connection, "rotation") is None:
            try:
                follower.replace(self._path)
                sync(self._path.parent)
            except OSError as fault:
                log.error(
                    "%s: the key cannot be replaced: %s", self._path, fault.strerror, extra={"event": log_events.KEY_MISSING}
                )
                return False
            self._cipher.open_with_one()
            log.info("nothing is sealed with the former key any more", extra={"event": log_events.KEY_CHANGED})
            return False
        self._cipher.opens_with(key)
        self._cipher.seal_with(name_of(key))
        if self._is_through(connection):
            connection.execute("DELETE FROM meta WHERE key = 'rotation'")
        return True

    def _begin(self, connection: apsw.Connection, key: bytes) -> None:
        fresh, former = Cipher(key), self._cipher.name
        for name, value in (
            ("seal", fresh.seal(b"mailbridge", "meta")),
            ("handed on", self._cipher.handed_on(fresh)),
            ("key", fresh.name),
            ("rotation", former),
        ):
            connection.execute(KEEP, (name, value))
        self._cipher.opens_with(key)
        self._cipher.seal_with(fresh.name)
        log.info("codes and mails are sealed with the new key", extra={"event": log_events.KEY_CHANGED})

    def _is_through(self, connection: apsw.Connection) -> bool:
        """Seal again some values that are sealed with the old key. Returns whether a whole pass has found none."""
        table, column, key, bound_to = SEALED[self._table]
        where = f"length({column}) > 0" + ("" if self._last is None else f" AND {key} > ?")
        query = f"SELECT {key}, uid, {column} FROM {table} WHERE {where} ORDER BY {key} LIMIT {AT_ONCE}"  # noqa: S608
        rows: list[Any] = connection.execute(query, () if self._last is None else (self._last,)).fetchall()
        for name, uid, value in rows:
            where_it_is = bound_to(uid, name)
            self._last = name
            if self._cipher.is_newest(value, where_it_is):
                continue
            found = self._cipher.open(value, where_it_is)
            if found is not None:
                anew = self._cipher.seal(found, where_it_is)
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (anew, name))  # noqa: S608
                self._found += 1
        if len(rows) == AT_ONCE:
            return False
        self._table, self._last = self._table + 1, None
        if self._table < len(SEALED):
            return False
        found_any, self._table, self._found = self._found > 0, 0, 0
        return not found_any


def sync(folder: Path) -> None:
    """Make a rename durable (fsync of the folder)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
