"""One worker process as the pool holds it: started without any key of ours, spoken to in frames, killed at once."""

from __future__ import annotations

import asyncio
import logging
import subprocess
from typing import Protocol

from mailbridge import log_events
from mailbridge.intake.launch import Launched, launch
from mailbridge.intake.worker_protocol import HEADER, frame

log = logging.getLogger("mailbridge.parser")

START_TIMEOUT = 20.0
"""Seconds that a worker may take to be ready; it takes 0.2, but a machine may be busy."""

MAX_ANSWER = 4 * 1_048_576
"""Octets of an answer: a worker that sends more has been taken over, or has lost its mind."""


class Owner(Protocol):
    """Whom a child answers."""

    def answered(self, child: Child, octets: bytes) -> None:
        """The next answer, in the order of the frames."""
        ...

    def lost(self, child: Child) -> None:
        """It has gone, whoever ended it."""
        ...


class Child(asyncio.Protocol):
    """One process and the socket to it: frames in, frames out. ``was_overdue`` is for its owner to note why it was killed."""

    def __init__(self, owner: Owner, process: subprocess.Popen[bytes]) -> None:
        self._owner = owner
        self.process = process
        self.was_overdue = False
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= HEADER:
            size = int.from_bytes(self._buffer[:HEADER], "big")
            if size > MAX_ANSWER:
                log.error(
                    "a parser worker sent an answer that is too long; it is ended", extra={"event": log_events.WORKER_FAILED}
                )
                self._buffer.clear()
                self.kill()
                return
            if len(self._buffer) < HEADER + size:
                return
            octets = bytes(self._buffer[HEADER : HEADER + size])
            del self._buffer[: HEADER + size]
            if not self.ready.done():
                self.ready.set_result(None)
            else:
                self._owner.answered(self, octets)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.kill()
        if not self.ready.done() and not self.ready.cancelled():
            self.ready.set_exception(ConnectionError("the worker ended before it was ready"))
        self._owner.lost(self)

    def write(self, octets: bytes) -> None:
        """Send one frame."""
        if self._transport is not None:
            self._transport.write(octets)

    def kill(self) -> None:
        """End the child now, whatever it does, and take its exit status; harmless a second time."""
        if self._transport is not None:
            self._transport.abort()
        self.process.kill()
        self.process.wait()


async def spawn(target: str, config: bytes, owner: Owner, launched: Launched | None = None) -> Child:
    """Start a child, or take one that is launched already, and wait until it is ready. Raises OSError or TimeoutError."""
    one = launched or launch(target)
    try:
        _, link = await asyncio.get_running_loop().create_connection(lambda: Child(owner, one.process), sock=one.channel)
    except BaseException:
        one.discard()
        raise
    link.write(frame(config))
    try:
        async with asyncio.timeout(START_TIMEOUT):
            await link.ready
    except BaseException:
        link.kill()
        raise
    return link
