"""Servers that do not answer as RFC 3501 has it: UIDNEXT that lies, commands that are refused, an IDLE that ends by itself, odd names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailbridge.ingress.imap.wire import LAST_UID
from tests.ingress.imap.watched import account, code_mail, has, house, in_mode, until, watching
from tests.loop import looped
from tests.peers.scripted_imap import ScriptedImap, Session

Act = Callable[[ScriptedImap], None]


def _lies_about_uid_next(server: ScriptedImap) -> None:
    """EXAMINE always says UIDNEXT 1."""

    def examine(session: Session, tag: str, name: str) -> bool:
        session.box, session.seen = server.mails, len(server.mails)
        told = f"* {session.seen} EXISTS\r\n* OK [UIDVALIDITY {server.validity}] ok\r\n* OK [UIDNEXT 1] ok\r\n{tag} OK done\r\n"
        session.send(told.encode())
        return True

    server.hooks["EXAMINE"] = server.hooks["SELECT"] = examine


def _has_no_examine(server: ScriptedImap) -> None:
    server.hooks["EXAMINE"] = _bad


def _has_no_uid_search(server: ScriptedImap) -> None:
    server.hooks["UID SEARCH"] = _bad


def _has_signed_uids(server: ScriptedImap) -> None:
    """UIDs above 2^31 are no numbers."""

    def refused(session: Session, tag: str, arguments: str) -> bool:
        return str(LAST_UID) in arguments and _bad(session, tag, arguments)

    server.hooks["UID FETCH"] = server.hooks["UID SEARCH"] = refused


def _ends_idle_at_once(server: ScriptedImap) -> None:
    """IDLE is taken and over."""

    def idle(session: Session, tag: str, _: str) -> bool:
        session.send(f"+ idling\r\n{tag} OK that was all\r\n".encode())
        return True

    server.hooks["IDLE"] = idle


def _named(spelled: str) -> Act:
    """Bodies come under another name."""

    def begin(server: ScriptedImap) -> None:
        def fetch(session: Session, tag: str, arguments: str) -> bool:
            if "BODY" not in arguments:
                return False
            span = arguments.partition(" ")[0]
            spans = [part.partition(":")[::2] for part in span.split(",")]
            for number, mail in enumerate(list(session.box), 1):
                if any(int(low) <= mail.uid <= int(high or low) for low, high in spans):
                    head = (
                        f"* {number} FETCH (UID {mail.uid} RFC822.SIZE {len(mail.content)} {spelled}{{{len(mail.content)}}}\r\n"
                    )
                    session.send(head.encode() + mail.content + b")\r\n")
            session.ok(tag)
            return True

        server.hooks["UID FETCH"] = fetch

    return begin


def _bad(session: Session, tag: str, _: str) -> bool:
    session.send(f"{tag} BAD unknown command\r\n".encode())
    return True


ODD: dict[str, Act] = {
    "UIDNEXT is always 1": _lies_about_uid_next,
    "no EXAMINE": _has_no_examine,
    "no UID SEARCH": _has_no_uid_search,
    "UIDs are signed": _has_signed_uids,
    "IDLE ends at once": _ends_idle_at_once,
    "BODY[]<0.131072>": _named("BODY[]<0.131072> "),
    "BODY.PEEK[]<0>": _named("BODY.PEEK[]<0> "),
    "literal8": _named("BODY[]<0> ~"),
    "RFC822": _named("RFC822 "),
}


@pytest.mark.parametrize("name", ODD)
@looped
async def test_a_server_that_answers_oddly_gives_its_codes(tmp_path: Path, name: str) -> None:
    """Old mails are there before the first start; a code while it is watched and one while the daemon is away are taken, each once, on
    connections that stay; no old mail is brought, and the mailbox is green."""
    with ScriptedImap() as server:
        ODD[name](server)
        for number in range(30):
            server.deliver(code_mail(f"{number + 100_000}"), at=datetime.now(UTC) - timedelta(days=9))
        async with house(tmp_path) as home:
            async with watching(home, account(server.port)) as watchers:
                await until(lambda: watchers.health()[0].is_well, what="green")
                for code in ("111213", "141516"):
                    server.deliver(code_mail(code))
                await has(home, "111213", "141516", within=20)
                assert watchers.health()[0].reconnects == 0
            server.deliver(code_mail("171819"))
            async with watching(home, account(server.port)) as watchers:
                await has(home, "111213", "141516", "171819", within=20)
                server.deliver(code_mail("202122"))
                await has(home, "111213", "141516", "171819", "202122", within=20)
                health = watchers.health()[0]
                assert health.is_well and (health.reconnects, health.skipped) == (0, 0)
            assert len(home.brought) == 4


@looped
async def test_an_idle_that_ends_now_and_then_is_begun_anew(tmp_path: Path) -> None:
    """A server that ends IDLE after its own time is told IDLE again, on the same connection; one that always does so at once is asked."""
    with ScriptedImap() as server:
        async with house(tmp_path) as home, watching(home, account(server.port)) as watchers:
            await until(lambda: server.idling == 1, what="IDLE")
            for _ in range(2):
                session = server.sessions[0]
                tag, session.idle_tag = session.idle_tag, None
                count = len(server.log)
                session.send(f"{tag} OK that was half an hour\r\n".encode())
                await until(lambda count=count: len(server.log) > count and server.idling == 1, what="IDLE again")
            server.deliver(code_mail("482913"))
            await has(home, "482913", within=20)
            assert watchers.health()[0].reconnects == 0
    with ScriptedImap() as server:
        _ends_idle_at_once(server)
        async with house(tmp_path) as home, watching(home, account(server.port)) as watchers:
            await in_mode(watchers, "poll")


@looped
async def test_a_server_that_never_answers_idle_is_asked(tmp_path: Path) -> None:
    """Four sessions in which IDLE was not answered are enough: the mailbox is green, and a code comes on a connection that stays."""
    with ScriptedImap() as server:
        server.hooks["IDLE"] = lambda session, tag, arguments: True
        async with (
            house(tmp_path) as home,
            watching(home, account(server.port), silence=timedelta(seconds=0.3)) as watchers,
        ):
            await in_mode(watchers, "poll")
            before = watchers.health()[0].reconnects
            server.deliver(code_mail("482913"))
            await has(home, "482913", within=20)
            assert watchers.health()[0].is_well and watchers.health()[0].reconnects == before


@looped
async def test_an_idle_that_was_not_answered_is_tried_again(tmp_path: Path) -> None:
    """While it is given up that is shown; a try that is not answered either changes nothing; one that is ends the polling, in every folder."""
    with ScriptedImap() as server:
        server.folders["Codes"] = []
        server.hooks["IDLE"] = lambda session, tag, arguments: True
        box = account(server.port, folders=("INBOX", "Codes"))
        async with (
            house(tmp_path) as home,
            watching(home, box, silence=timedelta(seconds=0.3), idle_again=timedelta(seconds=1)) as watchers,
        ):
            await until(lambda: all("not answer IDLE" in "".join(one.notes) for one in watchers.health()), what="the note")
            count = sum(line.endswith(" IDLE") for line in server.log)
            await until(lambda: sum(line.endswith(" IDLE") for line in server.log) > count, what="another try")
            await until(lambda: [one.mode for one in watchers.health()] == ["poll", "poll"], what="polling")
            assert all(one.is_well for one in watchers.health())
            del server.hooks["IDLE"]
            await until(lambda: [one.mode for one in watchers.health()] == ["idle", "idle"], within=60, what="IDLE")
            await until(lambda: not any("not answer IDLE" in "".join(one.notes) for one in watchers.health()), what="no note")
            server.deliver(code_mail("482913"))
            await has(home, "482913", within=20)
