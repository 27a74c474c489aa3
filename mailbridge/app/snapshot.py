"""Settings as the running parts need them, in one immutable value: a start makes one, and a reload swaps it for another.

Each part asks for its own share at the moment it needs it and keeps no copy, so that one assignment changes all of them.
"""

from __future__ import annotations

from mailbridge.app.targets import Served, pull_keys
from mailbridge.config.settings import Settings
from mailbridge.core.dataclass import dataclass
from mailbridge.core.identification import IdentityPolicy
from mailbridge.core.inbox import base_of
from mailbridge.core.recipients import Recipients
from mailbridge.dispatch.routing import Routing
from mailbridge.intake.confirming import ConfirmingPolicy
from mailbridge.intake.drafts import IntakePolicy
from mailbridge.intake.inboxes import Inboxes
from mailbridge.intake.parser_config import ParserConfig, parser_config_of
from mailbridge.intake.policy import Policy, policy_of
from mailbridge.web.polls import PullPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that a reload may change. ``guide`` is what the parser workers run with."""

    settings: Settings
    parser_config: ParserConfig
    recipients: Recipients
    identity: IdentityPolicy
    gate: Policy
    intake: IntakePolicy
    pull: PullPolicy
    confirming: ConfirmingPolicy

    def accepts(self, rcpt: str) -> bool:
        """Whether an address is one of ours, asked at RCPT TO."""
        return self.recipients.accept(rcpt) is not None

    def lists(self, address: str) -> bool:
        """Whether an address is listed by itself, as a recipient or an identifier."""
        return base_of(address) in {
            base_of(one) for entry in self.settings.address for one in (entry.rcpt, entry.identifier or "")
        }

    def is_known(self, identifier: str) -> bool:
        """Whether a mail's code could ever be for this identifier."""
        bound = (entry.identifier.casefold() for entry in self.settings.address if entry.identifier)
        policy = self.identity
        return policy.spelling(identifier) is not None or policy.is_allowed(identifier) or identifier.casefold() in bound


@dataclass(slots=True)
class Live:
    """The snapshot that counts now. Assigning ``now`` is the whole of a swap.

    ``base`` are the settings of file and environment alone; ``revision`` is that of the entries which were looked at last. ``inboxes``
    are the throw-away inboxes, which no reload touches. ``is_leaving``: the daemon was told to stop, so nobody should begin anything here.
    """

    now: Snapshot
    base: Settings
    revision: int
    inboxes: Inboxes
    is_leaving: bool = False

    def accepts(self, rcpt: str) -> bool:
        """Whether mail for an address is taken, asked at RCPT TO. That of an inbox is taken while it lives, whatever the domain takes."""
        if self.inboxes.at(rcpt) is not None:
            return True
        return self.now.accepts(rcpt) and not (self.inboxes.is_over(rcpt) and not self.now.lists(rcpt))

    def is_known(self, identifier: str) -> bool:
        """Whether a mail's code could ever be for this identifier. For an inbox it can while that lives."""
        if self.inboxes.named(identifier) is not None:
            return True
        return self.now.is_known(identifier) and not (self.inboxes.is_over(identifier) and not self.now.lists(identifier))


def snapshot(
    settings: Settings, *, rules: tuple[tuple[str, str], ...], served: Served, learned: tuple[str, ...] = ()
) -> Snapshot:
    """``rules`` are the texts of the operator's rule files; ``learned`` the identifiers that Skyvern's credentials name."""
    parser_config = parser_config_of(settings, rules=rules, learned=learned)
    routing = Routing(settings.target, main=served.main)
    return Snapshot(
        settings=settings,
        parser_config=parser_config,
        recipients=parser_config.recipients(),
        identity=IdentityPolicy(known=settings.identity.known, learned=learned),
        gate=policy_of(settings, is_practice=served.is_only_practice),
        intake=IntakePolicy(
            routes=routing,
            lifetime=settings.rules.lifetime,
            push_ambiguous=settings.rules.ambiguous == "push-best",
            alarm_held=settings.trust.alarm_held,
        ),
        pull=PullPolicy(keys=pull_keys(settings, served.targets), grace=settings.pull.grace, totp_left=settings.pull.totp_left),
        confirming=ConfirmingPolicy(accounts=settings.trust.accounts, is_on=settings.trust.confirm and not served.is_practice),
    )
