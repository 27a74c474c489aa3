"""Makes a PostgreSQL database usable again after it was restored to an earlier state, by pg_restore or to a point in time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mailbridge.config.settings import StoreSettings
from mailbridge.store import StoreError
from mailbridge.store.places import label
from mailbridge.store.postgres.database import FAULTS, numbered
from mailbridge.store.postgres.moving import PATIENCE, take
from mailbridge.store.postgres.opening import checked, connector, hint_of
from mailbridge.store.sql import returning

COUNTERS = (
    "SELECT table_name::text FROM information_schema.columns WHERE table_schema = current_schema() AND is_identity = 'YES'"
    " AND table_name != 'journal' ORDER BY table_name"
)


async def gone_back(settings: StoreSettings, *, key_path: Path) -> int:
    """End what is live in it, and continue after every number that can have been assigned. Returns how many codes waited.

    Raises:
        StoreInUse: a daemon has it.
        StoreError: it cannot be used; the message says why.
    """
    connect = connector(settings, patience=PATIENCE)
    connections: list[Any] = []
    try:
        await checked(settings, connect, key_path, is_visitor=False)
        connections.append(connection := await connect())
        connections.append(guard := await connect())
        await take(label(settings), guard)
        async with connection.transaction():
            return await _ended(connection)
    except (*FAULTS, ValueError) as fault:
        raise StoreError(f"{label(settings)}: {hint_of(fault)}") from None
    finally:
        for one in connections:
            one.terminate()


async def _ended(connection: Any) -> int:
    now = await connection.fetchval("SELECT now_micros()")
    ended = await connection.fetchval(returning.WAITING)
    newest, newest_at = await connection.fetchrow(returning.NEWEST_LINE)
    for statement, values in returning.ending(now):
        await connection.execute(numbered(statement), *values)
    line = newest + returning.gap(newest_at, now)
    await connection.execute("SELECT setval('journal_id_seq', $1, false)", line)
    await connection.execute(numbered(returning.TELL), now, returning.EVENT, f"{ended} codes that waited were ended")
    statement, values = returning.told(line)
    await connection.execute(numbered(statement), *values)
    for (table,) in await connection.fetch(COUNTERS):
        sequence = f"{table}_id_seq"
        await connection.execute(f"SELECT setval('{sequence}', last_value + $1) FROM {sequence}", returning.OTHER_NUMBERS)  # noqa: S608
    return int(ended)
