"""The store that the configuration names: one file of SQLite, or a PostgreSQL that other replicas may share."""

from __future__ import annotations

import hashlib
import os
import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import Settings
from mailbridge.core.secret import Secret
from mailbridge.store import Store, StoreError
from mailbridge.store.places import is_postgres, key_path_of, path_of
from mailbridge.store.sqlite import open_sqlite

OWN = ("store", "smtp", "http", "parser", "log")
"""Sections that may differ from replica to replica: where each listens, and how much it does."""
MISSING = 'PostgreSQL needs one more package: install again, as you installed it, with the extra: pip install ".[postgres]"'


async def open_store(settings: Settings, *, clock: SteadyClock, grace: timedelta, is_visitor: bool = False) -> Store:
    """Open, check and recover. A visitor (a command while no daemon runs here) claims and recovers nothing.

    Raises:
        StoreInUse: another daemon has this database, and does not share it.
        StoreError: it cannot be used until somebody fixes what the message names.
    """
    if not is_postgres(settings.store):
        return open_sqlite(settings.store, settings.retention, clock=clock, grace=grace, is_visitor=is_visitor)
    try:
        from mailbridge.store.postgres import open_postgres
    except ModuleNotFoundError as fault:
        if fault.name != "asyncpg":
            raise
        raise StoreError(MISSING) from None
    folder = path_of(settings.store).parent
    if not is_visitor:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as fault:
            raise StoreError(
                f"[store] folder: {folder}: {fault.strerror}; it must be writable for the user that runs mailbridge"
            ) from None
    return await open_postgres(
        settings.store,
        settings.retention,
        key_path=key_path_of(settings.store),
        clock=clock,
        grace=grace,
        is_visitor=is_visitor,
        name=f"{socket.gethostname()}:{os.getpid()}",
        configuration=fingerprint(settings),
    )


def fingerprint(settings: Settings) -> str:
    """What tells the configurations of replicas apart: a hash of each section that they must have in common, secrets excepted."""
    common = {name: getattr(settings, name) for name in settings.__struct_fields__ if name not in OWN}
    return " ".join(f"{name}={_hash(section)}" for name, section in sorted(common.items()))


def _hash(section: object) -> str:
    return hashlib.sha256(msgspec.json.encode(section, enc_hook=_shown, order="sorted")).hexdigest()[:12]


def _shown(value: object) -> Any:
    if isinstance(value, Secret):
        return ""
    if isinstance(value, Path | timedelta):
        return str(value)
    raise NotImplementedError
