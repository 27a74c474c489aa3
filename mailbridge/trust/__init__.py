"""What proves that a mail is what it says: signatures, chains, senders; each proof also says whom it was for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mailbridge.core.addresses import canonical

By = Literal["dkim", "arc", "forwarder", "authres"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """A proof holds.

    ``detail`` is one phrase without a value of the mail but domains. ``named`` are the mailboxes (`canonical`) that it covers:
    a signature that is replayed to somebody else names its first recipient still. The author is among them, who may forward by hand
    what was his; None: it speaks for any recipient.
    ``is_forwarders``: it is the word of a listed account's own mail service, which all listed accounts are ours to. ``warning`` is for the operator, ``""`` where there is none.
    """

    by: By
    detail: str
    named: frozenset[str] | None
    is_forwarders: bool = False
    warning: str = ""

    def covers(self, address: str) -> bool:
        """Whether the proof is about a mail for this mailbox."""
        return self.named is None or canonical(address) in self.named


@dataclass(frozen=True, slots=True, kw_only=True)
class Unproven:
    """A proof does not hold, and why, in one phrase without a value of the mail but domains."""

    by: By
    why: str


Finding = Proven | Unproven
