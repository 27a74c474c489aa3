"""One IMAP dialogue: the connection, the greeting, and commands with everything that arrives until their completion.

imapclient connects and logs in. What follows is read here. Every response goes through `_note`, whichever command it arrives
with, so that an announcement of new mail is never lost. Not thread-safe: one thread owns a connection.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from imapclient import IMAPClient
from imapclient.exceptions import IMAPClientError

from mailbridge.ingress.imap.faults import (
    Kind,
    MailboxFault,
    Refusal,
    Silence,
    Skipped,
    goodbye,
    legible,
    refusal,
    shown,
    words_of,
)
from mailbridge.ingress.imap.habits import Habits
from mailbridge.ingress.imap.responses import LITERAL, Fetched, Response, fetched_of, uid_in
from mailbridge.ingress.imap.stream import MAX_LITERAL, Endpoint, Stream, speaks_tls

WHOLE = 1_048_576
"""Octets of one literal that are kept. The rest is read and discarded."""
ROUND_LIMIT = 120.0
"""Seconds that one whole command may take, however slowly its answer arrives."""


class Dialogue(IMAPClient):  # type: ignore[misc]
    """A connection, logged in or not.

    ``exists`` is the count of the open folder. ``has_news``: mail was announced since `forget_news`; ``arrived`` is how many.
    ``pushed`` are mails that came complete with their announcement (NOTIFY). ``alert`` is the last ``[ALERT]`` of the server.
    ``reports_expunge``: a mail that goes away is news too.
    """

    def __init__(self, endpoint: Endpoint, habits: Habits | None = None) -> None:
        """Connect, read the greeting, and start TLS.

        Raises:
            MailboxFault: what prevents it, and what fixes it.
        """
        self.habits = habits or Habits()
        if habits is None:
            self.habits.tempo.first = endpoint.read_timeout
        tempo = self.habits.tempo
        connecting = max(endpoint.connect_timeout, tempo.grown.get("connect", 0.0))
        self._endpoint = replace(endpoint, read_timeout=tempo.of("greeting"), connect_timeout=connecting)
        self.exists = 0
        self.has_news = False
        self.reports_expunge = False
        self.arrived = 0
        self.is_notifying = False
        self.alert = ""
        self.pushed: list[Fetched] = []
        self.abilities: frozenset[str] = frozenset()
        self._idle: bytes | None = None
        self._prefix = secrets.token_hex(3).upper().encode("ascii") + b"M"
        self._count = 0
        try:
            with legible():
                super().__init__(endpoint.host, endpoint.port, ssl=False)
                self._imap.debug = 0
                if endpoint.is_starttls:
                    self._imap.secure()
        except Silence as fault:
            raise self._unconnected(fault) if fault.is_before_greeting else self._no_greeting() from None
        except (IMAPClientError, Stream.error) as fault:
            raise greeting_fault(fault) from None

    def _unconnected(self, fault: Silence) -> Silence:
        longer, waited = self.habits.tempo.silent("connect"), self._endpoint.connect_timeout
        return Silence(fault.kind, f"{fault} within {waited:g} s; the next attempt waits up to {longer:g} s for it")

    def _no_greeting(self) -> MailboxFault:
        """The meaning of a server that says nothing at first: it waits for TLS, or it is slow."""
        at, waited = self._endpoint, self._endpoint.read_timeout
        where = f"{at.host} port {at.port}"
        if not at.is_tls and speaks_tls(at):
            text = f'{where} sends no greeting, since it speaks TLS from the first octet on: tls = "tls"'
            return MailboxFault(Kind.SETTING, text)
        longer = self.habits.tempo.silent("greeting")
        return MailboxFault(
            Kind.NETWORK, f"{where} sent no greeting within {waited:g} s; the next attempt waits up to {longer:g} s for it"
        )

    def _create_IMAP4(self) -> Stream:  # noqa: N802  (imapclient's name)
        return Stream(self._endpoint)

    def _set_read_timeout(self) -> None:
        """Does nothing: the stream has its own deadlines, on a non-blocking socket."""

    @property
    def _stream(self) -> Stream:
        stream: Stream = self._imap
        return stream

    @property
    def is_logged_in(self) -> bool:
        """Whether the server already knows who we are: it greeted with PREAUTH (RFC 3501 7.1.4)."""
        return bool(self._imap.state == "AUTH")

    @property
    def unread(self) -> int:
        """Untagged responses that the library keeps for later."""
        return sum(map(len, self._stream.untagged_responses.values()))

    def close(self) -> None:
        """Close at once, without a LOGOUT that a hung server would not answer."""
        self._stream.shutdown()

    def leave(self) -> None:
        """Send LOGOUT if that is possible, and close."""
        with contextlib.suppress(MailboxFault):
            done = b"DONE\r\n" if self._idle is not None else b""
            self._stream.send(done + b"Z LOGOUT\r\n")
        self.close()

    @contextmanager
    def patient(self, what: str) -> Iterator[None]:
        """Inside this block an answer to one kind of command may take as long as that kind may take on this server.

        Raises:
            Silence: it was not answered; the next session waits longer for it.
        """
        tempo, before = self.habits.tempo, self._stream.patience
        self._stream.patience = tempo.of(what)
        began = time.monotonic()
        try:
            yield
        except Silence as fault:
            longer = tempo.silent(what)
            text = f"{fault} after {what}; the next session waits up to {longer:g} s for it"
            raise Silence(Kind.NETWORK, text, uid=fault.uid) from None
        else:
            tempo.answered(what, time.monotonic() - began)
        finally:
            self._stream.patience = before

    # commands

    def run(self, command: bytes, *, what: str) -> list[Response]:
        """Send one command, after leaving IDLE if necessary. Returns the untagged responses that came with it.

        Raises:
            MailboxFault: NO, BAD, BYE, or the connection is gone; ``what`` names the command for a person.
        """
        told, last = self.ask(command, what=what)
        if last.status != b"OK":
            raise refusal(what, shown(last.text))
        return told

    def ask(self, command: bytes, *, what: str) -> tuple[list[Response], Response]:
        """The same, but also returns the completion, whatever it is.

        Raises:
            MailboxFault: BYE, or the connection is gone.
        """
        if self._idle is not None:
            self._end_idle()
        tag = self._tag()
        self._stream.send(tag + b" " + command + b"\r\n")
        return self._until(tag, what)

    def learn_abilities(self) -> frozenset[str]:
        """Ask for CAPABILITY again: after the login servers offer more. The result is upper case."""
        found: set[str] = set()
        for response in self.run(b"CAPABILITY", what="CAPABILITY"):
            if response.status == b"CAPABILITY":
                found |= {word.upper().decode("ascii", "replace") for word in response.text.split()[1:]}
        self.abilities = frozenset(found)
        return self.abilities

    def introduce(self) -> None:
        """Send ID (RFC 2971) if the server knows it: NetEase allows nobody to select a folder before it."""
        if "ID" in self.abilities:
            with contextlib.suppress(Refusal):
                self.run(b'ID ("name" "mailbridge")', what="ID")

    def noop(self) -> None:
        """Send NOOP: the server reports what is new."""
        self.run(b"NOOP", what="NOOP")

    def forget_news(self) -> None:
        """Mark everything that was announced as known."""
        self.has_news, self.arrived, self.pushed = False, 0, []

    def _end_idle(self) -> None:
        tag, self._idle = self._idle, None
        self._stream.send(b"DONE\r\n")
        if tag is not None:
            self._until(tag, "IDLE")

    # responses

    def _until(self, tag: bytes, what: str) -> tuple[list[Response], Response]:
        """Everything up to the completion of ``tag``, and the completion."""
        told: list[Response] = []
        until = time.monotonic() + max(ROUND_LIMIT, self.habits.tempo.of(what))
        size, uid = 0, None
        with self.patient(what):
            while True:
                response = self._read(until)
                if response.tag == tag:
                    self._note(response)
                    return told, response
                if response.tag == b"+" and what == "FETCH":
                    raise Skipped(Kind.NETWORK, f"the server skipped {what}, which was sent together with other commands")
                if response.numbered[1] == b"FETCH":
                    uid = uid_in(response.text)
                elif response.tag not in (b"*", b"+", b"") and not response.tag.startswith(self._prefix):
                    raise MailboxFault(Kind.NETWORK, "the server sent a line that is no answer", uid=uid)
                self._note(response)
                told.append(response)
                size += len(response.text) + sum(map(len, response.literals))
                if size > 2 * MAX_LITERAL:
                    raise MailboxFault(Kind.NETWORK, "the server's answer is larger than anything that was asked for", uid=uid)

    def _read(self, until: float) -> Response:
        if time.monotonic() > until:
            raise MailboxFault(Kind.NETWORK, f"the server took more than {ROUND_LIMIT:g} s for one answer")
        text = line = self._stream.readline()
        literals = []
        try:
            while (found := LITERAL.search(line)) is not None and not line.startswith(b"+") and not _is_prose(text):
                literals.append(self._stream.read(int(found[1]), WHOLE, self._prefix))
                line = self._stream.readline()
                text += line
        except MailboxFault as fault:
            fault.uid = fault.uid or uid_in(text)
            raise
        tag, _, rest = text.removesuffix(b"\r\n").partition(b" ")
        return Response(tag=tag, text=rest, literals=tuple(literals))

    def _note(self, response: Response) -> None:
        """Note what a response says in addition to the answer of its command."""
        status = response.status
        if status in (b"OK", b"NO", b"BAD") and (alert := alert_of(response)):
            self.alert = alert
        if response.tag != b"*":
            return
        number, name = response.numbered
        if name == b"EXISTS":
            if number > self.exists:
                self.has_news = True
                self.arrived += number - self.exists
            self.exists = number
        elif name == b"EXPUNGE":
            self.exists = max(0, self.exists - 1)
            self.has_news = self.has_news or self.reports_expunge
        elif name == b"FETCH" and self._idle is not None:
            mail = fetched_of(response)
            if mail is not None and mail.content is not None:
                self.pushed.append(mail)
        elif status == b"BYE":
            raise goodbye(shown(response.text[4:]))

    def _tag(self) -> bytes:
        self._count += 1
        return self._prefix + b"%d" % self._count


def alert_of(response: Response) -> str:
    """A text that the server wants a person to read (``[ALERT]``, RFC 3501 7.1; ``[WEBALERT url]``, Google's); "" if there is
    none."""
    url = response.code(b"WEBALERT")
    if url is None and response.code(b"ALERT") is None:
        return ""
    words = shown(response.text.partition(b"]")[2])
    return f"{words} {shown(url)}".strip() if url else words


def greeting_fault(fault: Exception) -> MailboxFault:
    """The fault for a greeting other than OK."""
    text = words_of(fault)
    known = goodbye(text)
    return MailboxFault(known.kind, f"the server refuses the connection: {text}", pause=known.pause)


def _is_prose(text: bytes) -> bool:
    """Whether the line is a status response. It is free text up to the end of its line, whatever it looks like."""
    words = text[:40].upper().split()
    return len(words) > 1 and words[1] in (b"OK", b"NO", b"BAD", b"BYE", b"PREAUTH")
