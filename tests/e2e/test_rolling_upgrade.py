"""Release after release under load, replica after replica, behind HAProxy on one PostgreSQL: nobody outside notices.

``make rolling`` does it for ROUNDS releases (MAILBRIDGE_ROUNDS), 20 of them; every run of these tests for two.
"""

from __future__ import annotations

import json
import os
import random
import re
import threading
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

import pytest

from mailbridge_client import Mailbridge
from mailbridge_client.errors import MailbridgeError
from tests.e2e.test_kill import SEED, Client, judged
from tests.peers import haproxy, postgres
from tests.peers.daemon import Daemon, House, agent_token, wait_for
from tests.peers.faulty import Temper, running_faulty
from tests.peers.haproxy import Balancer, running_haproxy
from tests.peers.postgres import running_postgres
from tests.peers.releases import later
from tests.replicas.fleet import deliveries_of

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(haproxy.PROGRAM is None, reason=haproxy.MEND),
    pytest.mark.skipif(not postgres.found(), reason=postgres.MEND),
]
ROUNDS = int(os.environ.get("MAILBRIDGE_ROUNDS", "2"))
SENDERS = 3
WAITERS = 3
LONGEST_DELAY = 6.0
"""Seconds that a wait lasts at the most before its mail is sent: long enough that waits are open whenever a replica stops."""


class Waiter(threading.Thread):
    """Waits for codes by HAProxy with the project's own client, one after the other, while the mail of each comes a little later."""

    def __init__(self, house: House, token: str, number: int) -> None:
        super().__init__(daemon=True)
        self.house, self.number = house, number
        self.client = Mailbridge(f"http://127.0.0.1:{house.http}", token)
        self.served = 0
        self.dropped: list[str] = []
        self.refused: list[int] = []
        self._is_over = threading.Event()

    def run(self) -> None:
        """Until `stop`."""
        dice = random.Random(self.number)
        serial = 0
        while not self._is_over.is_set():
            serial += 1
            identifier, code = f"wait{self.number}-{serial}@corp.example", str(50_000_000 + serial * WAITERS + self.number)
            expected = self.client.expect_code(identifier)
            sending = threading.Thread(target=self._send, args=(code, identifier, dice.uniform(0.0, LONGEST_DELAY)))
            sending.start()
            try:
                got = self.client.wait_for_code(identifier, timeout=120, since=expected.since).value
            except MailbridgeError as fault:
                got = repr(fault)
            sending.join()
            if got == code:
                self.served += 1
            else:
                self.dropped.append(f"{identifier}: {got} and not {code}")

    def _send(self, code: str, identifier: str, delay: float) -> None:
        self._is_over.wait(delay)
        while True:
            try:
                reply = self.house.send(code, identifier=identifier)[0]
            except OSError:
                reply = 0
            if reply >= 500:
                self.refused.append(reply)
            if reply == 250 or reply >= 500:
                return
            threading.Event().wait(0.05)

    def stop(self) -> None:
        """End after the wait that is open."""
        self._is_over.set()
        self.join(150)


class Fleet:
    """Replicas of one release or of two."""

    def __init__(self, houses: list[House]) -> None:
        self.houses = houses
        self.daemons: dict[int, Daemon] = {}
        self.ends: list[int] = []

    def start(self, number: int, release: Path | None) -> None:
        """Start one of a release (None: this tree's), and wait until it takes mail."""
        environment = haproxy.ENVIRONMENT | ({"PYTHONPATH": str(release)} if release is not None else {})
        self.daemons[number] = self.houses[number].start(env=environment)
        self.daemons[number].until_ready()

    def replace(self, number: int, release: Path | None, front: Balancer) -> None:
        """Stop one as a person or an orchestrator does, start it as another release, and wait until HAProxy sends to it."""
        self.ends.append(self.daemons[number].terminate(patience=120))
        self.start(number, release)
        front.until_sends_to(number + 1, patience=120)

    def version(self, number: int) -> str:
        """What it says that it is."""
        found = re.search(r'mailbridge_build_info\{.*version="([^"]+)"', self.daemons[number].get("/metrics").text)
        assert found is not None
        return found[1]

    def close(self) -> None:
        """Kill what is left."""
        for one in self.daemons.values():
            one.kill()


@pytest.mark.timeout(900)
def test_releases_follow_each_other_unnoticed(tmp_path: Path) -> None:
    """0 lost, nothing out of order, no 5xx to a sender or a client, every wait gets its code, although each release changes the schema."""
    with ExitStack() as stack:
        receiver = stack.enter_context(running_faulty(Temper(loses=0.02, refuses=0.02)))
        server = stack.enter_context(running_postgres())
        houses = haproxy.houses_on(server, tmp_path, receiver.base_url)
        fleet = Fleet(houses)
        stack.callback(fleet.close)
        for number in range(len(houses)):
            fleet.start(number, None)
        front = stack.enter_context(running_haproxy(tmp_path, houses))
        outside = tmp_path / "outside"
        outside.mkdir()
        before = House(outside, receiver.base_url, smtp=front.smtp, http=front.http)
        token = agent_token(houses[0])["Authorization"].partition(" ")[2]
        clients = [Client(before, number) for number in range(SENDERS)]
        waiters = [Waiter(before, token, number) for number in range(WAITERS)]
        load: list[Client | Waiter] = [*clients, *waiters]
        for one in load:
            one.start()
        try:
            roll(fleet, front, tmp_path)
        finally:
            for one in load:
                one.stop()
        receiver.temper = Temper()
        wait_for(lambda: fleet.daemons[0].waiting() == 0, "the outbox is empty", patience=120)
        versions = {fleet.version(number) for number in fleet.daemons}
        fleet.ends += [one.terminate(patience=120) for one in fleet.daemons.values()]
        verdict = judged(receiver, deliveries_of(houses[0]), clients, kills=0)
    statuses = front.statuses()
    waits = sum(one.served for one in waiters)
    print("seed", SEED, "rounds", ROUNDS, "waits", waits, "statuses", statuses, json.dumps(asdict(verdict)))
    assert (verdict.lost, verdict.inversions, verdict.wrong_newest) == ([], [], [])
    assert [reply for one in load for reply in one.refused] == []
    assert [status for status in statuses if status >= 500] == []
    assert [one for waiter in waiters for one in waiter.dropped] == []
    assert waits >= ROUNDS
    assert verdict.acknowledged > ROUNDS
    assert set(fleet.ends) == {0}
    assert [one.partition("+")[2] for one in versions] == [f"later{ROUNDS}"]
    for house in houses:
        assert "Traceback" not in house.log.read_text(encoding="utf-8")


def roll(fleet: Fleet, front: Balancer, folder: Path) -> None:
    """One release after the other. In the first round the old one is started once more on the schema of the new one."""
    for number in range(1, ROUNDS + 1):
        release = later(folder / f"release-{number}", number)
        fleet.replace(0, release, front)
        if number == 1:
            fleet.replace(1, None, front)
        fleet.replace(1, release, front)
        print(f"round {number} of {ROUNDS}", flush=True)
