"""What changing requests were answered, so that one that is sent twice is done once.

Everything raises StoreUnavailable and nothing else, as the rest of the contract.
"""

from __future__ import annotations

from dataclasses import field
from datetime import timedelta
from typing import Protocol

from mailbridge.core.dataclass import dataclass

KEPT = timedelta(hours=24)
"""How long an answer is kept; the key may be used for another request after that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A request that was answered before: a hash of it, and the answer, None where that was removed since."""

    request: bytes
    answer: bytes | None = field(repr=False)


class Answers(Protocol):
    """Answers by a hash of their key (32 octets); kept sealed, for `KEPT`."""

    async def find(self, key: bytes) -> Answered | None:
        """What was answered under this key; None where nothing was, or too long ago."""
        ...

    async def keep(self, key: bytes, *, request: bytes, answer: bytes) -> None:
        """Keep an answer. ``request`` is a hash of what was asked (32 octets). The first answer of a key stays."""
        ...
