"""The store on embedded SQLite: one writer thread, write-ahead log, fsync at every commit, one daemon for each database.

Only this package imports apsw. apsw brings its own SQLite: 3.51.3 and later do not have the WAL-reset corruption bug that the
system's library may have.
"""

from __future__ import annotations

import apsw

from mailbridge.store.sqlite.opening import is_in_use, open_sqlite
from mailbridge.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore", "is_in_use", "open_sqlite", "sqlite_version"]


def sqlite_version() -> str:
    """The version of the SQLite that apsw brings."""
    version: str = apsw.sqlite_lib_version()
    return version
