"""Throw-away inboxes: what is remembered of them while they live, and that nothing is left afterwards.

Everything raises StoreUnavailable and nothing else, as the rest of the contract.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from mailbridge.core.inbox import Inbox


class Inboxes(Protocol):
    """Inboxes by number; a number and an address are never used twice. `Store.sweep` ends those whose time is over, as `end` does."""

    async def add(
        self,
        address: str,
        *,
        owner: str,
        lifetime: timedelta,
        senders: Sequence[str] = (),
        is_pushed: bool = False,
        most: int,
    ) -> Inbox | None:
        """Keep a new inbox. None where ``owner`` has ``most`` that live."""
        ...

    async def live(self) -> tuple[Inbox, ...]:
        """Those whose time is not over, oldest first."""
        ...

    async def end(self, number: int) -> bool:
        """End an inbox at once, and erase its mails, codes, deliveries and records of who was given what. False if there is none.

        A mail that was for others too stays theirs. A mail that is stored afterwards is erased in the transaction that stores it.
        """
        ...
