"""What is learned about an account's server. The connections of its folders share it, and it is stored with each folder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from mailbridge.core.dataclass import dataclass
from mailbridge.ingress.imap.mute import Mute
from mailbridge.ingress.imap.tempo import Tempo

LEARNED = ("needs_select", "refuses_examine", "refuses_plain", "refuses_status", "searches_numbers", "wants_star")
"""What is stored as yes or no."""
MISSES = 2
"""After this many pipelined rounds without an answer the server gets one command at a time."""


@dataclass(slots=True)
class Habits:
    """How a server behaves. ``pipelines`` is the operator's setting or the preset's; None: it is tried.

    Each value is written and read as a whole, by any thread.
    """

    tempo: Tempo = field(default_factory=Tempo)
    pipelines: bool | None = None
    misses: int = 0
    mute: Mute = field(default_factory=lambda: Mute(time.monotonic))
    needs_select: bool = False
    """EXAMINE gives the mailbox a new UIDVALIDITY each time."""
    refuses_examine: bool = False
    refuses_plain: bool = False
    """AUTHENTICATE PLAIN is offered and refused; LOGIN works."""
    refuses_status: bool = False
    searches_numbers: bool = False
    """SEARCH reads UIDs as sequence numbers (mailutils), or is refused."""
    wants_star: bool = False
    """The server does not accept the largest UID as a number. A range of new mails must end with ``*``."""

    @property
    def is_pipelined(self) -> bool:
        """Whether several commands may be sent at once."""
        return self.misses < MISSES if self.pipelines is None else self.pipelines

    def missed(self) -> None:
        """Note that a pipelined round was not answered completely."""
        self.misses = min(self.misses + 1, MISSES)

    def worked(self) -> None:
        """Note that a pipelined round was answered."""
        self.misses = 0

    def told(self) -> dict[str, Any]:
        """The values as plain data, for the store."""
        return {
            "misses": self.misses,
            **{name: getattr(self, name) for name in LEARNED},
            "tempo": dict(self.tempo.grown),
        }

    def take(self, told: Mapping[str, Any]) -> None:
        """Load what was stored. What another folder has learned meanwhile stays."""
        misses = told.get("misses")
        self.misses = max(self.misses, misses if isinstance(misses, int) else 0)
        for name in LEARNED:
            setattr(self, name, getattr(self, name) or told.get(name) is True)
        grown = told.get("tempo")
        if isinstance(grown, dict):
            known = {str(name): float(value) for name, value in grown.items() if isinstance(value, int | float)}
            self.tempo.grown = known | self.tempo.grown
