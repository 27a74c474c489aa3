"""What happened beside mails and deliveries, and how far listeners have been told: the part of the store that events stand on.

An event is a line of the journal, written in the transaction of its cause. A listener (a target that is told of events, a notice) has
a place in the journal, and what lies behind that is what it still has to be told: nothing is copied for it, and nothing is lost with
the process. Everything raises StoreUnavailable and nothing else, as the rest of the contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Events(Protocol):
    """Lines that no mail has, alarms, and the places of listeners."""

    async def note(self, event: str, *, identifier: str = "", detail: str = "") -> None:
        """Write a line of the journal about an identifier, or about none. ``detail`` holds no secret."""
        ...

    async def alarms(self) -> Mapping[str, str]:
        """The alarms that were raised and are not over, with the reason of each."""
        ...

    async def raise_alarm(self, name: str, reason: str, *, event: str) -> bool:
        """Keep an alarm and write its line, ``event`` with ``name: reason``; False if it was raised already: its reason is kept anew."""
        ...

    async def clear_alarm(self, name: str, *, event: str) -> bool:
        """Forget an alarm and write its line; False if it was not raised."""
        ...

    async def listen(self, names: Sequence[str]) -> None:
        """These are the listeners from now on. One that is new begins with what happens next; the place of one that is gone is forgotten."""
        ...

    async def place(self, name: str) -> int:
        """The last line of the journal that a listener was told of, or did not want; 0 where it has none."""
        ...

    async def told(self, name: str, line: int) -> None:
        """A listener was told up to this line. Its place never goes back."""
        ...
