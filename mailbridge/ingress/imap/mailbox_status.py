"""How a mailbox is: written by its thread, read by whoever asks; an age that grows by itself cannot stay green by mistake."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mailbridge.ingress.imap.keeper import CanaryHealth

Mode = Literal["connecting", "idle", "notify", "hot", "poll", "waiting", "parked", "held", "stopped"]
"""``notify``: mails come with their announcement. ``hot``: asked often, since somebody waits for a code. ``waiting``: a pause after a fault. ``parked``: a person is needed. ``held``: the store does not take mail just now."""

WATCHED: tuple[Mode, ...] = ("idle", "notify", "hot", "poll")

RED_AFTER = 3
"""Renewals without a completed round trip, after which a mailbox counts as dead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxHealth:
    """One mailbox as it is now. Ages in seconds, None: never. ``reason`` is "" while all is well.

    ``skipped`` mails could not be had, ``gone`` were moved or deleted by somebody else before they could be read.
    ``age`` is that of the last round trip, or of the watcher while there was none: the number to raise an alarm on.
    ``canary`` is that of the account, the same in each of its folders; ``is_well`` does not speak of it.
    """

    mailbox: str
    mode: Mode
    is_well: bool
    reason: str
    age: float
    last_roundtrip: float | None
    last_mail: float | None
    mails: int
    reconnects: int
    deaf: int
    skipped: int
    gone: int
    canary: CanaryHealth | None = None


class MailboxStatus:
    """One thread writes, any thread reads; each value stands for itself, so no lock is needed."""

    def __init__(self, mailbox: str, *, renew: float, now: Callable[[], float] = time.monotonic) -> None:
        self.mailbox = mailbox
        self._now = now
        self._limit = renew * RED_AFTER
        self._began = now()
        self._roundtrip: float | None = None
        self._mail: float | None = None
        self.mode: Mode = "connecting"
        self.reason = ""
        self.mails = 0
        self.reconnects = 0
        self.deaf = 0
        self.skipped = 0
        self.gone = 0
        self.canary: Callable[[], CanaryHealth] | None = None

    @property
    def is_watched(self) -> bool:
        """Whether a mail that arrives now would be seen."""
        return self.mode in WATCHED and self.roundtrip_age <= self._limit

    def round_trip(self) -> None:
        """The server has just answered a command."""
        self._roundtrip = self._now()

    def mail(self) -> None:
        """A mail was accepted."""
        self._mail = self._now()
        self.mails += 1

    @property
    def roundtrip_age(self) -> float:
        """Seconds since the server last answered; since the start where it never has."""
        return self._now() - (self._began if self._roundtrip is None else self._roundtrip)

    def read(self) -> MailboxHealth:
        """Everything, with a verdict."""
        age = self.roundtrip_age
        mode = self.mode  # read before its reason, which is written before it
        reason = self.reason
        is_late = age > self._limit
        if is_late and mode not in ("parked", "held"):
            reason = f"no answer from the server for {age:.0f} s" + (f": {reason}" if reason else "")
        now = self._now()
        return MailboxHealth(
            mailbox=self.mailbox,
            mode=mode,
            is_well=not is_late and mode not in ("parked", "held"),
            reason=reason,
            age=round(age, 3),
            last_roundtrip=None if self._roundtrip is None else round(now - self._roundtrip, 3),
            last_mail=None if self._mail is None else round(now - self._mail, 3),
            mails=self.mails,
            reconnects=self.reconnects,
            deaf=self.deaf,
            skipped=self.skipped,
            gone=self.gone,
            canary=self.canary() if self.canary is not None else None,
        )
