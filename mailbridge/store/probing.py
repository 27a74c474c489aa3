"""Whether a store can be written: after a failed write, a small write is tried when somebody asks, but not more often than
necessary."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from mailbridge.store import Kind, StoreUnavailable

PATIENCE = 0.5
"""Seconds that a caller waits for the trial write. The write continues afterwards, and the next caller learns how it ended."""

PAUSE = 0.25
"""Seconds between two tries."""

ROOM = 65_536
"""Octets of the trial write if the store was full. A full disk still accepts a small row, in a page that already exists."""


class Probe:
    """``trouble`` gives the kind of the last failure, None if the last write worked. ``write`` tries to write this many
    octets; after it, ``trouble`` has the result."""

    def __init__(self, trouble: Callable[[], Kind | None], write: Callable[[int], Awaitable[None]]) -> None:
        self._trouble = trouble
        self._write = write
        self._task: asyncio.Task[None] | None = None
        self._again_at = float("-inf")

    async def ask(self) -> None:
        """See `Store.probe`."""
        if self._trouble() is None:
            return
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._soon())
        await asyncio.wait({self._task}, timeout=PATIENCE)
        kind = self._trouble()
        if kind is not None:
            raise StoreUnavailable(kind, "the last write failed")

    async def _soon(self) -> None:
        await asyncio.sleep(self._again_at - time.monotonic())
        await self.now()

    async def now(self) -> None:
        """Try a write, if the last one failed."""
        kind = self._trouble()
        if kind is None:
            return
        with contextlib.suppress(StoreUnavailable):
            if kind == "full":
                await self._write(ROOM)
            await self._write(1)
        self._again_at = time.monotonic() + PAUSE
