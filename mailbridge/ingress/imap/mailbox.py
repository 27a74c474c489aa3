"""One mailbox's mails in the order of their UIDs: from a connection through the door, each once, the cursor with the mail.

The position is ``(UIDVALIDITY, UID)`` (RFC 3501 2.3.1.1). It moves only when the store has the mail; what was not taken is
fetched again. A mailbox that was rebuilt is read again, and the fingerprint knows its mails.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, assert_never

from mailbridge.core.mail import Envelope
from mailbridge.ingress.imap.ages import Ages
from mailbridge.ingress.imap.canary import Canary
from mailbridge.ingress.imap.faults import Kind, MailboxFault
from mailbridge.ingress.imap.mailbox_status import MailboxStatus
from mailbridge.ingress.imap.responses import Fetched
from mailbridge.ingress.imap.whereabouts import Spot
from mailbridge.ingress.imap.wire import LAST_UID, Wire, uid_set
from mailbridge.intake.answer import Answer, Deferred, Full, Stored
from mailbridge.store import StoreUnavailable

log = logging.getLogger("mailbridge.imap")

LOOK_BACK = timedelta(minutes=10)
"""How old a mail may be that was there before the first start: a code that beat the daemon is not lost."""
LOOK_BACK_MOST = 200
RESCAN = timedelta(hours=24)
"""How far a rebuilt mailbox is read again."""
RESCAN_MOST = 2_000
BATCH = 25
BACKLOG = 50
"""So many new mails at once are a backlog: what is fresh in it goes first, so that nobody waits behind yesterday's mail."""
AHEAD_MOST = 100
SKEW = timedelta(minutes=2)
SECOND = timedelta(seconds=1)
LATE = timedelta(seconds=4)
TRIES = 3


class Held(Exception):  # noqa: N818  (an answer rather than an error)
    """The store does not take mail just now; nothing was lost, and the same mail is to be brought again."""


class NotTaken(Exception):  # noqa: N818  (the door's other answer)
    """The door failed over this mail in a way that it should not; the store may be well."""


class Door(Protocol):
    """The intake and the store, as a thread may call them; every method blocks."""

    def accept(self, envelope: Envelope) -> Answer:
        """Where it answers `Stored` the mail is on disk. Raises NotTaken."""
        ...

    def cursor(self, mailbox: str) -> str | None:
        """Raises StoreUnavailable."""
        ...

    def advance(self, cursor: str) -> None:
        """Raises StoreUnavailable."""
        ...

    def pending_actions(self, mailbox: str) -> tuple[str, ...]:
        """Raises StoreUnavailable."""
        ...

    def actions_done(self, cursors: Sequence[str]) -> None:
        """Raises StoreUnavailable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Up to which UID everything is on disk."""

    validity: int
    uid: int


class Mailbox:
    """The reading side of one folder. ``done`` are the UIDs of mails that are pushed, for an after-effect; the store knows them
    too until `actions_done`, so that they outlive the connection and the daemon."""

    def __init__(
        self,
        *,
        key: str,
        rcpt: str,
        peer: str,
        door: Door,
        ages: Ages,
        status: MailboxStatus,
        with_effect: bool = False,
        folder: str = "",
        canary: Canary | None = None,
    ) -> None:
        self._key = key
        self._folder = folder
        self._canary = canary
        self._rcpt = rcpt
        self._peer = peer
        self._door = door
        self._ages = ages
        self._status = status
        self._with_effect = with_effect
        self._position: Position | None = None
        self._seen_at: datetime | None = None
        self._tries: dict[int, int] = {}
        self._skipped: set[int] = set()
        self._looked_at = 0
        self._exists = 0
        self._newest: datetime | None = None
        self.done: list[int] = []

    def meet(self, wire: Wire) -> None:
        """Take what a folder that was just opened holds beyond the position, or look back where there is none.

        Raises:
            Held: the store does not take mail now; meet again.
            MailboxFault: the connection.
        """
        began = self._ages.now()
        known = self._position or self._kept()
        self._remember(wire.validity)
        self._looked_at = 0
        base = wire.uid_next - 1
        self._exists = wire.exists
        if known is not None and known.validity == wire.validity:
            self._position = known
            self._catch_up(wire)
        else:
            span, most = (LOOK_BACK, LOOK_BACK_MOST) if known is None else (RESCAN, RESCAN_MOST)
            if known is not None:
                log.warning("mailbox rebuilt: reading its last day again", extra={"mailbox": self._status.mailbox})
            self._take(wire, self._since(wire, span, most))
            self._move(max(base, self._position.uid if self._is_at(wire) and self._position else 0), wire.validity)
        self._seen_at = began

    def round(self, wire: Wire, *, with_idle: bool) -> int:
        """Fetch and take what is new; how many mails that were. Afterwards in IDLE, with ``with_idle``.

        Raises:
            Held, MailboxFault, IdleRefused: as the wire and the door say; the mails of an IdleRefused are taken.
        """
        began = self._ages.now()
        if wire.exists - self._exists > BACKLOG:
            self._exists = wire.exists
            wire.has_news = False
            taken = self._catch_up(wire)
            if with_idle:
                wire.start_idle()
        else:
            mails = wire.fetch_after(self._uid, with_idle=with_idle)
            self._exists = wire.exists
            taken = self.take_fetched(wire, mails)
            if with_idle and not wire.is_idling:
                wire.start_idle()
        if not wire.has_news:
            self._seen_at = began
        return taken

    def take_fetched(self, wire: Wire, mails: Iterable[Fetched]) -> int:
        """Take mails that are here already; how many were new.

        Raises:
            Held, MailboxFault: as the door and the wire say.
        """
        new = [wire.completed(mail) for mail in mails if mail.uid > self._uid]
        self._note_gone([mail.uid for mail in new])
        return self._accept_all(wire, self._given(wire, [mail.uid for mail in new], new))

    def take_pushed(self, wire: Wire) -> int | None:
        """Take what came with its announcement; None where that is not all that was announced: then a round has to tell.

        Raises:
            Held, MailboxFault: as the door and the wire say.
        """
        new = {mail.uid: mail for mail in wire.pushed if mail.uid > self._uid and mail.content}
        if not new or len(new) != wire.arrived:
            return None
        wire.forget_news()
        self._exists = wire.exists
        return self.take_fetched(wire, [new[uid] for uid in sorted(new)])

    @property
    def was_late(self) -> bool:
        """Whether the newest mail had been on the server for a while before it was found."""
        return self._newest is not None and self._ages.of(self._newest) > LATE

    @property
    def _uid(self) -> int:
        return self._position.uid if self._position is not None else 0

    def _is_at(self, wire: Wire) -> bool:
        return self._position is not None and self._position.validity == wire.validity

    def _kept(self) -> Position | None:
        try:
            cursor = self._door.cursor(self._key)
        except StoreUnavailable as fault:
            raise Held(fault.kind) from None
        if cursor is None:
            return None
        _, validity, uid = cursor.rsplit("/", 2)
        return Position(validity=int(validity), uid=int(uid))

    def _remember(self, validity: int) -> None:
        """Take up what an earlier connection or daemon owed, and forget what was owed to a mailbox that is no more."""
        if not self._with_effect:
            return
        try:
            owed = self._door.pending_actions(self._key)
            here = f"{self._key}/{validity}/"
            self.done = [int(cursor.removeprefix(here)) for cursor in owed if cursor.startswith(here)]
            if over := [cursor for cursor in owed if not cursor.startswith(here)]:
                self._door.actions_done(over)
        except StoreUnavailable as fault:
            raise Held(fault.kind) from None

    def actions_done(self, validity: int) -> None:
        """What was owed is done. Where the store does not take that now, it will be done once more after the next start."""
        done, self.done = self.done, []
        with suppress(StoreUnavailable):
            self._door.actions_done([f"{self._key}/{validity}/{uid}" for uid in done])

    def _since(self, wire: Wire, span: timedelta, most: int) -> list[int]:
        """UIDs of those among the last mails that came to the server within a span, or do not say when."""
        return [one.uid for one in wire.newest(most) if one.at is None or self._ages.of(one.at) <= span + SECOND]

    def _catch_up(self, wire: Wire) -> int:
        if self._uid >= LAST_UID:
            return 0
        uids = [uid for uid in wire.search(b"UID %d:%d" % (self._uid + 1, LAST_UID)) if uid > self._uid]
        taken = 0
        if len(uids) > BACKLOG:
            dates = [one for chunk in _chunks(uids, 500) for one in wire.fetch_dates(chunk)]
            fresh = [one.uid for one in dates if one.at is not None and self._ages.of(one.at) <= LOOK_BACK]
            if fresh and fresh[0] != uids[0]:
                for chunk in _chunks(fresh[-AHEAD_MOST:], BATCH):
                    taken += self._accept_all(wire, self._given(wire, chunk, wire.fetch_mails(chunk)), is_ahead=True)
        return taken + self._take(wire, uids)

    def _take(self, wire: Wire, uids: Sequence[int]) -> int:
        taken = 0
        for chunk in _chunks(uids, BATCH):
            taken += self._accept_all(wire, self._given(wire, chunk, wire.fetch_mails(chunk)))
            self._status.round_trip()
        return taken

    def _given(self, wire: Wire, uids: Sequence[int], mails: Sequence[Fetched]) -> list[Fetched]:
        """The mails that were asked for. One that was not given is gone, or else the server has to be asked again.

        Raises:
            MailboxFault: the server has mails that it does not give.
        """
        given = [mail for mail in mails if mail.content is not None and (mail.content or not mail.size)]
        missing = sorted(set(uids) - {mail.uid for mail in given} - self._skipped)
        if not missing:
            return given
        there = set(wire.search(b"UID " + uid_set(missing))) & set(missing)
        for uid in there:
            self._tries[uid] = self._tries.get(uid, 0) + 1
            if self._tries[uid] >= TRIES:
                self._skip(uid)
        if any(uid not in self._skipped for uid in there):
            raise MailboxFault(Kind.NETWORK, f"the server does not give {len(there)} mails that it has")
        return given

    def _note_gone(self, uids: Sequence[int]) -> None:
        """Count the UIDs that were given out since the last look and are not there: another client, or a filter, was quicker."""
        if not uids:
            return
        floor = max(self._uid, self._looked_at)
        gone = uids[-1] - floor - sum(uid > floor for uid in uids)
        self._looked_at = uids[-1]
        if gone > 0:
            self._status.gone += gone
            text = "%d mails were moved or deleted before they could be read: is another program at work in this mailbox?"
            log.warning(text, gone, extra={"mailbox": self._status.mailbox})

    def _skip(self, uid: int) -> None:
        if uid in self._skipped:
            return
        self._skipped.add(uid)
        self._status.skipped += 1
        log.error("mail skipped: it could not be had %d times", TRIES, extra={"mailbox": self._status.mailbox})

    def _accept_all(self, wire: Wire, mails: Iterable[Fetched], *, is_ahead: bool = False) -> int:
        taken = 0
        for mail in mails:
            taken += self._accept(wire.validity, mail, is_ahead=is_ahead)
        return taken

    def _accept(self, validity: int, mail: Fetched, *, is_ahead: bool) -> int:
        if self._is_canary(validity, mail, is_ahead=is_ahead):
            return 1
        envelope = Envelope(
            mail_from="",
            rcpt_to=(self._rcpt,),
            content=mail.content or b"",
            received_at=self._arrived(mail.at),
            ingress="imap",
            peer=self._peer,
            cursor=None if is_ahead else f"{self._key}/{validity}/{mail.uid}",
            has_action=self._with_effect,
            is_fetched=True,
            can_wait=False,
        )
        try:
            answer = self._door.accept(envelope)
        except NotTaken:
            self._tries[mail.uid] = self._tries.get(mail.uid, 0) + 1
            if self._tries[mail.uid] < TRIES:
                raise Held("not taken") from None
            self._skip(mail.uid)
            if not is_ahead:
                self._move(mail.uid, validity)
            return 0
        match answer:
            case Stored():
                receipt = answer.receipt
            case Deferred():
                raise Held(answer.why)
            case Full():
                raise Held("full")
            case _:
                assert_never(answer)
        self._newest = mail.at
        if mail.at is not None:
            self._ages.learn(mail.at)
        if not is_ahead:
            self._position = Position(validity=validity, uid=mail.uid)
        if receipt.is_pushed and self._with_effect and mail.uid not in self.done:
            self.done.append(mail.uid)
        self._tries.pop(mail.uid, None)
        if not receipt.is_duplicate:
            self._status.mail()
        return 1

    def _is_canary(self, validity: int, mail: Fetched, *, is_ahead: bool) -> bool:
        """Whether it is the mail that we sent to ourselves; then it is noted, and goes nowhere."""
        flight = self._canary.flight_of(mail.content or b"") if self._canary is not None else None
        if self._canary is None or flight is None:
            return False
        self._canary.saw(flight, Spot(folder=self._folder, validity=validity, uid=mail.uid))
        self._newest = mail.at
        if not is_ahead:
            self._move(mail.uid, validity)
        return True

    def _arrived(self, at: datetime | None) -> datetime:
        """When a mail came: the server's word, in whole seconds, never the future, and not before we last saw that it was not
        there, where the two clocks differ by no more than `SKEW`."""
        now = self._ages.now()
        if at is None:
            return now
        arrived = now - self._ages.of(at) + SECOND
        seen = self._seen_at
        if seen is not None and arrived < seen <= arrived + SKEW:
            arrived = seen
        return min(now, arrived)

    def _move(self, uid: int, validity: int) -> None:
        try:
            self._door.advance(f"{self._key}/{validity}/{uid}")
        except StoreUnavailable as fault:
            raise Held(fault.kind) from None
        self._position = Position(validity=validity, uid=uid)


def _chunks(uids: Sequence[int], size: int) -> list[Sequence[int]]:
    return [uids[start : start + size] for start in range(0, len(uids), size)]
