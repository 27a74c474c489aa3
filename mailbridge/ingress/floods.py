"""How many mails a minute: for one recipient, from one sender, from one client. Above that they are asked to come again later."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Literal

By = Literal["recipient", "sender", "client"]
MOST_KEYS = 20_000
"""Buckets that are kept for each kind; beyond it the one that was used longest ago is forgotten, which gives it a full one again."""


BURST = 10
"""Minutes' worth that may come at once, where little came before."""


class Buckets:
    """A token bucket for each key: it fills evenly, ``rate`` a minute, up to ten minutes' worth. A rate of 0 never runs out."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._most = float(rate * BURST)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def has(self, key: str, now: float) -> bool:
        """Whether one more may come."""
        return not self._rate or not key or self._level(key, now) >= 1.0

    def take(self, key: str, now: float) -> None:
        """Count one."""
        if not self._rate or not key:
            return
        self._left[key] = (self._level(key, now) - 1.0, now)
        self._left.move_to_end(key)
        if len(self._left) > MOST_KEYS:
            self._left.popitem(last=False)

    def _level(self, key: str, now: float) -> float:
        level, at = self._left.get(key, (self._most, now))
        return min(level + (now - at) * self._rate / 60.0, self._most)


class Floods:
    """The buckets of a daemon. ``on_flood`` is told each time that one is empty."""

    def __init__(self, *, recipient: int, sender: int, client: int, on_flood: Callable[[By], None] = lambda _: None) -> None:
        self._buckets: dict[By, Buckets] = {
            "recipient": Buckets(recipient),
            "sender": Buckets(sender),
            "client": Buckets(client),
        }
        self._on_flood = on_flood

    def is_over(self, by: By, key: str, now: float) -> bool:
        """Whether a recipient, sender or client has had its share. ``now`` is a monotonic clock in seconds."""
        if self._buckets[by].has(key, now):
            return False
        self._on_flood(by)
        return True

    def count(self, *, recipients: tuple[str, ...], sender: str, client: str, now: float) -> None:
        """Count a mail that was taken."""
        for recipient in recipients:
            self._buckets["recipient"].take(recipient, now)
        self._buckets["sender"].take(sender, now)
        self._buckets["client"].take(client, now)
