"""What a check finds, and what it may ask: the contract of a check of the doctor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from mailbridge.config.settings import Settings
from mailbridge.core.dataclass import dataclass
from mailbridge.operator.faults import Fault
from mailbridge.operator.shapes import Status
from mailbridge.sinks.skyvern_account import SkyvernAccount
from mailbridge.store import Store
from mailbridge.trust.dns import Resolver


class Level(StrEnum):
    """The result of a check. ``UNKNOWN``: it could not be done."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line. ``check`` is its stable name, ``hint`` the setting or command that fixes it ("" where it is well)."""

    check: str
    level: Level
    text: str
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a probe of a mailbox, and what came of it."""

    name: str
    is_good: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A certificate as it is served. ``is_own``: the self-signed pair that the daemon made."""

    not_after: datetime
    names: tuple[str, ...]
    is_own: bool


class Probes(Protocol):
    """What only higher rooms can do; `app` hands it in. Each may block, and is called in a thread."""

    def places(self) -> tuple[Path, Path]:
        """The file of the database, and that of its key."""
        ...

    def problems(self) -> Sequence[str]:
        """What a reload with the configuration as it is on disk now would be refused for."""
        ...

    def mailbox(self, label: str) -> Sequence[Step]:
        """Connect to a mailbox, log in, open its folders and fetch one mail, until a step fails."""
        ...

    def certificate(self) -> Served | None:
        """The certificate for STARTTLS; None if TLS is off, or it cannot be read."""
        ...

    def stranger(self) -> str | None:
        """A package of somebody else's that shares our files."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """What a check may look at. ``status`` is a fault where no daemon runs. ``database`` is its file."""

    settings: Settings
    store: Store
    status: Status | Fault
    probes: Probes
    dns: Resolver
    skyvern: Callable[[], SkyvernAccount | Fault]
    database: Path
    key: Path
    now: Callable[[], datetime]
    drift: timedelta = timedelta()


Check = Callable[[Patient], AsyncIterator[Finding]]


def ok(check: str, text: str) -> Finding:
    """It is well."""
    return Finding(check=check, level=Level.OK, text=text)


def warning(check: str, text: str, hint: str) -> Finding:
    """It works, and should not be so."""
    return Finding(check=check, level=Level.WARNING, text=text, hint=hint)


def failure(check: str, text: str, hint: str) -> Finding:
    """It does not work."""
    return Finding(check=check, level=Level.FAILURE, text=text, hint=hint)


def unknown(check: str, text: str, hint: str = "") -> Finding:
    """It could not be looked at."""
    return Finding(check=check, level=Level.UNKNOWN, text=text, hint=hint)
