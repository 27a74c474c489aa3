"""What a mail costs in the processor's time with 1, 2 and 4 replicas on one PostgreSQL, and how long a wait at another replica takes.

python -m tests.bench.replicas [--mails 600] [--rounds 3] [--waits 200] [--replicas 1 2 4] [--json FILE]

The costs are the processor's milliseconds of all processes of the replicas and of the server, for mails that come by SMTP to all
replicas alike, as many at once to each, and are pushed; with notifications and without. Each round measures every arrangement once, in turn, so that all meet
the same neighbours; the median of the rounds is shown. A wait is from the 250 at one replica to the answer of a long poll at another,
beside the same at the replica where the mail came in.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.bench.memory import family
from tests.peers.daemon import Daemon, House, wait_for
from tests.peers.faulty import FaultyReceiver, Temper, running_faulty
from tests.peers.postgres import MEMORY, Postgres, running_postgres
from tests.replicas.fleet import ENVIRON, TOKEN, furnished

ROOT = Path(__file__).resolve().parents[2]
SILENT = (sys.executable, "-m", "tests.bench.silent")
CLIENTS = 4
"""Of each replica: a replica with less at once puts fewer mails into a commit, and a mail costs more for that and not for the others."""
WARM_UP = 60
REAPED = 15
"""Where in `/proc/PID/stat`, behind the name, the times of children end that are gone; the four before are all times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One arrangement in one round: the processor's milliseconds for each mail, and what each process had of a core at the most."""

    replicas: int
    notify: bool
    mails: int
    per_second: float
    of_replicas: float
    of_postgres: float
    busiest_replica: float
    postgres_share: float

    @property
    def each(self) -> float:
        """Of replicas and server together."""
        return self.of_replicas + self.of_postgres


def spent(pid: int) -> float:
    """Seconds of the processor that a process and all its descendants have had, those that are gone too (proc(5), stat)."""
    ticks = 0
    for one in family(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(") ")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended; its parent has its time now, or soon
        ticks += sum(map(int, fields[11:REAPED]))
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def fleet(count: int, server: Postgres, receiver: FaultyReceiver, *, notify: bool) -> Iterator[list[tuple[House, Daemon]]]:
    """So many replicas on a new database, ready."""
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder, ExitStack() as stack:
        houses = furnished(server, receiver, Path(folder), count)
        running = []
        for house in houses:
            house.level = "info"
            house.configure()
            before = () if notify else SILENT
            env = ENVIRON | {"PYTHONPATH": str(ROOT)}
            running.append((house, stack.enter_context(house.running(before=before, env=env))))
        yield running


def send_all(houses: Sequence[House], first: int, count: int, receiver: FaultyReceiver) -> float:
    """So many mails, each to an identifier of its own, by a few clients of each replica at once. Returns the seconds until all are
    pushed."""
    taken = len(receiver.rows)
    clients = CLIENTS * len(houses)
    began = time.perf_counter()

    def some(own: int) -> None:
        house = houses[own % len(houses)]
        for number in range(first + own, first + count, clients):
            assert house.send(str(10_000_000 + number), identifier=f"u{number}@corp.example")[0] == 250

    threads = [threading.Thread(target=some, args=(own,)) for own in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for(lambda: len(receiver.rows) >= taken + count, "all are pushed")
    return time.perf_counter() - began


def cost(count: int, mails: int, server: Postgres, *, notify: bool) -> Cost:
    """Measure one arrangement."""
    with running_faulty(Temper()) as receiver, fleet(count, server, receiver, notify=notify) as running:
        houses = [house for house, _ in running]
        send_all(houses, 0, WARM_UP * count, receiver)
        assert server.process is not None
        pids = [server.process.pid, *(daemon.process.pid for _, daemon in running)]
        before = [spent(pid) for pid in pids]
        took = send_all(houses, 1_000_000, mails, receiver)
        of_postgres, *of_replicas = (spent(pid) - was for pid, was in zip(pids, before, strict=True))
    return Cost(
        replicas=count,
        notify=notify,
        mails=mails,
        per_second=round(mails / took, 1),
        of_replicas=round(sum(of_replicas) / mails * 1000, 3),
        of_postgres=round(of_postgres / mails * 1000, 3),
        busiest_replica=round(max(of_replicas) / took, 2),
        postgres_share=round(of_postgres / took, 2),
    )


def waited(asked: House, daemon: Daemon, sent_to: House, code: str) -> float:
    """Milliseconds from the 250 at one replica to the answer of a long poll, perhaps at another."""
    identifier = f"w{code}@corp.example"
    found: list[tuple[str, float]] = []

    def wait() -> None:
        answer = httpx.get(
            f"http://{asked.host}:{asked.http}/api/v1/codes/wait",
            params={"identifier": identifier, "timeout": "30"},
            headers={"Authorization": f"Bearer {TOKEN}"},
            trust_env=False,
            timeout=40,
        )
        found.append((str(answer.json()["code"]), time.perf_counter()))

    thread = threading.Thread(target=wait)
    thread.start()
    wait_for(lambda: 'mailbridge_waiting{way="api"} 1.0' in daemon.get("/metrics").text, "somebody waits")
    assert sent_to.send(code, identifier=identifier)[0] == 250
    acknowledged = time.perf_counter()
    thread.join(40)
    assert [one for one, _ in found] == [code]
    return (found[0][1] - acknowledged) * 1000


def waits(count: int, server: Postgres) -> dict[str, float]:
    """The milliseconds of waits at the replica where the mail comes in, and at another one, turn about."""
    took: dict[str, list[float]] = {"the same replica": [], "another replica": []}
    with running_faulty(Temper()) as receiver, fleet(2, server, receiver, notify=True) as running:
        (first, _), (second, other) = running
        for number in range(count):
            took["the same replica"].append(waited(second, other, second, str(20_000_000 + number)))
            took["another replica"].append(waited(second, other, first, str(30_000_000 + number)))
    return {f"{name}, {which}": round(at(each), 2) for name, each in took.items() for which, at in AT.items()}


AT: dict[str, Callable[[list[float]], float]] = {
    "p50": statistics.median,
    "p95": lambda values: statistics.quantiles(values, n=20)[-1],
}


def main(words: argparse.Namespace) -> dict[str, Any]:
    """Measure, print and return everything."""
    rounds: list[Cost] = []
    with running_postgres() as server:
        for _ in range(words.rounds):
            for count in words.replicas:
                for notify in (True, False) if count > 1 else (True,):
                    rounds.append(cost(count, words.mails, server, notify=notify))
                    print(json.dumps(asdict(rounds[-1])), flush=True)
        of_waits = waits(words.waits, server) if words.waits else {}
    medians = {}
    for count, notify in dict.fromkeys((one.replicas, one.notify) for one in rounds):
        same = [one for one in rounds if (one.replicas, one.notify) == (count, notify)]
        name = f"{count} replicas, NOTIFY {'on' if notify else 'off'}"
        medians[name] = round(statistics.median(one.each for one in same), 2)
    least = min(medians.values())
    for name, each in medians.items():
        print(f"{name:28} {each:7.2f} ms of the processor for a mail   {each / least:5.2f} x")
    for name, each in of_waits.items():
        print(f"wait at {name:28} {each:7.2f} ms")
    return {"rounds": [asdict(one) for one in rounds], "ms_per_mail": medians, "waits_ms": of_waits, "load": os.getloadavg()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mails", type=int, default=600, help="in each round of each arrangement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--waits", type=int, default=200, help="0: none")
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    asked = parser.parse_args()
    figures = main(asked)
    if asked.json:
        Path(asked.json).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
