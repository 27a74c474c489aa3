"""Hands one folder's mails to the intake, each once: with its envelope, its place in the mailbox, and the actions that follow."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import datetime, timedelta
from typing import assert_never

from mailbridge import log_events
from mailbridge.core.mail import Envelope
from mailbridge.ingress.imap.ages import Ages
from mailbridge.ingress.imap.arrivals import SKEW, Arrivals
from mailbridge.ingress.imap.canary import Canary, MailLocation
from mailbridge.ingress.imap.door import Door, NotAccepted, NotTaken, Position
from mailbridge.ingress.imap.heat import mark_of, with_newest
from mailbridge.ingress.imap.mailbox_status import MailboxStatus
from mailbridge.ingress.imap.memory import Memory
from mailbridge.ingress.imap.responses import Fetched
from mailbridge.intake.answer import Deferred, Full, Stored
from mailbridge.store import StoreUnavailable

log = logging.getLogger("mailbridge.imap")

TRIES = 3


class Handing:
    """``position`` moves only when the store has the mail. ``done`` are the UIDs of mails that are pushed, for an action in
    the mailbox. The store knows them too until `actions_done`, so they survive the connection and the daemon."""

    def __init__(
        self,
        *,
        key: str,
        rcpt: str,
        peer: str,
        door: Door,
        ages: Ages,
        status: MailboxStatus,
        memory: Memory,
        with_effect: bool,
        folder: str,
        canary: Canary | None,
    ) -> None:
        self._key = key
        self._rcpt = rcpt
        self._peer = peer
        self._door = door
        self._ages = ages
        self._status = status
        self._memory = memory
        self._with_effect = with_effect
        self._folder = folder
        self._canary = canary
        self._tries: dict[int, int] = {}
        self.arrivals = Arrivals(ages, status)
        self.position: Position | None = None
        self.newest: datetime | None = None
        """When the last taken mail came."""
        self.done: list[int] = []

    @property
    def uid(self) -> int:
        """The UID up to which the mailbox has been read."""
        return self.position.uid if self.position is not None else 0

    def kept(self) -> Position | None:
        """The position in the store; None if there is none.

        Raises:
            NotAccepted: it cannot be read now.
        """
        try:
            cursor = self._door.cursor(self._key)
        except StoreUnavailable as fault:
            raise NotAccepted(fault.kind) from None
        if cursor is None:
            return None
        _, validity, uid = cursor.rsplit("/", 2)
        return Position(validity=int(validity), uid=int(uid))

    def remember(self, validity: int) -> None:
        """Load the actions that an earlier connection or daemon left, and drop those of a mailbox that no longer exists."""
        if not self._with_effect:
            return
        try:
            pending = self._door.pending_actions(self._key)
            here = f"{self._key}/{validity}/"
            self.done = [int(cursor.removeprefix(here)) for cursor in pending if cursor.startswith(here)]
            if over := [cursor for cursor in pending if not cursor.startswith(here)]:
                self._door.actions_done(over)
        except StoreUnavailable as fault:
            raise NotAccepted(fault.kind) from None

    def actions_done(self, validity: int) -> None:
        """Note that the pending actions are done. If the store cannot write that now, they are done once more after the next
        start."""
        done, self.done = self.done, []
        with suppress(StoreUnavailable):
            self._door.actions_done([f"{self._key}/{validity}/{uid}" for uid in done])

    def move(self, uid: int, validity: int) -> None:
        """Move the position: up to ``uid`` the mailbox contains nothing more that is wanted.

        Raises:
            NotAccepted: the store cannot write that now.
        """
        self._memory.save()
        try:
            self._door.advance(f"{self._key}/{validity}/{uid}")
        except StoreUnavailable as fault:
            raise NotAccepted(fault.kind) from None
        self.position = Position(validity=validity, uid=uid)

    def rewind(self, uid: int, validity: int) -> None:
        """Move the position back: the server assigns its UIDs again from there on. Actions for the old UIDs are dropped.

        Raises:
            NotAccepted: the store cannot write that now.
        """
        try:
            if self._with_effect:
                self._door.actions_done(self._door.pending_actions(self._key))
            self._door.rewind(f"{self._key}/{validity}/{uid}")
        except StoreUnavailable as fault:
            raise NotAccepted(fault.kind) from None
        self.done = []
        self.position = Position(validity=validity, uid=uid)

    def accept(self, validity: int, mail: Fetched, *, seen: datetime | None, is_ahead: bool = False) -> int:
        """Hand in one mail. Returns 1, or 0 if the intake has failed with it too often. ``seen`` is the last time at which it was
        not there yet. ``is_ahead``: earlier mails are still to be handed in.

        Raises:
            NotAccepted: the store accepts no mail now.
        """
        self._memory.save()
        if self._is_canary(validity, mail, is_ahead=is_ahead):
            return 1
        arrived = self.arrivals.at(mail, seen=seen)
        self._memory.drift = self.arrivals.drift.total_seconds()
        envelope = Envelope(
            mail_from="",
            rcpt_to=(self._rcpt,),
            content=mail.content or b"",
            received_at=arrived,
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
            return self._not_taken(validity, mail.uid, is_ahead=is_ahead)
        match answer:
            case Stored():
                receipt = answer.receipt
            case Deferred():
                raise NotAccepted(answer.why)
            case Full():
                raise NotAccepted("full")
            case _:
                assert_never(answer)
        if mail.uid > self.uid:
            claimed = arrived if mail.at is None else self._ages.now() - self._ages.of(mail.at)
            self.newest = claimed if abs(claimed - arrived) <= SKEW else arrived
        if mail.at is not None:
            self._ages.learn(mail.at)
        if not is_ahead:
            self._passed(validity, mail.uid)
        marks = [mark_of(claim.delivery.draft.identifier) for claim in receipt.claims]
        self._memory.delivered = with_newest(self._memory.delivered, marks)
        if receipt.is_pushed and self._with_effect and mail.uid not in self.done:
            self.done.append(mail.uid)
        self._tries.pop(mail.uid, None)
        if not receipt.is_duplicate:
            self._status.mail()
        return 1

    def _not_taken(self, validity: int, uid: int, *, is_ahead: bool) -> int:
        """The intake has failed with a mail. After three times the mail is left out."""
        self._tries[uid] = self._tries.get(uid, 0) + 1
        if self._tries[uid] < TRIES:
            raise NotAccepted("not taken")
        if self._tries[uid] == TRIES:
            self._status.skipped += 1
            log.error(
                "mail skipped: it could not be taken %d times",
                TRIES,
                extra={"event": log_events.MAIL_SKIPPED, "mailbox": self._status.mailbox},
            )
        if not is_ahead and uid > self.uid:
            self.move(uid, validity)
        return 0

    def _passed(self, validity: int, uid: int) -> None:
        if self.position is None or self.position.validity != validity or uid > self.position.uid:
            self.position = Position(validity=validity, uid=uid)

    def _is_canary(self, validity: int, mail: Fetched, *, is_ahead: bool) -> bool:
        """Whether it is the mail that we sent to ourselves. It is then reported, and not handed in."""
        run = self._canary.run_of(mail.content or b"") if self._canary is not None else None
        if self._canary is None or run is None:
            return False
        is_first = run.seen_at is None
        self._canary.saw(run, MailLocation(folder=self._folder, validity=validity, uid=mail.uid))
        self.newest = mail.at
        if is_first and mail.at is not None and run.handed is not None:
            under_way = max(0.0, time.monotonic() - run.handed.ready)
            self.arrivals.canary(mail.at, under_way=timedelta(seconds=under_way))
            self._memory.drift = self.arrivals.drift.total_seconds()
        if not is_ahead and mail.uid > self.uid:
            self.move(mail.uid, validity)
        return True
