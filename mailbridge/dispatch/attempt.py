"""The time of one attempt: until the deadline of its code, and no longer than the claim is surely this process's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

CHECK_EVERY = 0.5
"""Seconds between two checks whether this process may continue. Together with the time after which it may not, this is less
than a lease."""


class Attempt:
    """The block of an attempt. It ends after ``left`` seconds, or when the claim may belong to another process. Raises
    TimeoutError if it was cut short.

    Leaving it raises TimeoutError where it was cut short.
    """

    def __init__(self, left: float, may_go_on: Callable[[], bool]) -> None:
        self._limit = asyncio.timeout(left)
        self._may_go_on = may_go_on
        self._loop = asyncio.get_running_loop()
        self._again: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()
        self._again = self._loop.call_later(CHECK_EVERY, self._check)

    async def __aexit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        if self._again is not None:
            self._again.cancel()
        await self._limit.__aexit__(kind, fault, trace)

    def _check(self) -> None:
        if self._may_go_on():
            self._again = self._loop.call_later(CHECK_EVERY, self._check)
        else:
            self._limit.reschedule(self._loop.time())
