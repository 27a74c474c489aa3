"""The settings as the gate needs them, and what they say of a mail before any proof is looked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import TypeVar

from mailbridge.config.settings import Settings, Strangers, Trust
from mailbridge.config.values import sender_pattern
from mailbridge.core.addresses import canonical
from mailbridge.core.dataclass import dataclass
from mailbridge.core.inbox import Inbox
from mailbridge.core.recipients import Recipient
from mailbridge.intake.judgement import Failure, Held, Kind, Passed
from mailbridge.intake.meaning import Addressed, Understanding
from mailbridge.store.reading import is_of
from mailbridge.trust.known import Acquaintance, Named, names_somebody, site_of

T = TypeVar("T")

FORBIDDEN = "its sender is forbidden for this identifier; `mailbridge sender list` shows by whom"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The settings as the gate needs them."""

    default: frozenset[Trust]
    addresses: dict[str, tuple[frozenset[Trust] | None, tuple[str, ...]]]
    senders: tuple[str, ...]
    signers: dict[str, frozenset[str]]
    forwarders: frozenset[str]
    accounts: tuple[str, ...]
    servers: frozenset[str]
    known: frozenset[str] = frozenset()
    own_domains: frozenset[str] = frozenset()
    sites: dict[str, tuple[str, ...]] = field(default_factory=dict)
    acquaintance: Acquaintance = field(default_factory=Acquaintance)
    strangers: Strangers = "codes"
    is_practice: bool = False
    lifetime: timedelta = timedelta(minutes=10)

    def of(self, recipient: Recipient) -> tuple[frozenset[Trust], bool, tuple[str, ...]]:
        """For a recipient: which proofs are enough, whether its address counts as unguessable, and which senders it takes.

        An address whose own ``trust`` says ``token`` is one that the operator vouches for, however it looks.
        """
        own, senders = _of_address(self.addresses, recipient.rcpt) or (None, ())
        is_unguessable = recipient.is_token or (own is not None and "token" in own)
        return own if own is not None else self.default, is_unguessable, senders

    def sites_of(self, recipient: Recipient) -> tuple[str, ...]:
        """The sites that a recipient's address is there for."""
        return _of_address(self.sites, recipient.rcpt) or ()

    def is_own(self, mailbox: str) -> bool:
        """Whether a mailbox (`canonical`) is our own plumbing, and so nobody's who waits for a code."""
        return mailbox.rpartition("@")[2] in self.own_domains or mailbox in {canonical(one) for one in self.addresses}

    @property
    def asks_for_proofs(self) -> bool:
        """Whether a mail may have to prove what it says: what checks that, and takes time to load, will be needed."""
        own = (wanted for wanted, _ in self.addresses.values() if wanted is not None)
        return not self.is_practice and any("none" not in wanted for wanted in (self.default, *own))

    def is_exact(self, mailbox: str) -> bool:
        """Whether a mailbox is listed by itself, not by a pattern: among the known identifiers or the accounts."""
        return canonical(mailbox) in self.known

    def unwelcome(self, inbox: Inbox, understood: Understanding, kind: Kind) -> Failure | None:
        """Why a mail brings nothing into a throw-away inbox, whatever it proves; None where a proof decides."""
        sender = understood.sender
        if kind == "body":
            return Failure(check="inbox", why="an inbox takes codes and links alone")
        if inbox.senders and not any(is_of(sender, one) for one in inbox.senders):
            return Failure(check="inbox", why="its sender is none of those that the inbox was made for")
        if self.is_practice:
            return None
        if self.acquaintance.forbids(sender, inbox.identifier):
            return Failure(check="sender", why=FORBIDDEN)
        if kind == "link" and understood.link_objection:
            return Failure(check="link-host", why=understood.link_objection)
        return _unwanted(sender, (self.senders,))

    def settled(self, entry: Addressed, understood: Understanding, kind: Kind) -> Passed | Held | None:
        """What is known of a mail before any proof is looked for; None where a proof decides."""
        wanted, is_unguessable, senders = self.of(entry.recipient)
        if self.is_practice:
            return Passed(by="practice", detail="nothing leaves this machine", identification=entry.identification)
        failure = _unwanted(understood.sender, (self.senders, senders or ("*",)))
        if failure is not None:
            return Held(failures=(failure,))
        identifiers = entry.identification.identifiers
        if identifiers and all(self.acquaintance.forbids(understood.sender, one) for one in identifiers):
            return Held(failures=(Failure(check="sender", why=FORBIDDEN),))
        if "none" in wanted:
            return Passed(by="none", detail="no proof is asked for", identification=entry.identification)
        if kind == "link" and understood.link_objection:
            return Held(failures=(Failure(check="link-host", why=understood.link_objection),))
        if kind == "code" and "token" in wanted and is_unguessable:
            return Passed(by="token", detail="sent to an address that nobody can guess", identification=entry.identification)
        return None

    def asked(self, entry: Addressed, understood: Understanding, kind: Kind) -> str:
        """What the gate would ask of a mail for one recipient, in a sentence; it looks for no proof."""
        match self.settled(entry, understood, kind):
            case Passed() as passed:
                return f"would not ask: {passed.detail}"
            case Held() as held:
                return f"would hold it: {'; '.join(map(str, held.failures))}"
            case None:
                wanted = sorted(self.of(entry.recipient)[0] - {"token"})
                return f"would ask for a proof: {' or '.join(wanted)} ([[address]] trust, [trust] default)"


def policy_of(settings: Settings, *, is_practice: bool) -> Policy:
    """The policy of the settings. ``is_practice``: nothing leaves this machine, so that nothing has to be proven."""
    trust = settings.trust
    signers: dict[str, frozenset[str]] = {}
    for entry in trust.signers:
        domain, _, signer = entry.lower().partition("=")
        signers[domain.strip()] = signers.get(domain.strip(), frozenset()) | {signer.strip()}
    senders = _patterns(trust.senders)
    return Policy(
        default=_listed(trust.default) or frozenset(),
        addresses={
            **{one.mailbox.casefold(): (_listed(one.trust), _patterns(one.accept_from)) for one in settings.imap},
            **{one.rcpt.casefold(): (_listed(one.trust), _patterns(one.accept_from)) for one in settings.address},
        },
        senders=senders,
        signers=signers,
        forwarders=frozenset(one.lower() for one in trust.forwarders),
        accounts=trust.accounts,
        servers=frozenset(trust.authserv_ids),
        known=frozenset(canonical(one) for one in (*settings.identity.known, *trust.accounts) if "*" not in one),
        own_domains=frozenset(one.lower().rstrip(".") for one in (*settings.domains.accept, *settings.identity.own_domains)),
        sites={one.rcpt.casefold(): one.site for one in settings.address if one.site},
        acquaintance=_acquaintance(settings, senders),
        strangers=trust.strangers,
        lifetime=settings.rules.lifetime,
        is_practice=is_practice,
    )


def _acquaintance(settings: Settings, senders: tuple[str, ...]) -> Acquaintance:
    mailing: dict[str, frozenset[str]] = {}
    for pair in settings.trust.sites:
        site, mails = (site_of(one) for one in pair.split("=", 1))
        mailing[site] = mailing.get(site, frozenset()) | {mails}
    named = tuple(Named(sender=one.sender, identifiers=one.identifiers, is_allowed=one.allow) for one in settings.sender)
    return Acquaintance(senders=tuple(filter(names_somebody, senders)), named=named, mailing=mailing)


def _patterns(senders: tuple[str, ...] | None) -> tuple[str, ...]:
    """Senders as they are written, as patterns."""
    return tuple(sender_pattern(one) or one for one in senders or ())


def _of_address(table: Mapping[str, T], rcpt: str) -> T | None:
    """What the configuration holds for an address: as it is, or without a plus tag."""
    folded = rcpt.casefold()
    found = table.get(folded) if table else None
    if found is not None or not table or "+" not in folded:
        return found
    local, _, domain = folded.rpartition("@")
    return table.get(f"{local.partition('+')[0]}@{domain}")


def _listed(trust: Trust | tuple[Trust, ...] | None) -> frozenset[Trust] | None:
    if trust is None:
        return None
    return frozenset((trust,)) if isinstance(trust, str) else frozenset(trust)


def _unwanted(sender: str, lists: Sequence[tuple[str, ...]]) -> Failure | None:
    """A sender that one of the lists does not hold; an empty one is in no list but ``*``."""
    folded = sender.casefold()
    for patterns in lists:
        if not any(pattern == "*" or fnmatchcase(folded, pattern.casefold()) for pattern in patterns):
            return Failure(check="sender", why="its sender is not among those whose mails may be pushed")
    return None
