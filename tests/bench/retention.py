"""The size of a store at a steady stream of mail, over several periods of retention: ``python -m tests.bench.retention``.

    --engine sqlite|postgresql|both
    --rate 50           mails a second of the moved clock
    --period 1200       seconds for which the journal is kept; mails a quarter of that, codes a twentieth; they live
                        for a fortieth
    --periods 5         how many of them; the first fills the store
    --json FILE         what was measured

Time is moved: each mail comes 1 / rate seconds after the one before, however quickly it is stored. What the bench says of PostgreSQL is with
an autovacuum that looks as much more often as time goes faster (`NAP`). The last number is the growth from the second period's largest
size to the last period's largest.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import uvloop

from mailbridge.clock import MICROSECOND
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.store import Store
from mailbridge.store.sqlite import open_sqlite
from tests.bench.filling import GRACE, a_day_ago, erase, fill
from tests.moved_time import MovedTime
from tests.peers.postgres import Postgres, found, given

NAP = "autovacuum = on\nautovacuum_naptime = 3s\nautovacuum_vacuum_cost_delay = 0\nmax_wal_size = 1GB\n"
STEP = timedelta(seconds=30)
"""How often a daemon sweeps, and what comes between two looks."""

LOOKS = 4
"""How often a period's size is taken."""

Size = Callable[[], Awaitable[dict[str, int]]]
OF_SERVER = (
    "SELECT pg_database_size(current_database()), (SELECT sum(n_dead_tup)::bigint FROM pg_stat_user_tables),"
    " (SELECT sum(n_live_tup)::bigint FROM pg_stat_user_tables)"
)


def kept(period: timedelta) -> RetentionSettings:
    """What is kept for how long."""
    return RetentionSettings(code=period / 20, mail=period / 4, journal=period)


@asynccontextmanager
async def of_sqlite(folder: Path, period: timedelta, now: MovedTime) -> AsyncIterator[tuple[Store, Size]]:
    """A store, and how large it is."""
    path = folder / "one.db"
    store = open_sqlite(StoreSettings(url=f"sqlite:///{path}"), kept(period), clock=now.clock(), grace=GRACE)

    async def size() -> dict[str, int]:
        with apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY) as connection:
            pages, free, octets = (connection.pragma(name) for name in ("page_count", "freelist_count", "page_size"))
        log = path.with_name("one.db-wal")
        return {"octets": pages * octets, "free": free * octets, "log": log.stat().st_size if log.exists() else 0}

    try:
        yield store, size
    finally:
        await store.close()


@asynccontextmanager
async def of_postgres(folder: Path, period: timedelta, now: MovedTime) -> AsyncIterator[tuple[Store, Size]]:
    """The same on a server of its own."""
    from mailbridge.store.postgres import open_postgres  # only where there is a server

    server = Postgres(folder=given(folder / "server"), installed=found()[0])
    server.prepare()
    with (server.data / "postgresql.conf").open("a", encoding="utf-8") as stream:
        stream.write(NAP)
    await asyncio.to_thread(server.start)

    async def read_time(_: object) -> int:
        return now.wall

    store = await open_postgres(
        StoreSettings(url=server.url()),
        kept(period),
        key_path=folder / "one.key",
        clock=now.clock(),
        grace=GRACE,
        read_time=read_time,
    )

    async def size() -> dict[str, int]:
        ((octets, dead, live),) = await server.asked(OF_SERVER)
        return {"octets": octets, "dead": dead, "live": live}

    try:
        yield store, size
    finally:
        await store.close()
        await asyncio.to_thread(server.stop)


async def measured(engine: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One engine's sizes, period by period."""
    period = timedelta(seconds=options.period)
    now = a_day_ago(timedelta(days=2))
    sizes: list[dict[str, Any]] = []
    began, number = time.monotonic(), 0
    some = round(options.rate * STEP.total_seconds())
    steps = max(period // STEP // LOOKS, 1)
    make = of_sqlite if engine == "sqlite" else of_postgres
    async with make(folder, period, now) as (store, size):
        for look in range(options.periods * LOOKS):
            for _ in range(steps):
                await fill(store, now, some, first=number, over=STEP, lifetime=period / 40)
                number += some
                await erase(store, now)
            sizes.append({"period": look // LOOKS + 1, "mails": number, **await size()})
            print(engine, sizes[-1], f"{time.monotonic() - began:.0f} s", flush=True)
    largest = [max(one["octets"] for one in sizes if one["period"] == which + 1) for which in range(options.periods)]
    growth = largest[-1] / largest[1] - 1
    print(f"{engine}: largest of each period {largest}, growth after the second {growth * 100:+.1f} %")
    return {
        "sizes": sizes,
        "largest": largest,
        "growth": round(growth, 4),
        "seconds": round(time.monotonic() - began),
        "times_real": round(options.periods * period.total_seconds() / (time.monotonic() - began), 1),
        "moved_us": period * options.periods // MICROSECOND,
    }


async def main(options: argparse.Namespace) -> None:
    """Measure, print, write."""
    said = {}
    for engine in ("sqlite", "postgresql") if options.engine == "both" else (options.engine,):
        with tempfile.TemporaryDirectory(dir=options.folder, prefix="retention-") as folder:
            Path(folder).chmod(0o755)
            said[engine] = await measured(engine, options, Path(folder))
    if options.json is not None:
        options.json.write_text(
            json.dumps({"rate": options.rate, "period": options.period, "load": os.getloadavg(), "engines": said}, indent=1),
            encoding="utf-8",
        )


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--period", type=float, default=1_200)
    parser.add_argument("--periods", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    uvloop.run(main(parser.parse_args()))
