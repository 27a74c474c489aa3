"""When a mail came, and whether its server's clock can be believed about it.

The server says so by INTERNALDATE (RFC 3501 2.3.3). If it says that a mail which has just appeared is old, then the mail was
moved in from another folder, or the server's clock is wrong. The mail itself shows which: its Date was written by the sender, its
topmost Received by a relay, or by the same wrong clock. After two such mails in a row, or one canary, the server's clock counts
as wrong by that much.

If the server dates a mail as new that was moved in, both of the mail's own dates are old. One of them alone says nothing: mail is
delayed on its way, and the clocks of senders and relays are sometimes wrong.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from mailbridge.ingress.imap.ages import Ages
from mailbridge.ingress.imap.mailbox_status import MailboxStatus
from mailbridge.ingress.imap.responses import Fetched
from mailbridge.trust.dates import moment

SKEW = timedelta(minutes=2)
"""How far the server's clock may differ from ours without counting as wrong."""
OWN_SKEW = timedelta(minutes=5)
"""How far the clocks of sender and relays may differ."""
SECOND = timedelta(seconds=1)
HEAD = 65_536
"""Octets of a mail in which its header is searched."""


class Arrivals:
    """The arrivals of one folder. ``drift`` is how far its server's clock is believed to be ahead of ours."""

    def __init__(self, ages: Ages, status: MailboxStatus) -> None:
        self._ages = ages
        self._status = status
        self._suspected: timedelta | None = None
        self.drift = timedelta()

    def expect(self, drift: timedelta) -> None:
        """Note what an earlier daemon believed. The next mail confirms it or not."""
        if drift:
            self._suspected = drift
            self._ages.expect(drift)

    def at(self, mail: Fetched, *, seen: datetime | None) -> datetime:
        """When a mail came, never in the future. ``seen`` is the last time at which it was not there yet; None: nobody had
        looked."""
        now = self._ages.now()
        written, received = own_dates(mail.content or b"")
        known = [one for one in (written, received) if one is not None]
        unseen = timedelta() if seen is None else max(timedelta(), now - seen)
        is_old = len(known) == 2 and self._ages.of_stamp(max(known)) > unseen + OWN_SKEW
        if mail.at is None:
            if not known:
                return now
            is_old = is_old or (seen is None and max(known) < now - OWN_SKEW)
            return min(now, max(known)) if is_old else now
        age = self._ages.of(mail.at)
        arrived = min(now, now - age + SECOND)
        if seen is None:  # mailutils dates every mail again in each session
            return min(arrived, max(known)) if is_old else arrived
        is_contradicted = arrived < seen - SKEW or age < -SKEW
        if is_contradicted and written is not None and received is not None and seen - OWN_SKEW <= written <= now + OWN_SKEW:
            is_by_others = seen - OWN_SKEW <= received <= now + OWN_SKEW
            if (
                is_by_others or abs(received - mail.at) <= SKEW
            ):  # or by the same clock, where one machine takes mail in and keeps it
                self._suspect(mail.at - min(now, max(seen, received if is_by_others else written)))
                return now
        if is_contradicted:
            return arrived
        is_kept_at_once = received is not None and abs(received - mail.at) <= SKEW  # by one machine, whatever its clock shows
        if is_old and not is_kept_at_once:
            return min(now, max(known))
        if abs(age) <= SKEW:
            self._suspected = self.drift or None
        return max(arrived, seen) if arrived < seen else arrived

    def canary(self, at: datetime, *, under_way: timedelta) -> None:
        """Note that a mail which we sent ``under_way`` ago has arrived with this date. That shows the server's clock at once."""
        now = self._ages.now()
        sent = now - under_way
        self._believe(timedelta() if sent - SKEW <= at <= now + SKEW else at - sent)

    def _suspect(self, drift: timedelta) -> None:
        """Note how far the server's clock is wrong according to a mail that has just come."""
        before, self._suspected = self._suspected, drift
        if abs(drift) <= SKEW or (before is not None and abs(drift - before) <= SKEW):
            self._believe(drift if abs(drift) > SKEW else timedelta())

    def _believe(self, drift: timedelta) -> None:
        self.drift, self._suspected = drift, drift or None
        self._ages.believe(drift)
        seconds = drift.total_seconds()
        self._status.drift = seconds if drift else None
        side = "behind" if seconds < 0 else "ahead"
        text = f"the server's clock is {abs(seconds) / 60:.0f} min {side}: its mails are dated by our clock; have it set"
        self._status.note("clock", text if drift else "")


def own_dates(content: bytes) -> tuple[datetime | None, datetime | None]:
    """The times of a mail's Date and of its topmost Received (RFC 5322 3.6.7). None for one that is missing or ambiguous."""
    head = (b"\n" + content[:HEAD].replace(b"\r\n", b"\n")).partition(b"\n\n")[0].decode("latin-1")
    written = received = None
    for line in head.replace("\n ", " ").replace("\n\t", " ").split("\n"):
        name, _, value = line.partition(":")
        match name.strip().lower():
            case "date" if written is None:
                written = moment(value)
            case "received" if received is None:
                received = moment(value.rpartition(";")[2])
    return written, received
