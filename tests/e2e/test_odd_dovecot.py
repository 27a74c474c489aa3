"""Odd mails, UIDs and clocks on a real Dovecot."""

from __future__ import annotations

import asyncio
import imaplib
import os
import shutil
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.e2e.boxes import of, well
from tests.ingress.imap.watched import ANN, code_mail, has, house, until, watching
from tests.peers.dovecot import PASSWORD, Dovecot, preload_library, running_dovecot

pytestmark = pytest.mark.e2e


def _unreadable(server: Dovecot, code: str) -> Path:
    """A mail in Ann's mailbox that the server sees and must not read."""
    path = server.folder / "mail" / ANN / "new" / f"1.{code}.host"
    path.write_bytes(code_mail(code))
    path.chmod(0)
    return path


@pytest.mark.skipif(os.getuid() != 0, reason="a file that the server cannot read needs root")
def test_a_mail_that_the_server_cannot_read_blocks_no_other(folder: Path) -> None:
    """A file without permissions: the code behind it is there before the next renewal, it is named and red, and taken once it can be read."""

    async def run() -> None:
        with running_dovecot(folder / "d") as server:
            async with house(folder) as home, watching(home, of(server)) as watchers:
                await well(watchers)
                server.deliver(code_mail("111213"))
                await has(home, "111213")
                path = _unreadable(server, "222222")
                server.deliver(code_mail("141516"))
                await has(home, "111213", "141516")
                await until(lambda: watchers.health()[0].skipped == 1, what="the mail set aside")
                assert not watchers.health()[0].is_well and "UID 3" in watchers.health()[0].reason
                server.deliver(code_mail("171819"))
                await has(home, "111213", "141516", "171819")
                found = [one for one in (server.folder / "mail" / ANN).rglob(f"{path.name}*") if one.is_file()]
                shutil.chown(found[0], "dovecot", "dovecot")
                found[0].chmod(0o600)
                await has(home, "111213", "141516", "171819", "222222")
                await until(lambda: watchers.health()[0].is_well, what="green")

    asyncio.run(run())


def test_a_mailbox_that_was_put_back_gives_its_next_codes(folder: Path) -> None:
    """The mailbox of an hour ago is put in place of the one of now: what comes then is pushed, though its UIDs were given out before."""

    async def run() -> None:
        with running_dovecot(folder / "d") as server:
            box, backup = server.folder / "mail" / ANN, folder / "backup"
            async with house(folder) as home, watching(home, of(server)) as watchers:
                await well(watchers)
                server.deliver(code_mail("111213"))
                await has(home, "111213")
                shutil.copytree(box, backup)
                for code in ("141516", "171819", "202122"):
                    server.deliver(code_mail(code))
                await has(home, "111213", "141516", "171819", "202122")
                server.crash()
                shutil.rmtree(box)
                shutil.copytree(backup, box)
                for path in (box, *box.rglob("*")):
                    shutil.chown(path, "dovecot", "dovecot")
                server.start()
                server.deliver(code_mail("232425"))
                await has(home, "111213", "141516", "171819", "202122", "232425")

    if os.getuid() != 0:
        pytest.skip("to give the files to the server's user needs root")
    asyncio.run(run())


def test_a_server_whose_clock_is_behind_delays_no_code(folder: Path) -> None:
    """Twenty minutes behind, INTERNALDATE and Received alike: no code is late, none expires, and the status says it."""
    told = folder / "clock"
    told.write_bytes(struct.pack("=q", -1200))
    told.chmod(0o644)

    async def run() -> None:
        with running_dovecot(
            folder / "d", preload=preload_library("set_clock", folder), clock=str(told), store="sdbox"
        ) as server:
            async with house(folder) as home, watching(home, of(server)) as watchers:
                await well(watchers)
                for number, code in enumerate(("111213", "141516", "171819")):
                    written = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")
                    server.deliver(code_mail(code, extra=f"Date: {written}\r\n"))
                    await until(lambda number=number: len(home.brought) == number + 1, what=code)
                    assert home.clock.now() - home.brought[-1].received_at < timedelta(seconds=3)
                health = watchers.health()[0]
                assert health.drift is not None and abs(health.drift + 1200) < 10 and health.is_well
                assert b"Received:" in home.brought[0].content

    asyncio.run(run())


def test_a_mail_that_is_put_in_anew_is_old_by_its_own_dates(folder: Path) -> None:
    """APPEND dates it as new: an old mail's code is over before it begins, a mail of now is new, and so is one whose sender's clock is wrong."""

    def put(server: Dovecot, content: bytes) -> None:
        with imaplib.IMAP4("127.0.0.1", server.imap) as client:
            client.login(ANN, PASSWORD)
            client.append("INBOX", "", "", content)

    def mail(code: str, written: timedelta, received: timedelta) -> bytes:
        now, form = datetime.now(UTC), "%a, %d %b %Y %H:%M:%S +0000"
        relay = f"Received: from a.example by mx.corp.example; {(now - received).strftime(form)}\r\n"
        return relay.encode() + code_mail(code, extra=f"Date: {(now - written).strftime(form)}\r\n")

    async def run() -> None:
        hour, now = timedelta(hours=1), timedelta()
        with running_dovecot(folder / "d") as server:
            async with house(folder) as home, watching(home, of(server, renew=timedelta(seconds=55))) as watchers:
                await well(watchers)
                for code, written, received in (
                    ("111213", hour, hour),
                    ("141516", hour, now),
                    ("171819", now, hour),
                    ("202122", now, now),
                ):
                    await asyncio.to_thread(put, server, mail(code, written, received))
                    await has(home, *[one for one in ("111213", "141516", "171819", "202122") if one <= code])
                ages = [round((home.clock.now() - one.received_at).total_seconds() / 3600) for one in home.brought]
                assert ages == [1, 0, 0, 0]
                states = {one.draft.content.reveal(): str(one.state) for one in await home.store.outbox.deliveries()}
                assert states["111213"] == "expired" and states["202122"] == "pending"

    asyncio.run(run())
