"""How far a setup is: what was answered, what was seen to work, and all that it did. It is data in the store, without a secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

ENTRY = "setup"
"""Kind and name of the entry that holds it. It is no part of the configuration."""


class Did(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was done, and when (RFC 3339)."""

    at: str
    text: str


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """``answers`` by the name of their question; ``seen`` by the name of the step that was seen to work, and how.

    ``began_at`` is RFC 3339: mails that came before do not count as the first one.
    """

    began_at: str
    answers: dict[str, str] = msgspec.field(default_factory=dict)
    seen: dict[str, str] = msgspec.field(default_factory=dict)
    did: tuple[Did, ...] = ()

    def answered(self, name: str, value: str) -> Progress:
        """The same with one more answer."""
        return msgspec.structs.replace(self, answers={**self.answers, name: value})

    def without(self, *names: str) -> Progress:
        """The same without these answers: they are asked for again."""
        return msgspec.structs.replace(self, answers={key: value for key, value in self.answers.items() if key not in names})

    def having_seen(self, found: Mapping[str, str]) -> Progress:
        """The same with further steps that were seen to work."""
        return msgspec.structs.replace(self, seen={**self.seen, **found})

    def having_done(self, text: str, at: str) -> Progress:
        """The same with one more thing that was done."""
        return msgspec.structs.replace(self, did=(*self.did, Did(at=at, text=text)))


def stored(progress: Progress) -> dict[str, Any]:
    """As JSON values for the store."""
    found: dict[str, Any] = msgspec.to_builtins(progress)
    return found


def restored(values: Mapping[str, Any]) -> Progress | None:
    """As it was stored; None for what another release wrote and this one cannot read."""
    try:
        return msgspec.convert(dict(values), Progress)
    except msgspec.ValidationError:
        return None
