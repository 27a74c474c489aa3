"""The processes that share a store, as each of them sees the others."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Protocol

from mailbridge.core.dataclass import dataclass

SKEW = timedelta(seconds=5)
"""How far a machine's clock may differ from the database's before a warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process that is alive. ``differs`` are the sections of the configuration that differ from those of the process that
    was asked."""

    name: str
    started_at: datetime
    is_this: bool
    mailboxes: int
    differs: tuple[str, ...] = ()


class Processes(Protocol):
    """Part of a store. Raises only StoreUnavailable."""

    @property
    def differing(self) -> Mapping[str, tuple[str, ...]]:
        """The processes with another configuration, by name, with the sections that differ, as of the last heartbeat."""
        ...

    async def alive(self) -> tuple[Process, ...]:
        """All live processes, the oldest first. Empty if a store can have only one process."""
        ...

    async def describe(self, configuration: str) -> None:
        """Publish the configuration of this process: a hash of each section, ``name=hash``."""
        ...


class OnlyThis:
    """Implements `Processes` for a store with a single process."""

    differing: Mapping[str, tuple[str, ...]] = MappingProxyType({})

    async def alive(self) -> tuple[Process, ...]:
        """See `Processes.alive`."""
        return ()

    async def describe(self, configuration: str) -> None:
        """See `Processes.describe`."""


def differences(one: str, other: str) -> tuple[str, ...]:
    """The sections in which two configurations differ; empty if nothing is known of one of them."""
    if not one or not other:
        return ()
    sections, others = (dict(part.partition("=")[::2] for part in text.split()) for text in (one, other))
    return tuple(sorted(name for name in sections.keys() | others.keys() if sections.get(name) != others.get(name)))


def told(differing: Mapping[str, tuple[str, ...]]) -> str:
    """Which processes differ and in which sections, in one line."""
    return ", ".join(f"{name} ({' '.join(f'[{one}]' for one in sections)})" for name, sections in differing.items())


def skewed(skew: timedelta) -> str:
    """A line that says that the clock of this machine or of the database is wrong."""
    side = "ahead of" if skew > timedelta() else "behind"
    return (
        f"this machine's clock is {abs(skew.total_seconds()):.0f} s {side} the database server's, whose time counts for codes;"
        " set both by NTP, for certificates and proofs of senders go by this one"
    )
