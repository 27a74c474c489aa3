"""The machine's clock is set, forwards and back, while mail comes to a watched mailbox and is pushed."""

from __future__ import annotations

import struct
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.ingress.imap.watched import ANN, code_mail
from tests.peers.daemon import Daemon, House, agent_token, wait_for
from tests.peers.dovecot import preload_library, running_dovecot
from tests.peers.faulty import running_faulty

pytestmark = pytest.mark.e2e

DAY = 86_400

MAILBOX = """
[[imap]]
name = "box"
host = "localhost"
port = {port}
tls_ca = "{ca}"
username = "ann@corp.example"
password = "pw"
renew = "5s"
"""


class SetClock:
    """The wall clock of a daemon, to be set from outside."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.set_by(0)
        self.env = {"LD_PRELOAD": preload_library("set_clock", folder), "MAILBRIDGE_CLOCK": str(self._file)}

    def set_by(self, seconds: int) -> None:
        """So far from the truth, from now on."""
        with self._file.open("r+b" if self._file.exists() else "wb") as file:
            file.write(struct.pack("=q", seconds))


def mailbox_of(daemon: Daemon) -> dict[str, Any]:
    """The mailbox as the daemon tells."""
    row: dict[str, Any] = daemon.get("/readyz").json()["mailboxes"][0]
    return row


def test_a_clock_that_is_set_loses_and_doubles_nothing(folder: Path) -> None:
    """A day ahead, right, a day back, right, each while codes come: all are pushed at once, each once, on one connection."""
    clock = SetClock(folder)
    with running_dovecot(folder / "d") as server, running_faulty() as receiver:
        house = House(folder, receiver.base_url, more=MAILBOX.format(port=server.imaps, ca=server.ca))
        house.config.chmod(0o600)
        with house.running(env=clock.env) as daemon:
            wait_for(lambda: mailbox_of(daemon)["mode"] in ("idle", "notify"), "the mailbox is watched")
            number, slowest = 500_000, 0.0
            for seconds in (0, DAY, 0, -DAY, 0):
                clock.set_by(seconds)
                for _ in range(12):
                    server.deliver(code_mail(str(number)))
                    number += 1
                    began, count = time.monotonic(), number - 500_000
                    wait_for(lambda n=count: len(receiver.codes(ANN)) == n, f"code {count}, clock {seconds} s off", patience=10)  # type: ignore[misc]
                    slowest = max(slowest, time.monotonic() - began)
                wait_for(lambda: mailbox_of(daemon)["last_roundtrip"] < 1, "a renewal", patience=8)
                health = mailbox_of(daemon)
                assert health["is_well"] and health["reconnects"] == 0 and health["age"] < 8
            print(f"the slowest of {number - 500_000} codes took {slowest:.2f} s")
            assert Counter(receiver.codes(ANN)) == Counter(str(one) for one in range(500_000, number))
        server.deliver(code_mail("600000"))
        with house.running(env=clock.env):
            wait_for(lambda: "600000" in receiver.codes(ANN), "the code that came while the daemon was away", patience=10)
            assert len(receiver.codes(ANN)) == number - 500_000 + 1


@pytest.mark.parametrize("seconds", [DAY, -DAY, 900], ids=["a day ahead", "a day back", "a quarter of an hour ahead"])
def test_a_clock_that_is_set_ends_no_code_and_no_inbox(folder: Path, seconds: int) -> None:
    """A code that was pushed and an inbox are still there when the daemon has followed the clock. Whoever asked before for nothing older
    than that code gets the next one, and not that one again."""
    clock = SetClock(folder)
    with running_faulty() as receiver:
        house = House(folder, receiver.base_url)
        with (
            house.running(env=clock.env) as daemon,
            httpx.Client(
                base_url=f"http://127.0.0.1:{house.http}/api/v1", headers=agent_token(house), timeout=30, trust_env=False
            ) as agent,
        ):

            def received() -> datetime:
                """When the newest code was, as the daemon says now."""
                return datetime.fromisoformat(agent.get("/codes", params={"identifier": ANN}).json()["codes"][0]["received_at"])

            def newest(since: datetime) -> str:
                asked = {"identifier": ANN, "timeout": "0", "since": since.isoformat()}
                code = agent.get("/codes/wait", params=asked).raise_for_status().json()["code"]
                return str(code or "")

            inbox = agent.post("/inboxes", json={"lifetime": "10m"}).raise_for_status().json()
            assert house.send("700001", identifier=ANN)[0] == 250
            wait_for(lambda: "700001" in receiver.codes(ANN) and not daemon.waiting(), "it is pushed")
            before = received()
            clock.set_by(seconds)
            wait_for(lambda: abs((received() - before).total_seconds() - seconds) < 60, "the daemon follows")
            asked = before + timedelta(milliseconds=1)
            assert [newest(before), newest(asked)] == ["700001", ""]
            assert [one["id"] for one in agent.get("/inboxes").json()["inboxes"]] == [inbox["id"]]
            assert house.send("700002", identifier=ANN)[0] == 250
            assert newest(asked) == "700002"
