"""Proofs of who wrote a mail: signatures, seals, forwarders and mailbox servers. Each proof also says for whom the mail was."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from mailbridge.core.addresses import canonical
from mailbridge.core.dataclass import dataclass

By = Literal["dkim", "arc", "forwarder", "authres"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """A proof that holds.

    ``detail`` is one phrase. It contains no value of the mail except domains.

    ``named`` are the mailboxes (`canonical`) that the mail was for. Two sources count: a header that the author's own signature
    covers, and a line that only the delivering server can have written. The author's own mailbox is always among them, because
    authors forward their own mail by hand. ``written`` are the mailboxes in the author's To and Cc; "" stands for one that cannot
    be read. ``sure`` are the mailboxes that the delivering server names, and the author's own.

    ``is_to_signed``: a To or Cc of the mail is the author's own word, whomever it names. ``is_form_signed``: the proof covers the
    headers that say how to read the body; if it does not, somebody may have changed them on the way. ``signed`` are the headers
    (lower case) that the author's signature covers, if the proof is a signature. ``signers`` are the domains that signed.

    ``dated_at`` is when the mail was written, according to the proof: its signed Date, or the time at which a trusted server took
    it in. ``signed_at`` is the latest time by which the proof says the mail was written; None if it says none. ``warning`` is for
    the operator; ``""`` if there is none.
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
    """A proof that does not hold. ``why`` is the reason in one phrase, with no value of the mail except domains. ``is_broken``:
    the mail that came is not, octet for octet, the mail that was signed."""

    by: By
    why: str
    is_broken: bool = False


Finding = Proven | Unproven
