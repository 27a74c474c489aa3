"""One mailbox's mails in the order of their UIDs: from a connection to the intake, each once, with the cursor stored together
with the mail.

The position is ``(UIDVALIDITY, UID)`` (RFC 3501 2.3.1.1). It moves only when the store has the mail, or remembers it as missing.
If a mailbox assigns its UIDs again, it is read again, and the fingerprint recognises its mails.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from mailbridge import log_events
from mailbridge.ingress.imap.ages import Ages
from mailbridge.ingress.imap.arguments import day
from mailbridge.ingress.imap.arrivals import OWN_SKEW, SECOND, SKEW, own_dates
from mailbridge.ingress.imap.canary import Canary
from mailbridge.ingress.imap.door import Door, NotAccepted, NotTaken, Position
from mailbridge.ingress.imap.faults import IdleRefused, MailboxFault, Refusal, is_for_all
from mailbridge.ingress.imap.gather import Gatherer
from mailbridge.ingress.imap.habits import Habits
from mailbridge.ingress.imap.handing import Handing
from mailbridge.ingress.imap.mailbox_status import MailboxStatus
from mailbridge.ingress.imap.memory import Memory
from mailbridge.ingress.imap.responses import Fetched
from mailbridge.ingress.imap.top import top_of
from mailbridge.ingress.imap.wire import LAST_UID, Wire

__all__ = ["Door", "Mailbox", "NotAccepted", "NotTaken", "Position"]

log = logging.getLogger("mailbridge.imap")

LOOK_BACK = timedelta(minutes=10)
"""The greatest age of mails that are taken if they came before the first start, so that a code that came before the daemon is
not lost."""
LOOK_BACK_MOST = 200
RESCAN = timedelta(hours=24)
"""How far back a rebuilt mailbox is read again."""
RESCAN_MOST = 2_000
REBUILDS, HOUR = 2, 3600.0
"""The number of times an hour that a mailbox is read again for a day. After that it is read again only from the last look on."""
BACKLOG = 50
"""This many new mails at once are a backlog. Its fresh mails go first, so that nobody waits behind yesterday's mail."""
AHEAD_MOST = 100
SELECTED = "EXAMINE gives this mailbox a new UIDVALIDITY each time: it is opened with SELECT, and no flag is changed"
NO_EXAMINE = "the server has no EXAMINE: this mailbox is opened with SELECT, and no flag is changed"
AGAIN = "the server numbers the mails of this mailbox anew again and again: only what is new is read"


class Mailbox:
    """The reading side of one folder."""

    def __init__(
        self,
        *,
        key: str,
        rcpt: str,
        peer: str,
        door: Door,
        ages: Ages,
        status: MailboxStatus,
        habits: Habits | None = None,
        with_effect: bool = False,
        folder: str = "",
        canary: Canary | None = None,
    ) -> None:
        self._ages = ages
        self._status = status
        self.memory = Memory(key, door, habits or Habits())
        self._gatherer = Gatherer(memory=self.memory, status=status, ages=ages)
        self._handing = Handing(
            key=key,
            rcpt=rcpt,
            peer=peer,
            door=door,
            ages=ages,
            status=status,
            memory=self.memory,
            with_effect=with_effect,
            folder=folder,
            canary=canary,
        )
        self._seen_at: datetime | None = None
        self._looked_at = 0
        self._exists = 0
        self._is_dated = True
        self._is_listed = True

    def load(self) -> None:
        """Load what an earlier daemon has learned.

        Raises:
            NotAccepted: the store cannot be read now.
        """
        self.memory.load(self._gatherer.now())
        self._handing.arrivals.expect(timedelta(seconds=self.memory.drift))

    def save(self, *, is_whole: bool = False) -> None:
        """Store what was learned. If the store cannot write now, it is stored with the next mail."""
        with suppress(NotAccepted):
            self.memory.save(is_whole=is_whole)

    @property
    def uid(self) -> int:
        """The UID up to which the mailbox has been read."""
        return self._handing.uid

    @property
    def done(self) -> list[int]:
        """UIDs whose action in the mailbox is not done yet."""
        return self._handing.done

    def actions_done(self, validity: int) -> None:
        """Note that the pending actions are done."""
        self._handing.actions_done(validity)

    def meet(self, wire: Wire) -> None:
        """Take what a newly opened folder contains beyond the position, or look back if there is no position.

        Raises:
            NotAccepted: the store accepts no mail now; call it again.
            MailboxFault: the connection failed.
        """
        began = self._ages.now()
        known = self._handing.position or self._handing.kept()
        if known is not None and known.validity != wire.validity and self._is_renumbered_by_examine(wire):
            self.memory.habits.needs_select = True
            wire.reopen(is_read_only=False)
        if self.memory.habits.needs_select and not wire.is_read_only:
            self._status.note("select", SELECTED)
        elif self.memory.habits.refuses_examine and not wire.is_read_only:
            self._status.note("select", NO_EXAMINE)
        self._handing.remember(wire.validity)
        self.memory.belongs_to(wire.validity)
        self._looked_at = 0
        self._exists = wire.exists
        if known is None:
            self._look_back(wire, LOOK_BACK, LOOK_BACK_MOST)
        elif known.validity != wire.validity:
            self._read_again(wire)
        elif self._has_gone_back(wire, known, listed := self._listed(wire, known)):
            self.memory.missing.clear()
            self._read_again(wire, is_rewound=True)
        else:
            self._handing.position = known
            self._catch_up(wire, listed)
        self._gatherer.show()
        wire.reports_expunge = bool(self.memory.missing.aside)
        self.memory.save()
        self._seen_at = began

    def round(self, wire: Wire, *, with_idle: bool) -> int:
        """Fetch and take what is new. Returns the number of mails. With ``with_idle`` the connection is in IDLE afterwards.

        Raises:
            NotAccepted, MailboxFault, IdleRefused: from the intake and the wire; the mails of an IdleRefused are in it.
        """
        began = self._ages.now()
        if wire.exists - self._exists > BACKLOG or self._gatherer.is_careful:
            taken = self.search_on(wire)
        else:
            try:
                mails = wire.fetch_after(self._handing.uid, with_idle=with_idle)
            except Refusal as fault:
                if is_for_all(str(fault)):
                    raise
                taken = self.search_on(wire)
            except IdleRefused:
                raise
            except MailboxFault as fault:
                raise self._gatherer.blame(fault) from None
            else:
                self._exists = wire.exists
                taken = self.take_fetched(wire, mails)
        if with_idle and not wire.is_idling:
            wire.start_idle()
        if not wire.has_news:
            self._seen_at = began
        return taken

    def take_fetched(self, wire: Wire, mails: Iterable[Fetched]) -> int:
        """Take mails that are already fetched. Returns how many were new.

        Raises:
            NotAccepted, MailboxFault: from the intake and the wire.
        """
        new = {mail.uid: mail for mail in mails if mail.uid > self._handing.uid}
        uids = sorted(new)
        self._note_gaps(uids, is_counted=True)
        whole = [uid for uid in uids if new[uid].content or (new[uid].content is not None and not new[uid].size)]
        taken = 0
        for uid in uids:
            if uid in whole:
                try:
                    mail = wire.completed(new[uid])
                except MailboxFault as fault:
                    fault.uid = uid
                    raise self._gatherer.blame(fault) from None
                taken += self._accept(wire, mail)
            else:
                taken += self._take(wire, [uid])
        return taken

    def take_pushed(self, wire: Wire) -> int | None:
        """Take the mails that came with their announcement. None if more was announced; then a round must fetch it.

        Raises:
            NotAccepted, MailboxFault: from the intake and the wire.
        """
        new = {mail.uid: mail for mail in wire.pushed if mail.uid > self._handing.uid and mail.content}
        if not new or len(new) != wire.arrived:
            return None
        wire.forget_news()
        self._exists = wire.exists
        return self.take_fetched(wire, [new[uid] for uid in sorted(new)])

    def revisit(self, wire: Wire) -> int:
        """Try again to fetch missing mails. Returns how many came.

        Raises:
            NotAccepted, MailboxFault: from the intake and the wire.
        """
        taken = 0
        for mails in self._gatherer.revisit(wire):
            for mail in mails:
                taken += self._accept(wire, mail)
        wire.reports_expunge = bool(self.memory.missing.aside)
        self.memory.save()
        return taken

    def revisit_in(self) -> float:
        """Seconds until a missing mail must be tried again; infinite if none is missing."""
        return self.memory.missing.next_due() - self._gatherer.now()

    @property
    def age(self) -> float:
        """Seconds for which the newest mail has been on the server, by the server's date; 0 if there has been none."""
        return (self._ages.now() - self._handing.newest).total_seconds() if self._handing.newest is not None else 0.0

    @property
    def unseen(self) -> float:
        """Seconds since the last look that found everything; infinite before the first one."""
        return (self._ages.now() - self._seen_at).total_seconds() if self._seen_at is not None else float("inf")

    def _is_renumbered_by_examine(self, wire: Wire) -> bool:
        """Whether a read-only opening shows another UIDVALIDITY for the second time within an hour."""
        return wire.is_read_only and bool(self._rebuilds())

    def _rebuilds(self) -> list[float]:
        """When the folder was read again within the last hour, by this daemon or an earlier one."""
        now = self._gatherer.now()
        return [at for at in self.memory.rebuilds if now - at < HOUR]

    def _read_again(self, wire: Wire, *, is_rewound: bool = False) -> None:
        """Read the mailbox again, because it has another UIDVALIDITY or was restored: its last day, or only what came since
        the last look if that happens again and again."""
        self.memory.rebuilds = self._rebuilds()
        span = RESCAN
        if len(self.memory.rebuilds) >= REBUILDS and self._seen_at is not None:
            span = min(RESCAN, self._ages.now() - self._seen_at + SKEW)
            self._status.note("validity", AGAIN)
        else:
            self.memory.rebuilds.append(self._gatherer.now())
            log.warning(
                "mailbox %s: reading its last day again",
                "was put back to an earlier state" if is_rewound else "rebuilt",
                extra={"event": log_events.MAILBOX_REBUILT, "mailbox": self._status.mailbox},
            )
        self._look_back(wire, span, RESCAN_MOST, is_rewound=is_rewound)

    def _listed(self, wire: Wire, known: Position) -> list[Fetched]:
        """The last taken mail, with date and size, and what the server has after it. Empty if the server refuses that."""
        top = self.memory.top
        try:
            is_had = top is not None and top.uid == known.uid  # else it was set aside: asking for its date may end the session
            tops = wire.fetch_dates([known.uid]) if is_had else []
            return [*tops, *wire.listed_from(known.uid + 1)] if self._is_listed else tops
        except Refusal as fault:
            if is_for_all(str(fault)):
                raise
            return []
        except MailboxFault:
            self._is_listed = False  # the server fails at the mere listing of a mail: use SEARCH instead
            raise

    def _has_gone_back(self, wire: Wire, known: Position, listed: Sequence[Fetched]) -> bool:
        """Whether the server assigns UIDs again that it had assigned before, because it was restored from a backup or a
        snapshot. Either it says so (UIDNEXT), or the mail with the last UID is a different one now."""
        top = self.memory.top
        now = next((top_of(one) for one in listed if one.uid == known.uid), None)
        if top is not None and top.uid == known.uid and now is not None and now.is_like(top):
            return False  # even if UIDNEXT says otherwise: some servers do not count it up
        if wire.is_uid_next_told and wire.uid_next <= known.uid:
            return True
        if top is None or top.uid != known.uid or now is None:
            return False
        if now.size != top.size or not top.own:
            return True
        mails = [mail for chunk in self._gatherer.each(wire, [known.uid]) for mail in chunk]
        again = next((found for mail in mails if (found := top_of(mail)) is not None), None)
        if again is None or not again.is_itself(top):
            return True
        self.memory.top = again
        return False

    def _look_back(self, wire: Wire, span: timedelta, most: int, *, is_rewound: bool = False) -> None:
        """Take those of the last mails that came to the server within ``span``, and begin after them. A mail without a date
        from the server is as old as it says itself."""
        told = self._newest(wire, most)
        base = max([wire.uid_next - 1, *(one.uid for one in told)])  # UIDNEXT may be wrong
        dated = {one.uid for one in told if one.at is not None and self._ages.of(one.at) <= span + SECOND}
        uids = sorted(dated | {one.uid for one in told if one.at is None})
        if is_rewound:
            self._handing.rewind(min([base + 1, *uids]) - 1, wire.validity)
        for mails in self._gatherer.each(wire, uids):
            for mail in mails:
                if self._is_within(mail, span, is_dated=mail.uid in dated):
                    self._accept(wire, mail, is_live=False)
            self._status.round_trip()
        position = self._handing.position
        is_here = position is not None and position.validity == wire.validity
        self._handing.move(max(base, position.uid if is_here and position else 0), wire.validity)

    def _newest(self, wire: Wire, most: int) -> list[Fetched]:
        """The last mails with their dates. If the server fails at that question, they come without dates, and each mail must
        show its own."""
        if self._is_dated:
            try:
                return wire.newest(most)
            except Refusal as fault:
                if is_for_all(str(fault)):
                    raise
            except MailboxFault:
                self._is_dated = False
                raise
        since = self._ages.now() - RESCAN - RESCAN
        return [Fetched(uid=uid) for uid in wire.search(b"SINCE " + day(since))[-most:]]

    def _fresh(self, wire: Wire, uids: Sequence[int]) -> list[int]:
        """The mails that came a moment ago, by the server's date. Empty if the server fails at that question."""
        if not self._is_dated:
            return []
        try:
            dates = [one for chunk in _chunks(uids, 500) for one in wire.fetch_dates(chunk, with_size=False)]
        except Refusal as fault:
            if is_for_all(str(fault)):
                raise
            return []
        except MailboxFault:
            self._is_dated = False
            raise
        return [one.uid for one in dates if one.at is not None and self._ages.of(one.at) <= LOOK_BACK]

    def _is_within(self, mail: Fetched, span: timedelta, *, is_dated: bool) -> bool:
        """Whether a mail came within a span. ``is_dated``: its server says so, but some servers say so of every mail."""
        known = [one for one in own_dates(mail.content or b"") if one is not None]
        if is_dated and len(known) < 2:
            return True
        return bool(known) and self._ages.now() - max(known) <= span + (OWN_SKEW if is_dated else SECOND)

    def search_on(self, wire: Wire) -> int:
        """Take what a SEARCH finds beyond the position, whatever a FETCH of everything leaves out. Returns the number of mails.

        Raises:
            NotAccepted, MailboxFault: from the intake and the wire.
        """
        self._exists = wire.exists
        wire.has_news = False
        return self._catch_up(wire)

    def _catch_up(self, wire: Wire, listed: Sequence[Fetched] = ()) -> int:
        floor = self._handing.uid
        if floor >= LAST_UID:
            return 0
        told = wire.search_uids([(floor + 1, LAST_UID)])
        uids = sorted({uid for uid in (*told, *(one.uid for one in listed)) if uid > floor})
        taken = 0
        if len(uids) > BACKLOG:
            fresh = self._fresh(wire, uids)
            if fresh and fresh[0] != uids[0]:
                for mails in self._gatherer.each(wire, fresh[-AHEAD_MOST:]):
                    taken += sum(self._accept(wire, mail, is_ahead=True) for mail in mails)
        self._note_gaps(uids, is_counted=False)
        return taken + self._take(wire, uids)

    def _take(self, wire: Wire, uids: Sequence[int]) -> int:
        """Take mails by their UIDs. Afterwards the position is after the last of them, even if that one could not be fetched."""
        taken = 0
        for mails in self._gatherer.each(wire, uids):
            taken += sum(self._accept(wire, mail) for mail in mails)
            self._status.round_trip()
        if uids and uids[-1] > self._handing.uid:
            self._handing.move(uids[-1], wire.validity)
        wire.reports_expunge = bool(self.memory.missing.aside)
        return taken

    def _accept(self, wire: Wire, mail: Fetched, *, is_ahead: bool = False, is_live: bool = True) -> int:
        taken = self._handing.accept(wire.validity, mail, seen=self._seen_at if is_live else None, is_ahead=is_ahead)
        if taken:
            self._gatherer.had(mail.uid)
        if taken and not is_ahead and mail.uid == self._handing.uid:
            self.memory.top = top_of(mail)
        return taken

    def _note_gaps(self, uids: Sequence[int], *, is_counted: bool) -> None:
        """Remember the UIDs that were assigned since the last look and are not there: another client was faster, or they
        appear later."""
        floor = max(self._handing.uid, self._looked_at)
        gone = 0
        for uid in uids:
            if uid > floor:
                if uid > floor + 1:
                    self.memory.missing.left_out(floor + 1, uid - 1, now=self._gatherer.now())
                    gone += uid - floor - 1
                floor = uid
        self._looked_at = max(self._looked_at, floor)
        if gone and is_counted:
            self._status.gone += gone
            text = "%d mails were moved or deleted before they could be read: is another program at work in this mailbox?"
            log.warning(text, gone, extra={"event": log_events.MAILBOX_MAIL_MISSED, "mailbox": self._status.mailbox})


def _chunks(uids: Sequence[int], size: int) -> list[Sequence[int]]:
    return [uids[start : start + size] for start in range(0, len(uids), size)]
