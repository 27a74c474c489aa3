"""The claims that wait for one target, and the senders that take them: a few while it answers at once, all while it takes its time.

More senders carry more only while the time goes by at the target. Where it goes by here they carry less, since the cost of a push
grows with how many are under way at once (measured on loopback: 8 carry 6 % fewer mails a second than 2).

What is of a known sender goes before what is a stranger's, and of each what came first.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mailbridge.core.delivery import Claim, Standing

FEW = 2
"""Senders that work while every attempt is quick."""

SLOW = 0.005
"""Seconds after which an attempt is slow, and the other senders help."""


class SenderPool:
    """The queue of one target. Belongs to one event loop; `add` never blocks. ``now`` measures attempts."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._known: deque[Claim] = deque()
        self._strange: deque[Claim] = deque()
        self._resting: list[asyncio.Future[None]] = []
        self._at_work = 0
        self._begun: dict[object, float] = {}
        self._is_slow = False
        self._timer: asyncio.TimerHandle | None = None
        self._is_dismissed = False

    def add(self, claim: Claim) -> None:
        """Queue a claim, and wake one sender for it: the one that finished last, because its connection is the freshest."""
        (self._known if is_known(claim) else self._strange).append(claim)
        if self._at_work < FEW or self._is_slow:
            self._wake(1)
        self._look_later()

    async def take(self) -> Claim | None:
        """The next claim for a free sender; None when the senders are dismissed."""
        self._at_work += 1
        while not self._is_dismissed and (not self.waiting or (self._at_work > FEW and not self._is_slow)):
            turn = asyncio.get_running_loop().create_future()
            self._resting.append(turn)
            self._at_work -= 1
            self._look_later()
            await turn  # whoever wakes it counts it as at work
        self._at_work -= 1
        return None if self._is_dismissed else (self._known or self._strange).popleft()

    @property
    def waiting(self) -> int:
        """How many claims wait for a sender."""
        return len(self._known) + len(self._strange)

    def has_room(self, claim: Claim, room: int) -> bool:
        """Whether fewer than ``room`` wait before a claim: for a known sender's, strangers' do not count."""
        return (len(self._known) if is_known(claim) else self.waiting) < room

    def withdraw(self) -> list[Claim]:
        """Remove and return everything that waits."""
        claims = [*self._known, *self._strange]
        self._known.clear()
        self._strange.clear()
        return claims

    def dismiss(self) -> list[Claim]:
        """Dismiss the senders: `take` returns None to each. Returns the claims that waited."""
        self._is_dismissed = True
        self._wake(len(self._resting))
        return self.withdraw()

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Marks an attempt as running for the length of the block."""
        this = object()
        self._at_work += 1
        self._begun[this] = self._now()
        self._look_later()
        try:
            yield
        finally:
            self._at_work -= 1
            self._is_slow = self._now() - self._begun.pop(this) >= SLOW

    def _look_later(self) -> None:
        if self._timer is None and self.waiting and self._resting:
            self._timer = asyncio.get_running_loop().call_later(SLOW, self._look)

    def _look(self) -> None:
        """Wake the other senders if claims wait and an attempt is slow."""
        self._timer = None
        oldest = min(self._begun.values(), default=float("inf"))
        if self.waiting and self._now() - oldest >= SLOW:
            self._is_slow = True
            self._wake(self.waiting)
        self._look_later()

    def _wake(self, count: int) -> None:
        while count and self._resting:
            sender = self._resting.pop()
            if not sender.done():
                sender.set_result(None)
                self._at_work += 1
                count -= 1


def is_known(claim: Claim) -> bool:
    """Whether a claim is of a known sender."""
    return claim.delivery.draft.standing is Standing.KNOWN
