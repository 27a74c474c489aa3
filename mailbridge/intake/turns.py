"""Taking turns: of the mails for one recipient only a few are read at a time, so that a bomb to one waits behind itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mailbridge.core.mail import Envelope

AT_ONCE = 4
"""Mails of one recipient in the hands of the parser at once: what a mail of anybody else may find before it."""


class Turns:
    """One queue a recipient, as long as somebody waits in it."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._gates: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def of(self, envelope: Envelope) -> AsyncIterator[None]:
        """Wait for the turn of a mail; mails of one recipient come in the order in which they asked."""
        key = envelope.rcpt_to[0].casefold() if envelope.rcpt_to else ""
        gate, waiting = self._gates.get(key) or (asyncio.Semaphore(self._at_once), 0)
        self._gates[key] = (gate, waiting + 1)
        try:
            async with gate:
                yield
        finally:
            gate, waiting = self._gates[key]
            if waiting == 1:
                del self._gates[key]
            else:
                self._gates[key] = (gate, waiting - 1)
