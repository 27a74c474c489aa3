"""What a mail and a look cost in a store with a million mails, beside one that is next to empty: ``python -m tests.bench.million``.

    --mails 1000000     how many are stored; every code of the day is pushed, those that are over are erased
    --times 300         how often each is done, turn about in both stores; the median counts
    --database PATH     a database that `tests.bench.filling` has made, instead of making one
    --postgres URL      a PostgreSQL into which `mailbridge migrate` has moved that database, instead of moving it
    --key PATH          the key file of that PostgreSQL
    --json FILE         what was measured

Next to empty is a store of 2,000 mails, so that a page is a whole page in both, and as many of one person as in the large one. Each operation is that of the store's contract; ``search``
is for a word that the newest mails have. The bar is 1.3 times; it is not meant for ``mails of a sender``, whose mails are rarer among a million
(one in 200, one in 20), and who are found by a walk from the newest mail.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import secrets
import statistics
import tempfile
import time
from collections.abc import Awaitable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvloop

from mailbridge.app.moving import moved
from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.delivery import Accepted
from mailbridge.store import Filter, Store
from mailbridge.store.places import is_postgres, key_path_of
from mailbridge.store.reading import Wanted
from mailbridge.store.sqlite import open_sqlite
from tests.bench.filling import GRACE, MANY_PEOPLE, People
from tests.bench.filling import main as make
from tests.peers.postgres import Postgres, found, given
from tests.store.mails import arrival, draft

FEW = 2_000
FEW_PEOPLE = People(identifiers=FEW // 20, senders=20)
NOW = timedelta(seconds=1)
BAR = 1.3
WARM = 10
MONTH = RetentionSettings(mail=timedelta(days=30))
Times = dict[str, list[tuple[float, float]]]


class Use:
    """One store in use. Times are of the wall clock, and of this process's processor, in milliseconds."""

    def __init__(self, people: People, store: Store) -> None:
        self.people = people
        self.store = store
        self.times: Times = {}
        self._number = 0

    async def _timed(self, what: str, doing: Awaitable[Any]) -> Any:
        began, worked = time.perf_counter(), time.process_time()
        result = await doing
        took = ((time.perf_counter() - began) * 1_000, (time.process_time() - worked) * 1_000)
        self.times.setdefault(what, []).append(took)
        return result

    async def clean(self) -> None:
        """Erase what has become over since the store was filled."""
        while (again_at := await self.store.sweep()) is not None and again_at <= SteadyClock().now() + NOW:
            pass

    async def once(self) -> None:
        """Each operation once."""
        self._number += 1
        identifier = self.people.identifier(self._number * 37)
        code = draft(f"{self._number % 1_000_000:06d}", identifier=identifier, sender="no-reply@sender7.example")
        mail = arrival(code, at=SteadyClock().now(), size=1_000, fingerprint=secrets.token_hex(8))
        receipt = await self._timed("put", self.store.put(mail))
        await self.store.outbox.release(receipt.claims)
        due = await self._timed("claim", self.store.outbox.claim(limit=8))
        for claim in due.claims:
            await self._timed("settle", self.store.outbox.settle(claim, Accepted(), jitter=0.0, grace=GRACE))
        await self._timed("latest", self.store.codes.newest(Wanted(identifier=identifier)))
        newest = await self.store.journal.newest()
        await self._timed("feed", self.store.journal.after(newest - 100, limit=100))
        await self._timed("page of mails", self.store.mails.page(limit=100))
        await self._timed("page of deliveries", self.store.outbox.deliveries(limit=100))
        await self._timed("mails of one", self.store.mails.page(Filter(identifier=identifier), limit=20))
        await self._timed("mails of a sender", self.store.mails.page(Filter(sender="sender7.example"), limit=20))
        await self._timed("search", self.store.mails.search("your code", limit=20))
        await self._timed("sweep", self.store.sweep())


async def opened(settings: StoreSettings) -> Store:
    """As a daemon opens it."""
    if not is_postgres(settings):
        return open_sqlite(settings, MONTH, clock=SteadyClock(), grace=GRACE)
    from mailbridge.store.postgres import open_postgres

    return await open_postgres(settings, MONTH, key_path=key_path_of(settings), clock=SteadyClock(), grace=GRACE)


async def measured(places: dict[str, tuple[StoreSettings, StoreSettings]], times: int) -> dict[str, Any]:
    """Turn about, engine by engine."""
    said: dict[str, Any] = {}
    for engine, (few, many) in places.items():
        uses = [Use(FEW_PEOPLE, await opened(few)), Use(MANY_PEOPLE, await opened(many))]
        for use in uses:
            await use.clean()
        for number in range(WARM + times):
            for use in uses:
                await use.once()
            if number == WARM:
                for use in uses:
                    use.times.clear()
        for use in uses:
            await use.store.close()
        said[engine] = {}
        for what in uses[0].times:
            (few_ms, few_cpu), (many_ms, many_cpu) = (
                (statistics.median(wall for wall, _ in use.times[what]), statistics.median(cpu for _, cpu in use.times[what]))
                for use in uses
            )
            said[engine][what] = {
                "few_ms": round(few_ms, 4),
                "many_ms": round(many_ms, 4),
                "ratio": round(many_ms / few_ms, 3),
                "cpu_ratio": round(many_cpu / few_cpu, 3),
            }
            print(
                f"{engine:10} {what:20} {few_ms:8.3f} ms   {many_ms:8.3f} ms   {many_ms / few_ms:5.2f} x   processor"
                f" {many_cpu / few_cpu:5.2f} x{'' if many_ms <= BAR * few_ms else f'   more than {BAR} x'}",
                flush=True,
            )
    return said


async def all_of_it(options: argparse.Namespace, folder: Path, server: Postgres | None) -> dict[str, Any]:
    """Make what is not there, and measure."""
    few, many = (
        StoreSettings(url=f"sqlite:///{folder}/few.db"),
        StoreSettings(url=f"sqlite:///{options.database or folder / 'many.db'}"),
    )
    await make(folder / "few.db", FEW, FEW_PEOPLE)
    if options.database is None:
        await make(folder / "many.db", options.mails)
    places = {"sqlite": (few, many)}
    if options.postgres:
        base = options.postgres.rpartition("/")[0]
        there = StoreSettings(url=options.postgres, key_file=options.key, folder=folder)
        few_there = StoreSettings(url=f"{base}/few", key_file=folder / "few.pg.key", folder=folder)
        await moved(few, few_there)
        places["postgresql"] = (few_there, there)
    elif server is not None:
        await server.asked("CREATE DATABASE few", "CREATE DATABASE many")
        pair = tuple(
            StoreSettings(url=server.url(name), folder=folder, key_file=folder / f"{name}.pg.key") for name in ("few", "many")
        )
        for source, target in zip((few, many), pair, strict=True):
            await moved(source, target)
        places["postgresql"] = (pair[0], pair[1])
    return await measured(places, options.times)


def main(options: argparse.Namespace) -> None:
    """Print, and write."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.folder, prefix="million-")))
        folder.chmod(0o755)
        server = None
        if not options.postgres and found():
            server = Postgres(folder=given(folder / "server"), installed=found()[0])
            server.prepare()
            with (server.data / "postgresql.conf").open("a", encoding="utf-8") as stream:
                stream.write("shared_buffers = 256MB\nmax_wal_size = 2GB\nautovacuum = on\n")
            server.start()
            stack.callback(server.stop)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            said = runner.run(all_of_it(options, folder, server))
    if options.json is not None:
        found_all = {"mails": options.mails, "few": FEW, "bar": BAR, "load": os.getloadavg(), "engines": said}
        options.json.write_text(json.dumps(found_all, indent=1), encoding="utf-8")


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mails", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=300)
    parser.add_argument("--database", type=Path)
    parser.add_argument("--postgres", default="")
    parser.add_argument("--key", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    main(parser.parse_args())
