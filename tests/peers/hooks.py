"""Receivers of webhooks that fail as networks and servers do, and remember what they have taken, each attempt verified by the reference library."""

from __future__ import annotations

import asyncio
import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

LATE = 0.6
"""Seconds by which a late one is late: less than the grace of the targets that are tested with it."""

FAILING = {"500": 0.10, "lost": 0.12, "late": 0.05, "302": 0.02, "large": 0.10, "hang": 0.03, "hang after": 0.03, "429": 0.03}
TROUBLED = {"500": 0.15, "lost": 0.15, "late": 0.05, "hang": 0.03}
CALM: dict[str, float] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """One event as it was taken."""

    id: str
    type: str
    data: dict[str, Any]


@dataclass(slots=True)
class Hook:
    """One receiver, by the path that it is posted to. ``fates`` are shares of all attempts; ``always`` is its only one."""

    fates: dict[str, float] = field(default_factory=dict)
    always: str = ""
    got: list[Got] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)
    attempts: int = 0


class Hooks:
    """A server with several receivers."""

    def __init__(self, secret: str, **hooks: Hook) -> None:
        self.hooks = hooks
        self.unsigned: list[str] = []
        self.address = ""
        self._verifier = Webhook(secret)
        self._dice = random.Random(7)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if value}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        hook = self.hooks[first.split(" ")[1].removeprefix("/")]
        hook.attempts += 1
        try:
            event = self._verifier.verify(body, headers)
        except (WebhookVerificationError, json.JSONDecodeError) as fault:
            self.unsigned.append(repr(fault))
            event = json.loads(body)
        return await self._fate(hook, Got(id=headers["webhook-id"], type=event["type"], data=event["data"]), writer)

    async def _fate(self, hook: Hook, got: Got, writer: asyncio.StreamWriter) -> bool:
        fate = hook.always or self._drawn(hook.fates)
        if fate in ("500", "410", "429"):
            return await _answer(writer, int(fate), "Retry-After: 1\r\n" if fate == "429" else "")
        if fate == "302":
            hook.refused.add(got.id)
            return await _answer(writer, 302, f"Location: http://{self.address}/elsewhere\r\n")
        if fate == "hang":
            await asyncio.sleep(3_600)
        if fate == "late":
            await asyncio.sleep(LATE)
        hook.got.append(got)
        if fate == "hang after":
            await asyncio.sleep(3_600)
        if fate == "lost":
            writer.transport.abort()
            return False
        return await _answer(writer, 200, body=b"x" * 65_536 if fate == "large" else b"")

    def _drawn(self, fates: dict[str, float]) -> str:
        drawn = self._dice.random()
        for fate, share in fates.items():
            if drawn < share:
                return fate
            drawn -= share
        return ""


async def _answer(writer: asyncio.StreamWriter, status: int, headers: str = "", body: bytes = b"") -> bool:
    writer.write(f"HTTP/1.1 {status} X\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    return True


@contextmanager
def running_hooks(secret: str, **hooks: Hook) -> Iterator[Hooks]:
    """A server in a thread of its own, for the length of the block."""
    here = Hooks(secret, **hooks)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(here.serve, "127.0.0.1", 0))
    here.address = "{}:{}".format(*server.sockets[0].getsockname())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield here
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
