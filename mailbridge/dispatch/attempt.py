"""The time of one attempt: until the deadline of its code, and no longer than the claim is surely this process's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

CHECK_EVERY = 0.5
"""Seconds between two looks at whether this process may go on; together with the time after which it may not this is less than a lease."""


@asynccontextmanager
async def attempting(left: float, may_go_on: Callable[[], bool]) -> AsyncIterator[None]:
    """The block of an attempt. It ends after ``left`` seconds, or as soon as the claim may be another process's.

    Raises:
        TimeoutError: it was cut short.
    """
    loop = asyncio.get_running_loop()
    again: asyncio.TimerHandle
    async with asyncio.timeout(left) as limit:

        def check() -> None:
            nonlocal again
            if may_go_on():
                again = loop.call_later(CHECK_EVERY, check)
            else:
                limit.reschedule(loop.time())

        again = loop.call_later(CHECK_EVERY, check)
        try:
            yield
        finally:
            again.cancel()
