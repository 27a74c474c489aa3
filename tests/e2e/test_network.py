"""A mailbox on a real Dovecot behind a network that swallows packets: nothing lost, nothing twice, each within its bound."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.e2e.boxes import all_there, deliver, of, settled, well
from tests.ingress.imap.watched import house, until, watching
from tests.peers import firewall
from tests.peers.dovecot import running_dovecot
from tests.peers.firewall import dropped, ports_of_clients

pytestmark = pytest.mark.e2e

NEVER = timedelta(minutes=30)
"""A renewal that does not come within a test: what is found is found by the kernel."""


@pytest.fixture(autouse=True)
def packets() -> Iterator[None]:
    """Packets can be dropped."""
    if not firewall.is_usable():
        pytest.skip(firewall.MEND)
    yield


@pytest.mark.parametrize("silence", [2, 10], ids=["given up meanwhile", "waited out"])
def test_a_black_hole_swallows_no_code(folder: Path, silence: int) -> None:
    """Nothing comes through for 8 s while forty codes are delivered: all are there within 5 s of its end."""

    async def run() -> None:
        with running_dovecot(folder / "d") as server:
            async with (
                house(folder) as home,
                watching(home, of(server), silence=timedelta(seconds=silence)) as watchers,
            ):
                await well(watchers)
                await deliver(server, 500_000, 10)
                await all_there(home, 500_000, 10, within=60)
                with dropped(server.imaps):
                    began = time.monotonic()
                    await deliver(server, 500_010, 30)
                    await asyncio.sleep(8 - (time.monotonic() - began))
                    assert len(await home.codes()) == 10
                taken = await all_there(home, 500_000, 40, within=60)
                print(f"black hole, silence {silence} s: all there {taken:.2f} s after its end")
                await well(watchers)
                assert all(one.is_well for one in watchers.health())

    asyncio.run(run())


def test_a_connection_that_only_one_side_believes_in_is_replaced(folder: Path) -> None:
    """A router forgets one flow: the renewal finds it out, and the codes come by a new connection while the old one is dead."""

    async def run() -> None:
        with running_dovecot(folder / "d") as server:
            async with house(folder) as home, watching(home, of(server), silence=timedelta(seconds=2)) as watchers:
                await well(watchers)
                await deliver(server, 500_000, 10)
                await all_there(home, 500_000, 10, within=60)
                [source] = ports_of_clients(server.imaps)
                with dropped(server.imaps, source=source):
                    began = time.monotonic()
                    await deliver(server, 500_010, 10)
                    await all_there(home, 500_000, 20, within=60)
                    taken = time.monotonic() - began
                    print(f"half-open: all there {taken:.2f} s after the flow died")
                    await well(watchers)
                    assert watchers.health()[0].reconnects >= 1
                    assert source not in ports_of_clients(server.imaps)

    asyncio.run(run())


def test_the_kernel_finds_a_dead_network_before_the_renewal(folder: Path) -> None:
    """With the values of every day and nothing said in IDLE, a flow that died is given up, by the kernel alone, and the reason says so."""

    async def run() -> None:
        with running_dovecot(folder / "d") as server:
            async with house(folder) as home, watching(home, of(server, renew=NEVER)) as watchers:
                await settled(watchers)
                [source] = ports_of_clients(server.imaps)
                with dropped(server.imaps, source=source):
                    began = time.monotonic()
                    await until(lambda: watchers.health()[0].reconnects == 1, within=120, what="the end of the connection")
                    noticed = time.monotonic() - began
                    reason = watchers.health()[0].reason
                    await deliver(server, 500_000, 3)
                    await all_there(home, 500_000, 3, within=60)
                print(f"dead network: noticed after {noticed:.1f} s: {reason}")
                assert "timed out" in reason

    asyncio.run(run())
