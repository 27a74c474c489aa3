"""Throw-away inboxes: what is stored while they live, and that nothing is left afterwards.

Everything raises only StoreUnavailable, as does the rest of the contract.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from mailbridge.core.inbox import Inbox


class Inboxes(Protocol):
    """Inboxes by number. Numbers and addresses are never used twice. `Store.sweep` ends expired inboxes, like `end`."""

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
        """Store a new inbox. None if ``owner`` already has ``most`` that live."""
        ...

    async def live(self) -> tuple[Inbox, ...]:
        """The inboxes that have not expired, oldest first."""
        ...

    async def end(self, number: int) -> bool:
        """End an inbox at once, and erase its mails, codes, deliveries and records of who was given what. False if there is none.

        A mail that was also for others stays theirs. A mail that is stored afterwards is erased in the transaction that stores
        it.
        """
        ...
