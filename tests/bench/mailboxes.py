"""Watched mailboxes on a real Dovecot as it is shipped, beside the server's own share: ``python -m tests.bench.mailboxes [--only PART …]
[--messages 100000] [--rounds 5] [--json FILE]``. Needs root and Dovecot; 5 min.

- *large*: how long until a mailbox of so many messages is watched, beside a bare client's login and EXAMINE in turn with it; and from a
  delivery to its push, beside an empty mailbox on the same server. A relay tells how much of that is the server's.
- *latency*: from a delivery to its push, in and out of a hot window, beside a bare client in IDLE on the same server.
- *agents*: processor time while an agent waits for a code, with 200 mailboxes and with the one that the code can come by.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.bench.load import Sink
from tests.bench.relay import Relay, relaying
from tests.bench.systems import System, mailbridge, processor_times
from tests.e2e.boxes import of, well
from tests.ingress.imap.watched import code_mail, house, understander, watching
from tests.peers.dovecot import PASSWORD, Dovecot, running_dovecot

PATIENCE = 60.0
CODES = iter(range(10_000_000, 100_000_000))
LARGE, LARGE_TOO, SMALL, SMALL_TOO = "large@corp.example", "large2@corp.example", "small@corp.example", "small2@corp.example"
"""A mailbox that we watch and one like it for the bare client, large and empty: two sessions of one mailbox would share its locks."""
BOXES = 200
WINDOW = 20.0
"""Seconds over which processor time is counted."""
TOKEN = "of-the-bench"

ACCOUNT = """
[[imap]]
name = "{name}"
host = "127.0.0.1"
port = {port}
tls = "none"
username = "{user}"
password = "pw"
identifier = "{user}"
"""

BARS = {
    "connect first, s": 1.5,
    "connect again, s": 1.5,
    "delivery to push, own share, large by empty": 1.5,
    "out of a hot window p50, ms": 510.0,
    "in a hot window p50, ms": 40.0,
    "of a core beyond the hot mailbox, known, %": 3.0,
    "of a core beyond the hot mailbox, unknown, %": 3.0,
}

Figures = dict[str, float]


class Bare:
    """A client that does what has to be done and no more, without TLS: what it takes is the server's share."""

    def __init__(self, server: Dovecot, user: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.imap))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")
        self._until(b"* OK")
        self._ask(f"LOGIN {user} {PASSWORD}")
        self._ask("EXAMINE INBOX")

    def idle(self) -> None:
        """Begin to wait."""
        self._socket.sendall(b"i IDLE\r\n")
        self._until(b"+")

    def mail(self, code: str) -> None:
        """Wait until a mail is announced, and fetch it; then back in IDLE."""
        while b"EXISTS" not in self._file.readline():
            pass
        self._socket.sendall(b"DONE\r\nf FETCH * (UID INTERNALDATE RFC822.SIZE BODY.PEEK[]<0.131072>)\r\n")
        while code.encode() not in self._file.readline():
            pass
        self._until(b"f OK")
        self.idle()

    def close(self) -> None:
        """Hang up."""
        self._file.close()
        self._socket.close()

    def _ask(self, command: str) -> None:
        self._socket.sendall(f"a {command}\r\n".encode())
        self._until(b"a OK")

    def _until(self, wanted: bytes) -> None:
        while not (line := self._file.readline()).startswith(wanted):
            if not line or line.startswith((b"a NO", b"a BAD", b"* BYE")):
                raise RuntimeError(f"the server said {line!r}")


def fill(server: Dovecot, users: Sequence[str], count: int) -> None:
    """Put the same mails of last year into mailboxes, as files that no client has seen."""
    first: Path | None = None
    for user in users:
        Bare(server, user).close()
        new = server.folder / "mail" / user / "new"
        for number in range(count):
            path = new / f"{1_700_000_000 + number}.M{number}.host"
            if first is None:
                path.write_bytes(code_mail(str(100_000 + number)))
                os.utime(path, (1_700_000_000 + number,) * 2)
                shutil.chown(path, new.owner(), new.group())
            else:
                os.link(first / path.name, path)
        first = first or new


def code() -> str:
    """One that no mail has had."""
    return str(next(CODES))


async def delivered(server: Dovecot, user: str) -> tuple[str, float]:
    """Deliver a code; which, and when that began (`time.perf_counter`)."""
    number, began = code(), time.perf_counter()
    await asyncio.to_thread(server.deliver, code_mail(number, to=user, message_id=f"{number}.{began}"), user)
    return number, began


@dataclass(frozen=True, slots=True)
class Watched:
    """A daemon that watches mailboxes through a relay, and the receiver that it pushes to."""

    system: System
    relay: Relay
    client: httpx.AsyncClient

    @property
    def sink(self) -> Sink:
        """Where its pushes arrive."""
        return self.system.sink

    async def pushed(self, number: str) -> float:
        """When a code was at the receiver (`time.perf_counter`)."""
        await self.sink.wait_for({int(number)}, patience=PATIENCE)
        return self.sink.seen[int(number)]

    async def ready(self) -> None:
        """Wait until every mailbox is watched."""
        async with asyncio.timeout(PATIENCE):
            while not all(one["is_well"] for one in (await self.client.get("/readyz")).json()["mailboxes"]):
                await asyncio.sleep(0.05)


@asynccontextmanager
async def daemon(folder: Path, server: Dovecot, users: Sequence[str]) -> AsyncIterator[Watched]:
    """A daemon that watches the mailboxes of users, each bound to its address."""
    folder.mkdir()
    async with relaying(server.imap) as relay:
        config = folder / "mailbridge.toml"
        accounts = [ACCOUNT.format(name=f"box{number}", port=relay.port, user=user) for number, user in enumerate(users)]
        config.write_text("".join(accounts), encoding="utf-8")
        config.chmod(0o600)
        more = {"MAILBRIDGE_CONFIG": str(config), "MAILBRIDGE_HTTP__TOKEN": TOKEN}
        async with mailbridge(folder, more) as system:
            head = {"Authorization": f"Bearer {TOKEN}"}
            base = f"http://127.0.0.1:{system.http}"
            async with httpx.AsyncClient(base_url=base, headers=head, timeout=PATIENCE, trust_env=False) as client:
                watched = Watched(system, relay, client)
                await watched.ready()
                yield watched


@asynccontextmanager
async def waiting(watched: Watched, identifier: str) -> AsyncIterator[None]:
    """An agent that waits for a code for the length of the block, by requests of a second each, as one that polls."""

    async def ask() -> None:
        query = {"identifier": identifier, "timeout": "1", "since": "2100-01-01T00:00:00Z"}
        while True:
            (await watched.client.get("/api/v1/codes/wait", params=query)).raise_for_status()

    asking = asyncio.create_task(ask())
    try:
        await asyncio.sleep(1)
        yield
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


# parts


async def large(folder: Path, messages: int, rounds: int) -> Figures:
    """A mailbox of many messages: connecting, and from a delivery to its push."""
    found: Figures = {}
    with running_dovecot(folder / "d", users=(LARGE, LARGE_TOO, SMALL, SMALL_TOO)) as server:
        await asyncio.to_thread(fill, server, (LARGE, LARGE_TOO), messages)
        understander()  # the first mail would wait for it
        async with house(folder) as home:

            async def bare() -> float:
                began = time.perf_counter()
                (await asyncio.to_thread(Bare, server, LARGE_TOO)).close()
                return time.perf_counter() - began

            async def ours() -> float:
                began = time.perf_counter()
                async with watching(home, of(server, username=LARGE, renew=timedelta(seconds=55))) as watchers:
                    await well(watchers, within=PATIENCE)
                    return time.perf_counter() - began

            found["first EXAMINE of the server alone, s"] = await bare()
            found["connect first without an index, s"] = await ours()
            for user in (LARGE, LARGE_TOO):
                await delivered(server, user)
            (folder / "other").mkdir()
            async with house(folder / "other") as home:
                found["EXAMINE of the server alone, s"] = await bare()
                found["connect first, s"] = await ours()
                alone: list[float] = []
                connected: list[float] = []
                for number in range(rounds):
                    for user in (LARGE, LARGE_TOO):
                        await delivered(server, user)
                    for turn in (bare, ours) if number % 2 else (ours, bare):
                        (alone if turn is bare else connected).append(await turn())
        found["EXAMINE of the server alone, again, s"] = statistics.median(alone)
        found["connect again, s"] = statistics.median(connected)
        found |= await pushes(folder / "daemon", server, rounds)
    return found


async def pushes(folder: Path, server: Dovecot, rounds: int) -> Figures:
    """Deliveries to a large and to an empty mailbox in turn, and to one like each at which a bare client waits."""
    whole: dict[str, list[float]] = {}
    own: dict[str, list[float]] = {LARGE: [], SMALL: []}
    async with daemon(folder, server, (LARGE, SMALL)) as watched:
        clients = {user: await asyncio.to_thread(Bare, server, user) for user in (LARGE_TOO, SMALL_TOO)}
        for client in clients.values():
            client.idle()
        await asyncio.sleep(3)
        for _ in range(rounds + 3):
            for user in (LARGE, LARGE_TOO, SMALL, SMALL_TOO):
                watched.relay.forget()
                number, began = await delivered(server, user)
                if user in own:
                    at = await watched.pushed(number)
                    own[user].append(watched.relay.own_share(number.encode(), at))
                else:
                    await asyncio.to_thread(clients[user].mail, number)
                    at = time.perf_counter()
                whole.setdefault(user, []).append(at - began)
                await asyncio.sleep(2.5)
        for client in clients.values():
            client.close()
    middle = {user: statistics.median(told) * 1000 for user, told in whole.items()}
    return {
        "delivery to push, large, ms": middle[LARGE],
        "the server alone, large, ms": middle[LARGE_TOO],
        "delivery to push, empty, ms": middle[SMALL],
        "the server alone, empty, ms": middle[SMALL_TOO],
        "own share, large, ms": statistics.median(own[LARGE]) * 1000,
        "own share, empty, ms": statistics.median(own[SMALL]) * 1000,
        "delivery to push, own share, large by empty": statistics.median(own[LARGE]) / statistics.median(own[SMALL]),
    }


async def latency(folder: Path, rounds: int) -> Figures:
    """From a delivery to its push, out of a hot window and in one."""
    mails = rounds * 12
    with running_dovecot(folder / "d", users=(SMALL, SMALL_TOO)) as server:
        async with daemon(folder / "daemon", server, (SMALL,)) as watched:
            client = await asyncio.to_thread(Bare, server, SMALL_TOO)
            client.idle()
            alone, cold, hot, own = [], [], [], []
            for _ in range(mails):
                number, began = await delivered(server, SMALL_TOO)
                await asyncio.to_thread(client.mail, number)
                alone.append(time.perf_counter() - began)
                watched.relay.forget()
                number, began = await delivered(server, SMALL)
                at = await watched.pushed(number)
                cold.append(at - began)
                own.append(watched.relay.own_share(number.encode(), at))
                await asyncio.sleep(0.2 + random.random() / 10)
            client.close()
            async with waiting(watched, SMALL):
                for _ in range(mails):
                    number, began = await delivered(server, SMALL)
                    hot.append(await watched.pushed(number) - began)
                    await asyncio.sleep(0.6 + random.random() / 5)
    return {
        "the server alone, out of a hot window p50, ms": statistics.median(alone) * 1000,
        "own share, out of a hot window p50, ms": statistics.median(own) * 1000,
        "out of a hot window p50, ms": statistics.median(cold) * 1000,
        "out of a hot window p90, ms": statistics.quantiles(cold, n=10)[-1] * 1000,
        "in a hot window p50, ms": statistics.median(hot) * 1000,
        "in a hot window p90, ms": statistics.quantiles(hot, n=10)[-1] * 1000,
    }


async def agents(folder: Path, boxes: int, window: float) -> Figures:
    """Processor time of the daemon, in percent of a core, while an agent waits."""
    users = [f"user{number}@corp.example" for number in range(boxes)]
    found: Figures = {}
    with running_dovecot(folder / "d", users=users) as server:
        for name, some in (("1 mailbox", users[:1]), (f"{boxes} mailboxes", users)):
            async with daemon(folder / name.replace(" ", "-"), server, some) as watched:
                await asyncio.sleep(5)
                found[f"{name}, nobody waits, %"] = await _busy(watched, window)
                async with waiting(watched, users[0]):
                    found[f"{name}, an agent waits for one, %"] = await _busy(watched, window)
                async with waiting(watched, "stranger@corp.example"):
                    found[f"{name}, an agent waits for a code of which nothing is known, %"] = await _busy(watched, window)
    idle = found[f"{boxes} mailboxes, nobody waits, %"]
    hot = found["1 mailbox, an agent waits for one, %"] - found["1 mailbox, nobody waits, %"]
    found["of a core beyond the hot mailbox, known, %"] = found[f"{boxes} mailboxes, an agent waits for one, %"] - idle - hot
    unknown = found[f"{boxes} mailboxes, an agent waits for a code of which nothing is known, %"]
    found["of a core beyond the hot mailbox, unknown, %"] = unknown - idle - hot
    return found


async def _busy(watched: Watched, window: float) -> float:
    before, began = sum(processor_times(watched.system.pid).values()), time.perf_counter()
    await asyncio.sleep(window)
    spent = sum(processor_times(watched.system.pid).values()) - before
    return spent / 10 / (time.perf_counter() - began)


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder that the mail server's own user may pass."""
    folder = Path(tempfile.mkdtemp(prefix="mailboxes"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", action="append", choices=("large", "latency", "agents"), default=[])
    options.add_argument("--messages", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--boxes", type=int, default=BOXES)
    options.add_argument("--window", type=float, default=WINDOW)
    options.add_argument("--json", type=Path)
    asked = options.parse_args()
    parts: dict[str, Any] = {
        "large": lambda folder: large(folder, asked.messages, asked.rounds),
        "latency": lambda folder: latency(folder, asked.rounds),
        "agents": lambda folder: agents(folder, asked.boxes, asked.window),
    }
    found: dict[str, Figures] = {}
    load = os.getloadavg()[0]
    for name in asked.only or parts:
        with work_folder() as folder:
            found[name] = asyncio.run(parts[name](folder))
        print(f"\n{name}")
        for title, value in found[name].items():
            bar = f"   bar {BARS[title]:g}{'' if value <= BARS[title] else '   MISSED'}" if title in BARS else ""
            print(f"  {title:85} {value:9.2f}{bar}", flush=True)
    if asked.json:
        told = {"load at the start": load, "load at the end": os.getloadavg()[0], "bars": BARS, "figures": found}
        asked.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
