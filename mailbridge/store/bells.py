"""One in-process bell for every commit: whoever follows the journal is woken, and need not ask now and then."""

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
        """Whether anybody would hear them."""
        return bool(self._bells)

    @contextlib.contextmanager
    def bell(self) -> Iterator[Bell]:
        """One for the length of the block, in the running loop."""
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
        """Ring them all, each in its loop."""
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
