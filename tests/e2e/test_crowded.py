"""A real Dovecot that is short of something for everybody at once: of watches on its files, or of patience with an address."""

from __future__ import annotations

import asyncio
import contextlib
import imaplib
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tests.e2e.boxes import WATCHED, all_there, deliver, of, settled, well
from tests.ingress.imap.watched import code_mail, house, until, watching
from tests.peers.dovecot import PASSWORD, Dovecot, running_dovecot

pytestmark = pytest.mark.e2e

LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
USUAL = 128
"""What a kernel has where nobody changed it."""


@contextmanager
def usual_watches() -> Iterator[None]:
    """The kernel lets a user watch no more than usual, for the length of the block."""
    before = int(LIMIT.read_text())
    if before > USUAL and not os.access(LIMIT, os.W_OK):
        pytest.skip(f"{LIMIT} is {before}; run as root, or set it to {USUAL}")
    if before > USUAL:
        LIMIT.write_text(str(USUAL))
    try:
        yield
    finally:
        if before > USUAL:
            LIMIT.write_text(str(before))


def test_more_mailboxes_than_the_server_can_watch(folder: Path) -> None:
    """Beyond 128 sessions Dovecot says IDLE and tells nothing: every mailbox has its code within one renewal, once."""
    users = [f"user{number}@corp.example" for number in range(150)]
    renew = timedelta(seconds=6)

    async def run() -> None:
        with usual_watches(), running_dovecot(folder / "d", users=users) as server:
            accounts = [of(server, username=user, name=user, renew=renew) for user in users]
            async with house(folder) as home, watching(home, *accounts) as watchers:
                await well(watchers, within=60)
                await settled(watchers, within=60)
                log = server.folder / "dovecot.log"
                assert "inotify" in log.read_text(), "the server had enough of them: nothing was tried"
                took: dict[str, float] = {}
                began: dict[str, float] = {}

                def is_over() -> bool:
                    now = time.monotonic()
                    for envelope in home.brought:
                        took.setdefault(envelope.rcpt_to[0], now - began[envelope.rcpt_to[0]])
                    return len(took) == len(users)

                for user in users:
                    began[user] = time.monotonic()
                    await asyncio.to_thread(server.deliver, code_mail("482913", to=user, message_id=user), user)
                    is_over()
                await until(is_over, within=30, what="every code")
                late = sum(seconds > 2 for seconds in took.values())
                print(f"{late} of {len(users)} were not told; the slowest had its code after {max(took.values()):.1f} s")
                assert late >= len(users) - USUAL - 5
                assert max(took.values()) < renew.total_seconds() * 1.1 + 3
                await until(lambda: all(one.mails == 1 for one in watchers.health()), within=10, what="one mail each")
                await well(watchers)
                assert set(Counter(envelope.rcpt_to for envelope in home.brought).values()) == {1}

    asyncio.run(run())


@contextmanager
def others_waiting(server: Dovecot, users: list[str]) -> Iterator[None]:
    """A session in IDLE for each, all of the system user that keeps every mailbox."""
    clients = []
    try:
        for user in users:
            client = imaplib.IMAP4("127.0.0.1", server.imap, timeout=30)
            clients.append(client)
            client.login(user, PASSWORD)
            client.select("INBOX", readonly=True)
            client.send(b"I IDLE\r\n")
            assert client.readline().startswith(b"+")
        yield
    finally:
        for client in clients:
            client.shutdown()


def test_two_hundred_other_sessions_of_the_same_user(folder: Path) -> None:
    """Eight mails, a killed session and a restart among them: each is taken once; the status says what the server has run out of."""
    users = [f"user{number}@corp.example" for number in range(200)]

    async def run() -> None:
        with usual_watches(), running_dovecot(folder / "d", users=["ann@corp.example", *users]) as server:
            renewed = of(server, renew=timedelta(seconds=8))
            with others_waiting(server, users):
                async with house(folder) as home:
                    async with watching(home, renewed) as watchers:
                        await well(watchers)
                        await settled(watchers)
                        await deliver(server, 500_000, 3)
                        await all_there(home, 500_000, 3, within=30)
                        await until(lambda: any("inotify" in note for note in watchers.health()[0].notes), what="the note")
                        server.doveadm("kick", "ann@corp.example")
                        await until(lambda: watchers.health()[0].reconnects >= 1, what="the end of the session")
                        await deliver(server, 500_003, 3)
                        await all_there(home, 500_000, 6, within=30)
                        assert watchers.health()[0].is_well
                    async with watching(home, renewed) as watchers:
                        await well(watchers)
                        await deliver(server, 500_006, 2)
                        taken = await all_there(home, 500_000, 8, within=30)
                        print(f"after a restart: all there {taken:.1f} s after the last delivery")
                        assert any("inotify" in note for note in watchers.health()[0].notes)
                        assert len(home.brought) == 8

    asyncio.run(run())


def wrong_passwords(server: Dovecot, count: int) -> None:
    """Somebody else at this address tries passwords, all at once."""

    def one(number: int) -> None:
        client = imaplib.IMAP4("127.0.0.1", server.imap, timeout=60)
        with contextlib.suppress(imaplib.IMAP4.error):
            client.login("ann@corp.example", f"guess {time.monotonic()} {number}")
        client.shutdown()

    guesses = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for guess in guesses:
        guess.start()
    for guess in guesses:
        guess.join()


def attempts(server: Dovecot) -> int:
    """How many of our own logins were refused, as the server's log has it."""
    log = (server.folder / "dovecot.log").read_text()
    return len(re.findall(r"imap-login.*auth failed.*TLS", log))


def test_an_address_that_has_to_wait_is_waited_with(folder: Path) -> None:
    """After somebody's wrong passwords Dovecot answers this address after 15 s: the right password is waited with, once."""

    async def run() -> None:
        with running_dovecot(folder / "d", has_penalty=True) as server:
            began, waited = time.monotonic(), 0.0
            while waited < 7:  # once they had to wait for 8 s, the next has to wait for 15 s
                await asyncio.to_thread(wrong_passwords, server, 6)
                began, waited = time.monotonic(), time.monotonic() - began
            async with house(folder) as home, watching(home, of(server)) as watchers:
                await until(lambda: watchers.health()[0].mode in WATCHED, within=120, what="watching")
                taken = time.monotonic() - began
                print(f"let in after {taken:.1f} s")
                assert taken > 11, "the server was quick: nothing was tried"
                assert watchers.health()[0].reconnects == 0
                await deliver(server, 500_000, 1)
                await all_there(home, 500_000, 1, within=60)

    asyncio.run(run())


def test_our_own_refused_logins_do_not_make_it_worse(folder: Path) -> None:
    """Three wrong passwords, then ours is wrong too: few attempts, and let in again within its pause and the penalty."""

    async def run() -> None:
        with running_dovecot(folder / "d", has_penalty=True) as server:
            await asyncio.to_thread(wrong_passwords, server, 3)
            server.set_password("other")
            async with house(folder) as home, watching(home, of(server)) as watchers:
                await until(lambda: watchers.health()[0].reconnects == 2, within=60, what="the second refusal")
                assert watchers.health()[0].mode == "parked"
                assert attempts(server) == 2
                server.set_password(PASSWORD)
                began = time.monotonic()
                await deliver(server, 500_000, 5)
                await well(watchers, within=120)
                taken = time.monotonic() - began
                print(f"let in {taken:.1f} s after the password was right, {attempts(server)} refused logins of our own")
                assert attempts(server) == 2
                await all_there(home, 500_000, 5, within=60)

    asyncio.run(run())
