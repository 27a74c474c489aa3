"""Many mails held in a short while: somebody tries, or a forwarder has changed; either way a person should look."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta

WINDOW = timedelta(minutes=10)
MOST = 100_000
"""The highest limit that a configuration may name (`[trust] alarm_held`)."""


class Burst:
    """Counts within the last ten minutes. ``limit`` is asked each time, since a reload may change it; 0: never a burst."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._at: deque[datetime] = deque(maxlen=MOST)

    def add(self, at: datetime) -> bool:
        """Count one; whether that makes a burst which was none before."""
        was = self.is_on(at)
        self._at.append(at)
        return not was and self.is_on(at)

    def is_on(self, now: datetime) -> bool:
        """Whether the last ten minutes held as many as the limit."""
        while self._at and now - self._at[0] > WINDOW:
            self._at.popleft()
        return 0 < self._limit() <= len(self._at)
