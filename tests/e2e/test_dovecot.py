"""Mailboxes on a real Dovecot: every fault under delivery, nothing lost, nothing twice."""

from __future__ import annotations

import asyncio
import imaplib
import os
import shutil
import signal
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.e2e.boxes import WATCHED, all_there, deliver, of, sixty_codes_survive, well
from tests.ingress.imap.watched import ANN, code_mail, house, until, watching
from tests.peers import dovecot as peer
from tests.peers.dovecot import Dovecot, preload_library, running_dovecot
from tests.peers.token_endpoint import TokenEndpoint

pytestmark = pytest.mark.e2e


Act = Callable[[Dovecot], Awaitable[None]]


async def _nothing(server: Dovecot) -> None:
    await asyncio.sleep(0)


async def _kick(server: Dovecot) -> None:
    for _ in range(5):
        await asyncio.to_thread(server.doveadm, "kick", "ann@corp.example")
        await asyncio.sleep(0.4)


async def _kill_sessions(server: Dovecot) -> None:
    for _ in range(5):
        await asyncio.to_thread(server.signal, signal.SIGKILL, "imap")
        await asyncio.sleep(0.4)


async def _power_cut(server: Dovecot) -> None:
    await asyncio.to_thread(server.crash)
    await asyncio.sleep(3)
    await asyncio.to_thread(server.start)


async def _restart(server: Dovecot) -> None:
    await asyncio.to_thread(server.stop)
    await asyncio.to_thread(server.crash)
    await asyncio.to_thread(server.start)


async def _frozen(server: Dovecot) -> None:
    await asyncio.to_thread(server.signal, signal.SIGSTOP, "imap", "imap-login")
    await asyncio.sleep(8)
    await asyncio.to_thread(server.signal, signal.SIGCONT, "imap", "imap-login")


async def _one_hangs(server: Dovecot) -> None:
    await asyncio.to_thread(server.signal, signal.SIGSTOP, "imap")


async def _new_validity(server: Dovecot) -> None:
    arguments = ("mailbox", "update", "-u", "ann@corp.example", "--uid-validity", "777", "INBOX")
    await asyncio.to_thread(server.doveadm, *arguments)
    await asyncio.to_thread(server.doveadm, "kick", "ann@corp.example")


def _validity(server: Dovecot) -> int:
    return int(server.doveadm("mailbox", "status", "-u", ANN, "uidvalidity", "INBOX").partition("=")[2])


async def _rebuilt(server: Dovecot) -> None:
    before = _validity(server)
    await until(lambda: time.time() > before + 1, what="the second in which the mailbox was made is over")  # its UIDVALIDITY
    await asyncio.to_thread(server.crash)
    for path in (server.folder / "mail").rglob("dovecot*"):
        path.unlink(missing_ok=True)
    await asyncio.to_thread(server.start)
    assert _validity(server) != before


async def _wrong_password(server: Dovecot) -> None:
    server.set_password("other")
    await asyncio.to_thread(server.doveadm, "kick", "ann@corp.example")
    await asyncio.sleep(1)
    server.set_password(peer.PASSWORD)


FAULTS: dict[str, tuple[Act, float]] = {
    "none": (_nothing, 2.0),
    "BYE five times": (_kick, 4.0),
    "sessions killed five times": (_kill_sessions, 5.0),
    "power cut": (_power_cut, 7.0),
    "restart": (_restart, 5.0),
    "everything frozen for 8 s": (_frozen, 5.0),
    "the session hangs for ever": (_one_hangs, 16.0),
    "UIDVALIDITY changed": (_new_validity, 4.0),
    "mailbox rebuilt": (_rebuilt, 5.0),
    "password refused": (_wrong_password, 8.0),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_under_delivery_loses_and_doubles_nothing(folder: Path, name: str) -> None:
    """Sixty codes while it happens: each in the store once, the last within its bound of the fault's end."""
    act, bound = FAULTS[name]

    async def run() -> None:
        with running_dovecot(folder / "d") as server:
            await sixty_codes_survive(server, folder, act, bound)

    asyncio.run(run())


@pytest.mark.parametrize(("library", "bound"), [("", 2.0), ("prompt_push", 1.0)], ids=["as shipped", "tells at once"])
def test_a_burst_is_taken_whole(folder: Path, library: str, bound: float) -> None:
    """Three hundred codes back to back, as fast as the server takes them: all are there, about ``bound`` seconds after the last.

    How long it took is printed; it fails only at ten times the bound, which is still long before the next renewal.
    """
    preload = preload_library(library, folder) if library else ""

    async def run() -> None:
        with running_dovecot(folder / "d", preload=preload) as server:
            async with house(folder) as home, watching(home, of(server, renew=timedelta(seconds=55))) as watchers:
                await well(watchers)
                burst = [code_mail(str(number)) for number in range(500_000, 500_300)]
                began = time.monotonic()
                await asyncio.to_thread(server.deliver_all, burst)
                sent = time.monotonic() - began
                taken = await all_there(home, 500_000, 300, within=10 * bound)
                print(f"burst of 300 in {sent:.2f} s: all there {taken:.2f} s after its end")
                await well(watchers)

    asyncio.run(run())


def test_a_silent_server_is_found_by_the_renewal(folder: Path) -> None:
    """IDLE that never tells anything costs one renewal, no more."""
    library = preload_library("no_inotify", folder)

    async def run() -> None:
        with running_dovecot(folder / "d", preload=library) as server:
            async with house(folder) as home, watching(home, of(server, renew=timedelta(seconds=2))) as watchers:
                await well(watchers)
                await deliver(server, 500_000, 1)
                assert await all_there(home, 500_000, 1, within=8) < 3.5

    asyncio.run(run())


def test_a_limit_on_connections_is_waited_out(folder: Path) -> None:
    """Busy, not parked, with the server's reason; the connection that was there first goes on, and a place that gets free is
    taken within the pause."""

    async def run() -> None:
        with running_dovecot(folder / "d", sessions=2) as server:
            zombie = imaplib.IMAP4("127.0.0.1", server.imap)
            zombie.login(ANN, peer.PASSWORD)
            async with house(folder) as home, watching(home, of(server)) as first:
                await well(first)
                async with watching(home, of(server, name="second", folders=("Junk",))) as second:
                    await until(lambda: second.health()[0].mode == "waiting", what="the refusal")
                    assert "onnections" in second.health()[0].reason
                    await deliver(server, 500_000, 1)
                    await all_there(home, 500_000, 1, within=60)
                    zombie.shutdown()
                    taken = await until(lambda: second.health()[0].mode in WATCHED, within=35, what="the free place")
                    assert second.health()[0].reconnects == 1, "it was tried once, and again after its pause"
                    assert 10 < taken < 31

    asyncio.run(run())


def test_a_mail_that_another_client_took_away_is_no_fault(folder: Path) -> None:
    """Announced and expunged before it could be fetched: the next one is taken, once, on the same connection."""

    async def run() -> None:
        with running_dovecot(folder / "d") as server:
            async with house(folder) as home, watching(home, of(server, renew=timedelta(seconds=20))) as watchers:
                await well(watchers)
                await asyncio.to_thread(server.signal, signal.SIGSTOP, "imap")
                await asyncio.to_thread(server.deliver, code_mail("400000"))
                await asyncio.to_thread(server.doveadm, "expunge", "-u", ANN, "mailbox", "INBOX", "all")
                await deliver(server, 500_000, 1)
                await asyncio.to_thread(server.signal, signal.SIGCONT, "imap")
                await all_there(home, 500_000, 1, within=60)
                await deliver(server, 500_001, 1)
                await all_there(home, 500_000, 2, within=60)
                health = watchers.health()[0]
                assert (health.reconnects, health.skipped, health.gone) == (0, 0, 1)

    asyncio.run(run())


def test_one_mail_in_two_folders_is_one_delivery(folder: Path) -> None:
    """Appended to INBOX and to Junk, as labels and filters do it: brought twice, one code."""

    async def run() -> None:
        with running_dovecot(folder / "d") as server:
            async with house(folder) as home, watching(home, of(server, folders=("INBOX", "Junk"))) as watchers:
                await well(watchers)
                with imaplib.IMAP4("127.0.0.1", server.imap) as client:
                    client.login(ANN, peer.PASSWORD)
                    for name in ("Junk", "INBOX"):
                        client.append(name, "", "", code_mail("500000"))
                await until(lambda: len(home.brought) == 2, what="both copies")
                await all_there(home, 500_000, 1, within=60)
                await well(watchers)

    asyncio.run(run())


def test_a_code_is_here_as_soon_as_the_server_tells(folder: Path) -> None:
    """Two hundred codes, fifty a second, from a server that tells at once: half of them on disk within milliseconds."""
    library = preload_library("prompt_push", folder)
    took: list[float] = []

    async def run() -> None:
        with running_dovecot(folder / "d", preload=library) as server:
            async with house(folder) as home, watching(home, of(server, renew=timedelta(seconds=55))) as watchers:
                await well(watchers)
                for number in range(200):
                    began = time.monotonic()
                    await asyncio.to_thread(server.deliver, code_mail(str(500_000 + number)))
                    await until(lambda count=number + 1: watchers.health()[0].mails == count, what="the code")
                    took.append(time.monotonic() - began)
                    await asyncio.sleep(0.02)
                await all_there(home, 500_000, 200, within=60)
        quarter, half, _ = statistics.quantiles(took, n=4)
        print(f"delivery begun to on disk: p25 {quarter * 1000:.1f} p50 {half * 1000:.1f} most {max(took) * 1000:.1f} ms")
        assert quarter < 0.1

    asyncio.run(run())


def test_a_large_mailbox_is_caught_up_with_at_once(folder: Path) -> None:
    """A mailbox of many old mails: after a restart it is watched and caught up with, and none of the old ones is read."""
    count = int(os.environ.get("MAILBRIDGE_MAILBOX", "2000"))

    async def run() -> None:
        with running_dovecot(folder / "d") as server:
            await asyncio.to_thread(_fill, server, count)
            async with house(folder) as home:
                await asyncio.to_thread(server.doveadm, "index", "-u", ANN, "INBOX")
                for first in (500_000, 500_001, 500_002):
                    await deliver(server, first, 1)
                    began = time.monotonic()
                    async with watching(home, of(server)) as watchers:
                        await well(watchers, within=60)
                        taken = time.monotonic() - began
                        await all_there(home, 500_000, first - 500_000 + 1, within=60)
                    print(f"{count} mails: watched after {taken:.2f} s")
                assert len(home.brought) == 3

    asyncio.run(run())


def _fill(server: Dovecot, count: int) -> None:
    """Put mails of last year into the mailbox, as its files."""
    inbox = server.folder / "mail" / ANN / "new"
    with imaplib.IMAP4("127.0.0.1", server.imap) as client:
        client.login(ANN, peer.PASSWORD)
        client.select()
    for number in range(count):
        path = inbox / f"{1_700_000_000 + number}.M{number}.host"
        path.write_bytes(code_mail(str(100_000 + number)))
        os.utime(path, (1_700_000_000 + number,) * 2)
        shutil.chown(path, inbox.owner(), inbox.group())


def test_a_large_mail_before_the_code_costs_nothing(folder: Path) -> None:
    """24 MB in front of a code: a part of it is read, and the code is there as soon as the server tells of it."""

    async def run() -> None:
        with running_dovecot(folder / "d") as server:
            async with house(folder) as home, watching(home, of(server, renew=timedelta(seconds=20))) as watchers:
                await well(watchers)
                head = b"From: a@b.example\r\nTo: ann@corp.example\r\nSubject: Photos\r\nMessage-ID: <big@b.example>\r\n\r\n"
                await asyncio.to_thread(server.deliver, head + b"x" * 76 * 300_000)
                await deliver(server, 500_000, 1)
                assert await all_there(home, 500_000, 1, within=8) < 3
                assert max(len(one.content) for one in home.brought) <= 131_072

    asyncio.run(run())


@pytest.mark.parametrize(
    ("after", "shows"),
    [
        ("seen", ("fetch", "-u", "ann@corp.example", "uid", "mailbox", "INBOX", "seen")),
        ("move:Processed", ("fetch", "-u", "ann@corp.example", "uid", "mailbox", "Processed", "all")),
        ("keyword:Pushed", ("fetch", "-u", "ann@corp.example", "uid", "mailbox", "INBOX", "keyword", "Pushed")),
    ],
)
def test_after_effects_happen(folder: Path, after: str, shows: tuple[str, ...]) -> None:
    """On the server, as its own administration tool sees it."""

    async def run() -> None:
        with running_dovecot(folder / "d") as server:
            async with house(folder) as home, watching(home, of(server, after=after)) as watchers:
                await well(watchers)
                await deliver(server, 500_000, 2, every=0.7)
                await all_there(home, 500_000, 2, within=60)

                async def is_done() -> bool:
                    return (await asyncio.to_thread(server.doveadm, *shows)).count("uid:") == 2

                await until(is_done, within=5, what=after)

    asyncio.run(run())


def test_nothing_is_touched_without_an_after_effect(folder: Path) -> None:
    """No mail is marked as seen by being read."""

    async def run() -> None:
        with running_dovecot(folder / "d") as server:
            async with house(folder) as home, watching(home, of(server)) as watchers:
                await well(watchers)
                await deliver(server, 500_000, 2)
                await all_there(home, 500_000, 2, within=60)
                seen = await asyncio.to_thread(server.doveadm, "search", "-u", "ann@corp.example", "mailbox", "INBOX", "seen")
                assert seen == ""

    asyncio.run(run())


def test_starttls_and_no_tls(folder: Path) -> None:
    """The same mailbox by both other ways."""

    async def run() -> None:
        with running_dovecot(folder / "d") as server:
            by_starttls = of(server, tls="starttls", port=server.imap, name="starttls")
            without = of(server, tls="none", port=server.imap, name="none", tls_ca=None)
            async with house(folder) as home, watching(home, by_starttls, without) as watchers:
                await well(watchers)
                await deliver(server, 500_000, 1)
                await all_there(home, 500_000, 1, within=60)

    asyncio.run(run())


def test_a_real_server_takes_the_token(folder: Path) -> None:
    """OAUTHBEARER against Dovecot's introspection; a token that ended is renewed at the next login."""

    async def run() -> None:
        from mailbridge.config.settings import OAuthSettings, StoreSettings
        from mailbridge.core.secret import Secret
        from mailbridge.ingress.imap.vault import open_vault
        from tests.peers.token_endpoint import running_token_endpoint

        with (
            running_token_endpoint() as provider,
            running_dovecot(folder / "d", introspection_url=f"{provider.url}/introspect") as server,
        ):
            vault = open_vault(StoreSettings(url=f"sqlite:///{folder}/mailbridge.db"))
            vault.write("box", Secret(provider.new_refresh_token()))
            grant = OAuthSettings(provider="custom", client_id="app", scope="mail", token_url=f"{provider.url}/token")
            async with house(folder) as home, watching(home, of(server, oauth=grant), vault=vault) as watchers:
                await well(watchers)
                _expire(provider)
                await asyncio.to_thread(server.doveadm, "kick", "ann@corp.example")
                await deliver(server, 500_000, 1)
                await all_there(home, 500_000, 1, within=8)
                assert provider.tokens_asked() == 2

    asyncio.run(run())


def _expire(provider: TokenEndpoint) -> None:
    for token in provider.access:
        provider.access[token] = 0.0


def test_hung_mailboxes_disturb_nobody(folder: Path) -> None:
    """Twenty sessions hang for ever; the twenty-first mailbox gets its code as if nothing was."""
    users = [f"user{number}@corp.example" for number in range(21)]

    async def run() -> None:
        with running_dovecot(folder / "d", users=users) as server:
            accounts = [
                of(server, username=user, name=f"box{number}", renew=timedelta(seconds=50)) for number, user in enumerate(users)
            ]
            async with house(folder) as home, watching(home, *accounts) as watchers:
                await well(watchers)
                lucky = await asyncio.to_thread(server.doveadm, "who", "-1")
                spared = next(line.split()[2] for line in lucky.splitlines() if "user20@" in line)
                for pid in server.pids("imap"):
                    if str(pid) != spared:
                        os.kill(pid, signal.SIGSTOP)
                await asyncio.to_thread(server.deliver, code_mail("482913", to=users[20]), users[20])
                await until(lambda: len(home.brought) == 1, what="the code")  # before the next renewal

    asyncio.run(run())
