"""A receiver with Skyvern's contract that fails as networks and servers do: 500s, answers that get lost, requests handled late.

Unlike the practice receiver it closes connections in the middle, and goes on with what it was asked although the other end is dead.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A code as it was taken in at ``at``, by a request that came at ``began``; ``is_answered``: a yes was written to it in full."""

    identifier: str
    code: str
    at: datetime
    began: datetime
    is_answered: bool = False


@dataclass(slots=True, kw_only=True)
class Temper:
    """How often it does what (shares of all pushes), and how late it is when it is late, in seconds.

    ``loses``: takes it in and closes without an answer; ``drops``: answers, and closes behind the answer; ``hangs``: neither takes it in
    nor answers.
    """

    refuses: float = 0.0
    loses: float = 0.0
    is_late: float = 0.0
    lateness: float = 0.8
    latency: float = 0.0
    status: int = 500
    garbage: float = 0.0
    hangs: float = 0.0
    drops: float = 0.0


@dataclass(slots=True)
class FaultyReceiver:
    """What it took in, oldest first, and its temper, which may be changed while it runs."""

    temper: Temper = field(default_factory=Temper)
    rows: list[Taken] = field(default_factory=list)
    requests: int = 0
    address: str = ""
    _dice: random.Random = field(default_factory=lambda: random.Random(7))

    @property
    def base_url(self) -> str:
        """For [skyvern] base_url."""
        return f"http://{self.address}"

    def codes(self, identifier: str) -> list[str]:
        """Of one identifier, oldest first."""
        return [row.code for row in list(self.rows) if row.identifier == identifier]

    async def listen(self, port: int = 0, host: str = "127.0.0.1") -> asyncio.Server:
        """Listen on loopback, or on another address of this machine."""
        server = await asyncio.start_server(self._serve, host, port)
        self.address = f"{host}:{server.sockets[0].getsockname()[1]}"
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):  # cancelled: the receiver is taken down
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.split(" ", 2)
        lengths = [line.split(":")[1] for line in head.split("\r\n") if line.lower().startswith("content-length:")]
        body = await reader.readexactly(int(lengths[0])) if lengths else b""
        if method == "GET":
            return await self._answer(writer, 200, self._held(target))
        self.requests += 1
        return await self._push(json.loads(body), writer)

    def _held(self, target: str) -> object:
        if not urlsplit(target).path.endswith("/totp"):
            return []
        wanted = parse_qs(urlsplit(target).query)["totp_identifier"][0]
        found = [row for row in reversed(self.rows) if row.identifier == wanted]
        return [{"code": row.code, "created_at": row.at.replace(tzinfo=None).isoformat()} for row in found[:1]]

    async def _push(self, payload: dict[str, str], writer: asyncio.StreamWriter) -> bool:
        temper, fate, began = self.temper, self._dice.random(), datetime.now(UTC)
        if temper.latency:
            await asyncio.sleep(temper.latency)
        if fate < temper.hangs:
            await asyncio.sleep(3_600)
        fate -= temper.hangs
        if fate < temper.refuses:
            return await self._answer(writer, temper.status, {"detail": "asked to fail"})
        fate -= temper.refuses
        if temper.loses <= fate < temper.loses + temper.is_late:
            await asyncio.sleep(temper.lateness)
        own = len(self.rows)
        taken = Taken(identifier=payload["totp_identifier"], code=payload["content"], at=datetime.now(UTC), began=began)
        self.rows.append(taken)
        if fate < temper.loses:
            writer.transport.abort()
            return False
        if self._dice.random() < temper.garbage:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\xff\x00<p>")
            return True
        await self._answer(writer, 200, {"totp_code_id": f"totp_{len(self.rows)}", "code": payload["content"]})
        self.rows[own] = replace(taken, is_answered=True)
        return self._dice.random() >= temper.drops

    async def _answer(self, writer: asyncio.StreamWriter, status: int, row: object) -> bool:
        octets = json.dumps(row).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(octets)}\r\n\r\n"
        writer.write(head.encode() + octets)
        await writer.drain()
        return True


@contextmanager
def running_faulty(temper: Temper | None = None, *, port: int = 0, host: str = "127.0.0.1") -> Iterator[FaultyReceiver]:
    """One in a thread of its own, for the length of the block."""
    receiver = FaultyReceiver(temper=temper or Temper())
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(receiver.listen(port, host))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:

        async def stop() -> None:
            server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(stop(), loop).result(timeout=5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=5)
        loop.close()
