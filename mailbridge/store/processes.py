"""The processes that share a store, as each of them knows the others."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Protocol

from mailbridge.core.dataclass import dataclass

SKEW = timedelta(seconds=5)
"""How far the clock of a machine may be from the database's before it is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One that is alive. ``differs``: the sections of the configuration in which it is not as the one that was asked."""

    name: str
    started_at: datetime
    is_this: bool
    mailboxes: int
    differs: tuple[str, ...] = ()


class Processes(Protocol):
    """Part of a store. Raises StoreUnavailable and nothing else."""

    @property
    def differing(self) -> Mapping[str, tuple[str, ...]]:
        """By their names those with another configuration, and in which sections, as of the last heartbeat."""
        ...

    async def alive(self) -> tuple[Process, ...]:
        """All that are alive, the oldest first; none where a store has one process at most."""
        ...

    async def describe(self, configuration: str) -> None:
        """This process has that configuration from now on: a hash of each section, ``name=hash``."""
        ...


class OnlyThis:
    """Implements `Processes` where there is no other."""

    differing: Mapping[str, tuple[str, ...]] = MappingProxyType({})

    async def alive(self) -> tuple[Process, ...]:
        """See `Processes.alive`."""
        return ()

    async def describe(self, configuration: str) -> None:
        """See `Processes.describe`."""


def differences(one: str, other: str) -> tuple[str, ...]:
    """The sections in which two configurations differ; none where nothing is known of one of them."""
    if not one or not other:
        return ()
    sections, others = (dict(part.partition("=")[::2] for part in text.split()) for text in (one, other))
    return tuple(sorted(name for name in sections.keys() | others.keys() if sections.get(name) != others.get(name)))


def told(differing: Mapping[str, tuple[str, ...]]) -> str:
    """Who differs and in which sections, in a line."""
    return ", ".join(f"{name} ({' '.join(f'[{one}]' for one in sections)})" for name, sections in differing.items())


def skewed(skew: timedelta) -> str:
    """That the clock of this machine is wrong, or the database's, in a line."""
    side = "ahead of" if skew > timedelta() else "behind"
    return (
        f"this machine's clock is {abs(skew.total_seconds()):.0f} s {side} the database server's, whose time counts for codes;"
        " set both by NTP, for certificates and proofs of senders go by this one"
    )
