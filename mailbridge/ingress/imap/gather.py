"""Fetches mails by their UIDs from a server that may return something else instead of a mail.

Anything instead of a mail counts as a failed try of that one UID: a refusal, the end of the connection, half a mail, nothing. The
other mails are fetched first, and the position may pass a mail that is being tried.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime

from mailbridge import log_events
from mailbridge.ingress.imap.ages import Ages
from mailbridge.ingress.imap.arguments import spans_of
from mailbridge.ingress.imap.faults import Kind, MailboxFault, Refusal, Silence, is_for_all
from mailbridge.ingress.imap.mailbox_status import MailboxStatus
from mailbridge.ingress.imap.memory import Memory
from mailbridge.ingress.imap.missing import Gap
from mailbridge.ingress.imap.responses import Fetched
from mailbridge.ingress.imap.tempo import AGAIN
from mailbridge.ingress.imap.wire import Wire

log = logging.getLogger("mailbridge.imap")

BATCH = 25
SHOWN = 5
"""The largest number of UIDs that the status names."""
EMPTY = "the server has it and gives nothing"


class Gatherer:
    """The mails of one folder, by their UIDs."""

    def __init__(self, *, memory: Memory, status: MailboxStatus, ages: Ages) -> None:
        self._memory = memory
        self._status = status
        self._ages = ages
        self._is_careful = False
        self._silence: Silence | None = None

    @property
    def is_careful(self) -> bool:
        """Whether the last session ended because of a mail, and nobody knows which one."""
        return self._is_careful

    def now(self) -> float:
        """Steady time in seconds."""
        at: datetime = self._ages.now()
        return at.timestamp()

    def blame(self, fault: MailboxFault) -> MailboxFault:
        """The fault with which the session ends after it failed while mails were fetched. If the mail is known in whose answer
        it happened, that mail has had a try. Otherwise mails are fetched one by one next time."""
        if fault.uid is not None:
            return self._tried(fault.uid, fault)
        self._is_careful, self._silence = True, fault if isinstance(fault, Silence) else None
        if fault.kind is Kind.BUSY and not is_for_all(str(fault)):
            return MailboxFault(Kind.NETWORK, str(fault))
        return fault

    def _tried(self, uid: int, fault: MailboxFault) -> MailboxFault:
        """Note that a mail has had its try, and the session ended with it."""
        self._refuse(uid, fault)
        is_for_it = fault.kind is Kind.NETWORK or (fault.kind is Kind.BUSY and not is_for_all(str(fault)))
        kind = Kind.MAIL if is_for_it else fault.kind
        return MailboxFault(kind, f"mail with UID {uid}: {fault}", pause=fault.pause, uid=uid)

    def each(self, wire: Wire, uids: Sequence[int]) -> Iterator[list[Fetched]]:
        """The mails in chunks, in the order of their UIDs. Those that could not be fetched are left out, and tried again later.

        Raises:
            MailboxFault: the connection failed.
        """
        wanted = [uid for uid in uids if not self._memory.missing.is_refused(uid)]
        if self._is_careful and self._silence is not None and len(wanted) == 1:
            self._is_careful = False
            self._refuse(wanted[0], self._silence)
            return
        if self._is_careful:
            for uid in wanted:
                yield self._one(wire, uid)
            self._is_careful = False
            return
        for start in range(0, len(wanted), BATCH):
            chunk = wanted[start : start + BATCH]
            if len(chunk) == 1:
                yield self._one(wire, chunk[0])
                continue
            try:
                mails = [mail for mail in wire.fetch_mails(chunk) if _is_mail(mail)]
            except Refusal as fault:
                if is_for_all(str(fault)):
                    raise
                mails = []
            except MailboxFault as fault:
                raise self.blame(fault) from None
            had = {mail.uid for mail in mails}
            yield sorted([*mails, *self._rest(wire, [uid for uid in chunk if uid not in had])], key=lambda mail: mail.uid)

    def _rest(self, wire: Wire, uids: Sequence[int]) -> Iterator[Fetched]:
        """Mails that an answer left out, one by one, if they still exist."""
        there = set(wire.search_uids(spans_of(uids))) if uids else set()
        for uid in sorted(there):
            yield from self._one(wire, uid)

    def _one(self, wire: Wire, uid: int) -> list[Fetched]:
        """One mail. Anything else that comes instead counts as a try of it."""
        what = AGAIN if any(gap.low == uid for gap in self._memory.missing.aside) else "FETCH"
        try:
            mails = [mail for mail in wire.fetch_mails([uid], what=what) if _is_mail(mail)]
        except Refusal as fault:
            self._refuse(uid, fault)
            if is_for_all(str(fault)):
                raise
            return []
        except MailboxFault as fault:
            raise self._tried(uid, fault) from None
        if mails:
            return mails
        if uid in wire.search_uids([(uid, uid)]):
            self._refuse_text(uid, EMPTY)
        elif self._memory.missing.given(uid):
            self.show()
        return []

    def had(self, uid: int) -> None:
        """Note that a mail is on disk."""
        missing = self._memory.missing
        is_aside, is_refused = any(gap.low == uid for gap in missing.aside), missing.is_refused(uid)
        if not missing.given(uid):
            return
        if is_aside:
            self._status.skipped -= 1
        elif not is_refused:
            self._status.gone = max(0, self._status.gone - 1)
        self.show()

    def revisit(self, wire: Wire) -> Iterator[list[Fetched]]:
        """Mails that were missing and exist now. Refused mails that are set aside are searched each time, and tried when they are
        due: if somebody removes one, it is no fault any more.

        Raises:
            MailboxFault: the connection failed.
        """
        missing, now = self._memory.missing, self.now()
        due = missing.due(now)
        looked = {gap.low: gap for gap in (*due, *missing.aside)}
        if not looked:
            return
        gaps = sorted(looked.values(), key=lambda gap: gap.low)
        found = wire.search_uids([(gap.low, gap.high) for gap in gaps])
        for gap in gaps:
            there = [uid for uid in found if gap.low <= uid <= gap.high]
            if gap.why and not there:
                self._gone(gap)
            elif gap in due:
                for uid in there:
                    yield self._one(wire, uid)
        for gap in missing.forget_old(now):
            log.warning(
                "mail given up: UID %d: %s",
                gap.low,
                gap.why,
                extra={"event": log_events.MAIL_SKIPPED, "mailbox": self._status.mailbox},
            )
        self.show()

    def show(self) -> None:
        """Show the mails that are set aside in the health."""
        aside = sorted(self._memory.missing.aside, key=lambda gap: gap.low)
        if not aside:
            self._status.unfetched = ""
            return
        named = ", ".join(str(gap.low) for gap in aside[:SHOWN]) + (" …" if len(aside) > SHOWN else "")
        what = (
            f"1 mail cannot be fetched (UID {named})"
            if len(aside) == 1
            else f"{len(aside)} mails cannot be fetched (UIDs {named})"
        )
        self._status.unfetched = (
            f"{what}: {aside[-1].why}; it is tried again, newer mails are taken; move or delete it to end this"
        )

    def _gone(self, gap: Gap) -> None:
        if gap.is_aside:
            self._status.skipped -= 1
        self._memory.missing.given(gap.low)
        self._status.gone += 1

    def _refuse(self, uid: int, fault: MailboxFault) -> None:
        self._refuse_text(uid, str(fault), is_silent=isinstance(fault, Silence))

    def _refuse_text(self, uid: int, why: str, *, is_silent: bool = False) -> None:
        is_aside = self._memory.missing.refused(uid, why, now=self.now(), is_slow=is_silent)
        self.show()  # before it is counted, for threads that read meanwhile
        if is_aside:
            self._status.skipped += 1
            log.error(
                "mail set aside: UID %d: %s", uid, why, extra={"event": log_events.MAIL_SKIPPED, "mailbox": self._status.mailbox}
            )


def _is_mail(mail: Fetched) -> bool:
    return mail.content is not None and bool(mail.content or not mail.size)
