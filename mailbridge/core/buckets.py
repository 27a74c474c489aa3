"""Token buckets: how much one key (an address, a client) may have at once and in the long run. The caller brings the time."""

from __future__ import annotations

from collections import OrderedDict

MOST_KEYS = 20_000
"""Keys that are remembered; beyond it the one that was used longest ago is forgotten, which gives it a full bucket again."""

FORGOTTEN_AT_ONCE = 2
"""Buckets that are forgotten at the most when one is used: so there are soon no more than are in use."""


class TokenBuckets:
    """One bucket a key. It fills evenly with ``rate`` units a second up to ``burst``. A rate of 0 never runs out, nor does key "".
    One that is full again is forgotten, since a new one is full too: many senders that come once take no memory for long.

    ``now`` is a monotonic clock in seconds.
    """

    def __init__(self, *, rate: float, burst: float, most_keys: int = MOST_KEYS) -> None:
        self._rate = rate
        self._burst = burst
        self._most_keys = most_keys
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """How many keys are remembered."""
        return len(self._levels)

    def has(self, key: str, now: float) -> bool:
        """Whether there is a unit; none is taken."""
        return not self._rate or not key or self._level(key, now) >= 1.0

    def take(self, key: str, now: float) -> float:
        """Take a unit. Returns 0.0, or the seconds until there is one (then none is taken)."""
        if not self._rate or not key:
            return 0.0
        level = self._level(key, now)
        is_free = level >= 1.0
        self._keep(key, level - 1.0 if is_free else level, now)
        return 0.0 if is_free else (1.0 - level) / self._rate

    def spend(self, key: str, now: float) -> None:
        """Take a unit also where there is none: the bucket is in debt then."""
        if self._rate and key:
            self._keep(key, self._level(key, now) - 1.0, now)

    def _level(self, key: str, now: float) -> float:
        level, at = self._levels.get(key, (self._burst, now))
        return min(level + (now - at) * self._rate, self._burst)

    def _keep(self, key: str, level: float, now: float) -> None:
        self._levels[key] = (level, now)
        self._levels.move_to_end(key)
        for _ in range(FORGOTTEN_AT_ONCE):
            oldest = next(iter(self._levels))
            if oldest == key or (len(self._levels) <= self._most_keys and self._level(oldest, now) < self._burst):
                return
            del self._levels[oldest]
