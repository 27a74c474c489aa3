"""A bell that any thread may ring. One thread hears it while it waits for its connection: a pipe for poll()."""

from __future__ import annotations

import contextlib
import os
import select


class Stopped(Exception):  # noqa: N818  (a way out)
    """The thread was told to stop."""


class Bell:
    """``descriptor`` is readable after `ring`, until `drain`."""

    def __init__(self) -> None:
        self.descriptor, self._ring = os.pipe()
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._ring, False)
        self._is_closed = False

    def ring(self) -> None:
        """Wake the waiting thread. Cheap, and safe from any thread."""
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._ring, b"w")

    def wait(self, seconds: float) -> bool:
        """Wait for up to ``seconds`` until it rings. Returns whether it rang. Afterwards it is silent."""
        poll = select.poll()
        poll.register(self.descriptor, select.POLLIN)
        is_rung = bool(poll.poll(max(0.0, seconds) * 1000))
        self.drain()
        return is_rung

    def drain(self) -> None:
        """Silence the bell."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self.descriptor, 4096):
                pass

    def close(self) -> None:
        """Close the descriptors. A second call does nothing."""
        if not self._is_closed:
            self._is_closed = True
            os.close(self.descriptor)
            os.close(self._ring)
