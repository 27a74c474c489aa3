"""The folder of one connection: opening it, searching, fetching, IDLE, and the round that does all of it in one segment.

imapclient's own IDLE returns an empty list for ever on a dead connection, loses a wake-up that comes in one segment with ``+``,
and cannot parse a literal inside IDLE.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from mailbridge.core.dataclass import dataclass
from mailbridge.ingress.imap.arguments import folder_argument, span_set, uid_set
from mailbridge.ingress.imap.dialogue import ROUND_LIMIT, WHOLE, Dialogue
from mailbridge.ingress.imap.faults import (
    IdleRefused,
    Kind,
    MailboxFault,
    Refusal,
    Silence,
    Skipped,
    hint_of,
    is_busy,
    is_for_all,
    refusal,
    shown,
)
from mailbridge.ingress.imap.habits import Habits
from mailbridge.ingress.imap.responses import Fetched, Response, fetched_of, number, numbers_of
from mailbridge.ingress.imap.stream import Endpoint

__all__ = ["FIRST", "LAST_UID", "WHOLE", "Status", "Waited", "Wire", "folder_argument", "uid_set"]

FIRST = 131_072
"""Octets of a mail that are requested at first. Nearly every mail with a code is smaller."""
LAST_UID = 4_294_967_295
"""Used instead of ``*``, which would return the last mail again whenever there is no new one."""
PUSH_GRACE = 0.05
"""Seconds that a mail may come after its announcement under NOTIFY, before it is fetched."""
ITEMS = f"(UID INTERNALDATE RFC822.SIZE BODY.PEEK[]<0.{FIRST}>)".encode("ascii")
ABSENT = ("[NONEXISTENT]", "[TRYCREATE]", "[NOPERM]")

Waited = Literal["news", "woken", "quiet", "ended"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What STATUS says about a folder; None for what it does not say."""

    messages: int | None = None
    uid_next: int | None = None


class Wire(Dialogue):
    """A dialogue with an open folder. ``validity`` and ``uid_next`` are those at its opening."""

    def __init__(self, endpoint: Endpoint, habits: Habits | None = None) -> None:
        self.validity = 0
        self.uid_next = 0
        self.is_read_only = False
        self.is_uid_next_told = False
        self._folder = ""
        self._has_asked = False
        super().__init__(endpoint, habits)

    def open_folder(self, folder: str, *, is_read_only: bool) -> None:
        """EXAMINE, or SELECT. Sets ``exists``, ``validity`` and ``uid_next``.

        Raises:
            MailboxFault: there is no such folder, or the server gives no UIDVALIDITY.
        """
        command = (b"EXAMINE " if is_read_only else b"SELECT ") + folder_argument(folder)
        self.exists = self.uid_next = 0
        self.is_read_only, self._folder = is_read_only, folder
        told, last = self.ask(command, what=command.split()[0].decode("ascii"))
        if last.status == b"BAD" and is_read_only and not is_busy(shown(last.text)) and hint_of(shown(last.text)) is None:
            self.open_folder(folder, is_read_only=False)
            self.habits.refuses_examine = True
            return
        if last.status != b"OK":
            raise self._not_opened(folder, shown(last.text))
        validity: int | None = None
        for response in (*told, last):
            if (value := number(response.code(b"UIDVALIDITY") or b"")) is not None:
                validity = value
            if (value := number(response.code(b"UIDNEXT") or b"")) is not None:
                self.uid_next = value
        if validity is None:
            text = f"folder {folder!r} has no UIDVALIDITY: the server keeps no numbers for its mails, so it cannot be watched"
            raise MailboxFault(Kind.SETTING, text)
        self.validity = validity
        self.is_uid_next_told = self.uid_next > 0
        if not self.is_uid_next_told:
            self.uid_next = self._newest() + 1
        self.forget_news()

    def reopen(self, *, is_read_only: bool) -> None:
        """Open the same folder again.

        Raises:
            MailboxFault: as `open_folder`.
        """
        self.open_folder(self._folder, is_read_only=is_read_only)

    def _not_opened(self, folder: str, text: str) -> MailboxFault:
        """The fault for a NO to the opening of a folder: a person is needed if the folder does not exist, else patience."""
        fault = refusal(f"folder {folder!r}", text)
        is_absent = any(code in text.upper() for code in ABSENT)
        if not is_absent and (fault.kind is Kind.BUSY or self._is_listed(folder)):
            return MailboxFault(Kind.BUSY, f"folder {folder!r} cannot be opened now: {text}{_explained(text)}", pause=fault.pause)
        text = f"folder {folder!r} cannot be opened: {text}; `mailbridge imap test` lists what is there"
        return MailboxFault(Kind.SETTING, text)

    def _is_listed(self, folder: str) -> bool:
        with contextlib.suppress(Refusal):
            told = self.run(b'LIST "" ' + folder_argument(folder), what="LIST")
            return any(one.status == b"LIST" and b"\\noselect" not in one.text.lower() for one in told)
        return False

    def status(self, folder: str) -> Status:
        """STATUS of a folder, even of the open one. It shows what a new opening would show, if the session is blind to new mail.

        Raises:
            MailboxFault: Refusal if it is not answered, or the connection is gone.
        """
        told = self.run(b"STATUS " + folder_argument(folder) + b" (MESSAGES UIDNEXT)", what="STATUS")
        values: dict[bytes, int] = {}
        for response in told:
            if response.status == b"STATUS":
                words = response.text.rpartition(b"(")[2].rstrip(b") ").upper().split()
                values |= {
                    name: value
                    for name, text in zip(words[::2], words[1::2], strict=False)
                    if (value := number(text)) is not None
                }
        return Status(messages=values.get(b"MESSAGES"), uid_next=values.get(b"UIDNEXT"))

    def _newest(self) -> int:
        if not self.exists:
            return 0
        told = self.run(b"UID FETCH * (UID)", what="FETCH")
        return max((one.uid for one in _fetched(told)), default=0)

    @property
    def can_push(self) -> bool:
        """Whether the server can still be asked to send new mail with its announcement."""
        return "NOTIFY" in self.abilities and not self._has_asked

    def ask_for_pushes(self) -> None:
        """Send NOTIFY (RFC 5465) if it is offered. Then a new mail comes with its announcement, a round trip earlier."""
        if not self.can_push:
            return
        self._has_asked = True
        with contextlib.suppress(Refusal):
            self.run(b"NOTIFY SET (selected (MessageNew " + ITEMS + b" MessageExpunge))", what="NOTIFY")
            self.is_notifying = True

    def search(self, criteria: bytes) -> list[int]:
        """UIDs that match, ascending."""
        told = self.run(b"UID SEARCH " + criteria, what="SEARCH")
        return sorted({uid for response in told if response.status == b"SEARCH" for uid in numbers_of(response)})

    def search_uids(self, spans: Sequence[tuple[int, int]]) -> list[int]:
        """The existing UIDs in these spans, ascending. mailutils reads them as sequence numbers in a SEARCH. If an answer does
        not fit the question, or is refused, then from that point on each span is listed by FETCH."""
        told = None if self.habits.searches_numbers else self._searched(spans)
        if told is not None:
            found = [uid for uid in told if any(low <= uid <= high for low, high in spans)]
            if len(found) == len(told) or any(high == LAST_UID for _, high in spans):  # the last mail instead of none is usual
                return found
            self.habits.searches_numbers = True
        there: set[int] = set()
        for low, high in spans:
            with contextlib.suppress(Refusal):  # if none of them exists
                listed = _fetched(self.run(b"UID FETCH " + self._set([(low, high)]) + b" (UID)", what="FETCH"))
                there |= {one.uid for one in listed if low <= one.uid <= high}
        return sorted(there)

    def _searched(self, spans: Sequence[tuple[int, int]]) -> list[int] | None:
        """The result of a SEARCH; None if it is refused, with the largest UID written either way."""
        had_star = self.habits.wants_star
        for wants_star in (had_star,) if had_star or spans[-1][1] != LAST_UID else (False, True):
            self.habits.wants_star = wants_star
            try:
                return self.search(b"UID " + self._set(spans))
            except Refusal as fault:
                if is_for_all(str(fault)):
                    self.habits.wants_star = had_star
                    raise
        self.habits.wants_star, self.habits.searches_numbers = had_star, True
        return None

    def _set(self, spans: Sequence[tuple[int, int]]) -> bytes:
        """Spans for a command. If the largest UID is no number for the server, the range of new mails ends with ``*``, and the
        last mail comes again."""
        told = span_set(spans)
        return told.removesuffix(b"%d" % LAST_UID) + b"*" if self.habits.wants_star and spans[-1][1] == LAST_UID else told

    def newest(self, count: int) -> list[Fetched]:
        """UID and INTERNALDATE of the last ``count`` mails of the folder, ascending."""
        if not self.exists:
            return []
        span = f"FETCH {max(1, self.exists - count + 1)}:{self.exists} (UID INTERNALDATE)"
        return sorted(_fetched(self.run(span.encode("ascii"), what="FETCH")), key=lambda one: one.uid)

    def fetch_dates(self, uids: Sequence[int], *, with_size: bool = True) -> list[Fetched]:
        """UID, INTERNALDATE and size of each mail that still exists. A size can make a server read the whole mail."""
        return self._fetch(uids, b"(UID INTERNALDATE RFC822.SIZE)" if with_size else b"(UID INTERNALDATE)")

    def listed_from(self, uid: int) -> list[Fetched]:
        """Every mail from ``uid`` on, with only its UID: a size can make a server open a mail that it cannot read."""
        told = self.run(b"UID FETCH " + self._set([(max(1, uid), LAST_UID)]) + b" (UID)", what="FETCH")
        return sorted((one for one in _fetched(told) if one.uid >= uid), key=lambda one: one.uid)

    def fetch_mails(self, uids: Sequence[int], *, what: str = "FETCH") -> list[Fetched]:
        """The mails that still exist, ascending. A mail of up to `WHOLE` octets is complete."""
        return [self.completed(one, what=what) for one in self._fetch(uids, ITEMS, what)]

    def _fetch(self, uids: Sequence[int], items: bytes, what: str = "FETCH") -> list[Fetched]:
        if not uids:
            return []
        told = self.run(b"UID FETCH " + uid_set(uids) + b" " + items, what=what)
        wanted = set(uids)
        return sorted((one for one in _fetched(told) if one.uid in wanted), key=lambda one: one.uid)

    def completed(self, mail: Fetched, *, what: str = "FETCH") -> Fetched:
        """The mail with its rest, if it is cut and not too large for that.

        A server that ignores the requested size has already returned everything, or returns everything again.
        """
        content = mail.content
        if content is None or len(content) < FIRST or (mail.size > WHOLE and len(content) == FIRST):
            return mail
        if len(content) > FIRST or mail.is_whole:
            return replace(mail, content=content[: WHOLE if mail.size <= WHOLE else FIRST])
        rest = f"UID FETCH {mail.uid} (UID BODY.PEEK[]<{FIRST}.{WHOLE - FIRST}>)".encode("ascii")
        try:
            told = self.run(rest, what=what)
        except Refusal:
            return mail
        tail = next((one for one in _fetched(told) if one.uid == mail.uid), None)
        more = b"" if tail is None or tail.content is None else tail.content
        if tail is not None and (tail.is_whole or (len(more) > len(content) and more.startswith(content))):
            return replace(mail, content=more[:WHOLE])
        return replace(mail, content=content + more)

    # rounds

    def fetch_after(self, uid: int, *, with_idle: bool) -> list[Fetched]:
        """Every mail above ``uid``, ascending. With ``with_idle`` the connection is in IDLE afterwards.

        DONE, FETCH and IDLE go out in one segment if the server accepts that: one round trip. A server may answer the FETCH
        before it has looked for new mail. Then ``has_news`` is set again, and the caller must call once more.

        Raises:
            IdleRefused: the FETCH succeeded, and IDLE did not; ``args[0]`` are the mails.
            Refusal: the FETCH was refused; the connection is still good.
        """
        self.forget_news()
        is_pipelined = self.habits.is_pipelined
        if not is_pipelined and self._idle is not None:
            self._end_idle()
        done, ended = (b"DONE\r\n", self._idle) if self._idle is not None else (b"", None)
        fetch, idle = self._tag(), self._tag()
        span = self._set([(uid + 1, LAST_UID)]) if uid < LAST_UID else b"%d" % uid
        segment = done + fetch + b" UID FETCH " + span + b" " + ITEMS + b"\r\n"
        is_one_segment = with_idle and is_pipelined
        self._stream.send(segment + idle + b" IDLE\r\n" if is_one_segment else segment)
        self._idle = None
        told = self._until(ended, "IDLE")[0] if ended is not None else []
        try:
            more, last = self._until(fetch, "FETCH")
            if with_idle and not is_one_segment:
                self._stream.send(idle + b" IDLE\r\n")
            if last.status != b"OK":
                if with_idle:
                    with contextlib.suppress(IdleRefused):
                        self._enter_idle(idle, [])
                raise refusal("FETCH", shown(last.text))
            mails = sorted((one for one in _fetched(told + more) if one.uid > uid), key=lambda one: one.content is not None)
            if with_idle:
                self._enter_idle(idle, mails)
        except (Silence, Skipped):
            if is_one_segment or done:
                self.habits.missed()
            raise
        if is_one_segment and done:
            self.habits.worked()
        return sorted({one.uid: one for one in mails}.values(), key=lambda one: one.uid)

    def start_idle(self) -> None:
        """IDLE (RFC 2177). Raises IdleRefused on NO or BAD."""
        tag = self._tag()
        self._stream.send(tag + b" IDLE\r\n")
        self._enter_idle(tag, [])

    @property
    def is_idling(self) -> bool:
        """Whether the server may announce mail now."""
        return self._idle is not None

    def wait(self, seconds: float, wake: int) -> Waited:
        """Wait in or out of IDLE for an announcement, for the descriptor ``wake``, for the end of the time, or until the
        server ends IDLE itself."""
        until = time.monotonic() + seconds
        is_told, was_idling = False, self.is_idling
        while True:
            self._drain()
            if was_idling and not self.is_idling:
                return "ended"
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
        try:
            with self.patient("IDLE"):
                while (response := self._read(until)).tag not in (b"+", tag):
                    self._note(response)
        except Silence:
            self.habits.mute.unanswered()
            raise
        self.habits.mute.answered()
        if response.tag == tag:
            raise IdleRefused(mails)
        self._idle = tag

    def _drain(self) -> None:
        """Note what is in the buffer, and read on if a response has begun."""
        self._stream.fill()
        until = time.monotonic() + ROUND_LIMIT
        while self._stream.has_line():
            response = self._read(until)
            if response.tag == self._idle and self._idle is not None:
                self._idle = None
            self._note(response)


def _fetched(told: Iterable[Response]) -> list[Fetched]:
    return [mail for one in told if one.numbered[1] == b"FETCH" and (mail := fetched_of(one)) is not None]


def _explained(text: str) -> str:
    """An explanation for words that mean nothing to a reader."""
    if "authenticated but not connected" not in text.casefold():
        return ""
    return (
        " (Microsoft took the login and does not open the mailbox: is IMAP switched on for it, has the account a licence,"
        " and is username the mailbox's own address? It also says so for minutes when it is busy)"
    )
