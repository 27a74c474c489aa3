"""Replicas are killed at random, and their server too, under load and with a receiver that fails: the history has no fault.

A few times here; `make soak` kills 300 replicas (MAILBRIDGE_REPLICA_KILLS) and 20 servers (MAILBRIDGE_SERVER_CRASHES).
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from pathlib import Path

import pytest

from tests.peers.faulty import running_faulty
from tests.peers.postgres import Postgres
from tests.replicas.fleet import FAILING, Fleet, furnished

pytestmark = pytest.mark.e2e

KILLS = int(os.environ.get("MAILBRIDGE_REPLICA_KILLS", "10"))
CRASHES = int(os.environ.get("MAILBRIDGE_SERVER_CRASHES", "2"))
SEED = int(os.environ.get("MAILBRIDGE_SEED", "0")) or time.time_ns() % 1_000_000
REPLICAS = 3
PAUSE = threading.Event()
"""Never set: what is waited for with it is time that passes while mail comes in."""


def kill_some(fleet: Fleet, dice: random.Random, most: int) -> None:
    """One replica mostly, sometimes two or all, mostly while they work and sometimes while they start; then they come back."""
    count = min(dice.choices([1, 2, 3], weights=[7, 2, 1])[0], most)
    chosen = dice.sample(range(REPLICAS), count)
    if dice.random() > 0.2:
        fleet.until_ready(chosen)
        PAUSE.wait(dice.uniform(0.0, 1.0))
    else:
        PAUSE.wait(dice.uniform(0.0, 0.6))
    fleet.kill(chosen)
    PAUSE.wait(dice.choice([0.0, 0.0, 0.5]))
    for number in chosen:
        fleet.start(number)


def crash(fleet: Fleet, dice: random.Random) -> None:
    """kill -9 of the server's first process; it comes back after up to two seconds."""
    fleet.until_ready()
    PAUSE.wait(dice.uniform(0.2, 1.0))
    with fleet.disturbance():
        fleet.server.crash()
        PAUSE.wait(dice.uniform(0.0, 2.0))
        fleet.server.start()
    fleet.crashes += 1


def test_kills_of_replicas_and_of_their_server_lose_and_turn_round_nothing(server: Postgres, tmp_path: Path) -> None:
    """Nothing acknowledged is lost, no older code comes after a newer one, nothing is pushed twice without a cause, and whoever follows
    the events has seen each once and in order."""
    dice = random.Random(SEED)
    with running_faulty(FAILING) as receiver:
        fleet = Fleet(furnished(server, receiver, tmp_path, REPLICAS), server, receiver)
        with fleet.running():
            crashes_left = CRASHES
            while fleet.kills < KILLS or crashes_left:
                if crashes_left and dice.random() < crashes_left / (crashes_left + KILLS - min(fleet.kills, KILLS)):
                    crash(fleet, dice)
                    crashes_left -= 1
                elif fleet.kills < KILLS:
                    kill_some(fleet, dice, KILLS - fleet.kills)
            verdict = fleet.finished()
            print("seed", SEED, json.dumps(fleet.told() | verdict.counts))
            assert verdict.faults == {}
            assert verdict.failed == 0
            assert [one for sender in fleet.senders for one in sender.refused] == []
            assert verdict.acknowledged > KILLS
            assert fleet.has_no_traceback()
