"""What servers say beside the usual: each is understood as the RFC or a good client understands it, and told to a person."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mailbridge.ingress.imap.faults import Kind, MailboxFault
from mailbridge.ingress.imap.login import log_in
from mailbridge.ingress.imap.presets import account_of
from mailbridge.ingress.imap.stream import Endpoint
from mailbridge.ingress.imap.wire import Wire
from tests.ingress.imap.test_odd_servers import MINUTE, dated
from tests.ingress.imap.watched import account, code_mail, has, house, in_mode, until, watching
from tests.peers.scripted_imap import CAPABILITIES, ScriptedImap, Session


def says(text: str) -> Callable[[Session, str, str], bool]:
    """Answer a command with these words; ``{tag}`` stands for its tag."""

    def answer(session: Session, tag: str, _: str) -> bool:
        session.send(text.format(tag=tag).encode())
        return True

    return answer


def refused(server: ScriptedImap) -> MailboxFault:
    """What a login to a server ends with."""
    wire = Wire(Endpoint(host="127.0.0.1", port=server.port, read_timeout=2))
    with pytest.raises(MailboxFault) as caught:
        log_in(wire, account_of(account(server.port)), None)
    wire.close()
    return caught.value


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("{tag} NO [ALERT] Please log in via your web browser: https://support.example/1\r\n", "https://support.example/1"),
        (
            "* NO [WEBALERT https://accounts.example/signin] Web login required.\r\n{tag} NO Invalid credentials (Failure)\r\n",
            "Web login required. https://accounts.example/signin",
        ),
        ("* NO [ALERT] The account is locked\r\n{tag} NO [AUTHENTICATIONFAILED] no\r\n", "The account is locked"),
    ],
)
def test_what_a_refusal_wants_read_is_in_the_message(server: ScriptedImap, answer: str, told: str) -> None:
    """ALERT and Google's WEBALERT, tagged or not, beside a refused login."""
    server.hooks["AUTHENTICATE"] = says(answer)
    assert told in str(refused(server))


@pytest.mark.parametrize("line", ["* NO [ALERT] Mailbox is almost full", "* BAD [ALERT] Mailbox is almost full"])
def test_an_alert_in_a_session_is_shown(server: ScriptedImap, tmp_path: Path, line: str) -> None:
    """Whatever response it comes with."""

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port)) as watchers:
            await until(lambda: server.idling == 1, what="IDLE")
            server.push(line.encode() + b"\r\n")
            server.deliver(code_mail("482913"))
            await until(lambda: "almost full" in watchers.health()[0].reason, what="the alert")
            assert watchers.health()[0].is_well

    asyncio.run(run())


@pytest.mark.parametrize(
    "answer",
    [
        "{tag} NO Server Unavailable. 15\r\n",
        "{tag} NO System error\r\n",
        "{tag} BAD User is authenticated but not connected.\r\n",
    ],
)
def test_a_folder_that_cannot_be_opened_now_does_not_park(server: ScriptedImap, tmp_path: Path, answer: str) -> None:
    """The folder is listed, so it is there: the server is left alone for a while, and the reason has its words."""
    server.hooks["EXAMINE"] = says(answer)

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port)) as watchers:
            await in_mode(watchers, "waiting")
            reason = watchers.health()[0].reason
            assert answer.split(" ", 2)[2].strip() in reason
            assert ("is IMAP switched on for it" in reason) == ("not connected" in answer)
            server.hooks.clear()
            watchers.try_again()
            await in_mode(watchers, "idle")

    asyncio.run(run())


def test_a_login_that_is_unavailable_does_not_park(server: ScriptedImap) -> None:
    """Words that mean the server, not the password."""
    server.hooks["AUTHENTICATE"] = says("{tag} NO Server Unavailable. 21\r\n")
    assert refused(server).kind is Kind.BUSY


def test_octets_are_shown_as_text(server: ScriptedImap) -> None:
    """The library writes some answers as Python would; a person reads words."""
    server.capabilities = "IMAP4rev1 IDLE"
    server.hooks["LOGIN"] = says("{tag} BAD it's not \\ so\r\n")
    text = str(refused(server))
    assert "b'" not in text and 'b"' not in text and "it's not \\ so" in text


@pytest.mark.parametrize(
    ("greeting", "told"),
    [
        (b"220 mail.corp.example ESMTP Postfix\r\n", "SMTP"),
        (b"+OK POP3 ready\r\n", "POP3"),
        (b"HTTP/1.1 400 Bad Request\r\n", "HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
    ],
)
def test_another_protocol_is_named(server: ScriptedImap, greeting: bytes, told: str) -> None:
    """The port is wrong: a person has to mend it, and is told which one is right."""
    server.greeting = greeting
    with pytest.raises(MailboxFault, match=f"speaks {told}.*993") as caught:
        Wire(Endpoint(host="127.0.0.1", port=server.port, read_timeout=2))
    assert caught.value.kind is Kind.SETTING
    assert "b'" not in str(caught.value)


def test_a_server_that_knows_us_is_not_asked_for_a_login(server: ScriptedImap, tmp_path: Path) -> None:
    """PREAUTH: no password is sent, and the mailbox is watched."""
    server.greeting = b"* PREAUTH ready\r\n"

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port)):
            await until(lambda: server.idling == 1, what="IDLE")
            server.deliver(code_mail("482913"))
            await has(home, "482913")
            assert server.logins == []

    asyncio.run(run())


def test_login_is_tried_where_plain_is_refused(server: ScriptedImap, tmp_path: Path) -> None:
    """AUTH=PLAIN is offered and does not work: LOGIN does, once and for all; a refused password is not tried twice."""
    plain = 0

    def no(session: Session, tag: str, _: str) -> bool:
        nonlocal plain
        plain += 1
        session.send(b"+ \r\n")
        session.line()
        session.send(f"{tag} NO mechanism not available\r\n".encode())
        return True

    server.hooks["AUTHENTICATE"] = no

    async def run() -> None:
        async with house(tmp_path) as home:
            for _ in range(2):
                async with watching(home, account(server.port)) as watchers:
                    await in_mode(watchers, "idle")
            assert plain == 1

    asyncio.run(run())
    del server.hooks["AUTHENTICATE"]
    server.password = "other"
    server.log.clear()
    assert refused(server).kind is Kind.REFUSED
    assert not any(" LOGIN " in line for line in server.log)


def test_a_uidvalidity_of_zero_is_a_number(server: ScriptedImap, tmp_path: Path) -> None:
    """It is not what the RFC wants, and tells the mailbox all the same, also after a restart."""
    server.validity = 0

    async def run() -> None:
        async with house(tmp_path) as home:
            for number, code in enumerate(("111213", "141516")):
                async with watching(home, account(server.port)):
                    await until(lambda: server.idling == 1, what="IDLE")
                    server.deliver(code_mail(code))
                    await until(lambda number=number: len(home.brought) == number + 1, what=code)
            await has(home, "111213", "141516")

    asyncio.run(run())


def test_a_folder_may_be_named_by_what_it_is_for(server: ScriptedImap, tmp_path: Path) -> None:
    """``\\Junk`` is the folder that the server marks so; one that it does not have is named, with the way to find its name."""
    server.folders["Junk"] = []
    settings = account(server.port, folders=(r"\Junk", r"\Archive"))

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, settings) as watchers:
            await in_mode(watchers, "idle")
            assert any('EXAMINE "Junk"' in line for line in server.log)
            await until(lambda: watchers.health()[1].mode == "parked", what="the other folder")
            assert "imap test" in watchers.health()[1].reason

    asyncio.run(run())


def test_old_mail_without_a_date_of_the_server_is_not_new(server: ScriptedImap, tmp_path: Path) -> None:
    """At the first start a mail is as old as it says itself, and one that says nothing was there before us; a mail that comes then is new."""

    def undated(session: Session, tag: str, arguments: str) -> bool:
        session.tell_mails(arguments.replace("INTERNALDATE ", ""))
        session.ok(tag)
        return True

    def numbered(session: Session, tag: str, _: str) -> bool:
        for number, mail in enumerate(server.mails, 1):
            session.send(f"* {number} FETCH (UID {mail.uid} RFC822.SIZE {len(mail.content)})\r\n".encode())
        session.ok(tag)
        return True

    server.hooks["UID FETCH"] = undated
    server.hooks["FETCH"] = numbered
    old = datetime(2020, 5, 5, tzinfo=UTC)
    for number in range(9):
        server.deliver(dated(f"{number}11213", old))
        server.deliver(code_mail(f"{number}41516"))
    server.deliver(dated("171819", datetime.now(UTC) - MINUTE))

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port)):
            await until(lambda: server.idling == 1, what="IDLE")
            assert await home.codes() == ["171819"]
            server.deliver(code_mail("202122"))
            await has(home, "171819", "202122")

    asyncio.run(run())


def test_old_mail_that_the_server_dates_now_is_not_new(server: ScriptedImap, tmp_path: Path) -> None:
    """At the first start a mail whose own Date and Received are old is old, whatever the server says of it; one of five minutes is not."""
    for number in range(9):
        server.deliver(dated(f"{number}11213", datetime(2020, 5, 5, tzinfo=UTC)))
    server.deliver(dated("141516", datetime.now(UTC) - 5 * MINUTE))
    server.deliver(code_mail("171819"))

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port)):
            await until(lambda: server.idling == 1, what="IDLE")
            assert sorted(await home.codes()) == ["141516", "171819"]

    asyncio.run(run())


@pytest.mark.parametrize("after", ["delete", "move:Processed"])
@pytest.mark.parametrize("is_alone", [True, False], ids=["nobody else has marked anything", "another mail is marked"])
def test_without_uidplus_only_our_mails_are_expunged(
    server: ScriptedImap, tmp_path: Path, caplog: pytest.LogCaptureFixture, after: str, is_alone: bool
) -> None:
    """A plain EXPUNGE is sent where it takes nothing but our mails; else they stay marked, and the log says so."""
    server.capabilities = CAPABILITIES.replace(" MOVE UIDPLUS", "")
    copied: list[str] = []

    def copy(session: Session, tag: str, arguments: str) -> bool:
        copied.append(arguments)
        session.ok(tag)
        return True

    server.hooks["UID COPY"] = copy
    server.deliver(b"Subject: mine\r\n\r\nx\r\n", at=datetime.now(UTC) - timedelta(days=2))
    if not is_alone:
        server.mails[0].flags.add(r"\Deleted")

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port, after=after)):
            await until(lambda: server.idling == 1, what="IDLE")
            server.deliver(code_mail("482913"))
            if is_alone:
                await until(lambda: [mail.uid for mail in server.mails] == [1], what="the removal")
            else:
                await until(lambda: "stay marked as deleted" in caplog.text, what="the message")
                assert [mail.uid for mail in server.mails] == [1, 2]
                assert server.mails[1].flags == {r"\Deleted"}
            assert copied == ([] if after == "delete" else ['2 "Processed"'])

    asyncio.run(run())


def test_a_person_who_asks_for_it_ends_a_wait(server: ScriptedImap, tmp_path: Path) -> None:
    """The server has asked for a long pause; whoever has mended something does not wait for its end."""
    server.hooks["EXAMINE"] = says("{tag} BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds\r\n")

    async def run() -> None:
        async with house(tmp_path) as home, watching(home, account(server.port)) as watchers:
            await in_mode(watchers, "waiting")
            server.hooks.clear()
            watchers.try_again()
            await in_mode(watchers, "idle")  # its own deadline is shorter than the pause of 92 s

    asyncio.run(run())
