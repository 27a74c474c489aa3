"""How old a mail is by its server's clock, although somebody sets ours meanwhile.

A server tells when a mail came by its own clock (INTERNALDATE, RFC 3501 2.3.3), which is taken to go with ours. When ours is
set, right or wrong, the server's stays as it was: so it is followed by what the kernel counts, from the last fresh mail on.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from mailbridge.clock import MICROSECOND, since_boot

FRESH = timedelta(minutes=2)
"""A mail no older than this tells what the server's clock shows."""


class Ages:
    """The ages of one mailbox's mails. ``now`` is steady time, ``drift`` how far the wall clock is ahead of it, ``counted`` gives
    microseconds since the machine was started."""

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
        """How long ago the server's clock showed that: by our clock as it goes on, as it was set, or as the server's was
        known to be; the nearest of them, since an old mail is old by all."""
        age = self.now() - at
        known = self._shown + (self._counted() - self._shown_at) * MICROSECOND - at
        return known if self._is_believed else min(age, age + self._drift(), known, key=abs)

    def of_stamp(self, at: datetime) -> timedelta:
        """How long ago the clock of a sender or a relay showed that: by ours as it goes on, or as it was set."""
        age = self.now() - at
        return min(age, age + self._drift(), key=abs)

    def expect(self, drift: timedelta) -> None:
        """The server's clock was so far ahead of ours; it may have been set since."""
        self._shown, self._shown_at = self.now() + drift, self._counted()

    def believe(self, drift: timedelta) -> None:
        """The server's clock is so far ahead of ours, and is followed from now on; zero: it is right."""
        self.expect(drift)
        self._is_believed = bool(drift)

    def learn(self, at: datetime) -> None:
        """A mail was taken: where it is fresh, it tells the server's clock."""
        age = self.of(at)
        if abs(age) <= FRESH:
            self._shown, self._shown_at = at + age, self._counted()
