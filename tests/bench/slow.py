"""Honest mail while others hold connections, or send a thousand mails a second to one recipient: ``python -m tests.bench.slow [--rounds 5] [--mails 200] [--only idle]``.

Rounds alternate between calm and each attack, which runs in a process of its own and from many addresses of 127/8, so that no limit by
address hides it. What is timed is an honest mail, from the end of its DATA to its code at the receiver. Exit 1 where the p99 under
an attack is more than twice that of the calm.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from tests.bench.load import RCPT, Figures, one_by_one
from tests.bench.systems import System, mailbridge

BAR = 2.0
COMES_BACK = 5.0
"""Seconds, half more or half less, after which a client that was sent away is there again."""

SMTP_HEAD = b"EHLO slow.example\r\n"
IN_DATA = SMTP_HEAD + b"MAIL FROM:<a@b.example>\r\nRCPT TO:<" + RCPT.encode() + b">\r\nDATA\r\n"
IN_HEAD = b"GET /healthz HTTP/1.1\r\nHost: a\r\n"
IN_BODY = b"POST /skyvern/totp/a HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\nX-Skyvern-Signature: " + b"0" * 64 + b"\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What one client says: ``head`` at once, then ``drip`` every so many seconds (0: never)."""

    head: bytes = b""
    drip: bytes = b""
    every: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """So many clients, each in one of the ways, at the port for mail or the one for HTTP; or with ``mails`` a second of them all."""

    clients: int
    ways: tuple[Way, ...] = ()
    is_http: bool = False
    mails: int = 0


ATTACKS = {
    "idle": Attack(clients=5_000, ways=(Way(),)),
    "drip": Attack(
        clients=500,
        ways=(
            Way(drip=b"N", every=1),
            Way(head=IN_DATA, drip=b"a line of a mail without end\r\n", every=1),
            Way(head=SMTP_HEAD, drip=b"NOOP\r\n", every=3),
        ),
    ),
    "http": Attack(
        clients=500,
        ways=(Way(head=IN_HEAD, drip=b"X-A: b\r\n", every=1), Way(drip=b"G", every=1), Way(head=IN_BODY, drip=b"x", every=1)),
        is_http=True,
    ),
    "bomb": Attack(clients=8, mails=1_000),
}
BOMBED = b"bombed@" + RCPT.partition("@")[2].encode()
A_CONNECTION = 50
"""Mails of a bomb for which a connection is kept."""


class Client:
    """One slow client, that comes back whenever it is cut."""

    def __init__(self, number: int, way: Way, port: int) -> None:
        self._number = number
        self._way = way
        self._port = port
        self._own = (f"127.{1 + number // 40_000}.{number // 200 % 200}.{1 + number % 200}", 0)
        self.is_open = False
        self.times_cut = 0

    async def live(self) -> None:
        """Connect, say one's piece, drip, and again."""
        while True:
            with contextlib.suppress(OSError):
                await self._once()
            self.is_open = False
            self.times_cut += 1
            await asyncio.sleep(random.uniform(0.5, 1.5) * COMES_BACK)

    async def _once(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=self._own)
        writer.write(self._way.head)
        self.is_open = True
        reading = asyncio.ensure_future(_read_away(reader))
        try:
            while not reading.done():
                if self._way.every:
                    writer.write(self._way.drip)
                await asyncio.wait({reading}, timeout=self._way.every or None)
        finally:
            reading.cancel()
            writer.transport.abort()


class Bomber(Client):
    """One client of a bomb: whole mails to one recipient, ``rate`` a second."""

    def __init__(self, number: int, rate: float, port: int) -> None:
        super().__init__(number, Way(), port)
        self._rate = rate
        self.mails = 0

    async def live(self) -> None:
        """Send, whatever the answer is."""
        began = time.perf_counter()
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=self._own)
                self.is_open = True
                writer.write(SMTP_HEAD)
                await _answers(reader, 2)
                for _ in range(A_CONNECTION):
                    await self._bomb(reader, writer)
                    await asyncio.sleep(began + self.mails / self._rate - time.perf_counter())
                writer.transport.abort()
            self.times_cut += 1

    async def _bomb(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.mails += 1
        code = random.randrange(10**7, 10**8)
        writer.write(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<" + BOMBED + b">\r\nDATA\r\n")
        if (await _answers(reader, 3)).startswith(b"354"):
            head = b"From: a@b.example\r\nTo: bob@example.com\r\nSubject: Code\r\nMessage-ID: <%d.%d@b.example>\r\n" % (
                id(self),
                self.mails,
            )
            writer.write(head + b"\r\nYour verification code is %d.\r\n.\r\n" % code)
            await _answers(reader, 1)


async def _answers(reader: asyncio.StreamReader, count: int) -> bytes:
    """The last of so many replies."""
    line = b""
    for _ in range(count):
        while (line := await reader.readuntil(b"\n"))[3:4] == b"-":
            pass
    return line


async def _read_away(reader: asyncio.StreamReader) -> None:
    while await reader.read(4_096):
        pass


async def attack(name: str, port: int) -> None:
    """Be the attackers: say ``open`` when all are, or when no more come in, and go on until killed."""
    chosen = ATTACKS[name]
    rate = chosen.mails / chosen.clients
    clients = [
        Bomber(number, rate, port) if rate else Client(number, chosen.ways[number % len(chosen.ways)], port)
        for number in range(chosen.clients)
    ]
    living = []
    for client in clients:
        living.append(asyncio.ensure_future(client.live()))
        if len(living) % 100 == 0:
            await asyncio.sleep(0.02)
    await asyncio.sleep(1)
    while True:
        print(sum(client.is_open for client in clients), sum(client.times_cut for client in clients), flush=True)
        await asyncio.sleep(1)


@contextmanager
def attacked(name: str, port: int) -> Iterator[list[str]]:
    """The attack, running in another process; what it said last is added to the list at the end."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.slow", "--attack", name, str(port)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        said = [process.stdout.readline().decode().strip()]
        try:
            yield said
        finally:
            process.kill()
            said += process.stdout.read().decode().split("\n")[-2:-1]


@dataclass(slots=True)
class Row:
    """What was measured under one attack, and in the calm of the same rounds."""

    calm: list[Figures] = field(default_factory=list)
    under: list[Figures] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def ratio(self, share: float) -> float:
        """The median over the rounds of what an attack does to a quantile."""
        return statistics.median(
            under.push_at(share) / calm.push_at(share) for calm, under in zip(self.calm, self.under, strict=True)
        )

    def line(self, name: str) -> str:
        """One line of the report."""
        figures = [f"{_median(ones, share):8.2f}" for share in (0.5, 0.99) for ones in (self.calm, self.under)]
        return f"{name:8}{''.join(figures)}   {self.ratio(0.5):5.2f} × {self.ratio(0.99):5.2f} ×   {'; '.join(self.said)}"


def _median(figures: list[Figures], share: float) -> float:
    return statistics.median(one.push_at(share) for one in figures)


@asynccontextmanager
async def daemon(folder: Path, *, is_default: bool) -> AsyncIterator[System]:
    """The daemon; with room for every connection that an attack opens, unless its own limits are to be measured."""
    more = {} if is_default else {"MAILBRIDGE_SMTP__MAX_CONNECTIONS": "8000"}
    async with mailbridge(folder, more) as system:
        yield system


async def main(names: list[str], *, rounds: int, mails: int, is_default: bool) -> int:
    """Measure, print, and give the exit code."""
    rows = {name: Row() for name in names}
    with tempfile.TemporaryDirectory() as folder:
        async with daemon(Path(folder), is_default=is_default) as system:
            await _measured(system, mails)
            for _ in range(rounds):
                for name, row in rows.items():
                    row.calm.append(await _measured(system, mails))
                    with attacked(name, system.http if ATTACKS[name].is_http else system.port) as said:
                        row.under.append(await _measured(system, mails))
                    row.said.append(" > ".join(said))
    print(
        f"{'':8}{'calm p50':>8}{'under':>8}{'calm p99':>9}{'under':>7}   p50     p99       open and cut, at the begin > the end of each round"
    )
    for name, row in rows.items():
        print(row.line(name))
    return 0 if all(row.ratio(0.99) <= BAR for row in rows.values()) else 1


async def _measured(system: System, mails: int) -> Figures:
    return await one_by_one(system.port, system.sink, count=mails, gap=0.01, first=system.numbers(mails))


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--mails", type=int, default=200, help="for each half of a round")
    options.add_argument("--only", choices=sorted(ATTACKS), action="append")
    options.add_argument(
        "--default-limits", action="store_true", help="with the daemon's own limit of connections, which refuses most"
    )
    options.add_argument("--attack", nargs=2, metavar=("NAME", "PORT"), help="be the attackers (used by the measurement itself)")
    chosen = options.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    if chosen.attack:
        uvloop.run(attack(chosen.attack[0], int(chosen.attack[1])))
    sys.exit(
        uvloop.run(main(chosen.only or list(ATTACKS), rounds=chosen.rounds, mails=chosen.mails, is_default=chosen.default_limits))
    )
