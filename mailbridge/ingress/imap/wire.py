"""One IMAP connection: imapclient for connecting and logging in, our own commands, IDLE and FETCH on top of it.

imapclient's own IDLE answers an empty list for ever on a dead connection, loses a wake-up that comes in one segment with ``+``,
and cannot parse a literal inside IDLE. Here every response goes through `_note`, whichever command it arrives with, so that an
announcement of new mail is never lost. Not thread-safe: one thread owns a connection.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Literal

from imapclient import IMAPClient, imap_utf7
from imapclient.exceptions import IMAPClientError

from mailbridge.ingress.imap.faults import IdleRefused, Kind, MailboxFault, Refusal, goodbye, legible, refusal, shown, words_of
from mailbridge.ingress.imap.responses import LITERAL, Fetched, Response, fetched_of, number, numbers_of
from mailbridge.ingress.imap.stream import MAX_LITERAL, Endpoint, Stream

FIRST = 131_072
"""Octets of a mail that are asked for at first: nearly every mail with a code is smaller."""
WHOLE = 1_048_576
"""Mails up to this size are fetched whole in a second step (a DKIM proof needs all of it); a larger one stays cut at FIRST."""
LAST_UID = 4_294_967_295
"""Instead of ``*``, which would give the last mail again whenever there is no new one."""
ROUND_LIMIT = 120.0
"""Seconds that one command may take in all, however slowly its answer drips."""

PUSH_GRACE = 0.05
"""Seconds that a mail may come behind its announcement under NOTIFY, before it is fetched."""

Waited = Literal["news", "woken", "quiet"]


class Wire(IMAPClient):  # type: ignore[misc]
    """A connection, logged in or not. ``exists`` is the count of the open folder; ``has_news`` that mail was announced since
    the last `fetch_after`, ``arrived`` how many; ``pushed`` are mails that came whole with their announcement (NOTIFY);
    ``alert`` is the last ``[ALERT]`` of the server."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Connect, read the greeting, and start TLS.

        Raises:
            MailboxFault: what stands in the way, and what fixes it.
        """
        self._endpoint = endpoint
        self.exists = 0
        self.has_news = False
        self.arrived = 0
        self.is_notifying = False
        self.is_pipelining = True
        self.alert = ""
        self.pushed: list[Fetched] = []
        self.validity = 0
        self.uid_next = 0
        self.abilities: frozenset[str] = frozenset()
        self._idle: bytes | None = None
        self._count = 0
        try:
            with legible():
                super().__init__(endpoint.host, endpoint.port, ssl=False)
                self._imap.debug = 0
                if endpoint.is_starttls:
                    self._imap.secure()
        except MailboxFault as fault:
            if "said nothing" in str(fault) and not endpoint.is_tls:
                text = f'{endpoint.host} port {endpoint.port} sends no greeting; does it want tls = "tls"?'
                raise MailboxFault(Kind.SETTING, text) from None
            raise
        except (IMAPClientError, Stream.error) as fault:
            raise greeting_fault(fault) from None

    def _create_IMAP4(self) -> Stream:  # noqa: N802  (imapclient's name)
        return Stream(self._endpoint)

    def _set_read_timeout(self) -> None:
        """The stream keeps its own deadlines on a non-blocking socket."""

    @property
    def _stream(self) -> Stream:
        stream: Stream = self._imap
        return stream

    @property
    def unread(self) -> int:
        """Untagged responses that the library keeps for whoever asks."""
        return sum(map(len, self._stream.untagged_responses.values()))

    def close(self) -> None:
        """Hang up at once, without a LOGOUT that a hung server would not answer."""
        self._stream.shutdown()

    def slow(self) -> AbstractContextManager[None]:
        """For a block in which the server may take its time with each answer."""
        return self._stream.slow()

    def leave(self) -> None:
        """Say LOGOUT if nothing is in the way, and hang up."""
        with contextlib.suppress(MailboxFault):
            done = b"DONE\r\n" if self._idle is not None else b""
            self._stream.send(done + b"Z LOGOUT\r\n")
        self.close()

    # commands

    def run(self, command: bytes, *, what: str) -> list[Response]:
        """One command, out of IDLE if need be; the untagged responses that came with it.

        Raises:
            MailboxFault: NO, BAD, BYE, or the connection is gone; ``what`` names the command to a person.
        """
        if self._idle is not None:
            self._end_idle()
        tag = self._tag()
        self._stream.send(tag + b" " + command + b"\r\n")
        told, last = self._until(tag)
        if last.status != b"OK":
            raise refusal(what, shown(last.text))
        return told

    def learn_abilities(self) -> frozenset[str]:
        """CAPABILITY, asked anew: after the login servers tell more. Upper case."""
        found: set[str] = set()
        for response in self.run(b"CAPABILITY", what="CAPABILITY"):
            if response.status == b"CAPABILITY":
                found |= {word.upper().decode("ascii", "replace") for word in response.text.split()[1:]}
        self.abilities = frozenset(found)
        return self.abilities

    def introduce(self) -> None:
        """ID (RFC 2971) where it is known: NetEase lets nobody select a folder before it."""
        if "ID" in self.abilities:
            with contextlib.suppress(Refusal):
                self.run(b'ID ("name" "mailbridge")', what="ID")

    def open_folder(self, folder: str, *, is_read_only: bool) -> None:
        """EXAMINE or SELECT. Sets ``exists``, ``validity`` and ``uid_next``.

        Raises:
            MailboxFault: no such folder, or the server gives no UIDVALIDITY.
        """
        command = (b"EXAMINE " if is_read_only else b"SELECT ") + folder_argument(folder)
        self.exists = self.validity = self.uid_next = 0
        if self._idle is not None:
            self._end_idle()
        tag = self._tag()
        self._stream.send(tag + b" " + command + b"\r\n")
        told, last = self._until(tag)
        if last.status != b"OK":
            fault = refusal(f"folder {folder!r}", shown(last.text))
            if fault.kind is Kind.NETWORK:
                text = f"folder {folder!r} cannot be opened: {shown(last.text)}; `mailbridge imap test` lists what is there"
                raise MailboxFault(Kind.SETTING, text)
            raise fault
        for response in (*told, last):
            for name, field in ((b"UIDVALIDITY", "validity"), (b"UIDNEXT", "uid_next")):
                value = number(response.code(name) or b"")
                if value is not None:
                    setattr(self, field, value)
        if not self.validity:
            raise MailboxFault(Kind.SETTING, f"folder {folder!r} has no UIDVALIDITY: this server cannot be watched")
        if not self.uid_next:
            self.uid_next = self._newest() + 1
        self.forget_news()

    def _newest(self) -> int:
        if not self.exists:
            return 0
        told = self.run(b"UID FETCH * (UID)", what="FETCH")
        return max((one.uid for one in _fetched(told)), default=0)

    def ask_for_pushes(self) -> None:
        """NOTIFY (RFC 5465) where it is offered: a new mail comes with its announcement, a round trip earlier."""
        if "NOTIFY" not in self.abilities:
            return
        with contextlib.suppress(Refusal):
            self.run(b"NOTIFY SET (selected (MessageNew " + ITEMS + b" MessageExpunge))", what="NOTIFY")
            self.is_notifying = True

    def forget_news(self) -> None:
        """All that was announced is known."""
        self.has_news, self.arrived, self.pushed = False, 0, []

    def search(self, criteria: bytes) -> list[int]:
        """UIDs that match, ascending."""
        told = self.run(b"UID SEARCH " + criteria, what="SEARCH")
        return sorted({uid for response in told if response.status == b"SEARCH" for uid in numbers_of(response)})

    def newest(self, count: int) -> list[Fetched]:
        """UID, INTERNALDATE and size of the last ``count`` mails of the folder, ascending."""
        if not self.exists:
            return []
        span = f"FETCH {max(1, self.exists - count + 1)}:{self.exists} (UID INTERNALDATE RFC822.SIZE)"
        return sorted(_fetched(self.run(span.encode("ascii"), what="FETCH")), key=lambda one: one.uid)

    def fetch_dates(self, uids: Sequence[int]) -> list[Fetched]:
        """UID, INTERNALDATE and size of each that is still there."""
        return self._fetch(uids, b"(UID INTERNALDATE RFC822.SIZE)")

    def fetch_mails(self, uids: Sequence[int]) -> list[Fetched]:
        """The mails, ascending, those that are still there; a mail of up to `WHOLE` octets is complete."""
        return [self.completed(one) for one in self._fetch(uids, ITEMS)]

    def _fetch(self, uids: Sequence[int], items: bytes) -> list[Fetched]:
        if not uids:
            return []
        told = self.run(b"UID FETCH " + uid_set(uids) + b" " + items, what="FETCH")
        wanted = set(uids)
        return sorted((one for one in _fetched(told) if one.uid in wanted), key=lambda one: one.uid)

    def completed(self, mail: Fetched) -> Fetched:
        """The mail with its rest, where it is cut and not too large for that."""
        if mail.content is None or len(mail.content) < FIRST or mail.size > WHOLE:
            return mail
        rest = f"UID FETCH {mail.uid} (UID BODY.PEEK[]<{FIRST}.{WHOLE - FIRST}>)".encode("ascii")
        tail = next((one.content for one in _fetched(self.run(rest, what="FETCH")) if one.uid == mail.uid), None)
        return Fetched(uid=mail.uid, at=mail.at, size=mail.size, content=mail.content + (tail or b""))

    def noop(self) -> None:
        """NOOP: the server tells what is new."""
        self.run(b"NOOP", what="NOOP")

    # rounds

    def fetch_after(self, uid: int, *, with_idle: bool) -> list[Fetched]:
        """Every mail above ``uid``, ascending; with ``with_idle`` back in IDLE afterwards.

        DONE, FETCH and IDLE go out in one segment, where ``is_pipelining``: one round trip. A server may answer the FETCH before it has looked for new
        mail; then ``has_news`` is set again, and the caller has to come once more.

        Raises:
            IdleRefused: the FETCH went well, and IDLE did not; ``args[0]`` are the mails.
        """
        self.forget_news()
        if not self.is_pipelining and self._idle is not None:
            self._end_idle()
        done, ended = (b"DONE\r\n", self._idle) if self._idle is not None else (b"", None)
        fetch, idle = self._tag(), self._tag()
        span = f"{uid + 1}:{LAST_UID} " if uid < LAST_UID else f"{uid} "
        segment = done + fetch + b" UID FETCH " + span.encode("ascii") + ITEMS + b"\r\n"
        is_one_segment = with_idle and self.is_pipelining
        self._stream.send(segment + idle + b" IDLE\r\n" if is_one_segment else segment)
        self._idle = None
        told: list[Response] = []
        if ended is not None:
            told += self._until(ended)[0]
        more, last = self._until(fetch)
        if last.status != b"OK":
            raise refusal("FETCH", shown(last.text))
        mails = sorted((one for one in _fetched(told + more) if one.uid > uid), key=lambda one: one.content is not None)
        if with_idle and not is_one_segment:
            self._stream.send(idle + b" IDLE\r\n")
        if with_idle:
            self._enter_idle(idle, mails)
        return sorted({one.uid: one for one in mails}.values(), key=lambda one: one.uid)

    def start_idle(self) -> None:
        """IDLE (RFC 2177). Raises IdleRefused on NO or BAD."""
        tag = self._tag()
        self._stream.send(tag + b" IDLE\r\n")
        self._enter_idle(tag, [])

    @property
    def is_idling(self) -> bool:
        """Whether the server may push now."""
        return self._idle is not None

    def wait(self, seconds: float, wake: int) -> Waited:
        """Wait in or out of IDLE for news, for the descriptor ``wake``, or for the time to be over."""
        until = time.monotonic() + seconds
        is_told = False
        while True:
            self._drain()
            if self.has_news or self.pushed:
                if is_told or not self.is_notifying or len(self.pushed) >= self.arrived:
                    return "news"
                until, is_told = time.monotonic() + PUSH_GRACE, True
            left = until - time.monotonic()
            if left <= 0 and is_told:
                continue
            if left <= 0:
                return "quiet"
            self._stream.wait(left, wake)
            if not self._stream.fill() and time.monotonic() < until:
                return "woken"

    def _enter_idle(self, tag: bytes, mails: list[Fetched]) -> None:
        until = time.monotonic() + ROUND_LIMIT
        while True:
            response = self._read(until)
            if response.tag == b"+":
                self._idle = tag
                return
            if response.tag == tag:
                raise IdleRefused(mails)
            self._note(response)

    def _end_idle(self) -> None:
        tag, self._idle = self._idle, None
        self._stream.send(b"DONE\r\n")
        if tag is not None:
            self._until(tag)

    def _drain(self) -> None:
        """Note what is in the buffer, reading on where a response has begun."""
        self._stream.fill()
        until = time.monotonic() + ROUND_LIMIT
        while self._stream.has_line():
            response = self._read(until)
            if response.tag == self._idle and self._idle is not None:
                self._idle = None
                raise MailboxFault(Kind.NETWORK, f"the server ended IDLE by itself: {shown(response.text)}")
            self._note(response)

    # responses

    def _until(self, tag: bytes) -> tuple[list[Response], Response]:
        """Everything up to the completion of ``tag``, and that."""
        told: list[Response] = []
        until = time.monotonic() + ROUND_LIMIT
        size = 0
        while True:
            response = self._read(until)
            if response.tag == tag:
                return told, response
            self._note(response)
            told.append(response)
            size += len(response.text) + sum(map(len, response.literals))
            if size > 2 * MAX_LITERAL:
                raise MailboxFault(Kind.NETWORK, "the server's answer is larger than anything that was asked for")

    def _read(self, until: float) -> Response:
        if time.monotonic() > until:
            raise MailboxFault(Kind.NETWORK, f"the server took more than {ROUND_LIMIT:g} s for one answer")
        line = self._stream.readline()
        literals = []
        text = line
        while (found := LITERAL.search(line)) is not None and not line.startswith(b"+") and not _is_prose(text):
            literals.append(self._stream.read(int(found[1])))
            line = self._stream.readline()
            text += line
        tag, _, rest = text.removesuffix(b"\r\n").partition(b" ")
        return Response(tag=tag, text=rest, literals=tuple(literals))

    def _note(self, response: Response) -> None:
        """Take in what a response says beside the command that it came with."""
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
        elif name == b"FETCH" and self._idle is not None:
            mail = fetched_of(response)
            if mail is not None and mail.content is not None:
                self.pushed.append(mail)
        elif response.status == b"BYE":
            raise goodbye(shown(response.text[4:]))
        elif response.status == b"OK" and response.code(b"ALERT") is not None:
            self.alert = shown(response.text[3:])

    def _tag(self) -> bytes:
        self._count += 1
        return b"M%d" % self._count


ITEMS = f"(UID INTERNALDATE RFC822.SIZE BODY.PEEK[]<0.{FIRST}>)".encode("ascii")


def folder_argument(folder: str) -> bytes:
    """A folder's name as a command wants it: modified UTF-7 (RFC 3501 5.1.3), quoted."""
    encoded: bytes = imap_utf7.encode(folder)
    return b'"' + encoded.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def uid_set(uids: Iterable[int]) -> bytes:
    """``1:3,5``."""
    spans: list[list[int]] = []
    for uid in sorted(set(uids)):
        if spans and uid == spans[-1][1] + 1:
            spans[-1][1] = uid
        else:
            spans.append([uid, uid])
    return b",".join(b"%d" % a if a == b else b"%d:%d" % (a, b) for a, b in spans)


def greeting_fault(fault: Exception) -> MailboxFault:
    """What a greeting other than OK asks for."""
    text = words_of(fault)
    known = goodbye(text)
    return MailboxFault(known.kind, f"the server does not want to talk: {text}", pause=known.pause)


def _is_prose(text: bytes) -> bool:
    """A status response is free text up to the end of its line, whatever it looks like."""
    words = text[:40].upper().split()
    return len(words) > 1 and words[1] in (b"OK", b"NO", b"BAD", b"BYE", b"PREAUTH")


def _fetched(told: Iterable[Response]) -> list[Fetched]:
    return [mail for one in told if one.numbered[1] == b"FETCH" and (mail := fetched_of(one)) is not None]
