"""Waits at one replica for mail that comes in at another, while replicas are restarted and killed: each is answered with its code.

A few here; `make soak` has 10,000 (MAILBRIDGE_REPLICA_WAITS).
"""

from __future__ import annotations

import json
import os
import random
import smtplib
import statistics
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.peers import postgres as peer
from tests.peers.daemon import House
from tests.peers.faulty import Temper, running_faulty
from tests.peers.postgres import running_postgres
from tests.replicas.fleet import TOKEN, Fleet, furnished

pytestmark = pytest.mark.e2e

WAITS = int(os.environ.get("MAILBRIDGE_REPLICA_WAITS", "60"))
SEED = int(os.environ.get("MAILBRIDGE_SEED", "0")) or time.time_ns() % 1_000_000
REPLICAS = 3
LANES = 4
TIMEOUT = 30
"""Seconds of one long poll. A replica that stops ends its polls before, without a code, and every client of ours asks again then; a wait
whose whole time is over without its code has lost it."""

FEW = 25
"""Waits for each restart, at least."""


@dataclass
class Waits:
    """What came of them. ``took`` are seconds from the 250 to the answer, of waits in which nothing was restarted."""

    answered: int = 0
    asked_again: int = 0
    lost: list[str] = field(default_factory=list)
    took: list[float] = field(default_factory=list)


class Lane(threading.Thread):
    """One who waits, and a sender of his own: the mail comes in at another replica than the one where he waits, a moment later."""

    def __init__(self, fleet: Fleet, number: int, count: int) -> None:
        super().__init__(daemon=True)
        self.waits = Waits()
        self._fleet = fleet
        self._number = number
        self._count = count
        self._dice = random.Random(SEED + number)
        self._pause = threading.Event()

    def run(self) -> None:
        """All of them, one after the other."""
        with httpx.Client(trust_env=False, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=TIMEOUT + 15) as client:
            for serial in range(self._count):
                self._one(client, str(10_000_000 + serial * LANES + self._number))

    def _one(self, client: httpx.Client, code: str) -> None:
        at, *others = self._dice.sample(self._fleet.houses, REPLICAS)
        identifier = f"w{code}@corp.example"
        before, told = self._quiet_since(), [0.0]
        sender = threading.Thread(target=self._send, args=(others, code, identifier, told), daemon=True)
        sender.start()
        got, until = None, time.monotonic() + TIMEOUT
        while got is None and time.monotonic() < until:
            got = self._asked(client, at, identifier)
            if got is None:
                self.waits.asked_again += 1
                at = self._dice.choice(self._fleet.houses)  # as a client does whose replica is gone
                self._pause.wait(0.02)
        answered_at = time.monotonic()
        sender.join(60)
        if got != code:
            self.waits.lost.append(f"{code}: {got}")
            return
        self.waits.answered += 1
        if before is not None and self._quiet_since() == before:
            self.waits.took.append(max(answered_at - told[0], 0.0))

    def _asked(self, client: httpx.Client, at: House, identifier: str) -> str | None:
        """The code; None where the replica is gone, or stops, or has no code in the time of a poll."""
        url = f"http://{at.host}:{at.http}/api/v1/codes/wait"
        try:
            answer = client.get(url, params={"identifier": identifier, "timeout": str(TIMEOUT)})
        except httpx.HTTPError:
            return None
        return answer.json().get("code") if answer.status_code == 200 else None

    def _quiet_since(self) -> int | None:
        """After how many disturbances nothing is broken now; None while something is."""
        return None if self._fleet.breaking else len(self._fleet.disturbed)

    def _send(self, houses: list[House], code: str, identifier: str, told: list[float]) -> None:
        self._pause.wait(self._dice.uniform(0.0, 0.1))
        while True:
            for house in houses:
                try:
                    reply = house.send(code, identifier=identifier)[0]
                except (OSError, smtplib.SMTPException):
                    continue
                if reply == 250:
                    told[0] = time.monotonic()
                    return
            self._pause.wait(0.02)


def restart_one(fleet: Fleet, dice: random.Random) -> None:
    """In order, as for a new release, or by kill -9; it is back before the next one goes."""
    number = dice.randrange(REPLICAS)
    if dice.random() < 0.5:
        with fleet.disturbance():
            fleet.daemons[number].terminate(patience=60)
    else:
        fleet.kill([number])
    fleet.start(number)
    fleet.until_ready([number])


def test_no_wait_is_lost_while_replicas_restart(tmp_path: Path) -> None:
    """Whoever asks again where his replica went down gets the code of the mail that came in elsewhere; nobody waits in vain."""
    if not peer.found():
        pytest.skip(peer.MEND)
    dice = random.Random(SEED)
    restarts = 0
    with running_postgres() as server, running_faulty(Temper()) as receiver:
        fleet = Fleet(furnished(server, receiver, tmp_path, REPLICAS), server, receiver)
        with fleet.running(senders=0, readers=0):
            lanes = [Lane(fleet, number, WAITS // LANES) for number in range(LANES)]
            for lane in lanes:
                lane.start()
            while any(lane.is_alive() for lane in lanes):
                before = sum(lane.waits.answered for lane in lanes)
                restart_one(fleet, dice)
                restarts += 1
                while any(lane.is_alive() for lane in lanes) and sum(lane.waits.answered for lane in lanes) < before + FEW:
                    lanes[0].join(0.05)
                    lanes[-1].join(0.05)
            waits = [lane.waits for lane in lanes]
            took = sorted(one for each in waits for one in each.took)
            print(
                "seed",
                SEED,
                json.dumps(
                    {
                        "answered": sum(one.answered for one in waits),
                        "restarts": restarts,
                        "asked_again": sum(one.asked_again for one in waits),
                        "undisturbed": len(took),
                        "p50_ms": round(statistics.median(took) * 1000, 1) if took else None,
                        "most_ms": round(took[-1] * 1000, 1) if took else None,
                    }
                ),
            )
            assert [one for each in waits for one in each.lost] == []
            assert sum(one.answered for one in waits) == WAITS // LANES * LANES
            assert fleet.has_no_traceback()
