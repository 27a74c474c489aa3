"""Speed as ratios with a bare loop in the same run: ``python -m tests.bench.bench [--quick]``.

The load and the receiver share one core, the system under test has the other. Rounds alternate between the two systems, and the
median round counts, since a machine's speed drifts by a third from minute to minute.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from mailbridge.net.listening import bind
from tests.bench.load import Figures, Sink, all_at_once, at_a_rate, one_by_one

CONNECTIONS = 20
PATIENCE = 15.0


@dataclass(slots=True)
class System:
    """One system under test: where it listens, and what each round measured."""

    name: str
    port: int
    sink: Sink
    http: int = 0
    next_number: int = 0
    latency: list[Figures] = field(default_factory=list)
    fresh: list[Figures] = field(default_factory=list)
    kept: list[Figures] = field(default_factory=list)

    def numbers(self, count: int) -> int:
        """The first of so many numbers that no mail has had."""
        first, self.next_number = self.next_number, self.next_number + count
        return first

    def forget(self) -> None:
        """Drop what was measured so far: the first round only warms up."""
        for figures in (self.latency, self.fresh, self.kept):
            figures.clear()

    async def round(self, *, mails: int, latencies: int) -> None:
        """Measure each row once."""
        self.latency.append(await one_by_one(self.port, self.sink, count=latencies, gap=0.02, first=self.numbers(latencies)))
        for is_reused, into in ((False, self.fresh), (True, self.kept)):
            into.append(
                await all_at_once(
                    self.port, self.sink, count=mails, connections=CONNECTIONS, is_reused=is_reused, first=self.numbers(mails)
                )
            )


@asynccontextmanager
async def bare() -> AsyncIterator[System]:
    """The reference, running."""
    sink = Sink()
    server = await sink.listen()
    port = _free_port()
    with _process([sys.executable, "-m", "tests.bench.bare", str(port), str(sink.port)], {}):
        await _listening(port)
        async with server:
            yield System("bare loop", port, sink)


@asynccontextmanager
async def mailbridge(folder: Path, more: Mapping[str, str] | None = None) -> AsyncIterator[System]:
    """The daemon with its defaults but for ``more`` in its environment, running, and the receiver as its Skyvern."""
    sink = Sink()
    server = await sink.listen()
    port, http = _free_port(), _free_port()
    environment = {
        "MAILBRIDGE_SMTP__LISTEN": f"127.0.0.1:{port}",
        "MAILBRIDGE_SMTP__MAX_PER_IP": "1000",
        "MAILBRIDGE_HTTP__LISTEN": f"127.0.0.1:{http}",
        "MAILBRIDGE_STORE__URL": f"sqlite:///{folder}/mailbridge.db",
        "MAILBRIDGE_IDENTITY__LEARN_FROM_SKYVERN": "false",
        "SKYVERN_BASE_URL": f"http://127.0.0.1:{sink.port}",
        "SKYVERN_API_KEY": "bench",
        # Its mails are unsigned, and more than anybody's: what is measured is the way from SMTP to the push.
        "MAILBRIDGE_TRUST__DEFAULT": "none",
        "MAILBRIDGE_SMTP__RATE_RECIPIENT": "0",
        "MAILBRIDGE_SMTP__RATE_SENDER": "0",
        **(more or {}),
    }
    with _process([sys.executable, "-m", "mailbridge", "serve"], environment, cwd=folder):
        await _listening(port)
        async with server:
            yield System("mailbridge", port, sink, http)


class _process:  # noqa: N801  (a context manager that reads as a verb)
    """A child process for the length of a block, with what it says in a file that nobody reads."""

    def __init__(self, command: list[str], environment: dict[str, str], cwd: Path | None = None) -> None:
        root = str(Path(__file__).resolve().parents[2])
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            command, env={**os.environ, "PYTHONPATH": root, **environment}, cwd=cwd or root, stdout=self._log, stderr=self._log
        )

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()


def _free_port() -> int:
    with bind("127.0.0.1:0") as one:
        port: int = one.getsockname()[1]
        return port


async def _listening(port: int) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


def _median(figures: list[Figures], share: float | None = None) -> float:
    return statistics.median(one.per_second if share is None else one.push_at(share) for one in figures)


def report(ours: System, reference: System) -> list[str]:
    """The rows, each with both figures and their ratio."""
    rows = [f"{'':34}{reference.name:>12}{ours.name:>12}   ratio"]
    for title, reference_value, our_value in (
        ("push p50, ms", _median(reference.latency, 0.5), _median(ours.latency, 0.5)),
        ("push p99, ms", _median(reference.latency, 0.99), _median(ours.latency, 0.99)),
        ("mails/s, a connection a mail", _median(reference.fresh), _median(ours.fresh)),
        ("mails/s, connections kept open", _median(reference.kept), _median(ours.kept)),
    ):
        rows.append(f"{title:34}{reference_value:12.2f}{our_value:12.2f}   {our_value / reference_value:.2f} ×")
    return rows


async def main(*, is_quick: bool, sustained: float) -> None:
    """Measure and print."""
    rounds, mails, latencies = (2, 400, 60) if is_quick else (5, 1500, 150)
    with tempfile.TemporaryDirectory() as folder:
        async with bare() as reference, mailbridge(Path(folder)) as ours:
            for system in (reference, ours):
                await system.round(mails=200, latencies=20)
                system.forget()
            for _ in range(rounds):
                await reference.round(mails=mails, latencies=latencies)
                await ours.round(mails=mails, latencies=latencies)
            print("\n".join(report(ours, reference)))
            if sustained:
                rate = 0.8 * _median(ours.fresh)
                first = ours.numbers(int(rate * sustained))
                steady = await at_a_rate(ours.port, ours.sink, rate=rate, seconds=sustained, first=first)
                print(
                    f"at {rate:.0f} mails/s (80 % of its own rate) for {sustained:.0f} s: "
                    f"push p50 {steady.push_at(0.5):.1f} ms, p99 {steady.push_at(0.99):.1f} ms"
                )


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="two small rounds")
    options.add_argument("--sustained", type=float, default=0.0, metavar="SECONDS", help="then a steady load for so long")
    chosen = options.parse_args()
    uvloop.run(main(is_quick=chosen.quick, sustained=chosen.sustained))
