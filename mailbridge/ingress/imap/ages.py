"""The age of a mail by its server's clock, even if somebody sets our clock meanwhile.

A server dates each mail by its own clock (INTERNALDATE, RFC 3501 2.3.3). That clock is assumed to agree with ours. If our clock
is set, rightly or wrongly, the server's does not change. So from the last fresh mail on the server's clock is followed by the
kernel's count.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from mailbridge.clock import MICROSECOND, since_boot

FRESH = timedelta(minutes=2)
"""A mail that is no older than this shows what the server's clock says."""


class Ages:
    """The ages of one mailbox's mails. ``now`` is steady time, ``drift`` how far the wall clock is ahead of it. ``counted``
    gives microseconds since the machine was started."""

    def __init__(
        self,
        *,
        now: Callable[[], datetime],
        drift: Callable[[], timedelta] = timedelta,
        counted: Callable[[], int] = since_boot,
    ) -> None:
        self.now = now
        self._drift = drift
        self._counted = counted
        self._shown, self._shown_at = now(), counted()
        self._is_believed = False

    def of(self, at: datetime) -> timedelta:
        """How long ago the server's clock showed this time. There are three ways to count: by our clock as it runs on, by our
        clock as it was set, and by the server's clock as it was last known. The smallest difference counts, because an old
        mail is old in every way of counting. After `believe` only the server's clock counts."""
        age = self.now() - at
        known = self._shown + (self._counted() - self._shown_at) * MICROSECOND - at
        return known if self._is_believed else min(age, age + self._drift(), known, key=abs)

    def of_stamp(self, at: datetime) -> timedelta:
        """How long ago the clock of a sender or a relay showed this time: by our clock as it runs on, or as it was set."""
        age = self.now() - at
        return min(age, age + self._drift(), key=abs)

    def expect(self, drift: timedelta) -> None:
        """Note how far the server's clock was ahead of ours. It may have been set since."""
        self._shown, self._shown_at = self.now() + drift, self._counted()

    def believe(self, drift: timedelta) -> None:
        """Note how far the server's clock is ahead of ours, and follow that clock from now on. Zero means that it is right."""
        self.expect(drift)
        self._is_believed = bool(drift)

    def learn(self, at: datetime) -> None:
        """Note a mail that was taken. If it is fresh, it shows the server's clock."""
        age = self.of(at)
        if abs(age) <= FRESH:
            self._shown, self._shown_at = at + age, self._counted()
