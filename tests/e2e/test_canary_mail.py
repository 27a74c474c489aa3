"""A canary on a real mailbox: handed in by a real submission dialogue, delivered by LMTP, seen by the watcher, removed from disk."""

from __future__ import annotations

import asyncio
import imaplib
import ssl
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from mailbridge.config.settings import CanarySettings, ImapSettings
from mailbridge.ingress.imap.canary import CanaryHealth
from mailbridge.ingress.imap.canary.tokens import CanaryTokens, token_of
from mailbridge.ingress.imap.watchers import Watchers
from tests.e2e.boxes import all_there, deliver, of, well
from tests.ingress.imap.watched import ANN, code_mail, house, until, watching
from tests.peers.dovecot import PASSWORD, Dovecot, running_dovecot
from tests.peers.submission import SubmissionPeer, running_submission

pytestmark = pytest.mark.e2e

EVERY = timedelta(seconds=2)
DEADLINE = timedelta(seconds=1.5)


KEY = b"a key of these tests, 32 octets."


def box(server: Dovecot, post: SubmissionPeer, **changes: object) -> ImapSettings:
    """Ann's account, whose canary goes by the submission server."""
    canary = CanarySettings(every=EVERY, deadline=DEADLINE, **post.settings)  # type: ignore[arg-type]
    return of(server, canary=canary, **changes)


def canaries(server: Dovecot) -> str:
    """Where canaries lie on the server, as its own administration tool sees it: a line for each."""
    return server.doveadm("search", "-u", ANN, "header", "X-Mailbridge-Canary", "")


async def told(watchers: Watchers, holds: Callable[[CanaryHealth], bool], what: str) -> CanaryHealth:
    """Wait until the canary's health is so."""
    await until(lambda: holds(watchers.canaries()["box"]), within=20, what=what)
    return watchers.canaries()["box"]


def test_a_canary_flies_home(folder: Path) -> None:
    """Seen within its deadline, taken for no mail, and gone from the server; codes beside it are pushed as ever."""

    async def run() -> None:
        with running_dovecot(folder / "d") as server, running_submission(server.folder / "tls", server.deliver) as post:
            async with house(folder) as home, watching(home, box(server, post)) as watchers:
                await well(watchers)
                health = await told(watchers, lambda one: one.seen is not None, "a canary")
                assert health.is_well
                assert health.latency is not None
                print(f"canary seen after {health.latency * 1000:.0f} ms")
                await until(lambda: canaries(server) == "", within=10, what="the removal")
                await deliver(server, 500_000, 3)
                await all_there(home, 500_000, 3, within=60)
                assert len(home.brought) == 3
                assert all(one.is_well for one in watchers.health())

    asyncio.run(run())


def test_a_canary_that_a_filter_took_is_found(folder: Path) -> None:
    """It lies in Junk: the alarm names the folder and the line that fixes it, and it is removed there as well."""

    async def run() -> None:
        with running_dovecot(folder / "d") as server:

            def filtered(content: bytes) -> None:
                context = ssl.create_default_context(cafile=str(server.ca))
                with imaplib.IMAP4_SSL("localhost", server.imaps, ssl_context=context) as client:
                    client.login(ANN, PASSWORD)
                    client.append("Junk", None, None, content)

            with running_submission(server.folder / "tls", filtered) as post:
                async with house(folder) as home, watching(home, box(server, post)) as watchers:
                    await well(watchers)
                    health = await told(watchers, lambda one: not one.is_well, "the alarm")
                    assert "went to Junk" in health.reason
                    assert 'folders = ["INBOX", "Junk"]' in health.reason
                    await until(lambda: canaries(server) == "", within=10, what="the removal")
                    post.deliver = server.deliver
                    await told(watchers, lambda one: one.is_well and one.seen is not None, "the end of the alarm")
                    assert home.brought == []

    asyncio.run(run())


def test_a_canary_that_nobody_delivers_is_an_alarm_until_one_comes(folder: Path) -> None:
    """Taken by the submission server and lost behind it; and then refused by it, which is told apart."""

    async def run() -> None:
        with running_dovecot(folder / "d") as server, running_submission(server.folder / "tls", len) as post:
            async with house(folder) as home, watching(home, box(server, post)) as watchers:
                await well(watchers)
                await told(watchers, lambda one: "in no folder" in one.reason and not one.is_well, "the alarm")
                post.refusal = "552 5.2.2 over quota"
                await told(watchers, lambda one: "552 5.2.2 over quota" in one.reason and not one.is_well, "the other alarm")
                post.refusal, post.deliver = "", server.deliver
                await told(watchers, lambda one: one.is_well and one.seen is not None, "the end of the alarm")
                assert home.brought == []

    asyncio.run(run())


def test_a_password_that_reads_and_does_not_send(folder: Path) -> None:
    """The mailbox is watched on; the alarm is of the submission alone."""

    async def run() -> None:
        with running_dovecot(folder / "d") as server, running_submission(server.folder / "tls", server.deliver) as post:
            post.password = "another"
            async with house(folder) as home, watching(home, box(server, post)) as watchers:
                await well(watchers)
                health = await told(watchers, lambda one: not one.is_well, "the alarm")
                assert "refuses the login: 535" in health.reason
                assert all(one.is_well for one in watchers.health())
                await deliver(server, 500_000, 1)
                await all_there(home, 500_000, 1, within=60)

    asyncio.run(run())


def test_the_next_life_removes_what_the_last_one_sent(folder: Path) -> None:
    """Delivered while no daemon ran: a mail without a code, pushed nowhere; gone from the server with the next canary, while a mail
    that only looks like one stays, with its code pushed."""

    async def run() -> None:
        with running_dovecot(folder / "d") as server, running_submission(server.folder / "tls", len) as post:
            async with house(folder) as home:
                async with watching(home, box(server, post), key=KEY):
                    await until(lambda: bool(post.taken), within=15, what="the canary")
                orphan, forged = token_of(post.taken[0]), CanaryTokens(b"somebody else's", ANN).token()
                text = code_mail("500000", extra=f"X-Mailbridge-Canary: {forged}\r\n")
                forgery = text.replace(b"Subject: Your code", f"Subject: Mailbridge canary {forged}".encode())
                for mail in (post.taken[0], forgery):
                    await asyncio.to_thread(server.deliver, mail)
                post.deliver = server.deliver
                async with watching(home, box(server, post), key=KEY) as watchers:
                    await told(watchers, lambda one: one.seen is not None, "a canary")
                    await until(lambda: len(canaries(server).splitlines()) == 1, within=10, what="the removal")
                    assert await home.codes() == ["500000"]
                    assert {token_of(one.content) for one in home.brought} == {orphan, forged}
                left = server.doveadm("fetch", "-u", ANN, "hdr.x-mailbridge-canary", "header", "X-Mailbridge-Canary", "")
                assert forged in left

    asyncio.run(run())


@pytest.mark.parametrize("folders", [("INBOX",), ("Junk", "INBOX")])
def test_a_canary_by_append(folder: Path, folders: tuple[str, ...]) -> None:
    """Put into the first folder by a second connection, seen by the first, and removed, however many folders are watched."""

    async def run() -> None:
        with running_dovecot(folder / "d") as server:
            canary = CanarySettings(every=EVERY, deadline=DEADLINE, by="append")
            async with house(folder) as home, watching(home, of(server, canary=canary, folders=folders)) as watchers:
                await well(watchers)
                await told(watchers, lambda one: one.seen is not None and one.is_well, "a canary")
                await until(lambda: canaries(server) == "", within=10, what="the removal")
                assert home.brought == []

    asyncio.run(run())


def test_the_copy_among_the_sent_mails_goes_too(folder: Path) -> None:
    """As providers keep one of what is handed in; it is no arrival either, where nothing else arrives."""

    async def run() -> None:
        with running_dovecot(folder / "d") as server:
            await asyncio.to_thread(server.doveadm, "mailbox", "create", "-u", ANN, "Sent")
            seen_in_sent: list[str] = []

            def kept(content: bytes) -> None:
                context = ssl.create_default_context(cafile=str(server.ca))
                with imaplib.IMAP4_SSL("localhost", server.imaps, ssl_context=context) as client:
                    client.login(ANN, PASSWORD)
                    client.append("Sent", None, None, content)
                seen_in_sent.append(canaries(server))

            with running_submission(server.folder / "tls", kept) as post:
                async with house(folder) as home, watching(home, box(server, post)) as watchers:
                    await well(watchers)
                    await told(watchers, lambda one: "in no folder" in one.reason, "the alarm")
                    await until(lambda: canaries(server) == "", within=10, what="the removal")
                    assert seen_in_sent[0] != ""

    asyncio.run(run())
