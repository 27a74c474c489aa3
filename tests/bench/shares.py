"""Many mailboxes over several replicas: how evenly they are shared, and how long those of a killed replica are without a watcher.

python -m tests.bench.shares [--mailboxes 2000] [--replicas 4] [--hosts 16]
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from mailbridge.ingress.imap.watchers import LOGINS
from tests.peers.daemon import House, free_port
from tests.peers.faulty import Temper, running_faulty
from tests.peers.postgres import Postgres, running_postgres

OWNED, WATCHED = 15.0, 45.0
"""Seconds after a kill within which mailboxes are to be owned and watched again."""

PATIENCE = 900.0
TABLE = """
[[imap]]
name = "box-{number}"
host = "{host}"
port = {port}
tls = "none"
username = "u{number}"
address = "u{number}@corp.example"
password_file = "{password}"
"""
ALIVE = "SELECT count(*) FROM mailbox_lease JOIN replica ON replica.id = owner WHERE alive_until > now_micros() GROUP BY owner"


class Stats:
    """What the mail servers count."""

    def __init__(self, port: int) -> None:
        self._stream = socket.create_connection(("127.0.0.2", port)).makefile("rwb")
        self._stream.readline()

    def ask(self) -> dict[str, Any]:
        """As it is now."""
        self._stream.write(b"STATS\r\n")
        self._stream.flush()
        told: dict[str, Any] = json.loads(self._stream.readline())
        return told


@contextmanager
def mail_servers(hosts: int) -> Iterator[int]:
    """Hosts with mailboxes, and the port of all."""
    port = free_port()
    command = [sys.executable, "-m", "tests.peers.many_imap", str(port), str(hosts)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdin is not None
        process.stdout.readline()
        try:
            yield port
        finally:
            process.stdin.close()
            process.wait(10)


def until(holds: Callable[[], bool]) -> float:
    """How many seconds it takes until it holds."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > PATIENCE:
            raise SystemExit(f"not within {PATIENCE:.0f} s")
        time.sleep(0.2)
    return time.monotonic() - began


def houses_of(folder: Path, server: Postgres, base_url: str, tables: str, count: int) -> list[House]:
    """Folders of replicas that share a database, a key and these mailboxes."""
    found = []
    for number in range(count):
        own = folder / f"replica-{number}"
        own.mkdir()
        url = server.url("bench")
        found.append(House(own, base_url, url=url, key_file=folder / "shared.key", more=tables, level="info"))
    return found


def measure(mailboxes: int, replicas: int, hosts: int) -> bool:
    """Whether the bars are reached; prints figures."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(running_postgres())
        server.ask("CREATE DATABASE bench")
        port = stack.enter_context(mail_servers(hosts))
        receiver = stack.enter_context(running_faulty(Temper()))
        (folder / "password").write_text("pw")
        (folder / "password").chmod(0o600)
        tables = "".join(
            TABLE.format(number=number, host=f"127.0.0.{2 + number % hosts}", port=port, password=folder / "password")
            for number in range(mailboxes)
        )
        stats, began = Stats(port), time.monotonic()
        houses = houses_of(folder, server, receiver.base_url, tables, replicas)
        daemons = [house.start() for house in houses]
        for daemon in daemons:
            stack.callback(daemon.kill)

        until(lambda: server.ask("SELECT to_regclass('mailbox_lease') IS NOT NULL", database="bench") == [(True,)])

        def shares() -> list[int]:
            return sorted(count for (count,) in server.ask(ALIVE, database="bench"))

        until(lambda: len(shares()) == replicas and sum(shares()) == mailboxes and shares()[-1] - shares()[0] <= 1)
        print("shares", shares(), f"after {time.monotonic() - began:.1f} s from the first start")
        until(lambda: stats.ask()["watched"] == mailboxes)
        print(f"all watched after {time.monotonic() - began:.1f} s; {stats.ask()['logins']} logins")
        most = stats.ask()["most"]
        until(
            lambda: len(shares()) == replicas and sum(shares()) == mailboxes
        )  # none of them is late with its heartbeat just now
        killed = time.monotonic()
        daemons[0].kill()
        until(lambda: len(shares()) == replicas - 1 and sum(shares()) == mailboxes)
        owned = time.monotonic() - killed
        until(lambda: stats.ask()["watched"] == mailboxes)
        watched = time.monotonic() - killed
        after = stats.ask()
        print(f"killed one: owned again after {owned:.1f} s (bar {OWNED:.0f}), watched after {watched:.1f} s (bar {WATCHED:.0f})")
        print("shares", shares(), f"; most logins at once at a host {max({**most, **after['most']}.values())} (cap {LOGINS})")
        return owned <= OWNED and watched <= WATCHED and max(after["most"].values()) <= LOGINS


def main() -> None:
    """Measure, and say by the exit status whether the bars are reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mailboxes", type=int, default=2000)
    parser.add_argument("--replicas", type=int, default=4)
    parser.add_argument("--hosts", type=int, default=16)
    chosen = parser.parse_args()
    sys.exit(not measure(chosen.mailboxes, chosen.replicas, chosen.hosts))


if __name__ == "__main__":
    main()
