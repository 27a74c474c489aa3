"""Replicas whose links are cut, slow or broken in one direction, and one whose clock is wrong: the history has no fault.

Each replica is on a network of its own (`tests.peers.namespaces`). A few faults here; `make soak` has 60 (MAILBRIDGE_NETWORK_FAULTS).
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.e2e.test_clock import SetClock
from tests.peers import namespaces
from tests.peers import postgres as peer
from tests.peers.faulty import running_faulty
from tests.peers.namespaces import HUB, Direction, Network, inside, linked
from tests.peers.postgres import running_postgres
from tests.replicas.fleet import FAILING, Fleet, furnished

pytestmark = pytest.mark.e2e

FAULTS = int(os.environ.get("MAILBRIDGE_NETWORK_FAULTS", "5"))
JUMPS = int(os.environ.get("MAILBRIDGE_CLOCK_JUMPS", "6"))
SEED = int(os.environ.get("MAILBRIDGE_SEED", "0")) or time.time_ns() % 1_000_000
REPLICAS = 3
HOUR = 3_600
PAUSE = threading.Event()
"""Never set: what is waited for with it is time that passes while mail comes in."""

BEYOND_THE_LEASE = (11.0, 14.0)
SHORT = (0.5, 4.0)
DIRECTIONS: tuple[Direction, ...] = ("both", "in", "out")


@contextmanager
def fleet_on(network: Network, folder: Path) -> Iterator[Fleet]:
    """Server, receiver and clients in the hub, each replica beyond a link of its own."""
    with (
        inside(network.hub),
        running_postgres(host=HUB) as server,
        running_faulty(FAILING, host=HUB) as receiver,
    ):
        houses = furnished(server, receiver, folder, REPLICAS)
        for number, house in enumerate(houses):
            house.host = network.address(number)
            house.grace = "5s"  # as by default: longer than a packet is under way on a link that is slow
            house.configure()
        yield Fleet(houses, server, receiver, befores=[network.within(number) for number in range(REPLICAS)])


def fault(fleet: Fleet, network: Network, number: int, dice: random.Random) -> tuple[str, AbstractContextManager[None]]:
    """What happens to the link of one replica: its name, and the block in which it lasts."""
    receiver = int(fleet.receiver.address.rpartition(":")[2])
    port, what = dice.choice([(None, "all"), (fleet.server.port, "database"), (receiver, "receiver")])
    if dice.random() < 0.25:
        return "slow", network.slowed(number)
    direction = dice.choice(DIRECTIONS)
    return f"{what} {direction}", network.cut(number, port=port, direction=direction)


def test_broken_links_lose_and_turn_round_nothing(tmp_path: Path) -> None:
    """Cut off from all, from the database or from the receiver alone, in both directions or one, shorter and longer than a lease."""
    if not peer.found():
        pytest.skip(peer.MEND)
    if not namespaces.is_usable():
        pytest.skip(namespaces.MEND)
    dice = random.Random(SEED)
    kinds: dict[str, int] = {}
    with linked(REPLICAS) as network, fleet_on(network, tmp_path) as fleet, fleet.running():
        for serial in range(FAULTS):
            count = 1 if dice.random() < 0.8 else 2
            with fleet.disturbance(), ExitStack() as stack:
                for number in dice.sample(range(REPLICAS), count):
                    name, block = fault(fleet, network, number, dice)
                    kinds[name] = kinds.get(name, 0) + 1
                    stack.enter_context(block)
                PAUSE.wait(dice.uniform(*(BEYOND_THE_LEASE if serial % 5 == 4 else SHORT)))
            PAUSE.wait(dice.uniform(0.0, 1.5))
        verdict = fleet.finished()
        print("seed", SEED, "delayed" if network.can_delay else "slow", json.dumps(fleet.told() | verdict.counts | kinds))
        assert verdict.faults == {}
        assert verdict.failed == 0
        assert [one for sender in fleet.senders for one in sender.refused] == []
        assert verdict.acknowledged > FAULTS
        assert fleet.has_no_traceback()


def test_a_clock_that_is_an_hour_wrong_loses_and_turns_round_nothing(tmp_path: Path) -> None:
    """One of three replicas is set an hour ahead, back and right again while mail comes in, and is killed in between."""
    if not peer.found():
        pytest.skip(peer.MEND)
    dice = random.Random(SEED)
    clock = SetClock(tmp_path)
    with running_postgres() as server, running_faulty(FAILING) as receiver:
        fleet = Fleet(furnished(server, receiver, tmp_path, REPLICAS), server, receiver, environs=[clock.env, {}, {}])
        with fleet.running():
            for serial in range(JUMPS):
                clock.set_by(dice.choice([HOUR, -HOUR, 0]) if serial > 1 else (HOUR, -HOUR)[serial])
                PAUSE.wait(dice.uniform(1.0, 4.0))
                if dice.random() < 0.5:
                    fleet.kill([0])
                    fleet.start(0)
                    fleet.until_ready([0])
            verdict = fleet.finished()
            print("seed", SEED, "jumps", JUMPS, json.dumps(fleet.told() | verdict.counts))
            assert verdict.faults == {}
            assert verdict.failed == 0
            assert [one for sender in fleet.senders for one in sender.refused] == []
            assert verdict.acknowledged > JUMPS
            assert fleet.has_no_traceback()
