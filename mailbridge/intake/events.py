"""The contract by which the ways in notify the rest of the daemon: each call is cheap, returns at once and never raises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mailbridge.core.dataclass import dataclass
from mailbridge.core.delivery import Claim
from mailbridge.core.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmationRequest:
    """Google's question whether an account may forward to us: which account asks, and the link that says yes."""

    mail_id: int
    requester: str | None
    link: Secret


class Events(Protocol):
    """Implemented by the assembled daemon; `NoEvents` is for whoever has nobody to tell."""

    def on_recipient(self) -> None:
        """A recipient of ours is named, or a proof is being looked up: a code may be pushed soon."""
        ...

    def on_stored(self, identifiers: Sequence[str], claims: Sequence[Claim]) -> None:
        """A mail is on disk: who waits for these identifiers can look in the store, and ``claims`` may be sent at once."""
        ...

    def on_confirmation(self, request: ConfirmationRequest) -> None:
        """A forwarding confirmation that is proven to be Google's is on disk."""
        ...

    def on_flood(self, by: str) -> None:
        """A mail was put off because a rate was exceeded; ``by`` is ``recipient``, ``sender`` or ``client``."""
        ...


class NoEvents:
    """Events without a listener."""

    def on_recipient(self) -> None:
        """See `Events.on_recipient`."""

    def on_stored(self, identifiers: Sequence[str], claims: Sequence[Claim]) -> None:
        """See `Events.on_stored`."""

    def on_confirmation(self, request: ConfirmationRequest) -> None:
        """See `Events.on_confirmation`."""

    def on_flood(self, by: str) -> None:
        """See `Events.on_flood`."""
