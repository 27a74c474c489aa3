"""PostgreSQL as one side of a move (`mailbridge.store.moving`)."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncGenerator, Iterator, Mapping
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from mailbridge.config.settings import StoreSettings
from mailbridge.store import KEY_IN_CHANGE, StoreError, StoreInUse
from mailbridge.store.moving import Batch, Mark
from mailbridge.store.moving.rows import Full, Row, Table
from mailbridge.store.places import label
from mailbridge.store.postgres import migrations
from mailbridge.store.postgres.database import FAULTS, FULL
from mailbridge.store.postgres.opening import MOVING, checked, connector, hint_of

OWN = frozenset(
    {"meta", "queue", "replica", "mailbox_lease", "mailbox_state", "login_slot", "awaited", "one_time", "oauth_token"}
)
"""Tables that belong to this database alone. Locks of queues are made on demand, and what replicas share is of no use to
another database. `mailbridge.app.moving` copies permissions (OAuth), which SQLite keeps in files next to it."""

OWNER = "owner"
"""The column of a delivery that names the replica which has it in flight. After a move it names nobody: the next start takes
over."""

AT_ONCE = 200
"""Rows that are fetched at a time. A mail of more than `HEAVY` octets is fetched alone."""

HEAVY = 50_000
PATIENCE = 3_600.0
"""Seconds that one statement of a move may take: the rows of a table are sorted first."""

COLUMNS = (
    "SELECT table_name::text, column_name::text, data_type::text, is_identity = 'YES' FROM information_schema.columns"
    " WHERE table_schema = current_schema() ORDER BY table_name, column_name"
)
KEYS = (
    "SELECT pg_class.relname::text, pg_attribute.attname::text FROM pg_index"
    " JOIN pg_class ON pg_class.oid = pg_index.indrelid"
    " JOIN pg_attribute ON pg_attribute.attrelid = pg_class.oid AND pg_attribute.attnum = ANY(pg_index.indkey)"
    " WHERE indisprimary AND relnamespace = current_schema()::regnamespace"
    " ORDER BY pg_class.relname, array_position(pg_index.indkey::int2[], pg_attribute.attnum)"
)
KEYS_WITHOUT_INDEX: Mapping[str, tuple[str, ...]] = {"told": ("name",)}
"""Names of listeners may be too long for an index, so their index is over a hash."""

ALIVE = "SELECT name FROM replica WHERE alive_until > now_micros() ORDER BY id"


class PostgresSide:
    """Implements `mailbridge.store.moving.Side`. ``guard`` holds the lock that keeps replicas from joining."""

    def __init__(self, name: str, connection: Any, guard: Any, columns: list[Any], keys: list[Any]) -> None:
        self._name = name
        self._connection = connection
        self._guard = guard
        self._kinds = {(table, column): kind for table, column, kind, _ in columns}
        self._numbered = [
            table for table, column, _, is_identity in columns if is_identity and column == "id" and table not in OWN
        ]
        primary: dict[str, list[str]] = {}
        for table, column in keys:
            primary.setdefault(table, []).append(column)
        self._tables = {
            table: Table(
                name=table,
                columns=tuple(
                    sorted(column for one, column in self._kinds if one == table and (one, column) != ("delivery", OWNER))
                ),
                key=KEYS_WITHOUT_INDEX.get(table) or tuple(primary[table]),
            )
            for table in sorted({one for one, _ in self._kinds} - OWN)
        }

    @property
    def label(self) -> str:
        """See `Side.label`."""
        return self._name

    async def close(self) -> None:
        """Let replicas join again, and close the connections."""
        for connection in (self._guard, self._connection):
            with contextlib.suppress(*FAULTS):
                await connection.close(timeout=5)

    async def identity(self) -> str:
        """See `Side.identity`. It uses a value that was sealed when the database was made, which no other database has."""
        return hashlib.sha256(bytes.fromhex((await self._meta())["seal"])).hexdigest()

    async def _meta(self) -> dict[str, str]:
        with self._faults():
            return dict(await self._connection.fetch("SELECT key, value FROM meta"))

    async def tables(self) -> dict[str, Table]:
        """See `Side.tables`."""
        return self._tables

    async def read(self, table: Table, after: tuple[Any, ...] | None) -> AsyncGenerator[Batch, None]:
        """See `Side.read`. It reads one snapshot, sorted like SQLite sorts."""
        key = ", ".join(self._sorted(table, column) for column in table.key)
        where = f"WHERE ({key}) > ({', '.join(f'${n}' for n, _ in enumerate(table.key, 1))})" if after is not None else ""
        columns = [f"CASE WHEN octet_length(raw) <= {HEAVY} THEN raw END" if one == "raw" else one for one in table.columns]
        if "raw" in table.columns:
            columns.append(f"octet_length(raw) > {HEAVY}")
        query = f"SELECT {', '.join(columns)} FROM {table.name} {where} ORDER BY {key}"  # noqa: S608  (names of columns)
        places = [table.place(column) for column in table.key]
        full, rows = Full(), []
        with self._faults():
            async with self._connection.transaction(isolation="repeatable_read", readonly=True):
                async for found in self._connection.cursor(query, *(after or ()), prefetch=AT_ONCE):
                    row = await self._whole(table, tuple(found))
                    rows.append(row)
                    if full.is_full(row):
                        yield Batch(rows, tuple(row[place] for place in places))
                        rows = []
        if rows:
            yield Batch(rows, tuple(rows[-1][place] for place in places))

    def _sorted(self, table: Table, column: str) -> str:
        return f'{column} COLLATE "C"' if self._kinds[table.name, column] == "text" else column

    async def _whole(self, table: Table, row: Row) -> Row:
        """The row of a mail with its octets. If there are many octets, they are fetched separately."""
        if "raw" not in table.columns:
            return row
        *values, is_heavy = row
        if is_heavy:
            values[table.place("raw")] = await self._connection.fetchval(
                f"SELECT raw FROM {table.name} WHERE id = $1",  # noqa: S608
                values[table.place("id")],
            )
        return tuple(values)

    async def counters(self) -> dict[str, int]:
        """See `Side.counters`."""
        found = {}
        with self._faults():
            for table in self._numbered:
                found[table] = await self._connection.fetchval(
                    f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {table}_id_seq"  # noqa: S608
                )
        return found

    async def handed_on(self) -> bytes | None:
        """See `Side.handed_on`."""
        found = (await self._meta()).get("handed on")
        return None if found is None else bytes.fromhex(found)

    async def mark(self) -> Mark | None:
        """See `Side.mark`."""
        meta = await self._meta()
        found = meta.get(MOVING) or meta.get("moved")
        return None if found is None else msgspec.json.decode(found, type=Mark)

    async def is_empty(self, table: Table) -> bool:
        """See `Side.is_empty`."""
        with self._faults():
            return not await self._connection.fetch(f"SELECT 1 FROM {table.name} LIMIT 1")  # noqa: S608

    async def write(self, table: Table, rows: list[Row], mark: Mark) -> None:
        """See `Side.write`."""
        with self._faults():
            async with self._connection.transaction():
                if rows:
                    await self._copy(table, rows)
                await self._keep(mark)

    async def _copy(self, table: Table, rows: list[Row]) -> None:
        """Add rows as they are. Meanwhile the trigger is disabled that refuses a new delivery in a final state."""
        columns: tuple[str, ...] = table.columns
        if table.name == "delivery":
            state = table.place("state")
            rows = [(*row, 0 if row[state] == "in_flight" else None) for row in rows]
            columns = (*columns, OWNER)
            await self._connection.execute("ALTER TABLE delivery DISABLE TRIGGER delivery_first")
        await self._connection.copy_records_to_table(table.name, records=rows, columns=columns)
        if table.name == "delivery":
            await self._connection.execute("ALTER TABLE delivery ENABLE TRIGGER delivery_first")

    async def finish(self, counters: Mapping[str, int], handed_on: bytes | None, mark: Mark) -> None:
        """See `Side.finish`."""
        with self._faults():
            async with self._connection.transaction():
                for name in self._numbered:
                    if counters.get(name):
                        await self._connection.execute("SELECT setval($1::text::regclass, $2)", f"{name}_id_seq", counters[name])
                if handed_on is not None:
                    await self._store("handed on", handed_on.hex())
                await self._keep(mark)
            if mark.is_over:
                await self._connection.execute(f"ANALYZE {', '.join(self._tables)}")

    async def _keep(self, mark: Mark) -> None:
        await self._connection.execute("DELETE FROM meta WHERE key = ANY($1)", [MOVING, "moved"])
        await self._store("moved" if mark.is_over else MOVING, msgspec.json.encode(mark).decode())

    async def _store(self, key: str, value: str) -> None:
        await self._connection.execute(
            "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, value
        )

    @contextlib.contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except FAULTS as fault:
            raise StoreError(f"{self._name}: {told(fault)}") from None


async def open_side(settings: StoreSettings, *, key_path: Path, is_target: bool) -> PostgresSide:
    """Open the database for a move. It is brought up to date as at a start, and created if the target is empty.

    Raises:
        StoreInUse: a daemon has it.
        StoreError: it cannot be used; the message says why.
    """
    name = label(settings)
    connect = connector(settings, patience=PATIENCE)
    connections: list[Any] = []
    try:
        await checked(settings, connect, key_path, is_visitor=False, is_moving=is_target)
        connections.append(connection := await connect())
        connections.append(guard := await connect())
        await _require_this_schema(name, connection)
        await take(name, guard)
        return PostgresSide(name, connection, guard, await connection.fetch(COLUMNS), await connection.fetch(KEYS))
    except BaseException as fault:
        for one in connections:
            one.terminate()
        if isinstance(fault, (*FAULTS, ValueError)):
            raise StoreError(f"{name}: {hint_of(fault)}") from None
        raise


async def _require_this_schema(name: str, connection: Any) -> None:
    """Refuse a later schema. A daemon may run on one, but a move would leave out what it does not know."""
    if await connection.fetchval("SELECT 1 FROM meta WHERE key = 'rotation'"):
        raise StoreError(f"{name}: {KEY_IN_CHANGE}")
    version = int(await connection.fetchval("SELECT value FROM meta WHERE key = 'version'"))
    if version != migrations.newest():
        raise StoreError(
            f"{name}: written by a newer mailbridge (schema {version}, this one knows {migrations.newest()}); upgrade mailbridge"
        )


async def take(name: str, guard: Any) -> None:
    """Keep replicas and other moves away until this connection ends.

    Raises:
        StoreInUse: somebody has the database.
    """
    await guard.execute("BEGIN; SET LOCAL lock_timeout = 2000; SET LOCAL idle_in_transaction_session_timeout = 0")
    try:
        await guard.execute("LOCK TABLE replica IN SHARE ROW EXCLUSIVE MODE")
    except asyncpg.LockNotAvailableError:
        raise StoreInUse(f"{name}: another mailbridge uses this database; stop it first") from None
    alive = [one for (one,) in await guard.fetch(ALIVE)]
    if alive:
        raise StoreInUse(
            f"{name}: a daemon uses this database ({', '.join(alive)}); stop it first. One that was killed counts as gone after 10 seconds"
        )


def told(fault: BaseException) -> str:
    """What prevents a move, and what to do."""
    if getattr(fault, "sqlstate", None) == FULL:
        return "the disk of the server is full; make room, and run the same again: it goes on where it was"
    return hint_of(fault)
