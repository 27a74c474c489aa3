"""The state of a mailbox: its thread writes it, any thread reads it.

Green means that a new mail would be pushed in time. So a mailbox is red: until it is watched for the first time; when its server
has not answered for longer than a renewal; while it is not watched for more than some seconds; and while the server has a mail
that it does not give. Ages grow by themselves, so a thread that hangs cannot leave a mailbox green.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from mailbridge import log_events
from mailbridge.core.dataclass import dataclass
from mailbridge.ingress.imap.canary import CanaryHealth
from mailbridge.ingress.imap.modes import WATCHED, Event, Mode, after

log = logging.getLogger("mailbridge.imap")

SLACK = 4.0
"""Seconds beyond the renewal (or a poll) that a server may take to answer it before the mailbox counts as dead."""
SHORTEST = 5.0
"""The longest pause in seconds between two questions if the server is polled."""
UNWATCHED = 20.0
"""Seconds that a new connection may take before the mailbox is red."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxHealth:
    """The present state of one mailbox. Ages are in seconds, None: never. ``reason`` says why it is red, or has a text of the
    server for a person. ``notes`` say what is unusual about the server, and what is done about it.

    ``skipped`` mails could not be fetched; ``gone`` mails were moved or deleted by somebody else before they could be read.
    ``age`` is that of the last round trip, or of the watcher if there was none: raise alarms on this number. ``drift`` is how far
    the server's clock is ahead of ours, in seconds, if it is known to be wrong; that is an alarm of its own. ``canary`` belongs
    to the account and is the same in each of its folders; ``is_well`` does not include it.
    """

    mailbox: str
    mode: Mode
    is_well: bool
    reason: str
    notes: tuple[str, ...]
    age: float
    last_roundtrip: float | None
    last_mail: float | None
    mails: int
    reconnects: int
    deaf: int
    skipped: int
    gone: int
    drift: float | None = None
    canary: CanaryHealth | None = None


class MailboxStatus:
    """One thread writes, any thread reads. Each value is independent, so no lock is needed."""

    def __init__(self, mailbox: str, *, renew: float, now: Callable[[], float] = time.monotonic) -> None:
        self.mailbox = mailbox
        self._now = now
        self._limit = max(renew, SHORTEST) + SLACK
        self._began = now()
        self._roundtrip: float | None = None
        self._mail: float | None = None
        self._mode = Mode.CONNECTING
        self._unwatched_since: float | None = self._began
        self._was_watched = False
        self._notes: dict[str, str] = {}
        self.reason = ""
        self.unfetched = ""
        self.drift: float | None = None
        self.mails = 0
        self.reconnects = 0
        self.deaf = 0
        self.skipped = 0
        self.gone = 0
        self.canary: Callable[[], CanaryHealth] | None = None

    @property
    def mode(self) -> Mode:
        """What the watcher is doing."""
        return self._mode

    def happened(self, event: Event) -> None:
        """Change the mode as the table says for this event.

        Raises:
            Impossible: the table does not have it.
        """
        mode = after(self._mode, event)
        if mode in WATCHED:
            self._unwatched_since, self._was_watched = None, True
        elif self._unwatched_since is None:
            self._unwatched_since = self._now()
        self._mode = mode

    def carry_on(self) -> None:
        """Note that another watcher has watched it well until now. It is not red because of the new connection, unless that
        takes long."""
        self._was_watched, self._unwatched_since = True, self._now()

    def note(self, name: str, text: str) -> None:
        """Show ``text`` as something unusual, in place of the earlier text of ``name``; "" shows nothing. A new text is
        logged."""
        if text and text != self._notes.get(name):
            log.warning("%s", text, extra={"event": log_events.MAILBOX_NOTED, "mailbox": self.mailbox})
        notes = {key: value for key, value in self._notes.items() if key != name}
        self._notes = notes | {name: text} if text else notes

    @property
    def is_watched(self) -> bool:
        """Whether a mail that arrives now would be seen."""
        return self.mode in WATCHED and self.roundtrip_age <= self._limit

    def round_trip(self) -> None:
        """Note that the server has just answered a command."""
        self._roundtrip = self._now()

    def mail(self) -> None:
        """Note that a mail was accepted."""
        self._mail = self._now()
        self.mails += 1

    @property
    def roundtrip_age(self) -> float:
        """Seconds since the server last answered; since the start if it never has."""
        return self._now() - (self._began if self._roundtrip is None else self._roundtrip)

    def read(self) -> MailboxHealth:
        """Everything, with a verdict."""
        age = self.roundtrip_age
        mode = self.mode  # read before its reason, which is written before it
        reason, unfetched = self.reason, self.unfetched
        fault = self._fault(mode, age, reason)
        now = self._now()
        return MailboxHealth(
            mailbox=self.mailbox,
            mode=mode,
            is_well=fault is None and not unfetched,
            reason="; ".join(text for text in (reason if fault is None else fault, unfetched) if text),
            notes=tuple(self._notes.values()),
            age=round(age, 3),
            last_roundtrip=None if self._roundtrip is None else round(now - self._roundtrip, 3),
            last_mail=None if self._mail is None else round(now - self._mail, 3),
            mails=self.mails,
            reconnects=self.reconnects,
            deaf=self.deaf,
            skipped=self.skipped,
            gone=self.gone,
            drift=self.drift,
            canary=self.canary() if self.canary is not None else None,
        )

    def _fault(self, mode: Mode, age: float, reason: str) -> str | None:
        """Why a new mail would not be pushed in time; None if it would."""
        if mode in (Mode.PARKED, Mode.DEFERRING):
            return reason
        more = f": {reason}" if reason else ""
        since = self._unwatched_since
        if not self._was_watched:
            return f"not watched yet{more}"
        if mode in WATCHED:
            return f"no answer from the server for {age:.0f} s{more}" if age > self._limit else None
        if since is not None and self._now() - since > UNWATCHED:
            return f"not watched for {self._now() - since:.0f} s{more}"
        return None
