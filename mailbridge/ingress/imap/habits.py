"""What is learned about an account's server: shared by the connections of its folders, and kept over restarts with each folder."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from mailbridge.core.dataclass import dataclass
from mailbridge.ingress.imap.mute import Mute
from mailbridge.ingress.imap.tempo import Tempo

LEARNED = ("needs_select", "refuses_examine", "refuses_plain", "refuses_status", "searches_numbers", "wants_star")
"""What is kept as a yes or no."""
MISSES = 2
"""So many pipelined rounds that the server does not answer, and it gets one command at a time."""


@dataclass(slots=True)
class Habits:
    """How a server behaves. ``pipelines`` is the operator's word or the preset's; None: it is tried.

    Each value is written and read as one, by any thread.
    """

    tempo: Tempo = field(default_factory=Tempo)
    pipelines: bool | None = None
    misses: int = 0
    mute: Mute = field(default_factory=lambda: Mute(time.monotonic))
    needs_select: bool = False
    """EXAMINE gives the mailbox a new UIDVALIDITY each time."""
    refuses_examine: bool = False
    refuses_plain: bool = False
    """AUTHENTICATE PLAIN is offered and refused; LOGIN is taken."""
    refuses_status: bool = False
    searches_numbers: bool = False
    """SEARCH takes UIDs for sequence numbers (mailutils), or is refused."""
    wants_star: bool = False
    """The largest UID is no number here: what is new ends with ``*``."""

    @property
    def is_pipelined(self) -> bool:
        """Whether several commands may go out at once."""
        return self.misses < MISSES if self.pipelines is None else self.pipelines

    def missed(self) -> None:
        """A pipelined round was not answered to its end."""
        self.misses = min(self.misses + 1, MISSES)

    def worked(self) -> None:
        """A pipelined round was answered."""
        self.misses = 0

    def told(self) -> dict[str, Any]:
        """As plain data, to be stored."""
        return {
            "misses": self.misses,
            **{name: getattr(self, name) for name in LEARNED},
            "tempo": dict(self.tempo.grown),
        }

    def take(self, told: Mapping[str, Any]) -> None:
        """Take up what was stored; what another folder has learned meanwhile stays."""
        misses = told.get("misses")
        self.misses = max(self.misses, misses if isinstance(misses, int) else 0)
        for name in LEARNED:
            setattr(self, name, getattr(self, name) or told.get(name) is True)
        grown = told.get("tempo")
        if isinstance(grown, dict):
            known = {str(name): float(value) for name, value in grown.items() if isinstance(value, int | float)}
            self.tempo.grown = known | self.tempo.grown
