"""Where codes go. A sink has one way in and one question; everything about retrying is somebody else's."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from mailbridge.core.delivery import Claim, Outcome
from mailbridge.sinks.skyvern_pages import Login


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


@runtime_checkable
class KnowsLogins(Protocol):
    """A target that also knows at which sites its identifiers log in. Raises as little as a `Sink`."""

    async def logins(self) -> tuple[Login, ...] | None:
        """The logins that it knows, with the identifier of each as it spells it; None when it cannot tell now."""
        ...

    async def page_of(self, *, run: str | None, task: str | None) -> str:
        """The page at which a run logs in; "" where it does not say."""
        ...
