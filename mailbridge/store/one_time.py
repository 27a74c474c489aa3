"""Addresses for one test mail each, known to every process on a store until their mail has come."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol


class OneTimeAddresses(Protocol):
    """Part of a store. Addresses are folded. Raises StoreUnavailable and nothing else."""

    async def keep(self, address: str, *, identifier: str, by: str, lives: timedelta) -> None:
        """An address is for the next mail of an identifier, asked for by somebody."""
        ...

    async def find(self, address: str) -> tuple[str, str] | None:
        """Identifier, and who has asked; None where it is not known, or over."""
        ...

    async def spend(self, address: str) -> None:
        """Its mail has come."""
        ...


class Unshared:
    """Implements `OneTimeAddresses` where no other process would ask."""

    async def keep(self, address: str, *, identifier: str, by: str, lives: timedelta) -> None:
        """See `OneTimeAddresses.keep`."""

    async def find(self, address: str) -> tuple[str, str] | None:  # noqa: ARG002
        """See `OneTimeAddresses.find`."""
        return None

    async def spend(self, address: str) -> None:
        """See `OneTimeAddresses.spend`."""
