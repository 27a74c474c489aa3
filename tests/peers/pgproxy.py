"""A proxy before PostgreSQL that breaks connections at a COMMIT: before the server sees it, or behind, when its answer is on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
"""The message of the protocol (PostgreSQL 55.7, Query)."""

Where = Literal["question", "answer"]


@dataclass
class CommitBreaker:
    """Where it listens, and which of the commits to come break their connection: one of ``next`` each; "" lets one pass.

    With ``is_silent`` the connection is not closed: nothing comes from it any more, as behind a router that has forgotten it.
    """

    port: int = 0
    next: list[Where | Literal[""]] = field(default_factory=list)
    is_silent: bool = False
    broken: int = 0

    def fate(self) -> Where | Literal[""]:
        """What becomes of the commit in hand."""
        return self.next.pop(0) if self.next else ""


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while octets := await reader.read(65_536):
        writer.write(octets)
        await writer.drain()
    writer.close()


async def _until_broken(
    breaker: CommitBreaker, client: asyncio.StreamReader, server: asyncio.StreamWriter, answers: asyncio.Task[None]
) -> Where | Literal[""]:
    """Pass on what a client says, up to the commit that breaks, or to its end."""
    while octets := await client.read(65_536):
        fate = breaker.fate() if octets.endswith(COMMIT) else ""
        if fate:
            answers.cancel()
            await asyncio.wait([answers])
        if fate != "question":
            server.write(octets)
            await server.drain()
        if fate:
            breaker.broken += 1
            return fate
    return ""


@asynccontextmanager
async def breaking_commits(server_port: int, host: str = "127.0.0.1") -> AsyncIterator[CommitBreaker]:
    """One in the running loop, for the length of the block."""
    breaker = CommitBreaker()
    under_way: set[asyncio.Task[None]] = set()

    async def serve(client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        under_way.add(task)
        server, to_server = await asyncio.open_connection(host, server_port)
        answers = asyncio.create_task(_pass(server, to_client))
        try:
            fate = await _until_broken(breaker, client, to_server, answers)
            if fate == "answer":
                await server.read(1)  # the server has answered, and so it has done it
            if fate and breaker.is_silent:
                await asyncio.Event().wait()
        except (ConnectionError, asyncio.CancelledError):  # cancelled: the proxy is taken down
            pass
        finally:
            under_way.discard(task)
            answers.cancel()
            to_server.transport.abort()
            to_client.transport.abort()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    breaker.port = listening.sockets[0].getsockname()[1]
    try:
        yield breaker
    finally:
        listening.close()
        for task in under_way:
            task.cancel()
        if under_way:
            await asyncio.wait(tuple(under_way))
