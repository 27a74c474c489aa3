"""A source that speaks: a mail server's queue, which tries each mail again until it hears a yes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

Handing = Callable[[bytes, str], Awaitable[str]]
"""Hands one mail over to a recipient; the line that was heard. Raises OSError where nobody is there."""

AGAIN = 0.05


class Queue:
    """Implements `tests.ingress.contract.Source`. A mail is taken at a reply that begins with 2, and given up at one with 5."""

    def __init__(self, hand: Handing) -> None:
        self._hand = hand
        self._held = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def post(self, mail: bytes, *, rcpt: str = "codes@bridge.example") -> None:
        """See `Source.post`."""
        self._held += 1
        task = asyncio.create_task(self._offer(mail, rcpt))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def held(self) -> int:
        """See `Source.held`."""
        return self._held

    async def close(self) -> None:
        """See `Source.close`."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _offer(self, mail: bytes, rcpt: str) -> None:
        while True:
            try:
                heard = await self._hand(mail, rcpt)
            except (OSError, EOFError):
                heard = ""
            if heard[:1] in ("2", "5"):
                self._held -= 1
                return
            await asyncio.sleep(AGAIN)
