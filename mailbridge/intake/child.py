"""One worker process as the pool holds it: started without any key of ours, spoken to in frames, killed at once."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
from typing import Protocol

from mailbridge import log_events
from mailbridge.intake.worker_protocol import HEADER, frame

log = logging.getLogger("mailbridge.parser")

START_TIMEOUT = 20.0
"""Seconds that a worker may take to be ready; it takes 0.2, but a machine may be busy."""

MAX_ANSWER = 4 * 1_048_576
"""Octets of an answer: a worker that sends more has been taken over, or has lost its mind."""

PASSED_ON = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""The only variables that a worker starts with; it clears them too. No key is ever among them."""


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


async def spawn(target: str, config: bytes, owner: Owner) -> Child:
    """Start a child and wait until it is ready. Raises OSError or TimeoutError."""
    ours, theirs = socket.socketpair()
    with theirs:
        ours.setblocking(False)
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        process = subprocess.Popen(  # noqa: ASYNC220, S603  (fork and exec: a millisecond, and no shell)
            [sys.executable, "-m", "mailbridge.intake.worker", target],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            close_fds=True,
        )
    _, link = await asyncio.get_running_loop().create_connection(lambda: Child(owner, process), sock=ours)
    link.write(frame(config))
    try:
        async with asyncio.timeout(START_TIMEOUT):
            await link.ready
    except BaseException:
        link.kill()
        raise
    return link
