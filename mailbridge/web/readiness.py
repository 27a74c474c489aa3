"""The state of a daemon, as `/readyz` and its watchers report it."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from mailbridge.core.dataclass import dataclass


class Level(StrEnum):
    """How we are. Only UNREADY is a 503: the daemon starts or stops, or cannot accept mail."""

    READY = "ready"
    DEGRADED = "degraded"
    UNREADY = "unready"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The answer of ``/readyz``: a level, one line a part that is not well, every watched mailbox as it is, and what becomes of
    strangers' mails."""

    level: Level
    checks: dict[str, str] = field(default_factory=dict)
    mailboxes: tuple[dict[str, object], ...] = ()
    strangers: str = ""
