"""The constants of docs/scaling.md, and whether the model foretells what is measured: ``python -m tests.bench.scaling``.

``--json FILE`` writes constants, points and predictions, ``--plot FILE`` draws them as SVG (`make scaling`: those of the page, whose figures
`scaling_page` then writes), ``--check`` exits 1 where a prediction is off by more than 20 %. Replicas, a PostgreSQL in memory, the receiver and the load share this machine, so its cores are one resource of the model.
Points that are fitted and points that are foretold are different ones: other rates, and another number of replicas. Mails come at random
moments, as those of many senders do: evenly spaced ones wait for nobody until nothing can keep up, and at several replicas they come in
step. Wants a quiet machine: what others take of its cores meanwhile is measured, and the verdict says so where it is much.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import uvloop

from tests.bench.load import at_a_rate
from tests.bench.memory import memory_of
from tests.bench.model import Constants, Plan, fitted, latency, total, uses
from tests.bench.plot import Chart, sheet
from tests.bench.systems import System, mailbridge, processor_times
from tests.peers.daemon import House, wait_for
from tests.peers.dovecot import is_installed, running_dovecot
from tests.peers.faulty import running_faulty
from tests.peers.postgres import MEMORY, Postgres, running_postgres

CORES = len(os.sched_getaffinity(0))
FITTED = ((1, 0.15), (1, 0.5), (1, 0.75), (2, 0.3))
FORETOLD = ((1, 0.35), (2, 0.6))
"""Replicas, and the share of the machine's time that the rate should take."""

PROBE = 30.0
"""Mails a second of the run that finds out what a mail costs."""

WAITS = 400
WITHIN = 0.20
QUIET = 0.1
"""Of the machine's time, what others may take of it at the most for a prediction to be judged."""

ROUNDS = 3

MAILBOXES = 60
WATCHED = 30.0
"""Mailboxes of the run that finds out what one takes, and for how many seconds they are watched."""

ACCOUNT = """
[[imap]]
name = "box{number}"
host = "localhost"
port = {port}
tls_ca = "{ca}"
username = "user{number}@corp.example"
password = "pw"
"""

Costs = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One measured point: what was asked for, what it cost a mail in processor seconds, and milliseconds until the push. ``others``: the
    share of the machine's time that went to processes which are none of this."""

    replicas: int
    rate: float
    p50: float
    p99: float
    costs: Costs
    others: float

    @property
    def plan(self) -> Plan:
        """As the model sees it."""
        return Plan(rate=self.rate, replicas=self.replicas, database_cores=CORES, shared_cores=CORES)


def _spent(pid: int) -> float:
    """Processor seconds of a process so far, all its threads. One that is gone has none."""
    spent = 0
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            spent += int((task / "schedstat").read_text().split()[0])
    return spent / 1e9


def _spent_by_all(pid: int) -> float:
    """The same of a process and all that descend from it, which may end meanwhile (a server's connections)."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
    return sum(_spent(one) for one in found)


def _busy() -> float:
    """Seconds that the processors of this machine have worked so far, whoever for (proc(5), stat)."""
    user, nice, system, _idle, _waiting, *more = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9])
    return (user + nice + system + sum(more)) / os.sysconf("SC_CLK_TCK")


def _costs(systems: Sequence[System], server: Postgres) -> Costs:
    """Processor seconds of every part so far."""
    assert server.process is not None
    parts = [processor_times(one.pid) for one in systems]
    found = {name: sum(one[name] for one in parts) / 1000 for name in ("main", "threads", "children")}
    return {**found, "database": _spent_by_all(server.process.pid), "load": _spent(os.getpid())}


async def measured(systems: Sequence[System], server: Postgres, *, rate: float, seconds: float) -> Point:
    """Mails at a rate, spread evenly over the replicas."""
    before, busy, began = _costs(systems, server), _busy(), time.monotonic()
    each = rate / len(systems)
    runs = []
    for one in systems:
        first = systems[0].numbers(int(each * seconds))
        runs.append(at_a_rate(one.port, one.sink, rate=each, seconds=seconds, first=first, dice=random.Random(first)))
    figures = await asyncio.gather(*runs)
    push = sorted(ms for one in figures for ms in one.push)
    spent = {part: after - before[part] for part, after in _costs(systems, server).items()}
    others = (_busy() - busy - sum(spent.values())) / (time.monotonic() - began) / CORES
    return Point(
        replicas=len(systems),
        rate=rate,
        p50=statistics.median(push),
        p99=push[int(0.99 * (len(push) - 1))],
        costs={part: whole / len(push) for part, whole in spent.items()},
        others=max(others, 0.0),
    )


async def wait_octets(system: System, token: str, folder: Path) -> float:
    """What a request that is held open takes, of memory in the daemon."""
    before = memory_of(system.pid, folder / "none", "").private
    head = "GET /api/v1/codes/wait?identifier=u{}@example.com&timeout=60 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n"
    held = []
    for number in range(WAITS):
        one = socket.create_connection(("127.0.0.1", system.http))
        one.sendall(head.format(number, token).encode())
        held.append(one)
    await asyncio.sleep(3)
    after = memory_of(system.pid, folder / "none", "").private
    for one in held:
        one.close()
    return max(after - before, 0.0) * 1e6 / WAITS


async def every_point(
    folder: Path, server: Postgres, *, seconds: float, rounds: int, part: float
) -> tuple[list[Point], Constants]:
    """The points of each round, the fitted ones first, and the constants but for the latency's."""
    common = {"MAILBRIDGE_STORE__URL": server.url(), "MAILBRIDGE_STORE__KEY_FILE": f"{folder}/shared.key"}
    common["MAILBRIDGE_HTTP__TOKEN"] = token = "a-token-of-the-bench"
    async with AsyncExitStack() as stack:
        systems: list[System] = []
        for number in (1, 2):
            own = folder / str(number)
            own.mkdir()
            more = common | {"MAILBRIDGE_STORE__FOLDER": str(own)}
            more |= {"SKYVERN_BASE_URL": f"http://127.0.0.1:{systems[0].sink.port}"} if systems else {}
            systems.append(await stack.enter_async_context(mailbridge(own, more)))
        systems[1].sink = systems[0].sink
        await measured(systems, server, rate=PROBE, seconds=3)  # caches, connections and plans
        size = await _size(server)
        probe = await measured(systems, server, rate=PROBE, seconds=seconds)
        octets = (await _size(server) - size) / (PROBE * seconds)
        ((secret,),) = await server.asked("SELECT avg(pg_column_size(raw) + pg_column_size(private))::float FROM mail")
        spent = sum(probe.costs.values())
        points = []
        for _ in range(rounds):
            for replicas, share in (*FITTED, *FORETOLD):
                rate = part * share * CORES / spent
                point = await measured(systems[:replicas], server, rate=rate, seconds=seconds)
                points.append(point)
                print(f"{replicas} replicas, {rate:6.1f} mails/s: p50 {point.p50:7.2f} ms, p99 {point.p99:8.2f} ms", flush=True)
        held = await wait_octets(systems[0], token, folder)
    costs = {part: statistics.median(one.costs[part] for one in points) for part in probe.costs}
    constants = Constants(
        main=costs["main"],
        threads=costs["threads"],
        parser=costs["children"],
        database=costs["database"],
        load=costs["load"],
        floor_ms=0.0,
        queue_ms=0.0,
        mail_octets=float(secret),
        journal_octets=octets - float(secret),
        wait_octets=held,
        mailbox_octets=0.0,
        mailbox_seconds=0.0,
    )
    return points, constants


async def _size(server: Postgres) -> float:
    ((octets,),) = await server.asked("SELECT pg_database_size(current_database())")
    return float(octets)


def mailbox_costs(folder: Path) -> tuple[float, float]:
    """Octets of memory of a watched mailbox, and the processor seconds that it takes each second while nothing comes."""
    if not is_installed():
        return 0.0, 0.0
    users = [f"user{number}@corp.example" for number in range(MAILBOXES)]
    with running_dovecot(folder / "d", users=users) as server, running_faulty() as receiver:
        house = House(folder, receiver.base_url, level="error")
        with house.running() as daemon:
            empty = memory_of(daemon.process.pid, house.database, "").private
        house.more = "".join(ACCOUNT.format(number=one, port=server.imaps, ca=server.ca) for one in range(MAILBOXES))
        house.configure()
        house.config.chmod(0o600)
        with house.running() as daemon:

            def is_watching() -> bool:
                told = daemon.get("/readyz").json().get("mailboxes", ())
                return sum(one["mode"] in ("idle", "notify") for one in told) == MAILBOXES

            wait_for(is_watching, "all mailboxes are watched", patience=240)
            full = memory_of(daemon.process.pid, house.database, "").private
            before = _spent_by_all(daemon.process.pid)
            time.sleep(WATCHED)
            spent = _spent_by_all(daemon.process.pid) - before
    return max(full - empty, 0.0) * 1e6 / MAILBOXES, spent / WATCHED / MAILBOXES


def medians(points: Sequence[Point], kinds: Sequence[tuple[int, float]]) -> list[Point]:
    """The median round of each kind of point, as they came in every round."""
    every = (*FITTED, *FORETOLD)
    found = []
    for kind in kinds:
        rounds = points[every.index(kind) :: len(every)]
        found.append(sorted(rounds, key=lambda one: one.p50)[len(rounds) // 2])
    return found


def use_of(constants: Constants, plan: Plan) -> float:
    """Of the busiest resource."""
    return max(uses(constants, plan).values())


def judged(constants: Constants, points: Sequence[Point]) -> list[dict[str, float]]:
    """What the model foretold of points that it was not fitted to, beside what was measured."""
    rows = []
    for one in points:
        cost = sum(one.costs.values())
        foretold = latency(constants, one.plan)
        rows.append(
            {
                "replicas": one.replicas,
                "rate": one.rate,
                "p50 foretold": foretold,
                "p50 measured": one.p50,
                "p50 off": foretold / one.p50 - 1,
                "cores foretold": one.rate * total(constants),
                "cores measured": one.rate * cost,
                "cores off": total(constants) / cost - 1,
            }
        )
    return rows


def drawn(constants: Constants, points: Sequence[Point]) -> str:
    """Latency over the rate, the model's line and what was measured; and the use of each resource."""
    most = 0.92 * CORES / total(constants)
    rates = [most * step / 60 for step in range(1, 61)]
    lines, dots = {}, {}
    for replicas in sorted({one.replicas for one in points}):
        name = f"{replicas} replica{'s' if replicas > 1 else ''}"
        plans = [Plan(rate=rate, replicas=replicas, database_cores=CORES, shared_cores=CORES) for rate in rates]
        lines[name] = [(one.rate, latency(constants, one)) for one in plans]
        dots[name] = [(one.rate, one.p50) for one in points if one.replicas == replicas]
    plans = [Plan(rate=rate, replicas=1, database_cores=CORES, shared_cores=CORES) for rate in rates]
    used = {name: [(one.rate, 100 * uses(constants, one)[name]) for one in plans] for name in uses(constants, plans[0])}
    del used["watching of mailboxes"]
    return sheet(
        [
            Chart(
                title="From the end of a mail to the receiver: model (lines) and measured (points)",
                x="mails/s",
                y="ms, median",
                lines=lines,
                points=dots,
            ),
            Chart(title=f"How busy each part is: one replica, all on {CORES} cores", x="mails/s", y="% of its time", lines=used),
        ]
    )


def main() -> int:
    """Measure, fit, foretell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=12.0, help="how long each point is measured")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often; the median counts")
    parser.add_argument("--part", type=float, default=1.0, help="of all rates: less where others use the machine too")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    memory = MEMORY if MEMORY.is_dir() else None
    with (
        tempfile.TemporaryDirectory(dir=memory) as folder,
        running_postgres() as server,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        run = every_point(Path(folder), server, seconds=options.seconds, rounds=options.rounds, part=options.part)
        points, constants = runner.run(run)
    with tempfile.TemporaryDirectory(prefix="mailbridge-boxes-") as folder:
        Path(folder).chmod(0o755)
        octets, seconds = mailbox_costs(Path(folder))
    constants = replace(constants, mailbox_octets=octets, mailbox_seconds=seconds)
    floor, queue = fitted([(use_of(constants, one.plan), one.p50) for one in medians(points, FITTED)])
    constants = replace(constants, floor_ms=floor, queue_ms=queue)
    rows = judged(constants, medians(points, FORETOLD))
    load, others = os.getloadavg()[0], statistics.median(one.others for one in points)
    told = {
        "cores": CORES,
        "load": load,
        "others": others,
        "constants": asdict(constants),
        "points": [asdict(one) for one in points],
        "foretold": rows,
    }
    print(json.dumps({"constants": asdict(constants), "foretold": rows}, indent=1))
    if options.json is not None:
        options.json.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    if options.plot is not None:
        options.plot.write_text(drawn(constants, medians(points, (*FITTED, *FORETOLD))), encoding="utf-8")
    is_good = all(abs(row["p50 off"]) <= WITHIN and abs(row["cores off"]) <= WITHIN for row in rows)
    noise = "" if others <= QUIET else ": the machine was not quiet, and this says nothing of the model"
    print(f"others took {others:.0%} of the machine{noise}; foretold within {WITHIN:.0%}: {'yes' if is_good else 'NO'}")
    return 1 if options.check and not is_good else 0


if __name__ == "__main__":
    sys.exit(main())
