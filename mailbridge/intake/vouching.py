"""An operator's word for a mail: what is handed in beside the envelope, never inside the mail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """Who hands a mail in by hand, and as what.

    ``origin`` is the stored mail that is handed in again, 0 for a new one. ``vouches``: the operator's word stands for every proof;
    without it the mail has to prove itself like any other. ``by`` is the operator's name, for the mail's record.
    """

    verb: Literal["released", "replayed", "imported", "tested"]
    by: str
    origin: int = 0
    vouches: bool = True

    @property
    def trust(self) -> str:
        """What is written where a proof would stand."""
        return f"operator: {self.verb} by {self.by}" + (f", first came as mail {self.origin}" if self.origin else "")
