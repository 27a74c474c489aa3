"""The wire against a scripted server: what stock clients lose, spin on or choke on."""

from __future__ import annotations

import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mailbridge.core.secret import Secret
from mailbridge.ingress.imap.faults import IdleRefused, Kind, MailboxFault
from mailbridge.ingress.imap.login import log_in
from mailbridge.ingress.imap.presets import account_of
from mailbridge.ingress.imap.responses import Response, fetched_of, numbers_of
from mailbridge.ingress.imap.stream import Endpoint
from mailbridge.ingress.imap.wire import FIRST, WHOLE, Waited, Wire, folder_argument, uid_set
from mailbridge.ingress.tls import self_signed
from tests.ingress.imap.watched import account, code_mail
from tests.peers.scripted_imap import ScriptedImap, Session

LONG = 60.0
"""Seconds that nothing here takes."""


@contextmanager
def opened(server: ScriptedImap, *, context: ssl.SSLContext | None = None, read_timeout: float = 2.0) -> Iterator[Wire]:
    """A connection that has come as far as INBOX."""
    host = "localhost" if context is not None else "127.0.0.1"
    endpoint = Endpoint(host=host, port=server.port, context=context, connect_timeout=2, read_timeout=read_timeout)
    wire = Wire(endpoint)
    try:
        log_in(wire, account_of(account(server.port)), None)
        wire.open_folder("INBOX", is_read_only=True)
        yield wire
    finally:
        wire.close()


@contextmanager
def bell() -> Iterator[tuple[int, int]]:
    """A descriptor to wait on and the one that rings it."""
    hears, rings = os.pipe()
    try:
        yield hears, rings
    finally:
        os.close(hears)
        os.close(rings)


def wait(wire: Wire) -> Waited:
    """What a wait ended with, which has time enough."""
    with bell() as (hears, _):
        return wire.wait(LONG, hears)


@pytest.mark.parametrize("with_reset", [False, True], ids=["FIN", "RST"])
def test_the_end_of_a_connection_in_idle_is_an_error_at_once(server: ScriptedImap, with_reset: bool) -> None:
    """One error, and not the end of the wait, where the stock client answers an empty list for ever."""
    with opened(server) as wire:
        wire.start_idle()
        server.hang_up(with_reset=with_reset)
        with pytest.raises(MailboxFault) as caught:
            wait(wire)
        assert caught.value.kind is Kind.NETWORK


def _coalesced(session: Session, tag: str, _: str) -> bool:
    session.idle_tag = tag
    session.send(b"+ idling\r\n* 1 EXISTS\r\n")
    return True


def _before(session: Session, tag: str, _: str) -> bool:
    session.idle_tag = tag
    session.send(b"* 1 EXISTS\r\n+ idling\r\n")
    return True


def _pieces(session: Session, tag: str, _: str) -> bool:
    session.idle_tag = tag
    for octet in (b"+ idl", b"ing\r", b"\n* 1 EXI", b"STS", b"\r\n"):
        session.send(octet)
        time.sleep(0.02)
    return True


def _flood(session: Session, tag: str, _: str) -> bool:
    session.idle_tag = tag
    session.send(b"+ idling\r\n" + b"* OK still here\r\n" * 2000 + b"* 1 EXISTS\r\n")
    return True


@pytest.mark.parametrize("on_idle", [_coalesced, _before, _pieces, _flood])
@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
def test_an_announcement_is_seen_however_it_is_cut(
    tmp_path: Path, on_idle: Callable[[Session, str, str], bool], with_tls: bool
) -> None:
    """In one segment with ``+``, before it, in pieces over segments or TLS records, or behind 2,000 lines."""
    pair = self_signed(tmp_path, "localhost")
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(pair.cert, pair.key)
    ours = ssl.create_default_context(cafile=str(pair.cert))
    with ScriptedImap(tls=theirs if with_tls else None) as server:
        server.hooks["IDLE"] = on_idle
        with opened(server, context=ours if with_tls else None) as wire:
            wire.start_idle()
            assert wait(wire) == "news"


@pytest.mark.parametrize("line", [b"* BYE going (away", b'* BYE "quote', b"* BYE {5}", b"* BYE [UNAVAILABLE] (", b"* BYE"])
def test_a_bye_is_text_whatever_it_looks_like(server: ScriptedImap, line: bytes) -> None:
    """Brackets, quotes and braces in a BYE are words, and the words are told."""
    with opened(server) as wire:
        wire.start_idle()
        server.push(line + b"\r\n")
        with pytest.raises(MailboxFault, match="closed the session"):
            wait(wire)


def test_last_words_are_heard(server: ScriptedImap) -> None:
    """A BYE that comes together with the end of the connection is the reason that is told."""
    with opened(server) as wire:
        wire.start_idle()
        server.push(b"* BYE [LIMIT] Maximum number of connections exceeded\r\n")
        server.hang_up()
        time.sleep(0.2)
        with pytest.raises(MailboxFault, match="Maximum number") as caught:
            wait(wire)
        assert caught.value.kind is Kind.BUSY


def test_a_refusal_is_text_whatever_it_looks_like(server: ScriptedImap) -> None:
    """BAD with an open bracket is a refusal, and the connection goes on."""

    def bad(session: Session, tag: str, _: str) -> bool:
        session.send(f"{tag} BAD no (such\r\n".encode())
        return True

    with opened(server) as wire:
        server.hooks["NOOP"] = bad
        with pytest.raises(MailboxFault, match=r"BAD no \(such"):
            wire.noop()
        server.hooks.clear()
        wire.noop()


def test_an_alert_is_kept(server: ScriptedImap) -> None:
    """What a server wants a person to read can be read."""
    with opened(server) as wire:
        wire.start_idle()
        server.push(b"* OK [ALERT] Too many simultaneous (connections\r\n* 1 EXISTS\r\n")
        assert wait(wire) == "news"
        assert "Too many simultaneous (connections" in wire.alert


def test_a_mail_pushed_whole_inside_idle_is_read(server: ScriptedImap) -> None:
    """A FETCH with a literal inside IDLE is no riddle."""
    with opened(server) as wire:
        wire.start_idle()
        server.push(b"* 1 EXISTS\r\n* 1 FETCH (UID 9 FLAGS (\\Recent) BODY[] {5}\r\nhello)\r\n")
        assert wait(wire) == "news"
        assert [(mail.uid, mail.content) for mail in wire.pushed] == [(9, b"hello")]


def test_a_server_that_does_not_answer_is_given_up(server: ScriptedImap) -> None:
    """No answer to IDLE is a fault after the read timeout."""
    server.hooks["IDLE"] = lambda session, tag, arguments: True
    with opened(server, read_timeout=0.3) as wire, pytest.raises(MailboxFault, match="said nothing"):
        wire.start_idle()


def test_idle_that_is_refused_still_gives_the_mails(server: ScriptedImap) -> None:
    """BAD to IDLE in a pipelined round loses nothing of the FETCH before it."""

    def bad(session: Session, tag: str, _: str) -> bool:
        session.send(f"{tag} BAD unknown command\r\n".encode())
        return True

    server.hooks["IDLE"] = bad
    server.deliver(code_mail("482913"))
    with opened(server) as wire:
        with pytest.raises(IdleRefused) as caught:
            wire.fetch_after(0, with_idle=True)
        assert [mail.uid for mail in caught.value.args[0]] == [1]
        assert not wire.is_idling


def test_a_mail_announced_in_a_fetch_answer_is_not_forgotten(server: ScriptedImap) -> None:
    """The FETCH overtakes the announcement; the wire says that it has to be asked again."""

    def overtaken(session: Session, tag: str, arguments: str) -> bool:
        del server.hooks["UID FETCH"]
        session.send(f"* 1 EXISTS\r\n{tag} OK done\r\n".encode())
        return True

    with opened(server) as wire:
        wire.start_idle()
        server.hooks["UID FETCH"] = overtaken
        server.deliver(code_mail("482913"), is_announced=False)
        assert wire.fetch_after(0, with_idle=True) == []
        assert wire.has_news
        assert [mail.uid for mail in wire.fetch_after(0, with_idle=True)] == [1]
        assert not wire.has_news


def test_the_last_mail_given_again_is_left_out(server: ScriptedImap) -> None:
    """A server that answers with the last mail although its UID is too low gives nothing new."""

    def echo(session: Session, tag: str, arguments: str) -> bool:
        session.send(f"* 1 FETCH (UID 7 BODY[]<0> {{2}}\r\nhi)\r\n{tag} OK done\r\n".encode())
        return True

    server.hooks["UID FETCH"] = echo
    with opened(server) as wire:
        assert wire.fetch_after(7, with_idle=False) == []
        assert [mail.uid for mail in wire.fetch_after(6, with_idle=False)] == [7]


def test_done_fetch_and_idle_are_one_segment(server: ScriptedImap) -> None:
    """A round costs one round trip: nothing is waited for between its commands."""
    with opened(server) as wire:
        wire.start_idle()
        server.log.clear()
        wire.fetch_after(0, with_idle=True)
        assert [line.split()[-1 if line == "DONE" else 1] for line in server.log] == ["DONE", "UID", "IDLE"]
        assert wire.is_idling


def test_nothing_piles_up(server: ScriptedImap) -> None:
    """200 announcements later the library's own notes are as small as before."""
    with opened(server) as wire:
        for _ in range(200):
            server.deliver(b"x", is_announced=False)
            wire.noop()
        assert wire.exists == 200
        assert wire.unread < 10


def test_hanging_up_while_idling_does_not_wait(server: ScriptedImap) -> None:
    """A close is immediate, though the server would not answer a LOGOUT."""
    with opened(server, read_timeout=LONG) as wire:
        wire.start_idle()
        server.hooks["DONE"] = lambda session, tag, arguments: True
        leaving = threading.Thread(target=wire.leave)
        leaving.start()
        leaving.join(LONG / 2)
        assert not leaving.is_alive()


def test_a_wait_can_be_woken(server: ScriptedImap) -> None:
    """Another thread's ring ends the wait, and IDLE goes on."""
    with opened(server) as wire, bell() as (hears, rings):
        wire.start_idle()
        os.write(rings, b"w")
        assert wire.wait(5, hears) == "woken"
        os.read(hears, 1)
        server.deliver(b"x")
        assert wire.wait(5, hears) == "news"


@pytest.mark.parametrize(
    ("octets", "told"),
    [
        (b"* 1 FETCH (UID 1 BODY[] {99999999999}\r\n", "literal of"),
        (b"* 1 FETCH (UID 1 BODY[] {999999999}\r\n", "literal of"),
        (b"* OK " + b"x" * 1_200_000, "line of more than"),
        (b"* 1 FETCH (UID 1 FLAGS (\\Seen)\r\n", "cannot be read"),
    ],
)
def test_a_server_cannot_fill_the_memory(server: ScriptedImap, octets: bytes, told: str) -> None:
    """Literals, lines and lists without end are refused, not stored."""
    if b"99999999999" in octets:
        told = "literal of|cannot be read"

    def endless(session: Session, tag: str, arguments: str) -> bool:
        session.send(octets)
        session.send(b"\r\n")
        session.ok(tag)
        return True

    server.hooks["UID FETCH"] = endless
    with opened(server) as wire, pytest.raises(MailboxFault, match=told):
        wire.fetch_after(0, with_idle=False)


@pytest.mark.parametrize(("size", "kept"), [(FIRST - 1, FIRST - 1), (FIRST + 5_000, FIRST + 5_000), (WHOLE + 1, FIRST)])
def test_a_mail_is_whole_up_to_a_size(server: ScriptedImap, size: int, kept: int) -> None:
    """A larger one is cut where its first part ends, and never read on."""
    server.deliver(b"x" * size)
    with opened(server) as wire:
        mails = [wire.completed(mail) for mail in wire.fetch_after(0, with_idle=False)]
        assert [len(mail.content or b"") for mail in mails] == [kept]


def test_a_password_may_be_of_any_script(server: ScriptedImap) -> None:
    """Non-ASCII passwords go by PLAIN as UTF-8."""
    server.password = "päßwörd 密码"
    settings = account(server.port, password=Secret(server.password))
    wire = Wire(Endpoint(host="127.0.0.1", port=server.port))
    log_in(wire, account_of(settings), None)
    wire.close()


def test_a_refused_password_names_the_mend(server: ScriptedImap) -> None:
    """The account's own hint, and not the password."""
    settings = account(server.port, password=Secret("wrong-secret"))
    wire = Wire(Endpoint(host="127.0.0.1", port=server.port))
    with pytest.raises(MailboxFault, match="check username and password") as caught:
        log_in(wire, account_of(settings), None)
    wire.close()
    assert caught.value.kind is Kind.REFUSED
    assert "wrong-secret" not in str(caught.value)


def test_a_bye_to_the_login_is_no_refusal_of_the_password(server: ScriptedImap) -> None:
    """A server that goes down during a login does not park the account."""

    def bye(session: Session, tag: str, _: str) -> bool:
        session.send(b"* BYE Server shutting down.\r\n")
        session.close()
        return True

    server.hooks["AUTHENTICATE"] = bye
    wire = Wire(Endpoint(host="127.0.0.1", port=server.port))
    with pytest.raises(MailboxFault) as caught:
        log_in(wire, account_of(account(server.port)), None)
    assert caught.value.kind is Kind.NETWORK


def test_a_greeting_that_is_a_bye_asks_for_patience(server: ScriptedImap) -> None:
    """Too many connections at the door means busy, not broken."""
    server.greeting = b"* BYE [LIMIT] Too many connections\r\n"
    with pytest.raises(MailboxFault) as caught:
        Wire(Endpoint(host="127.0.0.1", port=server.port))
    assert caught.value.kind is Kind.BUSY


def test_tls_that_does_not_fit_is_named(server: ScriptedImap, tmp_path: Path) -> None:
    """TLS on a plain port, a stranger's certificate, another's host name, no greeting: each says what it is."""
    pair = self_signed(tmp_path, "localhost")
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(pair.cert, pair.key)
    trusting = ssl.create_default_context(cafile=str(pair.cert))
    at = Endpoint(host="localhost", port=server.port, context=trusting, connect_timeout=1, read_timeout=0.3)
    with ScriptedImap(tls=theirs) as secure:
        for endpoint, told in (
            (at, "speaks no TLS"),
            (replace(at, port=secure.port, context=ssl.create_default_context()), "cannot be trusted"),
            (replace(at, port=secure.port, host="127.0.0.1"), "cannot be trusted"),
            (replace(at, port=secure.port, context=None), "no greeting"),
        ):
            with pytest.raises(MailboxFault, match=told) as caught:
                Wire(endpoint)
            assert caught.value.kind is Kind.SETTING


def test_a_hung_handshake_is_given_up(server: ScriptedImap) -> None:
    """A server that takes the connection and says nothing costs the connect timeout, no more."""
    server.greeting = b""
    endpoint = Endpoint(host="localhost", port=server.port, context=ssl.create_default_context(), connect_timeout=0.3)
    with pytest.raises(MailboxFault, match="handshake was not answered") as caught:
        Wire(endpoint)
    assert caught.value.kind is Kind.NETWORK


def test_names_and_numbers_as_commands_want_them() -> None:
    """Folders in modified UTF-7 and quoted, UIDs as spans."""
    assert folder_argument("Entwürfe") == b'"Entw&APw-rfe"'
    assert folder_argument('a"b\\c') == b'"a\\"b\\\\c"'
    assert uid_set([5, 1, 2, 3, 9, 3]) == b"1:3,5,9"


def test_numbers_without_end_are_none() -> None:
    """A UID, a size or a search result of thousands of digits, which Python refuses to read, is left out like any other nonsense."""
    endless = b"9" * 5_000
    assert fetched_of(Response(tag=b"*", text=b"1 FETCH (UID " + endless + b")")) is None
    mail = fetched_of(Response(tag=b"*", text=b"1 FETCH (UID 7 RFC822.SIZE " + endless + b")"))
    assert mail is not None
    assert (mail.uid, mail.size) == (7, 0)
    assert numbers_of(Response(tag=b"*", text=b"SEARCH 7 " + endless + b" x 9")) == [7, 9]


def test_what_is_no_imap_is_a_fault_of_its_own(server: ScriptedImap) -> None:
    """A challenge that is no base64, and octets that are no text, end in one message; nothing of the library's own gets out."""

    def garbled(session: Session, tag: str, arguments: str) -> bool:
        session.send(b"* CAPABILITY \xb9\r\n" if arguments == "" else b"+ A\r\n")
        session.ok(tag)
        return True

    server.hooks["AUTHENTICATE"] = garbled
    with pytest.raises(MailboxFault, match="cannot be read"), opened(server):
        pass
    server.hooks["CAPABILITY"] = garbled
    with pytest.raises(MailboxFault, match="cannot be read"):
        Wire(Endpoint(host="127.0.0.1", port=server.port))
