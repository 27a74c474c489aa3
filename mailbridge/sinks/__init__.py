"""Where codes go. A sink has one way in and one question; everything about retrying is somebody else's."""

from __future__ import annotations

from typing import Protocol

from mailbridge.core.delivery import Claim, Outcome


class Sink(Protocol):
    """The contract of a target. No method raises for anything that the network or the target does."""

    async def prepare(self) -> None:
        """Have a connection ready: a push may come soon. What stands in the way shows at the push."""
        ...

    async def push(self, claim: Claim) -> Outcome:
        """Hand the code over once. Never retries by itself, never follows a redirect."""
        ...

    async def holds(self, claim: Claim) -> bool | None:
        """Whether the target's newest row for this identifier is this very code; None when it cannot tell now."""
        ...

    async def identifiers(self) -> tuple[str, ...] | None:
        """The identifiers that the target asks for, as it spells them; None when it cannot tell now."""
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...
