"""One mail that a server cannot give: whatever comes instead is a try of that mail, and no other mail waits for it."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailbridge.ingress.imap.wire import FIRST
from tests.ingress.imap.watched import account, code_mail, has, house, until, watching
from tests.peers.scripted_imap import ScriptedImap, Session

BAD = 2
"""The UID of the mail that cannot be had."""
HEAD = f'* 2 FETCH (UID {BAD} INTERNALDATE "25-Nov-2026 02:00:00 +0000" RFC822.SIZE 500 BODY[]<0> '.encode()

Instead = Callable[[Session, str], None]


def _text(text: str) -> Instead:
    return lambda session, tag: session.send(text.format(tag=tag).encode())


def _then_close(octets: bytes) -> Instead:
    def answer(session: Session, tag: str) -> None:
        session.send(octets)
        session.close()

    return answer


def _half_a_literal(session: Session, tag: str) -> None:
    session.send(HEAD + b"{500}\r\nFrom: half a ma")
    session.close()


def _too_much_announced(session: Session, tag: str) -> None:
    session.send(HEAD + b"{500}\r\nFrom: a\r\n\r\nshort\r\n)\r\n" + f"{tag} OK done\r\n".encode())


def _too_little_announced(session: Session, tag: str) -> None:
    session.send(HEAD + b"{9}\r\nFrom: a\r\n\r\nYour code is 999999\r\n)\r\n" + f"{tag} OK done\r\n".encode())


def _endless(session: Session, tag: str) -> None:
    """The server ignores how much was asked for, and announces more than anybody would read."""
    session.send(HEAD.replace(b"<0>", b"") + b"{50000000}\r\n" + b"x" * 100_000)


INSTEAD: dict[str, Instead] = {
    "NO": _text("{tag} NO cannot\r\n"),
    "SERVERBUG": _text("{tag} NO [SERVERBUG] Internal error occurred. Refer to server log\r\n"),
    "BAD": _text("{tag} BAD cannot (\r\n"),
    "unavailable": _text("{tag} NO [UNAVAILABLE] Temporary failure\r\n"),
    "BYE": _then_close(b"* BYE Internal error\r\n"),
    "hang-up": _then_close(b""),
    "hang-up in a literal": _half_a_literal,
    "a literal announced too large": _too_much_announced,
    "a literal announced too small": _too_little_announced,
    "a literal without end": _endless,
    "NIL": _text(HEAD.decode() + "NIL)\r\n{tag} OK done\r\n"),
    "an empty mail": _text(HEAD.decode() + '"")\r\n{tag} OK done\r\n'),
    "no body": _text(f"* 2 FETCH (UID {BAD} RFC822.SIZE 500)\r\n" + "{tag} OK done\r\n"),
    "nothing": _text("{tag} OK done\r\n"),
    "no syntax": _text(f"* 2 FETCH (UID {BAD} BODY[]<0> ((" + "\r\n{tag} OK done\r\n"),
}

MENDED = ("NO", "a literal announced too large", "NIL")
"""After these the test waits until the server gives the mail after all."""


def asks_for(arguments: str, uid: int, *, part: str = "BODY") -> bool:
    """Whether a UID FETCH of bodies asks for that mail; with another ``part``, of that."""
    spans = [span.partition(":")[::2] for span in arguments.partition(" ")[0].split(",")]
    return part in arguments and any(int(low) <= uid <= int(high or low) for low, high in spans)


def spoil(server: ScriptedImap, instead: Instead, *, uid: int = BAD) -> list[str]:
    """Let something else come for one mail; the list grows with each FETCH that asked for it alone."""
    alone: list[str] = []

    def hook(session: Session, tag: str, arguments: str) -> bool:
        if not asks_for(arguments, uid) or all(mail.uid != uid for mail in server.mails):
            return False
        if re.match(rf"{uid} ", arguments):
            alone.append(arguments)
        instead(session, tag)
        return True

    server.hooks["UID FETCH"] = hook
    return alone


@pytest.mark.parametrize("name", INSTEAD)
def test_one_mail_that_cannot_be_had_blocks_no_other(server: ScriptedImap, tmp_path: Path, name: str) -> None:
    """The code behind it is there long before the next renewal, and so is the next; it is tried three times at the most, named, counted and red; once
    the server gives it, it is taken, and all is well."""

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port)) as watchers:
            await until(lambda: server.idling == 1, what="IDLE")
            server.deliver(code_mail("111213"))
            await has(home, "111213")
            await until(lambda: server.idling == 1, what="IDLE again")
            alone = spoil(server, INSTEAD[name])
            server.deliver(code_mail("222222"))
            server.deliver(code_mail("141516"))
            await has(home, "111213", "141516")
            await until(lambda: watchers.health()[0].skipped == 1, what="the mail set aside")
            health = watchers.health()[0]
            assert not health.is_well and f"UID {BAD}" in health.reason
            assert len(alone) <= 3
            server.deliver(code_mail("171819"))
            await has(home, "111213", "141516", "171819")
            if name not in MENDED:
                return
            server.hooks.clear()
            await has(home, "111213", "141516", "171819", "222222")
            await until(lambda: watchers.health()[0].is_well, what="green")
            assert watchers.health()[0].skipped == 0

    asyncio.run(run())


def test_a_mail_that_was_set_aside_outlives_a_restart(server: ScriptedImap, tmp_path: Path) -> None:
    """It is tried again by the next daemon, red from its first round on, and taken when the server gives it."""

    async def run() -> None:
        alone = spoil(server, INSTEAD["NO"])
        async with house(tmp_path) as home:
            async with watching(home, account(server.port)) as watchers:
                await until(lambda: server.idling == 1, what="IDLE")
                for code in ("111213", "222222", "141516"):
                    server.deliver(code_mail(code))
                await has(home, "111213", "141516")
                await until(lambda: watchers.health()[0].skipped == 1, what="the mail set aside")
            tried = len(alone)
            async with watching(home, account(server.port)) as watchers:
                await until(lambda: "UID 2" in watchers.health()[0].reason and server.idling == 1, what="the old reason")
                await until(lambda: len(alone) > tried, what="another try")
                server.hooks.clear()
                await has(home, "111213", "222222", "141516")

    asyncio.run(run())


def test_a_mail_that_is_removed_is_no_fault_any_more(server: ScriptedImap, tmp_path: Path) -> None:
    """Somebody deletes the mail that cannot be had: the mailbox is well at once."""

    async def run() -> None:
        spoil(server, INSTEAD["NO"])
        async with house(tmp_path) as home, watching(home, account(server.port)) as watchers:
            await until(lambda: server.idling == 1, what="IDLE")
            for code in ("111213", "222222"):
                server.deliver(code_mail(code))
            await until(lambda: watchers.health()[0].skipped == 1, what="the mail set aside")
            await until(lambda: server.idling == 1, what="IDLE again")
            server.mails.pop(1)
            for session in server.sessions:
                session.seen -= 1
            server.push(b"* 2 EXPUNGE\r\n")
            await until(lambda: watchers.health()[0].is_well, what="green")
            assert (watchers.health()[0].skipped, watchers.health()[0].gone) == (0, 1)

    asyncio.run(run())


def drips(session: Session, tag: str) -> None:
    """One octet of the mail after the other, and never all of them; then nothing that anybody reads."""
    session.send(HEAD + b"{500}\r\n")

    def drip() -> None:
        while session in session.server.sessions and not session.is_ending:
            session.send(b"x")
            time.sleep(0.1)

    threading.Thread(target=drip, daemon=True).start()


@pytest.mark.parametrize("instead", [lambda session, tag: None, drips], ids=["nothing", "an octet now and then"])
def test_a_mail_that_hangs_does_not_hold_up_the_others(server: ScriptedImap, tmp_path: Path, instead: Instead) -> None:
    """The server says nothing when it is asked for one mail, or never comes to its end: the others are fetched once that is noticed, and
    it is tried twice."""

    async def run() -> None:
        alone = spoil(server, instead)
        async with house(tmp_path) as home, watching(home, account(server.port), silence=timedelta(seconds=0.5)) as watchers:
            await until(lambda: server.idling == 1, what="IDLE")
            server.deliver(code_mail("111213"))
            await has(home, "111213")
            for code in ("222222", "141516"):
                server.deliver(code_mail(code))
            await has(home, "111213", "141516")
            await until(lambda: watchers.health()[0].skipped == 1, what="the mail set aside")
            assert len(alone) <= 3

    asyncio.run(run())


def test_a_server_that_ignores_how_much_was_asked_for_gives_mails(server: ScriptedImap, tmp_path: Path) -> None:
    """It gives all of a mail for each part: the mail is taken once, whole, and no octet twice."""

    def whole(session: Session, tag: str, arguments: str) -> bool:
        if not asks_for(arguments, 1) or not server.mails:
            return False
        body = server.mails[0].content
        session.send(f"* 1 FETCH (UID 1 RFC822.SIZE {len(body)} BODY[] {{{len(body)}}}\r\n".encode() + body + b")\r\n")
        session.ok(tag)
        return True

    server.hooks["UID FETCH"] = whole

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port)):
            await until(lambda: server.idling == 1, what="IDLE")
            mail = code_mail("482913") + b"x" * (3 * FIRST)
            server.deliver(mail)
            await has(home, "482913")
            assert home.brought[0].content == mail

    asyncio.run(run())


def test_a_mail_of_thirty_megabytes_in_one_literal_is_no_end(server: ScriptedImap, tmp_path: Path) -> None:
    """A server that ignores how much was asked for sends 30 MB: they are read and thrown away but for the beginning, and the code
    behind them is there."""

    def whole(session: Session, tag: str, arguments: str) -> bool:
        if not asks_for(arguments, 1) or not server.mails:
            return False
        body = server.mails[0].content
        for mail in server.mails:
            if asks_for(arguments, mail.uid):
                body = mail.content
                session.send(f"* {mail.uid} FETCH (UID {mail.uid} RFC822.SIZE {len(body)} BODY[] {{{len(body)}}}\r\n".encode())
                session.send(body + b")\r\n")
        session.ok(tag)
        return True

    server.hooks["UID FETCH"] = whole

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port)) as watchers:
            await until(lambda: server.idling == 1, what="IDLE")
            server.deliver(code_mail("111213") + b"x" * 30_000_000, is_announced=False)
            server.deliver(code_mail("482913"))
            await has(home, "111213", "482913")
            assert len(home.brought[0].content) == FIRST
            assert watchers.health()[0].is_well

    asyncio.run(run())


def test_a_mail_that_was_set_aside_is_not_asked_about_at_each_opening(server: ScriptedImap, tmp_path: Path) -> None:
    """Its date and size cost a session, too (Dovecot, of a file that it cannot open): once it is set aside a new session comes past it."""

    def hook(session: Session, tag: str, arguments: str) -> bool:
        is_hit = asks_for(arguments, BAD, part="INTERNALDATE") and any(one.uid == BAD for one in server.mails)
        if is_hit:
            INSTEAD["BYE"](session, tag)
        return is_hit

    server.hooks["UID FETCH"] = hook

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port)) as watchers:
            await until(lambda: server.idling == 1, what="IDLE")
            server.deliver(code_mail("111213"))
            await has(home, "111213")
            server.deliver(code_mail("999999"))
            await until(lambda: watchers.health()[0].skipped == 1 and server.idling == 1, what="the mail set aside")
            server.hang_up()
            server.deliver(code_mail("141516"))
            await has(home, "111213", "141516")

    asyncio.run(run())


@pytest.mark.parametrize("name", ["NO", "hang-up"])
@pytest.mark.parametrize("is_first", [True, False], ids=["at the first start", "in a backlog"])
def test_a_mail_that_spoils_every_question_about_it(server: ScriptedImap, tmp_path: Path, name: str, is_first: bool) -> None:
    """The server stumbles over a mail even where only its date is asked for, among those of the first look back or of a backlog: the code
    behind it is there all the same."""
    now = datetime.now(UTC)

    def hook(session: Session, tag: str, arguments: str) -> bool:
        if len(server.mails) > 1 and asks_for(arguments, BAD, part=" "):
            INSTEAD[name](session, tag)
            return True
        return False

    def numbered(session: Session, tag: str, arguments: str) -> bool:
        if len(server.mails) > 1:
            INSTEAD[name](session, tag)
        return len(server.mails) > 1

    server.hooks["UID FETCH"] = hook
    server.hooks["FETCH"] = numbered

    async def run() -> None:
        async with house(tmp_path) as home:
            if not is_first:
                async with watching(home, account(server.port)):
                    await until(lambda: server.idling == 1, what="IDLE")
                    server.deliver(code_mail("111213"))
                    await has(home, "111213")
            for number in range(60):
                form = (now - timedelta(days=1)).strftime("%a, %d %b %Y %H:%M:%S +0000")
                server.deliver(code_mail(f"{300_000 + number}", extra=f"Date: {form}\r\n"), at=now - timedelta(days=1))
            fresh = now.strftime("%a, %d %b %Y %H:%M:%S +0000")
            server.deliver(code_mail("171819", extra=f"Date: {fresh}\r\n"), at=now)

            async def is_there() -> bool:
                return "171819" in await home.codes()

            async with watching(home, account(server.port)) as watchers:
                await until(is_there, what="the code")
                await until(lambda: watchers.health()[0].skipped == 1, what="the mail set aside")

    asyncio.run(run())
