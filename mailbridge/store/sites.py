"""Which domains belong to an identifier: the sites of Skyvern's credentials, and the domains with proven mails to it.

Everything raises only StoreUnavailable, as does the rest of the contract. Identifiers are compared without regard to case, and
returned folded. Domains are registrable ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

Domains = Mapping[str, frozenset[str]]
"""Domains by identifier, folded."""


class Sites(Protocol):
    """Few rows, which are read completely at a start."""

    async def learned(self) -> Domains:
        """The sites that Skyvern named when it was last asked."""
        ...

    async def learn(self, sites: Domains) -> None:
        """Replace all known sites with these."""
        ...

    async def proven(self) -> Domains:
        """The domains that were proven for an identifier, while they are remembered. `Store.put` adds to them."""
        ...
