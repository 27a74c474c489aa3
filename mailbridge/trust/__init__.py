"""What proves that a mail is what it says: signatures, chains, senders; each proof also says whom it was for."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from mailbridge.core.addresses import canonical
from mailbridge.core.dataclass import dataclass

By = Literal["dkim", "arc", "forwarder", "authres"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """A proof holds.

    ``detail`` is one phrase without a value of the mail but domains. ``named`` are the mailboxes (`canonical`) that the mail was
    for, as far as somebody said so who knows: the author, in a header that his own signature covers, or the server that
    delivered it, in a line that only it can have written. The author is among them, who may forward by hand what was his.
    ``written`` are those of the author's To and Cc, "" among them for one that cannot be read; ``sure`` are those that are named
    alone: by who delivered it, and the author himself. ``is_to_signed``: a To or Cc of the mail is the author's own word, whomever it
    names. ``is_form_signed``: the proof covers the headers that say how the body is to be read; where it does not, somebody may have
    changed them on the way. ``signed`` are the headers that the author's signature covers (small letters), where the proof is one, and
    ``signers`` who signed; ``dated_at`` is when the mail was written by a word of the proof: its signed Date, or when a server that is
    trusted took it in; ``signed_at`` is the latest moment of which the proof says that the author had written it by then, None where it says
    none. ``warning`` is for the operator, ``""`` where there is none.
    """

    by: By
    detail: str
    named: frozenset[str]
    written: frozenset[str] = frozenset()
    sure: frozenset[str] = frozenset()
    is_to_signed: bool = False
    is_form_signed: bool = True
    signed: frozenset[str] = frozenset()
    signers: frozenset[str] = frozenset()
    dated_at: datetime | None = None
    signed_at: datetime | None = None
    warning: str = ""

    def covers(self, address: str) -> bool:
        """Whether the proof is about a mail for this mailbox."""
        return canonical(address) in self.named


@dataclass(frozen=True, slots=True, kw_only=True)
class Unproven:
    """A proof does not hold, and why, in one phrase without a value of the mail but domains. ``is_broken``: what was signed is not
    what came, octet for octet."""

    by: By
    why: str
    is_broken: bool = False


Finding = Proven | Unproven
