"""What the contract suite asks of a receiver, be it Skyvern itself or the practice receiver."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, Protocol

Kind = Literal["totp", "magic_link"]
Mood = Literal["reads", "finds nothing", "is down"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a receiver's lookup gives to a run that waits; both None while it has nothing."""

    value: str | None
    kind: Kind | None


class Receiver(Protocol):
    """A receiver that listens on loopback."""

    base_url: str
    api_key: str

    def resolve(self, identifier: str, *, workflow_run_id: str | None = None, kind: Kind | None = None) -> Found:
        """What its own lookup gives for an identifier, to a run where one is named."""
        ...

    def make_run(self) -> str:
        """The id of a new workflow run that has not been started, so that codes of any age are visible to it."""
        ...

    def age(self, identifier: str, by: timedelta) -> None:
        """Make everything that it holds for an identifier so much older."""
        ...

    def language_model(self, mood: Mood) -> None:
        """How the model behaves that reads texts longer than a code: it takes the first six digits, finds nothing, or is down."""
        ...
