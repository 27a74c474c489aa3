"""Mailboxes on three further real servers: delivery, a restart, killed sessions, a wrong password, after-effects, renumbering; nothing lost or twice."""

from __future__ import annotations

import asyncio
import contextlib
import imaplib
import os
import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest

from mailbridge.core.secret import Secret
from mailbridge.ingress.imap.probe import probe
from tests.e2e.boxes import all_there, well
from tests.ingress.imap.watched import account, code_mail, house, until, watching
from tests.peers.others import Other, running_other

pytestmark = pytest.mark.e2e

SERVERS = ("imap4d", "courier", "pymap")
RENEW = timedelta(seconds=2)


@pytest.fixture
def place(reachable: Path, name: str) -> Path:
    """A folder for a server and for what watches it."""
    if lacking := Other(name=name, folder=reachable).lacking:
        pytest.skip(lacking)
    return reachable


async def put(server: Other, first: int, count: int, *, every: float = 0.0) -> None:
    """Codes one after another; a server that is down is waited for, as a mail server does."""
    for number in range(first, first + count):
        for _ in range(400):
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                await asyncio.to_thread(server.deliver, code_mail(str(number)))
                break
            await asyncio.sleep(0.05)
        await asyncio.sleep(every)


@pytest.mark.parametrize("is_orderly", [True, False], ids=["restart", "kill"])
@pytest.mark.parametrize("name", SERVERS)
def test_codes_come_once_also_over_a_restart(place: Path, name: str, is_orderly: bool) -> None:
    """Eight codes, the server ended or killed and started again, eight more: each is in the store once, and the mailbox is well."""

    async def run() -> None:
        with running_other(name, place / "s") as server:
            async with house(place) as home, watching(home, account(server.port, renew=RENEW)) as watchers:
                await well(watchers)
                await put(server, 500_000, 8)
                await all_there(home, 500_000, 8, within=60)
                await asyncio.to_thread(server.stop if is_orderly else server.crash)
                await until(lambda: watchers.health()[0].mode not in ("idle", "poll"), within=30, what="the end")
                await asyncio.to_thread(server.start)
                await well(watchers, within=60)
                await put(server, 500_008, 8)
                taken = await all_there(home, 500_000, 16, within=60)
                print(f"{name}: all there {taken:.2f} s after the last delivery")
                await until(lambda: watchers.health()[0].is_well, within=30)

    asyncio.run(run())


@pytest.mark.parametrize("name", ["imap4d", "courier"])
def test_killed_sessions_lose_and_double_nothing(place: Path, name: str) -> None:
    """Three times kill -9 of every session while twenty codes come."""

    async def run() -> None:
        with running_other(name, place / "s") as server:
            async with house(place) as home, watching(home, account(server.port, renew=RENEW)) as watchers:
                await well(watchers)
                delivering = asyncio.create_task(put(server, 500_000, 20, every=0.15))
                for _ in range(3):
                    await asyncio.sleep(0.8)
                    before = watchers.health()[0].reconnects
                    for pid in server.sessions():
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                    await until(lambda before=before: watchers.health()[0].reconnects > before, within=30, what="the end")
                await delivering
                taken = await all_there(home, 500_000, 20, within=60)
                print(f"{name}: all there {taken:.2f} s after the last delivery")
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


@pytest.mark.parametrize("name", SERVERS)
def test_a_password_that_is_right_again_is_taken_by_itself(place: Path, name: str) -> None:
    """Refused for a while: red, few logins; then watched again within a minute without a HUP, and what came meanwhile is there, once."""

    async def run() -> None:
        with running_other(name, place / "s") as server:
            async with house(place) as home, watching(home, account(server.port, renew=RENEW)) as watchers:
                await well(watchers)
                await put(server, 500_000, 2)
                await all_there(home, 500_000, 2, within=60)
                await asyncio.to_thread(server.crash)
                await asyncio.to_thread(server.start, "other")
                await until(lambda: watchers.health()[0].mode == "parked", within=30, what="the refusal")
                assert not watchers.health()[0].is_well
                await asyncio.to_thread(server.crash)
                await asyncio.to_thread(server.start)
                await put(server, 500_002, 2)
                began = time.monotonic()
                await until(lambda: watchers.health()[0].is_well, within=60, what="green")
                print(f"{name}: green {time.monotonic() - began:.1f} s after the password was right again")
                await all_there(home, 500_000, 4, within=30)

    asyncio.run(run())


EFFECTS: tuple[tuple[str, str, str, str, tuple[int, int]], ...] = (
    ("imap4d", "seen", "INBOX", "SEEN", (2, 3)),
    ("imap4d", "delete", "INBOX", "ALL", (1, 1)),
    ("imap4d", "move:Processed", "Processed", "ALL", (2, 1)),
    ("courier", "seen", "INBOX", "SEEN", (2, 3)),
    ("courier", "keyword:Pushed", "INBOX", "KEYWORD Pushed", (2, 3)),
    ("courier", "move:INBOX.Processed", "INBOX.Processed", "ALL", (2, 1)),
    ("courier", "delete", "INBOX", "ALL", (1, 1)),
    ("pymap", "seen", "INBOX", "SEEN", (2, 3)),
    ("pymap", "move:Processed", "Processed", "ALL", (2, 1)),
    ("pymap", "delete", "INBOX", "ALL", (1, 1)),
)
"""Server, after-effect, where it shows, by which search, and how many mails that and INBOX hold of two with a code and one without."""


@pytest.mark.parametrize(("name", "after", "where", "criteria", "wanted"), EFFECTS)
def test_after_effects_happen(place: Path, name: str, after: str, where: str, criteria: str, wanted: tuple[int, int]) -> None:
    """As another client sees it, for the mails with a code alone, on servers without MOVE or UIDPLUS too."""

    async def run() -> None:
        with running_other(name, place / "s") as server:
            if where != "INBOX":
                with server.client() as client:
                    client.create(where)

            def seen() -> tuple[int, int]:
                with server.client() as client:
                    client.select(where, readonly=True)
                    found = len(client.search(None, criteria)[1][0].split())
                    client.select("INBOX", readonly=True)
                    return found, len(client.search(None, "ALL")[1][0].split())

            async with house(place) as home, watching(home, account(server.port, renew=RENEW, after=after)) as watchers:
                await well(watchers)
                await put(server, 500_000, 2)
                await asyncio.to_thread(server.deliver, b"From: a@b.example\r\nTo: ann@corp.example\r\n\r\nAt noon?\r\n")
                await all_there(home, 500_000, 2, within=60)

                async def is_done() -> bool:
                    return await asyncio.to_thread(seen) == wanted

                await until(is_done, within=20, what=f"{after}: {seen()} is not {wanted}")
                await well(watchers)

    asyncio.run(run())


@pytest.mark.parametrize("name", ["imap4d", "courier"])
def test_a_server_that_renumbers_is_opened_otherwise(place: Path, name: str) -> None:
    """EXAMINE gives the mailbox another UIDVALIDITY each time: that is noticed, SELECT is used, no flag is changed, nothing is pushed twice."""

    async def run() -> None:
        with running_other(name, place / "s") as server:
            await put(server, 500_000, 4)
            assert await asyncio.to_thread(_validity, server) != await asyncio.to_thread(_validity, server), "nothing is tried"
            async with house(place) as home:
                for _ in range(4):
                    async with watching(home, account(server.port, renew=RENEW)) as watchers:
                        await well(watchers)
                        await all_there(home, 500_000, 4, within=60)
                    await asyncio.sleep(1.1)  # the new UIDVALIDITY is the second of the opening
                async with watching(home, account(server.port, renew=RENEW)) as watchers:
                    await well(watchers)
                    for _ in range(3):
                        before = watchers.health()[0].reconnects
                        await asyncio.to_thread(server.crash)
                        await until(lambda before=before: watchers.health()[0].reconnects > before, within=30)
                        await asyncio.to_thread(server.start)
                        await well(watchers, within=60)
                    await put(server, 500_004, 2)
                    await all_there(home, 500_000, 6, within=60)
                    assert any("EXAMINE" in note for note in watchers.health()[0].notes)
                assert len(home.brought) <= 6 + 2 * 4, "read again more than twice"
            with server.client() as client:
                client.select("INBOX")
                assert r"\Seen" not in str(client.fetch("1:*", "(FLAGS)"))

    asyncio.run(run())


def _validity(server: Other) -> bytes:
    """The UIDVALIDITY that a read-only opening shows now, a second after any other."""
    time.sleep(1.1)
    with server.client() as client:
        client.select("INBOX", readonly=True)
        return bytes(client.response("UIDVALIDITY")[1][0])


@pytest.mark.parametrize("name", ["courier", "pymap"])
def test_a_mailbox_that_is_made_anew_brings_nothing_again(place: Path, name: str) -> None:
    """The same mails under another UIDVALIDITY (its index is lost, or they are put back): known by their content; the next code is pushed."""

    async def run() -> None:
        with running_other(name, place / "s") as server:
            async with house(place) as home, watching(home, account(server.port, renew=RENEW)) as watchers:
                await well(watchers)
                await put(server, 500_000, 4)
                await all_there(home, 500_000, 4, within=60)
                await asyncio.to_thread(server.crash)
                (server.inbox / "courierimapuiddb").unlink(missing_ok=True)
                await asyncio.sleep(1.1)  # Courier's UIDVALIDITY is the second in which its index is made
                await asyncio.to_thread(server.start)
                if name == "pymap":  # what it had is gone
                    await put(server, 500_000, 4)
                await put(server, 500_004, 2)
                await all_there(home, 500_000, 6, within=60)
                await well(watchers)
                await until(lambda: watchers.health()[0].is_well, within=60, what="green")
                await all_there(home, 500_000, 6, within=60)

    asyncio.run(run())
