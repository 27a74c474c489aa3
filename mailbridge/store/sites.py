"""Which domains an identifier has to do with: the sites of Skyvern's credentials, and who has proven to write to it.

Everything raises StoreUnavailable and nothing else, as the rest of the contract. Identifiers are compared without regard to case,
and given folded; domains are registrable ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

Domains = Mapping[str, frozenset[str]]
"""By identifier, folded."""


class Sites(Protocol):
    """Few rows, read whole at a start."""

    async def learned(self) -> Domains:
        """The sites that Skyvern has named, as it was last heard."""
        ...

    async def learn(self, sites: Domains) -> None:
        """Keep these in the place of all that were known."""
        ...

    async def proven(self) -> Domains:
        """The domains whose proof was seen for an identifier, while that is remembered. `Store.put` adds to them."""
        ...
