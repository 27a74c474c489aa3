"""Mailboxes on a real Cyrus, the second opinion: other pushes, other flags, Nagle's algorithm left on; nothing lost or twice."""

from __future__ import annotations

import asyncio
import signal
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from imapclient import IMAPClient

from tests.e2e.boxes import all_there, deliver, of, sixty_codes_survive, well
from tests.ingress.imap.watched import ANN, code_mail, house, until, watching
from tests.peers import cyrus as peer
from tests.peers.cyrus import Cyrus, running_cyrus

pytestmark = pytest.mark.e2e


@pytest.fixture
def folder(reachable: Path) -> Iterator[Path]:
    """A folder for a Cyrus and for what watches it."""
    if not peer.is_installed():
        pytest.skip(peer.MEND)
    yield reachable


Act = Callable[[Cyrus], Awaitable[None]]


async def _nothing(server: Cyrus) -> None:
    await asyncio.sleep(0)


async def _farewells(server: Cyrus) -> None:
    for _ in range(5):
        server.signal(signal.SIGTERM, server.sessions())
        await asyncio.sleep(0.4)


async def _kills(server: Cyrus) -> None:
    for _ in range(5):
        server.signal(signal.SIGKILL, server.sessions())
        await asyncio.sleep(0.4)


async def _no_pushes(server: Cyrus) -> None:
    server.signal(signal.SIGSTOP, server.pids("idled"))
    await asyncio.sleep(0)


async def _power_cut(server: Cyrus) -> None:
    await asyncio.to_thread(server.crash)
    await asyncio.sleep(1)
    await asyncio.to_thread(server.start)


FAULTS: dict[str, tuple[Act, float]] = {
    "none": (_nothing, 2.0),
    "BYE five times": (_farewells, 4.0),
    "sessions killed five times": (_kills, 5.0),
    "what pushes hangs": (_no_pushes, 5.0),
    "power cut": (_power_cut, 7.0),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_under_delivery_loses_and_doubles_nothing(folder: Path, name: str) -> None:
    """Sixty codes while it happens: each in the store once, the last within its bound of the fault's end."""
    act, bound = FAULTS[name]

    async def run() -> None:
        with running_cyrus(folder / "c") as server:
            await sixty_codes_survive(server, folder, act, bound)

    asyncio.run(run())


def test_a_code_does_not_wait_for_nagle(folder: Path) -> None:
    """From the delivery to the door, body and all, although this server holds a small packet until the last is acknowledged."""
    took: list[float] = []

    async def run() -> None:
        with running_cyrus(folder / "c") as server:
            async with house(folder) as home, watching(home, of(server, renew=timedelta(seconds=55))) as watchers:
                await well(watchers)
                for number in range(60):
                    await asyncio.to_thread(server.deliver, code_mail(str(500_000 + number)))
                    began = time.monotonic()
                    await until(lambda count=number + 1: len(home.brought) == count, what="the code")
                    took.append(time.monotonic() - began)
                await all_there(home, 500_000, 60, within=60)
        print(f"delivered to brought: p50 {statistics.median(took) * 1000:.1f} ms, most {max(took) * 1000:.1f} ms")
        assert statistics.quantiles(took, n=4)[0] < 0.035, "a delayed acknowledgement takes 40 ms"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("after", "where", "criteria"),
    [
        ("seen", "INBOX", ["SEEN"]),
        ("keyword:Pushed", "INBOX", ["KEYWORD", "Pushed"]),
        ("move:Processed", "Processed", ["ALL"]),
        ("delete", "INBOX", ["DELETED"]),
    ],
)
def test_after_effects_happen(folder: Path, after: str, where: str, criteria: list[str]) -> None:
    """As another client sees it, for the mails with a code alone; deleted is gone at once."""

    async def run() -> None:
        with running_cyrus(folder / "c") as server:
            async with house(folder) as home, watching(home, of(server, after=after)) as watchers:
                await well(watchers)
                await deliver(server, 500_000, 2, every=0.3)
                await asyncio.to_thread(server.deliver, b"From: a@b.example\r\nTo: ann@corp.example\r\n\r\nAt noon?\r\n")
                await all_there(home, 500_000, 2, within=60)

                def seen() -> tuple[int, int]:
                    with IMAPClient("127.0.0.1", server.imap, ssl=False, timeout=5) as client:
                        client.plain_login(ANN, peer.PASSWORD)
                        client.select_folder(where, readonly=True)
                        found = len(client.search(criteria))
                        client.select_folder("INBOX", readonly=True)
                        return found, len(client.search(["ALL"]))

                wanted = {"delete": (0, 1), "move:Processed": (2, 1)}.get(after, (2, 3))

                async def is_done() -> bool:
                    return await asyncio.to_thread(seen) == wanted

                await until(is_done, within=5, what=after)
                assert watchers.health()[0].mode in ("idle", "notify")

    asyncio.run(run())


def test_a_password_that_is_right_again_is_taken_by_itself(folder: Path) -> None:
    """Refused for a while: red, and no more than a few logins; then watched again without a HUP, and what came meanwhile is there, once."""

    async def run() -> None:
        with running_cyrus(folder / "c") as server:
            async with house(folder) as home, watching(home, of(server)) as watchers:
                await well(watchers)
                await deliver(server, 500_000, 2)
                await all_there(home, 500_000, 2, within=60)
                server.set_password("other")
                server.signal(signal.SIGTERM, server.sessions())
                await until(lambda: watchers.health()[0].mode == "parked", within=30, what="the refusal")
                assert not watchers.health()[0].is_well and "pw" not in watchers.health()[0].reason
                await deliver(server, 500_002, 2)
                server.set_password(peer.PASSWORD)
                began = time.monotonic()
                await until(lambda: watchers.health()[0].is_well, within=60, what="green")
                print(f"green {time.monotonic() - began:.1f} s after the password was right again")
                await all_there(home, 500_000, 4, within=30)

    asyncio.run(run())


def test_a_mailbox_that_is_made_anew_brings_nothing_again(folder: Path) -> None:
    """The same mails under another UIDVALIDITY: known by their content; the next code is pushed."""

    async def run() -> None:
        with running_cyrus(folder / "c") as server:
            async with house(folder) as home, watching(home, of(server)) as watchers:
                await well(watchers)
                await deliver(server, 500_000, 4)
                await all_there(home, 500_000, 4, within=60)
                await asyncio.to_thread(server.crash)
                await asyncio.sleep(1.1)  # the UIDVALIDITY is the second in which a mailbox is made
                server.make_anew()
                await asyncio.to_thread(server.start)
                await deliver(server, 500_000, 6)
                await all_there(home, 500_000, 6, within=60)
                assert len({(envelope.cursor or "").split("/")[-2] for envelope in home.brought}) == 2, "nothing was tried"
                await until(lambda: watchers.health()[0].is_well, within=60, what="green")

    asyncio.run(run())
