"""Mails stored while lists are read: ``python -m tests.bench.readers [--mails 20000] [--puts 300] [--readers 5] [--rounds 5]``.

The store alone, without a daemon around it. Rounds alternate between puts alone and puts beside readers that ask for page after page
of mails, deliveries and the journal without a pause; the median round counts. Prints how long a put takes, and the ratio at p99.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import uvloop

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.delivery import Accepted
from mailbridge.store import Store
from mailbridge.store.sqlite import open_sqlite
from tests.store.mails import arrival, draft

PAGE = 100
AT_ONCE = 100
SIZE = 4_000
GRACE = timedelta(seconds=5)


async def fill(store: Store, clock: SteadyClock, count: int) -> None:
    """So many mails, delivered."""

    async def one(number: int) -> None:
        mail = arrival(draft(f"{number:06d}", identifier=f"u{number % 500}@example.com"), at=clock.now(), size=SIZE)
        for claim in (await store.put(mail)).claims:
            await store.outbox.settle(claim, Accepted(), jitter=0.0, grace=GRACE)

    for first in range(0, count, AT_ONCE):
        await asyncio.gather(*(one(number) for number in range(first, first + AT_ONCE)))


async def put(store: Store, clock: SteadyClock, count: int, serial: list[int]) -> list[float]:
    """So many mails, one after the other. Returns how long each took, in milliseconds."""
    took = []
    for _ in range(count):
        serial[0] += 1
        mail = arrival(draft("482913", identifier=f"new{serial[0]}@example.com"), at=clock.now(), size=SIZE)
        began = time.perf_counter()
        await store.put(mail)
        took.append((time.perf_counter() - began) * 1_000)
    return took


async def read(store: Store, number: int, pages: list[int]) -> None:
    """Page after page, for ever, of a list that depends on the reader's number."""
    lists: list[Callable[[int | None], Awaitable[int | None]]] = [
        lambda before: _mails(store, before),
        lambda before: _deliveries(store, before),
        lambda before: _journal(store, before),
    ]
    ask, place = lists[number % len(lists)], None
    while True:
        place = await ask(place)
        pages[0] += 1


async def _mails(store: Store, before: int | None) -> int | None:
    return (await store.mails.page(before=before, limit=PAGE)).next


async def _deliveries(store: Store, before: int | None) -> int | None:
    return (await store.outbox.deliveries(before=before, limit=PAGE)).next


async def _journal(store: Store, after: int | None) -> int | None:
    lines = await store.journal.after(after or 0, limit=PAGE)
    return lines[-1].id if lines else None


def at(took: list[float], share: float) -> float:
    """The value that so large a share does not exceed."""
    return sorted(took)[min(int(len(took) * share), len(took) - 1)]


async def main(*, mails: int, puts: int, readers: int, rounds: int) -> None:
    """Measure and print."""
    clock, serial, pages = SteadyClock(), [0], [0]
    with tempfile.TemporaryDirectory() as folder:
        settings = StoreSettings(url=f"sqlite:///{Path(folder) / 'mailbridge.db'}")
        store = open_sqlite(settings, RetentionSettings(), clock=clock, grace=GRACE)
        await fill(store, clock, mails)
        await put(store, clock, puts, serial)
        alone: list[list[float]] = []
        beside: list[list[float]] = []
        reading = 0.0
        for _ in range(rounds):
            alone.append(await put(store, clock, puts, serial))
            tasks = [asyncio.create_task(read(store, number, pages)) for number in range(readers)]
            await asyncio.sleep(0.05)
            began = time.perf_counter()
            beside.append(await put(store, clock, puts, serial))
            reading += time.perf_counter() - began
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await store.close()
    for name, found in (("alone", alone), (f"beside {readers} readers", beside)):
        p50, p99 = (statistics.median(at(one, share) for one in found) for share in (0.5, 0.99))
        print(
            f"{name:20} p50 {p50:6.2f} ms   p99 {p99:6.2f} ms   (p99 of each round: {', '.join(f'{at(one, 0.99):.2f}' for one in found)})"
        )
    ratio = statistics.median(at(one, 0.99) for one in beside) / statistics.median(at(one, 0.99) for one in alone)
    print(f"p99 beside / alone {ratio:.2f} ×, {pages[0] / reading:.0f} pages of {PAGE} rows a second meanwhile")


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--mails", type=int, default=20_000)
    options.add_argument("--puts", type=int, default=300)
    options.add_argument("--readers", type=int, default=5)
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    uvloop.run(main(mails=chosen.mails, puts=chosen.puts, readers=chosen.readers, rounds=chosen.rounds))
