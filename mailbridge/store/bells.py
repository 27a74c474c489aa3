"""In-process bells that ring after every commit. Code that follows the journal is woken and does not need to poll."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from mailbridge.waiting import Bell


class Bells:
    """Bells by the event loop that they belong to. `ring` may be called in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bells: dict[asyncio.AbstractEventLoop, set[Bell]] = {}

    @property
    def is_any(self) -> bool:
        """Whether anybody would be woken."""
        return bool(self._bells)

    @contextlib.contextmanager
    def bell(self) -> Iterator[Bell]:
        """A bell for the length of the block, in the running loop."""
        loop, one = asyncio.get_running_loop(), Bell()
        with self._lock:
            self._bells.setdefault(loop, set()).add(one)
        try:
            yield one
        finally:
            with self._lock:
                left = self._bells[loop]
                left.discard(one)
                if not left:
                    del self._bells[loop]

    def ring(self) -> None:
        """Ring all bells, each in its own loop."""
        with self._lock:
            loops = tuple(self._bells)
        for loop in loops:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            bells = tuple(self._bells.get(loop, ()))
        for one in bells:
            one.ring()
