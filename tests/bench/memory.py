"""Memory of the daemon with all its processes: ``python -m tests.bench.memory [--mails 20000] [--json] [--beside COMMIT]``.

Prints the PSS (a page that processes share is counted in parts) and the private memory of daemon and worker: idle, after each
quarter of the mails, and after a rest; with the size of the database. Growth is from the first quarter to the last, since caches
and the allocator's arenas fill in the first.

``--beside COMMIT`` compares with another commit: daemons of the two trees run in turn, and the medians of ``--rounds`` are printed with
their ratio: memory when idle and after the mails, and the processor time of all processes until it takes mail (seconds pass at another
pace on a busy machine). Exit 1 above a bar.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.extract_speed import ROOT, tree_of
from tests.bench.load import Sink, all_at_once
from tests.peers.daemon import House, wait_for

CONNECTIONS = 20
KIBI = 1_024
BAR = 1.10
"""How many times the memory of another commit a daemon may take."""


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


def processor_time_of(pid: int) -> float:
    """Seconds that all processes of a daemon have had so far (proc(5), stat)."""
    ticks = 0
    for one in family(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(") ")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


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


async def compared(tree: Path, mails: int) -> tuple[float, float, float]:
    """One round of a comparison: PSS when idle and after the mails, in MB, and the processor's seconds until a daemon is ready."""
    os.environ["PYTHONPATH"] = str(tree)
    sink = Sink()
    server = await sink.listen()
    with tempfile.TemporaryDirectory() as folder:
        house = House(Path(folder), f"http://127.0.0.1:{sink.port}", form="json", level="warning")
        daemon = house.start()
        try:
            await asyncio.to_thread(daemon.until_ready)
            started = processor_time_of(daemon.process.pid)
            await asyncio.to_thread(wait_for, lambda: daemon.get("/readyz").status_code == 200, "it is ready")
            await asyncio.sleep(1)
            idle = memory_of(daemon.process.pid, house.database, "idle").pss
            await all_at_once(house.smtp, sink, count=mails, connections=CONNECTIONS, is_reused=True, first=0)
            await asyncio.sleep(1)
            return idle, memory_of(daemon.process.pid, house.database, "after").pss, started
        finally:
            daemon.kill()
            server.close()


def beside(commit: str, mails: int, rounds: int) -> int:
    """Compare with another commit; how many bars are missed."""
    with tree_of(commit) as other:
        trees = (other, ROOT)
        for tree in trees:  # compiling takes memory that an installed daemon does not
            subprocess.run([sys.executable, "-m", "compileall", "-q", str(tree / "mailbridge")], check=True)
        found: list[list[tuple[float, float, float]]] = [[], []]
        for turn in range(rounds):
            for place in (0, 1) if turn % 2 else (1, 0):
                found[place].append(asyncio.run(compared(trees[place], mails)))
    missed = 0
    print(f"{f'median of {rounds}':28}{commit:>12}{'now':>9}{'ratio':>8}   bar")
    for number, (title, bar) in enumerate(
        (("PSS idle, MB", BAR), (f"PSS after {mails} mails, MB", BAR), ("start, s of CPU", None))
    ):
        before, now = (statistics.median(one[number] for one in rows) for rows in found)
        is_missed = bar is not None and now > bar * before
        missed += is_missed
        shown = "" if bar is None else f"≤ {bar:g}{'  MISSED' if is_missed else ''}"
        print(f"{title:28}{before:12.2f}{now:9.2f}{now / before:8.2f}   {shown}")
    return missed


def main() -> int:
    """Print a line for each moment, or a comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--mails", type=int)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument(
        "--beside", metavar="COMMIT", help="compare with the code of this commit, with 5000 mails unless --mails says"
    )
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    if asked.beside:
        return 1 if beside(asked.beside, asked.mails or 5_000, asked.rounds) else 0
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measured(Path(folder), asked.mails or 20_000))
    for one in found:
        if asked.json:
            print(json.dumps(asdict(one)))
        else:
            print(f"{one.when:20} PSS {one.pss:6.1f} MB   private {one.private:6.1f} MB   database {one.database:6.1f} MB")
    return 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).resolve().parents[2]))
    raise SystemExit(main())
