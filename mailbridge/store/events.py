"""Events that belong to no mail or delivery, and how far listeners have been told: the part of the store behind events.

An event is a line of the journal, written in the transaction of its cause. A listener (a target that gets events, or a notice)
has a place in the journal. It still has to be told the lines after that place. Nothing is copied for it, and nothing is lost with
the process. Everything raises only StoreUnavailable, as does the rest of the contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Events(Protocol):
    """Journal lines that belong to no mail, alarms, and the places of listeners."""

    async def note(self, event: str, *, identifier: str = "", detail: str = "") -> None:
        """Write a line of the journal, about an identifier or about none. ``detail`` contains no secret."""
        ...

    async def alarms(self) -> Mapping[str, str]:
        """The alarms that are raised now, with the reason of each."""
        ...

    async def raise_alarm(self, name: str, reason: str, *, event: str) -> bool:
        """Keep an alarm and write its line, ``event`` with ``name: reason``. False if it was already raised; then only its
        reason is updated."""
        ...

    async def clear_alarm(self, name: str, *, event: str) -> bool:
        """Remove an alarm and write its line. False if it was not raised."""
        ...

    async def listen(self, names: Sequence[str]) -> None:
        """Set the listeners. A new one starts with the next event. The place of one that is gone is removed."""
        ...

    async def place(self, name: str) -> int:
        """The last line of the journal that a listener was told of, or did not want. 0 if it has none."""
        ...

    async def told(self, name: str, line: int) -> None:
        """Note that a listener was told up to this line. Its place never goes back."""
        ...
