"""The answers to changing requests, so that a request that is sent twice is done once.

Everything raises only StoreUnavailable, as does the rest of the contract.
"""

from __future__ import annotations

from dataclasses import field
from datetime import timedelta
from typing import Protocol

from mailbridge.core.dataclass import dataclass

KEPT = timedelta(hours=24)
"""How long an answer is kept. After that the key may be used for another request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A request that was answered before: a hash of it, and the answer. The answer is None if it was removed since."""

    request: bytes
    answer: bytes | None = field(repr=False)


class Answers(Protocol):
    """Answers by a hash of their key (32 octets). They are sealed and kept for `KEPT`."""

    async def find(self, key: bytes) -> Answered | None:
        """The answer under this key. None if there is none, or it is too old."""
        ...

    async def keep(self, key: bytes, *, request: bytes, answer: bytes) -> None:
        """Keep an answer. ``request`` is a hash of the request (32 octets). The first answer of a key stays."""
        ...
