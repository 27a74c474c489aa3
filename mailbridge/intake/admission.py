"""Who and what may come in, asked by every way in before a mail is read: is the recipient ours, is there room, is it a flood."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal

from mailbridge.core.buckets import TokenBuckets
from mailbridge.core.dataclass import dataclass

By = Literal["recipient", "sender", "client"]
MOST_REFUSED = 100
"""Refused recipients that are remembered: enough for the few that are misspelt, and no store for guesses."""

BURST = 10
"""Minutes' worth of a rate that may come at once, where little came before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Mails a minute for one recipient, from one sender, from one client; 0: as many as come."""

    recipient: int = 0
    sender: int = 0
    client: int = 0


class Admission:
    """One for a daemon; used from the event loop only. ``memory`` is in octets, for all mails on their way in together.

    ``is_ours`` is asked for each recipient, since a reload changes the answer; ``on_flood`` is told each time that a rate is exceeded.
    """

    def __init__(
        self,
        *,
        is_ours: Callable[[str], bool],
        memory: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        rates: Rates | None = None,
        on_flood: Callable[[By], None] = lambda _: None,
    ) -> None:
        self._is_ours = is_ours
        self._now = now
        self._refused: OrderedDict[str, tuple[int, datetime]] = OrderedDict()
        self.reserved = 0
        self._memory = memory
        self._on_flood = on_flood
        asked = rates or Rates()
        self._buckets: dict[By, TokenBuckets] = {
            "recipient": _buckets(asked.recipient),
            "sender": _buckets(asked.sender),
            "client": _buckets(asked.client),
        }

    def is_ours(self, rcpt: str) -> bool:
        """Whether mail for a recipient is taken. One that is refused is remembered for a while, for whoever asks why nothing came."""
        if self._is_ours(rcpt):
            return True
        number, _ = self._refused.pop(rcpt.casefold(), (0, None))
        self._refused[rcpt.casefold()] = (number + 1, self._now())
        if len(self._refused) > MOST_REFUSED:
            self._refused.popitem(last=False)
        return False

    def refused(self, since: datetime) -> tuple[tuple[str, int], ...]:
        """The recipients that were refused since, the newest first, with how often each was refused in all."""
        return tuple((rcpt, number) for rcpt, (number, at) in reversed(self._refused.items()) if at >= since)

    def is_over(self, by: By, key: str, now: float) -> bool:
        """Whether a recipient, sender or client has had its share. ``now`` is a monotonic clock in seconds."""
        if self._buckets[by].has(key, now):
            return False
        self._on_flood(by)
        return True

    def count(self, *, recipients: tuple[str, ...], sender: str, client: str, now: float) -> None:
        """Count a mail that was taken."""
        for recipient in recipients:
            self._buckets["recipient"].spend(recipient, now)
        self._buckets["sender"].spend(sender, now)
        self._buckets["client"].spend(client, now)

    @contextmanager
    def hold(self) -> Iterator[Hold]:
        """Memory for one mail on its way in, given back at the end of the block however it ends."""
        held = Hold(self)
        try:
            yield held
        finally:
            held.release()

    def reserve(self, octets: int) -> bool:
        """Take so much of the memory; False (and nothing taken) where it is used up."""
        if self.reserved + octets > self._memory:
            return False
        self.reserved += octets
        return True


def _buckets(a_minute: int) -> TokenBuckets:
    return TokenBuckets(rate=a_minute / 60.0, burst=a_minute * BURST)


class Hold:
    """What one mail has taken of the memory that all share."""

    __slots__ = ("_admission", "_octets")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._octets = 0

    def take(self, octets: int) -> bool:
        """Take more; False (and nothing taken) where there is no more."""
        if not self._admission.reserve(octets):
            return False
        self._octets += octets
        return True

    def release(self) -> None:
        """Give everything back; harmless a second time."""
        self._admission.reserved -= self._octets
        self._octets = 0
