"""Taking turns: while others get mail too, a recipient has no more in hand than they want, so that a bomb waits behind itself."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from mailbridge.core.mail import Envelope

LEAST = 2
"""Mails of one recipient that are always in hand: one is read while another is on its way, so that the reader need not wait."""

MEMORY = 60.0
"""Seconds after its last mail for which a recipient counts as one of the others."""


class FairLimiter:
    """One queue a recipient, as long as somebody waits in it. ``now`` is a monotonic clock in seconds.

    `LEAST` mails of a recipient are always in hand. More are, as long as they are not more than those that all others have here, in hand or
    waiting; who has been alone for a while has no limit. So of two that get much neither is held back, and a bomb leaves the
    machine to a single mail of anybody else. A fixed limit does not do both (measured, beside the same machine calm): with four at a
    time a bomb makes the others' p99 2.2 to 2.8 times what it was, with one at a time 1.1 to 2.0 times, but then a single recipient
    gets half as many mails a second; this way it is 1.1 to 1.8 times, at the whole rate.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._here: dict[str, int] = {}
        self._in_hand: dict[str, int] = {}
        self._everybody = 0
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._latest, self._before = ("", float("-inf")), ("", float("-inf"))

    @property
    def is_idle(self) -> bool:
        """Whether there is no mail, neither in progress nor waiting."""
        return not (self._here or self._in_hand or self._waiting or self._everybody)

    def of(self, envelope: Envelope) -> _Turn:
        """Wait for the turn of a mail (``async with``); mails of one recipient come in the order in which they asked."""
        return _Turn(self, envelope.rcpt_to[0].casefold() if envelope.rcpt_to else "")

    def come(self, key: str) -> asyncio.Future[None] | None:
        """Count a mail that has come; None where it is its turn at once, as it nearly always is."""
        self._note(key)
        _add(self._here, key, 1)
        self._everybody += 1
        if not self._waiting and self._has_room(key):
            _add(self._in_hand, key, 1)
            return None
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(turn)
        self._let_in()
        return turn

    def go(self, key: str, *, was_in_hand: bool) -> None:
        """Count a mail that has ended."""
        if was_in_hand:
            _add(self._in_hand, key, -1)
        _add(self._here, key, -1)
        self._everybody -= 1
        self._let_in()

    def _note(self, key: str) -> None:
        if self._latest[0] != key:
            self._before = self._latest
        self._latest = (key, self._now())

    def _let_in(self) -> None:
        """Let in the mails that have their turn now."""
        for one in tuple(self._waiting):  # one or two: who waits has half of everything
            queue = self._waiting[one]
            while queue and self._has_room(one):
                turn = queue.popleft()
                if not turn.done():
                    turn.set_result(None)
                    _add(self._in_hand, one, 1)
            if not queue:
                del self._waiting[one]

    def _has_room(self, key: str) -> bool:
        in_hand = self._in_hand.get(key, 0)
        return in_hand < max(LEAST, self._everybody - self._here.get(key, 0)) or self._is_alone(key)

    def _is_alone(self, key: str) -> bool:
        other = self._before if self._latest[0] == key else self._latest
        return self._now() - other[1] >= MEMORY


class _Turn:
    """The turn of one mail, for the length of a block. A class, since it is taken twice a mail: a generator costs thrice as much."""

    __slots__ = ("_key", "_limiter")

    def __init__(self, limiter: FairLimiter, key: str) -> None:
        self._limiter = limiter
        self._key = key

    async def __aenter__(self) -> None:
        turn = self._limiter.come(self._key)
        if turn is None:
            return
        try:
            await turn
        except BaseException:
            self._limiter.go(self._key, was_in_hand=turn.done() and not turn.cancelled())
            raise

    async def __aexit__(self, *_: object) -> None:
        self._limiter.go(self._key, was_in_hand=True)


def _add(counts: dict[str, int], key: str, by: int) -> None:
    counts[key] = counts.get(key, 0) + by
    if not counts[key]:
        del counts[key]
