"""Memory of the daemon with all its processes: ``python -m tests.bench.memory [--mails 20000] [--json]``.

Prints the PSS (a page that processes share is counted in parts) and the private memory of daemon and worker: idle, after each
quarter of the mails, and after a rest; with the size of the database. Growth is from the first quarter to the last, since caches
and the allocator's arenas fill in the first.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.load import Sink, all_at_once
from tests.peers.daemon import House, wait_for

CONNECTIONS = 20
KIBI = 1_024


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What all processes of a daemon take together, in MB (10^6 octets)."""

    when: str
    pss: float
    private: float
    processes: int
    database: float


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def memory_of(pid: int, database: Path, when: str) -> Memory:
    """What the kernel counts for a daemon now (proc(5), smaps_rollup)."""
    pss = private = 0
    pids = family(pid)
    for one in pids:
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name == "Pss":
                pss += int(rest.split()[0])
            elif name.startswith("Private_"):
                private += int(rest.split()[0])
    sizes = (Path(f"{database}{ending}") for ending in ("", "-wal"))
    return Memory(
        when=when,
        pss=round(pss * KIBI / 1e6, 1),
        private=round(private * KIBI / 1e6, 1),
        processes=len(pids),
        database=round(sum(one.stat().st_size for one in sizes if one.exists()) / 1e6, 1),
    )


async def measured(folder: Path, mails: int) -> list[Memory]:
    """Run a daemon through so many mails."""
    sink = Sink()
    server = await sink.listen()
    house = House(folder, f"http://127.0.0.1:{sink.port}", form="json", level="warning")
    daemon = house.start()
    found: list[Memory] = []
    try:
        await asyncio.to_thread(daemon.until_ready)
        await asyncio.to_thread(wait_for, lambda: daemon.get("/readyz").status_code == 200, "it is ready")
        await asyncio.sleep(1)
        found.append(memory_of(daemon.process.pid, house.database, "idle"))
        quarter = mails // 4
        for number in range(4):
            await all_at_once(house.smtp, sink, count=quarter, connections=CONNECTIONS, is_reused=True, first=number * quarter)
            found.append(memory_of(daemon.process.pid, house.database, f"after {(number + 1) * quarter} mails"))
        await asyncio.sleep(5)
        found.append(memory_of(daemon.process.pid, house.database, "after a rest"))
        began = time.perf_counter()
        daemon.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(daemon.process.wait, 30)
        print(f"stopped in {time.perf_counter() - began:.2f} s", file=sys.stderr)
        began = time.perf_counter()
        again = house.start()
        await asyncio.to_thread(again.until_ready)
        print(f"started with that database in {time.perf_counter() - began:.2f} s", file=sys.stderr)
        again.kill()
    finally:
        daemon.kill()
        server.close()
    return found


def main() -> None:
    """Print a line for each moment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--mails", type=int, default=20_000)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measured(Path(folder), asked.mails))
    for one in found:
        if asked.json:
            print(json.dumps(asdict(one)))
        else:
            print(f"{one.when:20} PSS {one.pss:6.1f} MB   private {one.private:6.1f} MB   database {one.database:6.1f} MB")


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    main()
