"""Opens the database: connects, checks it, creates it or brings it up to date, and makes this process one of its replicas."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.store import HALF_MOVED, StoreError, StoreOutdated, StoreUnavailable
from mailbridge.store.cipher import Cipher
from mailbridge.store.places import label
from mailbridge.store.postgres import migrations
from mailbridge.store.postgres.database import FAULTS, PostgresDatabase
from mailbridge.store.postgres.keys import Keys, cipher_of
from mailbridge.store.postgres.queues import Queues
from mailbridge.store.postgres.replicas import ReadTime, Replicas, server_time
from mailbridge.store.postgres.retention import Retention
from mailbridge.store.postgres.store import PostgresStore

OLDEST_SERVER = 140_000
CONNECT = 5.0
"""Seconds that making a connection may take."""

COMMAND = 30.0
"""Seconds after which an unanswered statement counts as lost, together with its connection."""

MOVING = "moving"
"""The key in ``meta`` with the progress of a move into this database. No daemon starts while it is there."""

CONNECTIONS = 8
"""Connections of one process, besides the one that listens."""

OF_SKYVERN = ("alembic_version", "totp_codes", "workflow_runs")
SETTINGS = (
    "SELECT current_setting('server_version_num')::int, current_setting('synchronous_commit'), current_setting('fsync'),"
    " pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',"
    " (SELECT count(DISTINCT tablename) FROM pg_tables WHERE tablename = ANY($1))"
)
TABLES = "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()"
UNSAFE = {
    "synchronous_commit": "with synchronous_commit = off a mail that was accepted can be lost; turn it on for this database",
    "fsync": "with fsync = off a mail that was accepted can be lost; turn it on",
}


async def open_postgres(
    settings: StoreSettings,
    retention: RetentionSettings,
    *,
    key_path: Path,
    clock: SteadyClock,
    grace: timedelta,
    is_visitor: bool = False,
    name: str = "",
    configuration: str = "",
    read_time: ReadTime = server_time,
) -> PostgresStore:
    """Open and check the database, and join its replicas. A visitor (a command while no daemon runs here) does not join: it
    claims and recovers nothing.

    ``name`` and ``configuration`` (a hash) are shown to the other replicas.

    Raises:
        StoreError: it cannot be used until somebody fixes what the message names.
    """
    try:
        cipher, is_pooled = await checked(settings, connector(settings), key_path, is_visitor=is_visitor)
        connect = connector(settings, is_pooled=is_pooled)
        pool = await asyncpg.create_pool(min_size=1, max_size=CONNECTIONS, reset=_nothing, connect=lambda *_, **__: connect())
    except (*FAULTS, ValueError) as fault:
        raise StoreError(f"{label(settings)}: {hint_of(fault)}") from None
    database = PostgresDatabase(pool, patience=settings.busy_timeout.total_seconds())
    queues = Queues(database=database, cipher=cipher, clock=clock)
    replicas = Replicas(
        database=database,
        queues=queues,
        clock=clock,
        name=name,
        configuration=configuration,
        grace=grace,
        connect=connector(settings, settings.listen_url, is_pooled=is_pooled and not settings.listen_url),
    )
    replicas.read_time, replicas.keys = read_time, Keys(cipher, key_path)
    try:
        if is_visitor:
            clock.follow(await read_time(database))
        else:
            await replicas.join()
            replicas.start()
    except StoreUnavailable as fault:
        await database.close()
        raise StoreError(f"{label(settings)}: {fault}") from None
    except BaseException:
        database.terminate()
        raise
    return PostgresStore(
        database=database,
        queues=queues,
        replicas=None if is_visitor else replicas,
        cipher=cipher,
        clock=clock,
        retention=Retention(retention),
    )


def connector(
    settings: StoreSettings, url: str = "", *, is_pooled: bool = True, patience: float = COMMAND
) -> Callable[[], Awaitable[Any]]:
    """A function that makes a connection whose statements may take ``patience`` seconds. It connects to ``url``, or to the
    store's own URL. Of several hosts it finds the one that can be written to, also after a fail-over.

    ``is_pooled``: a pooler may give each transaction another server connection, so that no prepared statement survives a
    transaction.
    """
    chosen = url or settings.url
    options = parse_qs(urlsplit(chosen).query)
    more: dict[str, Any] = {} if "target_session_attrs" in options else {"target_session_attrs": "read-write"}
    if settings.password is not None:
        more["password"] = settings.password.reveal()
    if is_pooled:
        more["statement_cache_size"] = 0

    async def connect() -> Any:
        return await asyncpg.connect(
            chosen,
            timeout=CONNECT,
            command_timeout=patience,
            server_settings={"application_name": "mailbridge"},
            **more,
        )

    return connect


async def _nothing(_: object) -> None:
    """Return a connection unchanged: all our transactions have ended by then, and set nothing that outlives them."""


async def checked(
    settings: StoreSettings,
    connect: Callable[[], Awaitable[Any]],
    key_path: Path,
    *,
    is_visitor: bool,
    is_moving: bool = False,
) -> tuple[Cipher, bool]:
    """The cipher of a usable database, which is created if it is empty; and whether a pooler is in between, which reports another
    number of the server's process than the server does. ``is_moving``: a move into it may be half done.

    Raises:
        StoreError: it is not usable; the message says what to do.
    """
    connection = await connect()
    try:
        is_pooled = await connection.fetchval("SELECT pg_backend_pid()") != connection.get_server_pid()
        row = await connection.fetchrow(SETTINGS, list(OF_SKYVERN))
        for what in mistakes(*row):
            raise StoreError(f"{label(settings)}: {what}")
        async with connection.transaction():
            await connection.execute(f"SELECT pg_advisory_xact_lock({migrations.MIGRATE})")
            cipher, is_half_moved = await _made(connection, settings, key_path, is_visitor=is_visitor)
            if is_half_moved and not is_moving:
                raise StoreError(f"{label(settings)}: {HALF_MOVED}")
            return cipher, is_pooled
    finally:
        await connection.close(timeout=CONNECT)


def mistakes(version: int, commit: str, fsync: str, is_read_only: bool, of_skyvern: int) -> list[str]:
    """What is wrong with a server and a database, by the values that they report; each with what to do."""
    found = []
    if version < OLDEST_SERVER:
        found.append(f"PostgreSQL {version // 10_000} is too old; mailbridge needs {OLDEST_SERVER // 10_000} or later")
    if is_read_only:
        found.append("the server takes no changes (a standby, or default_transaction_read_only); name the primary, or all hosts")
    found += [UNSAFE[name] for name, value in (("synchronous_commit", commit), ("fsync", fsync)) if value == "off"]
    if of_skyvern == len(OF_SKYVERN):
        found.append(
            "this is Skyvern's own database, whose start-up check would take our tables for a pending migration;"
            " make one for mailbridge: CREATE DATABASE mailbridge"
        )
    return found


async def _made(connection: Any, settings: StoreSettings, key_path: Path, *, is_visitor: bool) -> tuple[Cipher, bool]:
    """Check, in a transaction, that the database has our version and this key; create it if it is empty. Returns the cipher, and
    whether a move into it is unfinished.

    Raises:
        StoreError: it has not; the message says what to do.
    """
    place = label(settings)
    tables = {name for (name,) in await connection.fetch(TABLES)}
    meta = dict(await connection.fetch("SELECT key, value FROM meta")) if "meta" in tables else {}
    version, newest = int(meta.get("version", 0)), migrations.newest()
    if version == 0 and tables:
        raise StoreError(f"{place}: a database of something else; give mailbridge a [store] url of its own")
    if version < newest and is_visitor:
        what = (
            "an empty database" if version == 0 else f"written by an older mailbridge (schema {version}, this one has {newest})"
        )
        raise StoreOutdated(f"{place}: {what}; start the daemon with this configuration first")
    if version > newest and int(meta["runs from"]) > newest:
        raise StoreError(
            f"{place}: written by a newer mailbridge (schema {version}, this one knows {newest}); upgrade mailbridge"
        )
    missing = sorted(migrations.tables() - tables) if version == newest else []
    if missing:
        raise StoreError(
            f"{place}: a table is missing ({', '.join(missing)}); was the database restored in part, or is search_path another one?"
            " Restore it whole"
        )
    cipher = cipher_of(key_path, bytes.fromhex(meta["seal"]) if version else None, is_made=version == 0)
    if cipher is None:
        raise StoreError(
            f"{place}: was written with another key file than {key_path}; every replica needs the same one, copy it from the first"
        )
    if version < newest:
        await migrations.apply(connection, version)
    if version == 0:
        await connection.execute("INSERT INTO meta (key, value) VALUES ('seal', $1)", cipher.seal(b"mailbridge", "meta").hex())
    if "handed on" in meta:
        cipher.adopt(bytes.fromhex(meta["handed on"]))
    return cipher, MOVING in meta


def hint_of(fault: BaseException) -> str:
    """What prevents the database from being opened, and what to do."""
    if isinstance(fault, asyncpg.InvalidAuthorizationSpecificationError):
        return "the server refuses this user or password; see [store] password, and pg_hba.conf of the server"
    if isinstance(fault, asyncpg.InvalidCatalogNameError):
        return "the server has no such database; make it: CREATE DATABASE … OWNER …"
    if isinstance(fault, asyncpg.InsufficientPrivilegeError | asyncpg.InvalidSchemaNameError):
        return (
            "the role may not do what mailbridge needs; let it own the database: ALTER DATABASE … OWNER TO …,"
            " or a schema that its search_path names: CREATE SCHEMA … AUTHORIZATION …"
        )
    if isinstance(fault, asyncpg.TooManyConnectionsError):
        return f"the server has no connection left; each process of mailbridge needs up to {CONNECTIONS + 1}"
    if isinstance(fault, asyncpg.TargetServerAttributeNotMatched):
        return "no server of the URL takes changes (a standby?); name the primary, or all hosts"
    if isinstance(fault, ssl.SSLError):
        return f"no encrypted connection: {fault.reason or type(fault).__name__}; see sslmode and sslrootcert in the URL"
    if isinstance(fault, TimeoutError):
        return f"the server did not answer in {CONNECT:.0f} s; is it there, and does a firewall let us through?"
    if isinstance(fault, OSError):
        return f"the server cannot be reached ({fault.strerror or fault}); is it running, and are host and port right?"
    if isinstance(fault, asyncpg.PostgresError):
        return f"PostgreSQL says {type(fault).__name__}: {fault}"
    return f"the URL cannot be used: {fault}"
