"""Addresses for one test mail each. Every process on a store knows them until their mail has come."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol


class OneTimeAddresses(Protocol):
    """Part of a store. Addresses are folded. Raises only StoreUnavailable."""

    async def keep(self, address: str, *, identifier: str, by: str, lives: timedelta) -> None:
        """Keep an address for the next mail of an identifier. ``by`` is who asked for it, ``lives`` how long it is valid."""
        ...

    async def find(self, address: str) -> tuple[str, str] | None:
        """The identifier, and who asked for the address. None if it is not known, or has expired."""
        ...

    async def spend(self, address: str) -> None:
        """Remove an address: its mail has come."""
        ...


class Unshared:
    """Implements `OneTimeAddresses` for a store that no other process uses."""

    async def keep(self, address: str, *, identifier: str, by: str, lives: timedelta) -> None:
        """See `OneTimeAddresses.keep`."""

    async def find(self, address: str) -> tuple[str, str] | None:  # noqa: ARG002
        """See `OneTimeAddresses.find`."""
        return None

    async def spend(self, address: str) -> None:
        """See `OneTimeAddresses.spend`."""
