"""The systems of `make bench`, each in a process of its own: the bare loop, and the daemon of this or of another commit."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from mailbridge.net.listening import bind
from tests.bench.load import Sink

PATIENCE = 30.0
ROOT = Path(__file__).resolve().parents[2]


@dataclass(slots=True, kw_only=True)
class System:
    """One system under test: where it listens, and the numbers of its mails. ``started`` are seconds from its start to the banner."""

    name: str
    port: int
    sink: Sink
    pid: int = 0
    http: int = 0
    started: float = 0.0
    next_number: int = 0

    def numbers(self, count: int) -> int:
        """The first of so many numbers that no mail has had."""
        first, self.next_number = self.next_number, self.next_number + count
        return first


@asynccontextmanager
async def bare() -> AsyncIterator[System]:
    """The reference, running."""
    sink = Sink()
    server = await sink.listen()
    port = _free_port()
    began = time.perf_counter()
    with _process([sys.executable, "-m", "tests.bench.bare", str(port), str(sink.port)], {}) as pid:
        await _listening(port)
        started = time.perf_counter() - began
        async with server:
            yield System(name="bare loop", port=port, sink=sink, pid=pid, started=started)


@asynccontextmanager
async def mailbridge(
    folder: Path, more: Mapping[str, str] | None = None, *, tree: Path = ROOT, name: str = "mailbridge"
) -> AsyncIterator[System]:
    """The daemon of a tree with its defaults but for ``more`` in its environment, and the receiver as its Skyvern."""
    sink = Sink()
    server = await sink.listen()
    port, http = _free_port(), _free_port()
    environment = {
        "PYTHONPATH": str(tree),
        "MAILBRIDGE_SMTP__LISTEN": f"127.0.0.1:{port}",
        "MAILBRIDGE_SMTP__MAX_PER_IP": "4000",
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
    began = time.perf_counter()
    with _process([sys.executable, "-m", "mailbridge", "serve"], environment, cwd=folder) as pid:
        await _listening(port)
        started = time.perf_counter() - began
        async with server:
            yield System(name=name, port=port, sink=sink, pid=pid, http=http, started=started)


def processor_times(pid: int) -> dict[str, float]:
    """Milliseconds of the processor so far: of the main thread, of the process's other threads, and of its children (proc(5))."""
    found = {"main": 0.0, "threads": 0.0, "children": 0.0}
    for task in Path(f"/proc/{pid}/task").iterdir():
        found["main" if task.name == str(pid) else "threads"] += _spent(task)
        for child in (task / "children").read_text().split():
            found["children"] += sum(_spent(one) for one in Path(f"/proc/{child}/task").iterdir())
    return found


def _spent(task: Path) -> float:
    """schedstat counts nanoseconds, where stat has ticks of ten milliseconds."""
    return int((task / "schedstat").read_text().split()[0]) / 1e6


class _process:  # noqa: N801  (a context manager that reads as a verb)
    """A child process for the length of a block, with what it says in a file that nobody reads."""

    def __init__(self, command: list[str], environment: dict[str, str], cwd: Path | None = None) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            cwd=cwd or ROOT,
            stdout=self._log,
            stderr=self._log,
        )

    def __enter__(self) -> int:
        return self._process.pid

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
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(0.01)
        else:
            await reader.readline()
            writer.close()
            return
