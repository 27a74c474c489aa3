"""Mailboxes on two further real servers: delivery, a restart, a wrong password, and one that renumbers; nothing lost or twice."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from mailbridge.core.secret import Secret
from mailbridge.ingress.imap.probe import probe
from tests.e2e.boxes import all_there, well
from tests.ingress.imap.watched import account, code_mail, house, until, watching
from tests.peers.others import MEND, Other, running_other

pytestmark = pytest.mark.e2e

SERVERS = ("imap4d", "pymap")


@pytest.fixture
def place(reachable: Path, name: str) -> Path:
    """A folder for a server and for what watches it."""
    if not Other(name=name, folder=reachable).is_installed:
        pytest.skip(MEND.format(name, Other(name=name, folder=reachable).unpacked))
    return reachable


async def put(server: Other, first: int, count: int) -> None:
    """Codes one after another."""
    for number in range(first, first + count):
        await asyncio.to_thread(server.deliver, code_mail(str(number)))


@pytest.mark.parametrize("name", SERVERS)
def test_codes_come_once_also_over_a_restart(place: Path, name: str) -> None:
    """Eight codes, the server killed and started again, eight more: each is in the store once, and the mailbox is well."""

    async def run() -> None:
        with running_other(name, place / "s") as server:
            box = account(server.port, renew=timedelta(seconds=5))
            async with house(place) as home, watching(home, box) as watchers:
                await well(watchers)
                await put(server, 500_000, 8)
                await all_there(home, 500_000, 8, within=60)
                await asyncio.to_thread(server.crash)
                await until(lambda: watchers.health()[0].mode == "waiting", within=30)
                await asyncio.to_thread(server.start)
                await well(watchers, within=60)
                await put(server, 500_008, 8)
                await all_there(home, 500_000, 16, within=60)
                await until(lambda: watchers.health()[0].is_well, within=30)

    asyncio.run(run())


@pytest.mark.parametrize("name", SERVERS)
def test_a_wrong_password_is_told(place: Path, name: str) -> None:
    """The try fails at the login, in the server's words; with the right one every step passes, with a fetch."""
    with running_other(name, place / "s") as server:
        server.deliver(code_mail("482913"))
        bad = list(probe(account(server.port, password=Secret("wrong")), None, idle_for=0.1))
        assert (bad[-1].step, bad[-1].is_good) == ("login", False)
        good = list(probe(account(server.port), None, idle_for=0.1))
        assert all(one.is_good for one in good), good
        assert any(one.step == "fetch" and "the mail with UID" in one.text for one in good)


@pytest.mark.parametrize("name", ["imap4d"])
def test_a_server_that_renumbers_is_opened_otherwise(place: Path, name: str) -> None:
    """EXAMINE gives the mailbox another UIDVALIDITY each time: that is noticed, SELECT is used, no flag is changed, nothing is pushed twice."""

    async def run() -> None:
        with running_other(name, place / "s") as server:
            await put(server, 500_000, 4)
            async with house(place) as home:
                for _ in range(4):
                    async with watching(home, account(server.port, renew=timedelta(seconds=5))) as watchers:
                        await well(watchers)
                        await all_there(home, 500_000, 4, within=60)
                async with watching(home, account(server.port, renew=timedelta(seconds=5))) as watchers:
                    await well(watchers)
                    for _ in range(3):
                        before = watchers.health()[0].reconnects
                        await asyncio.to_thread(server.crash)
                        await until(lambda before=before: watchers.health()[0].reconnects > before, within=30)
                        await asyncio.to_thread(server.start)
                        await well(watchers, within=60)
                    await put(server, 500_004, 2)
                    await all_there(home, 500_000, 6, within=60)
                    assert any("EXAMINE" in note or "UIDVALIDITY" in note for note in watchers.health()[0].notes)
            with server.client() as client:
                client.select("INBOX")
                assert r"\Seen" not in str(client.fetch("1:*", "(FLAGS)"))

    asyncio.run(run())
