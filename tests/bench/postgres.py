"""What a mail costs in PostgreSQL beside SQLite, in one run: from `put` to its claim, the settlement of that, and the whole way out.

python -m tests.bench.postgres [COUNT]
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.delivery import Accepted
from mailbridge.store import Store
from mailbridge.store.sqlite import open_sqlite
from tests.peers.daemon import House, wait_for
from tests.peers.faulty import FaultyReceiver, Temper, running_faulty
from tests.peers.postgres import MEMORY, Postgres, running_postgres
from tests.store.mails import arrival, draft

GRACE = timedelta(seconds=5)
Times = dict[str, list[float]]


async def one(store: Store, number: int, times: Times) -> None:
    """A mail in, its code out."""
    began = time.perf_counter()
    receipt = await store.put(
        arrival(draft(identifier=f"u{number % 50}@example.com"), at=SteadyClock().now(), fingerprint=str(number))
    )
    claimed = time.perf_counter()
    await store.outbox.settle(receipt.claims[0], Accepted(), jitter=1.0, grace=GRACE)
    times["put"].append(claimed - began)
    times["settle"].append(time.perf_counter() - claimed)


async def measured(count: int, folder: Path, server: Postgres) -> dict[str, Times]:
    """Turn about, so that both meet the same neighbours."""
    from mailbridge.store.postgres import open_postgres

    settings, clock = RetentionSettings(), SteadyClock()
    lite = open_sqlite(StoreSettings(url=f"sqlite:///{folder}/one.db"), settings, clock=clock, grace=GRACE)
    post = await open_postgres(
        StoreSettings(url=server.url()), settings, key_path=folder / "one.key2", clock=SteadyClock(), grace=GRACE
    )
    stores: dict[str, Store] = {"sqlite": lite, "postgresql": post}
    times: dict[str, Times] = {name: {"put": [], "settle": []} for name in stores}
    for number in range(count):
        for name, store in stores.items():
            await one(store, number, times[name])
    unmeasured: Times = {"put": [], "settle": []}
    for name, store in stores.items():
        began = time.perf_counter()
        for first in range(0, 400, 20):
            await asyncio.gather(*(one(store, count + first + n, unmeasured) for n in range(20)))
        times[name]["a mail of 20 at once"] = [(time.perf_counter() - began) / 400]
        await store.close()
    return times


def pushed(count: int, folder: Path, server: Postgres) -> None:
    """From the beginning of a mail over SMTP until its code is at the receiver, by a daemon on each, turn about."""
    with ExitStack() as stack:
        houses: dict[str, tuple[House, FaultyReceiver]] = {}
        for name, url in (("sqlite", ""), ("postgresql", server.url())):
            receiver = stack.enter_context(running_faulty(Temper()))
            (folder / name).mkdir()
            house = House(folder / name, receiver.base_url, level="info", url=url, key_file=folder / "daemons.key")
            stack.enter_context(house.running())
            houses[name] = house, receiver
        took: dict[str, list[float]] = {name: [] for name in houses}
        for number in range(count):
            for name, (house, receiver) in houses.items():
                code, began = str(50_000_000 + number), datetime.now(UTC)
                assert house.send(code, identifier=f"u{number % 20}@example.com")[0] == 250
                wait_for(lambda rows=receiver.rows, code=code: bool(rows) and rows[-1].code == code, "it is pushed")  # type: ignore[misc]
                took[name].append((receiver.rows[-1].at - began).total_seconds() * 1000)
    lite, post = (statistics.median(took[name][20:]) for name in ("sqlite", "postgresql"))
    print(f"{'SMTP to the receiver':24} sqlite {lite:7.3f} ms   postgresql {post:7.3f} ms   {post / lite:5.2f} x")


def main(count: int) -> None:
    """Print the milliseconds of both, and their ratio."""
    memory = MEMORY if MEMORY.is_dir() else None
    with (
        tempfile.TemporaryDirectory(dir=memory) as folder,
        running_postgres() as server,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,  # as the daemon
    ):
        times = runner.run(measured(count, Path(folder), server))
        server.ask("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
        pushed(120, Path(folder), server)
    for what in times["sqlite"]:
        lite, post = (statistics.median(times[name][what]) * 1000 for name in ("sqlite", "postgresql"))
        print(f"{what:24} sqlite {lite:7.3f} ms   postgresql {post:7.3f} ms   {post / lite:5.2f} x")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500)
