"""A real HAProxy on loopback with the project's own configuration, in front of daemons that run here in the place of containers."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx

from tests.peers.daemon import House, free_port, wait_for
from tests.peers.postgres import Postgres

PROGRAM = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
MEND = "no haproxy: apt-get install haproxy"
CONFIGURATION = Path(__file__).resolve().parents[2] / "config" / "haproxy.cfg"
SOURCE = "127.0.0.9"
"""Where it connects from, so that a replica can tell it from everybody else on loopback."""

STATUS = re.compile(r"\] http http/\S+ \S+ (-1|\d{3}) ")
DRAIN = "2s"
ENVIRONMENT = {"MAILBRIDGE_SMTP__PROXY_FROM": SOURCE, "FORWARDED_ALLOW_IPS": SOURCE, "MAILBRIDGE_HTTP__DRAIN": DRAIN}
"""What each replica behind it is started with, as config/docker-compose.ha.yml has it."""


def houses_on(server: Postgres, folder: Path, base_url: str, count: int = 2) -> list[House]:
    """Folders of replicas that share a new database and a key."""
    name = f"balanced_{folder.name.lower().replace('-', '_')}"
    server.ask(f'CREATE DATABASE "{name}"')
    houses = []
    for number in range(count):
        own = folder / f"replica-{number + 1}"
        own.mkdir()
        houses.append(House(own, base_url, level="info", url=server.url(name), key_file=folder / "shared.key"))
    return houses


def checked(configuration: Path) -> subprocess.CompletedProcess[str]:
    """What HAProxy says of a configuration."""
    assert PROGRAM is not None
    return subprocess.run([PROGRAM, "-c", "-f", str(configuration)], capture_output=True, text=True, check=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Balancer:
    """Where it listens."""

    smtp: int
    http: int
    log: Path

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask by its HTTP front."""
        return httpx.get(f"http://127.0.0.1:{self.http}{path}", headers=headers, trust_env=False, timeout=75)

    def sent_to(self, number: int) -> int:
        """How many sessions of mail a replica was given, counted from 1, as far as they have ended."""
        return self.log.read_text(encoding="utf-8").count(f"] smtp smtp/mailbridge-{number} ")

    def statuses(self) -> Counter[int]:
        """How often which status was answered by HTTP; -1 where the client was gone."""
        return Counter(int(one) for one in STATUS.findall(self.log.read_text(encoding="utf-8")))

    def until_sends_to(self, number: int, *, patience: float = 60.0) -> None:
        """Wait until it gives sessions to a replica, counted from 1. Those without a mail, which are opened here, count too."""
        before = self.sent_to(number)

        def is_chosen() -> bool:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.smtp), timeout=30) as probe:
                probe.recv(512)
            return self.sent_to(number) > before

        wait_for(is_chosen, f"HAProxy sends to replica {number}", patience=patience)


def configuration(houses: Sequence[House], *, smtp: int, http: int) -> str:
    """The project's own, with ports and replicas of this machine. Everything else is as it is shipped."""
    text = CONFIGURATION.read_text(encoding="utf-8")
    changes = {"bind :2525": f"bind 127.0.0.1:{smtp}", "bind :8025": f"bind 127.0.0.1:{http}"}
    for number, house in enumerate(houses, 1):
        changes[f" mailbridge-{number}:2525"] = f" 127.0.0.1:{house.smtp} source {SOURCE}"
        changes[f" mailbridge-{number}:8025"] = f" 127.0.0.1:{house.http} source {SOURCE}"
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def is_ready(house: House) -> bool:
    """Whether a replica says that it is."""
    with suppress(httpx.HTTPError):
        return httpx.get(f"http://{house.host}:{house.http}/readyz", trust_env=False, timeout=10).status_code == 200
    return False


@contextmanager
def running_haproxy(folder: Path, houses: Sequence[House]) -> Iterator[Balancer]:
    """It, once every replica gets mail from it, for the length of the block. It takes each for ready until it has asked, so it is begun
    when they are."""
    assert PROGRAM is not None
    for house in houses:
        wait_for(partial(is_ready, house), "the replica is ready")
    balancer = Balancer(smtp=free_port(), http=free_port(), log=folder / "haproxy.log")
    path = folder / "haproxy.cfg"
    path.write_text(configuration(houses, smtp=balancer.smtp, http=balancer.http), encoding="utf-8")
    with balancer.log.open("wb") as stream:
        process = subprocess.Popen([PROGRAM, "-db", "-f", str(path)], stdout=stream, stderr=stream)
    try:
        for number, _ in enumerate(houses, 1):
            balancer.until_sends_to(number)
        yield balancer
    finally:
        process.kill()
        process.wait()
