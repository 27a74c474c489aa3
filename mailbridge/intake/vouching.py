"""Somebody's word for a mail, an operator's or a token's: what is handed in beside the envelope, never inside the mail."""

from __future__ import annotations

from typing import Literal

from mailbridge.core.dataclass import dataclass
from mailbridge.core.recipients import Recipient


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenWord:
    """A token's word for a text that it brings over HTTP: that its holder received it, for ``recipient``, whose identifier is one of the
    token's own.

    It is weaker than an operator's `Word`. It stands for a code alone, never for a link or a whole text; and who wrote the text is
    unknown, since a From in it is anybody's word: such a code never counts as one of a known sender.
    """

    by: str
    recipient: Recipient

    @property
    def trust(self) -> str:
        """What is written where a proof would stand."""
        return f"token: brought by {self.by}; who wrote it is not proven"
