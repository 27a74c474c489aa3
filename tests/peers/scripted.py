"""An HTTP server that answers octet for octet what a test tells it to, or does worse."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One request as it came in; names of headers in lower case, each with every value that it had."""

    method: str
    target: str
    headers: dict[str, list[str]]
    body: bytes = field(repr=False)

    def json(self) -> dict[str, object]:
        """The body as an object."""
        value = json.loads(self.body)
        if not isinstance(value, dict):
            raise TypeError("not an object")
        return value


Play = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Scripted:
    """Plays its scenes in order, the last one for ever. ``heard`` are the requests, ``connections`` how many were opened."""

    def __init__(self, *scenes: bytes | Play) -> None:
        self._scenes = list(scenes)
        self.heard: list[Heard] = []
        self.connections = 0
        self.address = ""

    @property
    def base_url(self) -> str:
        """Where it listens."""
        return f"http://{self.address}"

    def scene(self) -> bytes | Play:
        """The next one."""
        return self._scenes.pop(0) if len(self._scenes) > 1 else self._scenes[0]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        try:
            while (heard := await _request(reader)) is not None:
                self.heard.append(heard)
                scene = self.scene()
                if isinstance(scene, bytes):
                    writer.write(scene)
                    await writer.drain()
                else:
                    await scene(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def scripted(*scenes: bytes | Play) -> AsyncIterator[Scripted]:
    """A scripted server on a free port, for the length of the block."""
    script = Scripted(*scenes)
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await script.serve(reader, writer)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    script.address = "{}:{}".format(*server.sockets[0].getsockname())
    try:
        yield script
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def answer(status: int, body: bytes | str | dict[str, object] | list[object] = b"", **headers: str) -> bytes:
    """A whole answer; a keyword such as ``Retry_After`` is a header."""
    octets = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(octets)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + octets


def reset(*, after: bytes = b"") -> Play:
    """Break the connection off (RST), after some octets or none."""

    async def play(writer: asyncio.StreamWriter) -> None:
        if after:
            writer.write(after)
            await writer.drain()
        one: socket.socket = writer.get_extra_info("socket")
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        raise ConnectionAbortedError

    return play


def silence(*, after: bytes = b"") -> Play:
    """Some octets, and then nothing more for longer than any test waits."""

    async def play(writer: asyncio.StreamWriter) -> None:
        writer.write(after)
        await writer.drain()
        await asyncio.sleep(60)

    return play


def drip(octets: bytes, *, every: float) -> Play:
    """An octet at a time."""

    async def play(writer: asyncio.StreamWriter) -> None:
        for number in range(len(octets)):
            writer.write(octets[number : number + 1])
            await writer.drain()
            await asyncio.sleep(every)

    return play


def flood(head: bytes, piece: bytes) -> Play:
    """A head, and then a body without an end."""

    async def play(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()

    return play


async def _request(reader: asyncio.StreamReader) -> Heard | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ", 2)
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers.setdefault(name.lower(), []).append(value.strip())
    length = int(headers.get("content-length", ["0"])[0])
    return Heard(method=method, target=target, headers=headers, body=await reader.readexactly(length))
