"""A mail server that says whatever it is given, and our own client, which comes, looks around, waits, and leaves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from mailbridge.ingress.imap.faults import IdleRefused, MailboxFault
from mailbridge.ingress.imap.login import log_in
from mailbridge.ingress.imap.presets import account_of
from mailbridge.ingress.imap.wire import Wire
from tests.ingress.imap.watched import account, code_mail

SILENCE = timedelta(seconds=1)
"""How long our client waits for a word: the server says all it has at once, and hangs up."""

FIRST_TAG = b"AAAA0"
"""Stands for the tag of the first command in what the server is given; the library makes its own up for each connection."""

MAIL = code_mail("482913")
ITEMS = b'UID %d INTERNALDATE "25-Nov-2026 10:00:00 +0000" RFC822.SIZE %d BODY[]<0> {%d}\r\n%s'
PLAIN = (
    b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN ID IDLE] ready\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN ID IDLE\r\nAAAA0 OK done\r\n"
    b"+ \r\nAAAA1 OK [CAPABILITY IMAP4rev1 ID IDLE NOTIFY MOVE] welcome\r\n"
    b"* CAPABILITY IMAP4rev1 ID IDLE NOTIFY MOVE UIDPLUS\r\nM1 OK done\r\n"
    b'* ID ("name" "A Server")\r\nM2 OK done\r\n'
    b"* FLAGS (\\Seen)\r\n* 3 EXISTS\r\n* 0 RECENT\r\n* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT 12] ok\r\nM3 OK [READ-ONLY] done\r\n"
    b"M4 OK done\r\n"
    b'* 3 FETCH (UID 11 INTERNALDATE "25-Nov-2026 10:00:00 +0000" RFC822.SIZE 200)\r\nM5 OK done\r\n'
    b"* SEARCH 9 10 11\r\nM6 OK done\r\n"
    b"* 4 FETCH (" + ITEMS % (12, len(MAIL), len(MAIL), MAIL) + b")\r\nM7 OK done\r\n+ idling\r\n"
    b"* 5 EXISTS\r\n* 5 FETCH (" + ITEMS % (13, len(MAIL), len(MAIL), MAIL) + b")\r\n* OK [ALERT] read this\r\n* 1 EXPUNGE\r\n"
)
REFUSING = (
    b"* OK [CAPABILITY IMAP4rev1 LOGINDISABLED] ready\r\n* CAPABILITY IMAP4rev1\r\nAAAA0 OK done\r\n"
    b"AAAA1 NO [UNAVAILABLE] Request is throttled. Suggested Backoff Time: 92415 milliseconds\r\n* BYE (\r\n"
)
SEEDS = (PLAIN, REFUSING, b"* BYE [ALERT] too many connections\r\n", b"* PREAUTH welcome\r\n")


class ImapTalk:
    """The server, in a thread of its own; calling it is one session of the client."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        entry = account(listening.getsockname()[1])
        self._account = account_of(entry)
        self._endpoint = self._account.endpoint(None, SILENCE)
        self._bell, self._ring = os.pipe()
        self.says = b""

    async def __call__(self, octets: bytes) -> None:
        """The server says this. A session is fine, or ends in a fault of its own kind, and nothing else."""
        self.says = octets
        await asyncio.to_thread(self._session)

    def _session(self) -> None:
        with contextlib.suppress(MailboxFault, IdleRefused):
            wire = Wire(self._endpoint)
            try:
                self._look_around(wire)
            finally:
                wire.close()

    def _look_around(self, wire: Wire) -> None:
        log_in(wire, self._account, None)
        wire.open_folder("INBOX", is_read_only=True)
        wire.ask_for_pushes()
        wire.newest(10)
        wire.search(b"ALL")
        for mail in wire.fetch_after(11, with_idle=True):
            assert mail.uid > 11
        wire.wait(0.0, self._bell)
        assert all(mail.uid for mail in wire.pushed)
        wire.noop()

    def serve(self) -> None:
        """Say what there is to say to whoever comes, until the socket is closed."""
        while True:
            try:
                one, _ = self._listening.accept()
            except OSError:
                return
            with one, contextlib.suppress(OSError):
                greeting, end, rest = self.says.partition(b"\n")
                one.sendall(greeting + end)
                one.settimeout(0.02 if end else 0.0)
                tag = FIRST_TAG
                with contextlib.suppress(TimeoutError, BlockingIOError):
                    tag = one.recv(4_096).partition(b" ")[0]
                one.settimeout(SILENCE.total_seconds())
                one.sendall(rest.replace(FIRST_TAG[:-1], tag[:-1]))
                one.shutdown(socket.SHUT_WR)
                while one.recv(65_536):
                    pass

    def close(self) -> None:
        """NoEvents comes any more."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        os.close(self._bell)
        os.close(self._ring)


@asynccontextmanager
async def imap_talk() -> AsyncIterator[ImapTalk]:
    """The server, running."""
    talk = ImapTalk(socket.create_server(("127.0.0.1", 0)))
    server = threading.Thread(target=talk.serve, daemon=True)
    server.start()
    try:
        yield talk
    finally:
        talk.close()
        server.join()
