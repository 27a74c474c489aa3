"""Speed as ratios with a bare loop in the same run: ``python -m tests.bench.bench [--quick] [--beside COMMIT] [--json FILE] [--check]``.

The systems take turns, and the median round counts, since a machine's speed drifts by a third from minute to minute. Load and receiver
are this process; each system has its own. ``--beside COMMIT`` takes another commit's daemon into the turns: its ratio stands beside
that to the bare loop. ``--check``: exit 1 where a row is more than 10 % worse than that commit's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import uvloop

from tests.bench.extract_speed import tree_of
from tests.bench.load import Figures, all_at_once, at_a_rate, one_by_one, to_many
from tests.bench.memory import memory_of
from tests.bench.systems import System, bare, mailbridge, processor_times

CONNECTIONS = 20
WORSE = 1.10
"""How many times worse than another commit's a row may be."""

STEADY = 350
"""Mails a second of a steady load; a system that takes fewer on this machine is not measured by it."""

RECIPIENTS = tuple(f"codes{number}@mailbridge.localhost" for number in range(25))
LARGE, HUGE = 530, 4_400
"""Table rows of mails of 62 and of 495 kB."""

Found = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How long a run is: rounds, mails of a throughput, mails of a latency, seconds of a steady load."""

    rounds: int
    mails: int
    latencies: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A figure's title, whether more is better, and its bar: as a ratio to the bare loop, or itself."""

    title: str
    is_rate: bool = False
    of_bare: float | None = None
    itself: float | None = None


ROWS = {
    "cold_p50": Row(title="push p50, ms", of_bare=1.0),
    "cold_p99": Row(title="push p99, ms"),
    "fresh": Row(title="mails/s, a connection a mail", is_rate=True, of_bare=3.0),
    "kept": Row(title="mails/s, connections kept open", is_rate=True, of_bare=3.3),
    "fresh_cpu": Row(title="CPU a mail, a connection a mail, ms", itself=2.1),
    "kept_cpu": Row(title="CPU a mail, kept open, ms", itself=1.8),
    "kept_main": Row(title="  of it the main thread"),
    "kept_threads": Row(title="  of it other threads (the writer)"),
    "kept_children": Row(title="  of it the parser's process"),
    "steady_p50": Row(title="push p50 at 350 mails/s, ms"),
    "steady_p99": Row(title="push p99 at 350 mails/s, ms"),
    "large": Row(title="push p50 of 62 kB, ms"),
    "huge": Row(title="push p50 of 495 kB, ms", itself=14.0),
    "many": Row(title="mails/s, each to 25 recipients", is_rate=True),
    "after_many": Row(title="mails/s, kept, after those", is_rate=True),
    "burst": Row(title="20 at once, target 100 ms: the last, ms", itself=220.0),
    "own_rate": Row(title="80 % of its own rate, mails/s", is_rate=True),
    "own_p99": Row(title="push p99 at that rate, ms", itself=50.0),
    "start": Row(title="start to the banner, ms", itself=550.0),
    "idle_pss": Row(title="PSS idle, MB", itself=86.0),
    "after_pss": Row(title="PSS after all of it, MB", itself=98.0),
}


async def _cold(system: System, size: Size) -> Found:
    count = size.latencies
    found = await one_by_one(system.port, system.sink, count=count, gap=0.02, first=system.numbers(count))
    return {"cold_p50": found.push_at(0.5), "cold_p99": found.push_at(0.99)}


async def _throughput(system: System, size: Size) -> Found:
    found: Found = {}
    for name, is_reused in (("fresh", False), ("kept", True)):
        before = processor_times(system.pid)
        figures = await _all_at_once(system, size.mails, is_reused=is_reused)
        spent = {part: (ms - before[part]) / size.mails for part, ms in processor_times(system.pid).items()}
        found |= {name: figures.per_second, f"{name}_cpu": sum(spent.values())}
        if is_reused:
            found |= {f"{name}_{part}": ms for part, ms in spent.items()}
    return found


async def _all_at_once(system: System, count: int, *, is_reused: bool) -> Figures:
    first = system.numbers(count)
    return await all_at_once(system.port, system.sink, count=count, connections=CONNECTIONS, is_reused=is_reused, first=first)


async def _sizes(system: System, size: Size) -> Found:
    found: Found = {}
    for name, rows in (("large", LARGE), ("huge", HUGE)):
        count = max(10, size.latencies // 5)
        figures = await one_by_one(system.port, system.sink, count=count, gap=0.02, first=system.numbers(count), rows=rows)
        found[name] = figures.push_at(0.5)
    return found


async def _recipients(system: System, size: Size) -> Found:
    count = max(50, size.mails // 5)
    many = await to_many(
        system.port, system.sink, count=count, connections=CONNECTIONS, first=system.numbers(count), rcpts=RECIPIENTS
    )
    after = await _all_at_once(system, size.mails // 2, is_reused=True)
    return {"many": many.per_second, "after_many": after.per_second}


async def _burst(system: System, _: Size) -> Found:
    system.sink.delay = 0.1
    try:
        figures = await _all_at_once(system, 20, is_reused=True)
    finally:
        system.sink.delay = 0.0
    return {"burst": 20_000 / figures.per_second}


async def _steady(system: System, size: Size) -> Found:
    first = system.numbers(int(STEADY * size.seconds))
    found = await at_a_rate(system.port, system.sink, rate=STEADY, seconds=size.seconds, first=first)
    return {"steady_p50": found.push_at(0.5), "steady_p99": found.push_at(0.99)}


async def _at_its_own(system: System, size: Size) -> Found:
    """A steady load of 80 % of what it takes right now: of what it took some minutes ago, a busier machine cannot take 80 %, and what is
    found then is how long the queue grows."""
    runs = [await _all_at_once(system, size.mails, is_reused=False) for _ in range(3)]
    rate = 0.8 * statistics.median(one.per_second for one in runs)
    found = await at_a_rate(
        system.port, system.sink, rate=rate, seconds=size.seconds, first=system.numbers(int(rate * size.seconds))
    )
    return {"own_rate": rate, "own_p99": found.push_at(0.99)}


IN_TURN: Sequence[Callable[[System, Size], Awaitable[Found]]] = (_cold, _throughput, _sizes, _recipients, _burst)
"""What every system is measured by, in each round."""


async def measured(systems: Sequence[System], size: Size, *, say: Callable[[str], None]) -> list[dict[str, float]]:
    """The median of each row for each system, the bare loop first."""
    found: list[dict[str, list[float]]] = [{"start": [one.started * 1000]} for one in systems]
    warm_up = Size(rounds=1, mails=200, latencies=20, seconds=1.0)
    for place, system in enumerate(systems):
        found[place]["idle_pss"] = [memory_of(system.pid, Path("none"), "").pss]
        await _cold(system, warm_up)
        await _throughput(system, warm_up)
    for turn in range(size.rounds):
        say(f"round {turn + 1} of {size.rounds}")
        for place, system in list(enumerate(systems))[:: -1 if turn % 2 else 1]:
            for measure in IN_TURN:
                _add(found[place], await measure(system, size))
    for place, system in enumerate(systems[1:], 1):
        say(f"steady load: {system.name}")
        try:
            if statistics.median(found[place]["fresh"]) > STEADY:
                _add(found[place], await _steady(system, size))
            _add(found[place], await _at_its_own(system, size))
        except* ConnectionError:
            say(f"{system.name} takes no more connections at a steady load: not measured by it")
    for place, system in enumerate(systems):
        found[place]["after_pss"] = [memory_of(system.pid, Path("none"), "").pss]
    return [{name: statistics.median(values) for name, values in one.items()} for one in found]


def _add(into: dict[str, list[float]], found: Found) -> None:
    for name, value in found.items():
        into.setdefault(name, []).append(value)


def is_worse(row: Row, now: float, before: float) -> bool:
    """Whether a figure is more than 10 % worse than another."""
    return before > WORSE * now if row.is_rate else now > WORSE * before


def report(names: Sequence[str], figures: Sequence[Found]) -> list[str]:
    """The rows: the figure of each system, the ratio of the last one to the bare loop, to the one between, and the bar."""
    ours, bare_loop = figures[-1], figures[0]
    lines = [f"{'':42}" + "".join(f"{name:>12}" for name in names) + "".join(f"{f'/ {name}':>12}" for name in names[:-1])]
    for name, row in ROWS.items():
        if name not in ours:
            continue
        values = "".join(f"{one[name]:12.2f}" if name in one else f"{'-':>12}" for one in figures)
        ratios = "".join(f"{ours[name] / one[name]:10.2f} ×" if one.get(name) else f"{'-':>12}" for one in figures[:-1])
        lines.append(f"{row.title:42}{values}{ratios}{_against_bar(row, ours[name], bare_loop.get(name))}")
    return lines


def _against_bar(row: Row, value: float, of_bare: float | None) -> str:
    bar = row.itself if row.of_bare is None else row.of_bare
    if bar is None or (row.of_bare is not None and not of_bare):
        return ""
    reached = value if row.of_bare is None or not of_bare else value / of_bare
    sign, is_missed = ("≥", reached < bar) if row.is_rate else ("≤", reached > bar)
    return f"   {sign} {bar:g}{' ×' if row.of_bare is not None else ''}{'  MISSED' if is_missed else ''}"


async def main(size: Size, *, commit: str | None, file: str | None, is_check: bool) -> int:
    """Measure and print; the exit code."""
    async with AsyncExitStack() as stack:
        systems = [await stack.enter_async_context(bare())]
        if commit:
            tree = stack.enter_context(tree_of(commit))
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            systems.append(await stack.enter_async_context(mailbridge(folder, tree=tree, name=commit[:10])))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        systems.append(await stack.enter_async_context(mailbridge(folder)))
        figures = await measured(systems, size, say=lambda text: print(text, file=sys.stderr))
    names = [one.name for one in systems]
    print("\n".join(report(names, figures)))
    if file:
        found = [
            {"system": name, **{key: round(value, 4) for key, value in one.items()}}
            for name, one in zip(names, figures, strict=True)
        ]
        Path(file).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if not (is_check and commit):
        return 0
    before, now = figures[1], figures[2]
    worse = [
        row.title.strip()
        for name, row in ROWS.items()
        if name in now and name in before and is_worse(row, now[name], before[name])
    ]
    print(f"\nmore than 10 % worse than {commit}: {'; '.join(worse) or 'nothing'}")
    return 1 if worse else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two small rounds")
    parser.add_argument("--rounds", type=int, metavar="N")
    parser.add_argument("--seconds", type=float, metavar="N", help="of each steady load")
    parser.add_argument("--beside", metavar="COMMIT", help="a further system: the daemon of this commit")
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument("--check", action="store_true", help="exit 1 where a row is 10 %% worse than that commit's")
    chosen = parser.parse_args()
    if chosen.check and not chosen.beside:
        parser.error("--check needs --beside COMMIT")
    whole = (
        Size(rounds=2, mails=400, latencies=60, seconds=5.0)
        if chosen.quick
        else Size(rounds=5, mails=1500, latencies=150, seconds=60.0)
    )
    asked = Size(
        rounds=chosen.rounds or whole.rounds,
        mails=whole.mails,
        latencies=whole.latencies,
        seconds=chosen.seconds or whole.seconds,
    )
    raise SystemExit(uvloop.run(main(asked, commit=chosen.beside, file=chosen.json, is_check=chosen.check)))
