"""How many mails of one recipient are read or stored at a time, so that a bomb waits behind itself and not before the others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mailbridge.core.mail import Envelope

AT_ONCE = 4
"""Mails of one recipient: enough that writes are committed together, few enough that the worker stays free for others."""


class RecipientLimit:
    """One for a daemon; used from the event loop only. Mails of one recipient come in the order in which they asked."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._users: dict[str, int] = {}

    @property
    def recipients(self) -> int:
        """How many recipients have a mail here now."""
        return len(self._users)

    @asynccontextmanager
    async def of(self, envelope: Envelope) -> AsyncIterator[None]:
        """Wait until the mail's first recipient has room, and take it for the length of the block."""
        key = envelope.rcpt_to[0].casefold() if envelope.rcpt_to else ""
        slots = self._slots.setdefault(key, asyncio.Semaphore(self._at_once))
        self._users[key] = self._users.get(key, 0) + 1
        try:
            async with slots:
                yield
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key], self._slots[key]
