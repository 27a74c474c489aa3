"""A relay between a daemon and its mail server that notes whose turn it was, so that the server's share of a delivery can be told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

TOLD = b" EXISTS\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """Octets that went by at ``at`` (`time.perf_counter`), of one connection."""

    at: float
    is_from_server: bool
    octets: bytes = field(repr=False)


@dataclass(slots=True)
class Relay:
    """Listens on ``port`` and passes everything on to ``to``, the port of a server. ``connections`` is what went by in each."""

    to: int
    port: int = 0
    connections: list[list[Passed]] = field(default_factory=list)
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    def forget(self) -> None:
        """Drop what went by until now."""
        for one in self.connections:
            one.clear()

    def own_share(self, code: bytes, pushed: float) -> float:
        """Seconds of a delivery in which it was the daemon's turn: from the server's announcement to the daemon's command, and from the
        mail to ``pushed``.

        Raises:
            LookupError: no connection has passed the code on.
        """
        for passed in self.connections:
            at = next((number for number, one in enumerate(passed) if one.is_from_server and code in one.octets), None)
            if at is None:
                continue
            told = max(
                (number for number in range(at) if passed[number].is_from_server and TOLD in passed[number].octets), default=at
            )
            turns = sum(
                after.at - before.at
                for before, after in zip(passed[told:at], passed[told + 1 : at + 1], strict=True)
                if before.is_from_server and not after.is_from_server
            )
            return pushed - passed[at].at + turns
        raise LookupError(code)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one connection on, until either side ends it."""
        there, back = await asyncio.open_connection("127.0.0.1", self.to)
        passed: list[Passed] = []
        self.connections.append(passed)
        await asyncio.gather(
            _pass_on(reader, back, passed, is_from_server=False), _pass_on(there, writer, passed, is_from_server=True)
        )


async def _pass_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, passed: list[Passed], *, is_from_server: bool
) -> None:
    try:
        while octets := await reader.read(65_536):
            passed.append(Passed(at=time.perf_counter(), is_from_server=is_from_server, octets=octets))
            writer.write(octets)
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def relaying(to: int) -> AsyncIterator[Relay]:
    """A relay to a server's port, for the length of the block."""
    relay = Relay(to)

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(relay.serve(reader, writer))
        relay.serving.add(task)
        task.add_done_callback(relay.serving.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    async with server:
        yield relay
        if relay.serving:
            await asyncio.wait(relay.serving, timeout=5)
