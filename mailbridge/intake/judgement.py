"""What the gate says of a mail: passed, held or undecided, and what in the configuration changes the outcome of each check."""

from __future__ import annotations

from dataclasses import field
from typing import Literal, get_args

from mailbridge.core.dataclass import dataclass
from mailbridge.core.identification import Identification
from mailbridge.intake.strangers import Introduction
from mailbridge.trust import Proven

Check = Literal[
    "sender",
    "link-host",
    "dkim",
    "arc",
    "forwarder",
    "authres",
    "token",
    "recipient",
    "reading",
    "age",
    "stranger",
    "platform",
    "inbox",
]
Kind = Literal["code", "link", "body"]
CHECKS: tuple[Check, ...] = get_args(Check)

KEYS: dict[Check, str] = {
    "sender": "[[address]] accept_from, [trust] senders",
    "link-host": "[trust] link_hosts, or link_hosts of a rule",
    "dkim": "[trust] signers, [[address]] trust, [trust] default",
    "arc": "[trust] forwarders, [[address]] trust, [trust] default",
    "forwarder": "[trust] accounts, [[address]] trust, [trust] default",
    "authres": "[trust] authserv_ids",
    "token": "[[address]] rcpt (`mailbridge address add`), [[address]] trust",
    "recipient": "[trust] accounts, [[address]] rcpt (`mailbridge address add`)",
    "reading": "[[address]] rcpt (`mailbridge address add`), [[address]] trust",
    "age": "[rules] lifetime, a rule's lifetime",
    "stranger": "`mailbridge sender allow`, [[address]] site, [trust] sites, [trust] strangers",
    "platform": "[trust] senders, [[address]] accept_from, `mailbridge sender allow ADDRESS`",
    "inbox": "`from` of a new inbox (`mailbridge inbox create`)",
}
"""What changes the outcome of a check."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """It may be pushed, under these identifiers. ``by`` is a proof, or ``token``, ``none``, ``operator``, ``practice``.

    ``proof`` is what proves its From, if anything does; ``introduction`` what that makes of its sender for each identifier.
    """

    by: str
    detail: str
    identification: Identification
    warning: str = ""
    proof: Proven | None = None
    introduction: Introduction = field(default_factory=Introduction)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One check that failed, and why."""

    check: Check
    why: str

    def __str__(self) -> str:
        return f"{self.check}: {self.why} ({KEYS[self.check]})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """It is stored and shown, and not pushed: what failed, each with the key of the configuration that changes it."""

    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecided:
    """DNS did not answer: nothing is known, and the sender is asked to come again."""

    reason: str


Judgement = Passed | Held | Undecided
