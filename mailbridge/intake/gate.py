"""The gate: whether what a mail holds may be pushed, by what proof, or which checks failed and what changes that.

It runs after the mail is understood and before it is stored, in the daemon itself: proofs ask DNS, which the worker must not.
A mail from which nothing would be pushed, and a code to an address that nobody can guess, cost no proof at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Literal, Protocol, TypeVar

from mailbridge.config.settings import Settings, Strangers, Trust
from mailbridge.config.values import sender_pattern
from mailbridge.core.addresses import canonical
from mailbridge.core.confirmation import SENDER as CONFIRMING
from mailbridge.core.identification import Identification
from mailbridge.core.mail import Envelope
from mailbridge.core.recipients import Recipient
from mailbridge.intake.meaning import Addressed, Understanding
from mailbridge.intake.strangers import (
    Contacts,
    Introduction,
    Meeting,
    NoContacts,
    introduce,
    introduced_by_hand,
    is_worth_a_proof,
)
from mailbridge.trust import Finding, Proven, Unproven, arc, authres, direct, dkim, raw, recipients, spf
from mailbridge.trust.authors import oddity
from mailbridge.trust.dns import DnsUnavailable, Resolver
from mailbridge.trust.known import Acquaintance, Named, names_somebody, site_of

Check = Literal[
    "sender", "link-host", "dkim", "arc", "forwarder", "authres", "token", "recipient", "reading", "stranger", "platform"
]
T = TypeVar("T")
Kind = Literal["code", "link", "body"]
CHECKS: tuple[Check, ...] = (
    "sender",
    "link-host",
    "dkim",
    "arc",
    "forwarder",
    "authres",
    "token",
    "recipient",
    "reading",
    "stranger",
    "platform",
)

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
    "stranger": "`mailbridge sender allow`, [[address]] site, [trust] sites, [trust] strangers",
    "platform": "[trust] senders, [[address]] accept_from, `mailbridge sender allow ADDRESS`",
}
"""What changes the outcome of a check."""

SEVERAL = "but it was written to several mailboxes, and nobody who knows says for which of them"
UNCERTAIN = "the headers that say how its body is read are not signed, and read in another way that fits it holds something else"
FORBIDDEN = "its sender is forbidden for this identifier; `mailbridge sender list` shows by whom"
LATE = "DNS did not answer in time"
INEXACT = (
    "but whoever brought the mail made text of it on the way, which can change its octets and break a genuine signature; let it bring "
    "the mail unchanged (docs/ingest.md)"
)


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

    def is_exact(self, mailbox: str) -> bool:
        """Whether a mailbox is listed by itself, not by a pattern: among the known identifiers or the accounts."""
        return canonical(mailbox) in self.known

    def settled(self, entry: Addressed, understood: Understanding, kind: Kind) -> Passed | Held | None:
        """What is known of a mail before any proof is looked for; None where a proof decides."""
        wanted, is_unguessable, senders = self.of(entry.recipient)
        if self.is_practice:
            return Passed(by="practice", detail="nothing leaves this machine", identification=entry.identification)
        failure = _unwanted(understood.sender, (self.senders, senders or ("*",)))
        if failure is not None:
            return Held(failures=(failure,))
        identifiers = entry.identification.identifiers
        if (
            identifiers
            and self.acquaintance.named
            and all(self.acquaintance.forbids(understood.sender, one) for one in identifiers)
        ):
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


class Judge(Protocol):
    """What `Intake` asks before it lets anything out."""

    @property
    def contacts(self) -> Contacts:
        """Who is known, and who waits."""
        ...

    async def judge(self, envelope: Envelope, understood: Understanding, kind: Kind) -> tuple[Judgement, ...]:
        """One judgement for each of ``understood.addressed``."""
        ...

    async def confirmation(self, envelope: Envelope, understood: Understanding) -> Finding | Undecided:
        """Whether a forwarding confirmation is Google's own."""
        ...


class Gate:
    """Implements `Judge`. One for a daemon; ``policy`` is asked for each mail, since a reload changes it."""

    def __init__(
        self,
        *,
        policy: Callable[[], Policy],
        dns: Resolver,
        deadline: timedelta = timedelta(seconds=3),
        contacts: Contacts | None = None,
    ) -> None:
        self.contacts = contacts or NoContacts()
        self._policy = policy
        self._dns = dns
        self._deadline = deadline.total_seconds()

    @property
    def policy(self) -> Policy:
        """The settings that count now."""
        return self._policy()

    async def judge(self, envelope: Envelope, understood: Understanding, kind: Kind) -> tuple[Judgement, ...]:
        """See `Judge.judge`. A proof is looked for once for the whole mail, and all of them within the deadline."""
        proofs = _Proofs(envelope, understood, self.policy, self._dns)
        try:
            async with asyncio.timeout(self._deadline):
                return tuple([await self._one(entry, understood, kind, proofs) for entry in understood.addressed])
        except TimeoutError:
            return (Undecided(reason=LATE),) * len(understood.addressed)

    async def confirmation(self, envelope: Envelope, understood: Understanding) -> Finding | Undecided:
        """See `Judge.confirmation`: signed by google.com exactly, from its one address, and for one of the recipients."""
        if self.policy.is_practice:
            return Proven(by="dkim", detail="practice: nothing leaves this machine", named=frozenset())
        if understood.sender.casefold() != CONFIRMING:
            return Unproven(by="dkim", why=f"it is not from {CONFIRMING}")
        mail = raw.read(envelope.content)
        try:
            async with asyncio.timeout(self._deadline):
                found = await dkim.check(
                    mail, sender=understood.sender, signers={}, dns=self._dns, now=envelope.received_at, is_exact=True
                )
        except DnsUnavailable as fault:
            return Undecided(reason=str(fault))
        except TimeoutError:
            return Undecided(reason=LATE)
        if isinstance(found, Proven) and envelope.rcpt_to and not any(found.covers(rcpt) for rcpt in envelope.rcpt_to):
            return Unproven(by="dkim", why="it was written to another address")
        if isinstance(found, Proven) and not found.is_form_signed and not understood.is_certain:
            return Unproven(by="dkim", why=UNCERTAIN)
        return found

    async def _one(self, entry: Addressed, understood: Understanding, kind: Kind, proofs: _Proofs) -> Judgement:
        judgement = await self._judged(entry, understood, kind, proofs)
        return await self._introduced(judgement, entry, understood, kind, proofs) if isinstance(judgement, Passed) else judgement

    async def _introduced(
        self, passed: Passed, entry: Addressed, understood: Understanding, kind: Kind, proofs: _Proofs
    ) -> Judgement:
        """What has passed, with who its sender is; held where nothing of it may go for that."""
        policy, identifiers = self.policy, passed.identification.identifiers
        if policy.is_practice:
            return replace(passed, introduction=introduced_by_hand(identifiers, understood))
        meeting = Meeting(
            understood=understood,
            kind=kind,
            identifiers=identifiers,
            by=passed.by,
            proof=passed.proof,
            accept_from=policy.of(entry.recipient)[2],
            sites=policy.sites_of(entry.recipient),
        )
        if passed.proof is None and is_worth_a_proof(meeting, policy.acquaintance, self.contacts):
            proof = await self._author(proofs, entry.recipient.rcpt, is_certain=understood.is_certain)
            is_copy = (
                proof is not None and passed.by != "forwarder" and self._is_anothers(entry, proof, identifiers, proofs.sender)
            )
            meeting = replace(meeting, proof=None if is_copy else proof, is_copy=is_copy)
        introduction = introduce(meeting, policy.acquaintance, self.contacts, strangers=policy.strangers)
        if not introduction.standings and introduction.failures:
            return Held(failures=tuple(Failure(check=check, why=why) for check, why in introduction.failures))
        for identifier in introduction.standings if introduction.domain else ():
            self.contacts.note_proven(identifier, introduction.domain)
        return Passed(
            by=passed.by,
            detail=passed.detail,
            identification=passed.identification,
            warning=passed.warning,
            proof=passed.proof,
            introduction=introduction,
        )  # a replace() takes three times as long

    async def _author(self, proofs: _Proofs, rcpt: str, *, is_certain: bool) -> Proven | None:
        """What proves the From of a mail that has passed by something else; None where nothing does, or not soon."""
        try:
            async with asyncio.timeout(self._deadline / 2):
                for check in proofs.of_author():
                    found = await proofs.find(check, rcpt)
                    if isinstance(found, Proven) and (is_certain or found.is_form_signed):
                        return found
        except (DnsUnavailable, TimeoutError):
            pass
        return None

    async def _judged(self, entry: Addressed, understood: Understanding, kind: Kind, proofs: _Proofs) -> Judgement:
        settled = self.policy.settled(entry, understood, kind)
        if settled is not None:
            return settled
        wanted, is_unguessable, _ = self.policy.of(entry.recipient)
        judgement = await self._proven(entry, wanted, proofs, is_certain=understood.is_certain)
        if isinstance(judgement, Held) and "token" in wanted:
            why = "an address is no proof for a link or a text" if is_unguessable else "the address can be guessed"
            return Held(failures=(*judgement.failures, Failure(check="token", why=why)))
        return judgement

    async def _proven(self, entry: Addressed, wanted: frozenset[Trust], proofs: _Proofs, *, is_certain: bool) -> Judgement:
        failures: list[Failure] = []
        waiting = ""
        for check in proofs.worth(wanted):
            try:
                found = await proofs.find(check, entry.recipient.rcpt)
            except DnsUnavailable as fault:
                waiting = str(fault)
                continue
            if isinstance(found, Unproven):
                failures.append(Failure(check=check, why=found.why))
                continue
            if not is_certain and not found.is_form_signed:
                failures.append(Failure(check="reading", why=f"{found.detail}, but {UNCERTAIN}"))
                continue
            identification = self._covered(entry, found, sender=proofs.sender)
            if isinstance(identification, Identification):
                return Passed(
                    by=check,
                    detail=found.detail,
                    identification=identification,
                    warning=found.warning,
                    proof=found if check != "forwarder" else None,
                )
            failures.append(Failure(check="recipient", why=f"{found.detail}, {identification}"))
        return Undecided(reason=waiting) if waiting else Held(failures=tuple(failures))

    def _covered(self, entry: Addressed, proof: Proven, *, sender: str) -> Identification | str:
        """The identifiers that the proof speaks for, or why it does for none: a genuine mail that is sent on to somebody else is not
        for them, and one that names a stranger beside them may not be."""
        if entry.recipient.identifier is not None:
            return self._bound(entry, proof, entry.recipient.identifier, sender=sender)
        why = recipients.unnamed(proof)
        for candidate in (entry.identification, entry.unstamped):
            if candidate is None:
                continue
            covered = tuple(one for one in candidate.identifiers if proof.covers(one))
            kept = tuple(one for one in covered if self._is_meant(one, entry, proof, sender=sender))
            if kept:
                return Identification(identifiers=kept, source=candidate.source, clues=candidate.clues, reason=candidate.reason)
            why = SEVERAL if covered else why
        return why

    def _bound(self, entry: Addressed, proof: Proven, identifier: str, *, sender: str) -> Identification | str:
        """For an address that is bound: what was written to it, to its identifier or to a listed account, and to no stranger beside."""
        ours = {canonical(identifier), canonical(entry.recipient.rcpt)}
        ours |= {one for one in proof.named if spf.is_listed(one, self.policy.accounts)}
        named = ours & proof.named
        is_unguessable = self.policy.of(entry.recipient)[1]
        if not named and is_unguessable and not proof.written:
            return entry.identification  # the author says nothing, and only who set it up knows the address
        if not named:
            return recipients.unnamed(proof)
        if named & proof.sure or is_unguessable:
            return entry.identification
        beside = recipients.others(proof, identifier, sender=sender, is_own=self.policy.is_own) - ours
        is_clear = all(any(recipients.is_neighbour(one, own) for own in ours) for one in beside)
        return entry.identification if is_clear else SEVERAL

    def _is_anothers(self, entry: Addressed, proof: Proven, identifiers: Sequence[str], sender: str) -> bool:
        """Whether the author has signed that the mail is for somebody else, so that whoever got it may have sent it on. An identifier
        that is no mailbox, or another mailbox of the same organization, is nobody else's."""
        ours = {canonical(one) for one in (*identifiers, entry.recipient.rcpt)}
        if not proof.written or not all("@" in one for one in identifiers) or proof.named & ours:
            return False
        beside = (
            recipients.others(proof, identifiers[0], sender=sender, is_own=self.policy.is_own) if identifiers else frozenset()
        )
        return beside == proof.written and not any(
            spf.is_listed(one, self.policy.accounts) or any(recipients.is_neighbour(one, own) for own in identifiers)
            for one in beside
        )

    def _is_meant(self, identifier: str, entry: Addressed, proof: Proven, *, sender: str) -> bool:
        """Whether a mail that names this mailbox, and perhaps others, is for this one: nobody else could be meant, or of the others
        of its organization none is listed by itself, as it is."""
        beside = recipients.others(proof, identifier, sender=sender, is_own=self.policy.is_own) - {
            canonical(entry.recipient.rcpt)
        }
        is_single = self.policy.is_exact(identifier) and not any(map(self.policy.is_exact, beside))
        return not beside or (is_single and all(recipients.is_neighbour(one, identifier) for one in beside))


class _Proofs:
    """The proofs of one mail, each looked for at most once (for each recipient, where it depends on that)."""

    def __init__(self, envelope: Envelope, understood: Understanding, policy: Policy, dns: Resolver) -> None:
        self._envelope = envelope
        self.sender = understood.sender
        self._oddity = "" if understood.sender else oddity(understood.defects)
        self._policy = policy
        self._dns = dns
        self._mail: raw.RawMail | None = None
        self._found: dict[tuple[str, str], Finding] = {}

    def worth(self, wanted: frozenset[Trust]) -> Sequence[Literal["authres", "dkim", "arc", "forwarder"]]:
        """The proofs to look for, cheapest first. A mailbox's server speaks for signatures and seals alike."""
        checks: list[Literal["authres", "dkim", "arc", "forwarder"]] = []
        if self._envelope.is_fetched and self._policy.servers and wanted & {"dkim", "arc"}:
            checks.append("authres")
        if "dkim" in wanted:
            checks.append("dkim")
        if "forwarder" in wanted and "+caf_=" in self._envelope.mail_from:
            checks.append("forwarder")
        if "arc" in wanted:
            checks.append("arc")
        if "forwarder" in wanted and "forwarder" not in checks:
            checks.append("forwarder")
        return checks

    def of_author(self) -> Sequence[Literal["authres", "dkim", "arc"]]:
        """The proofs that are about who wrote the mail."""
        is_read = self._envelope.is_fetched and self._policy.servers
        return ("authres", "dkim", "arc") if is_read else ("dkim", "arc")

    async def find(self, check: Literal["authres", "dkim", "arc", "forwarder"], rcpt: str) -> Finding:
        """Raises DnsUnavailable."""
        key = (check, self._matter(check, rcpt))
        if key not in self._found:
            found = await self._look(check, rcpt)
            if isinstance(found, Proven) and self._mail is not None and check != "forwarder":
                found = await direct.with_recipients(found, self._mail, self._envelope, sender=self.sender, dns=self._dns)
            elif isinstance(found, Unproven) and self._oddity and check != "forwarder":
                found = replace(found, why=f"{found.why}: {self._oddity}")
            if isinstance(found, Unproven) and found.is_broken and not self._envelope.is_exact:
                found = replace(found, why=f"{found.why}; {INEXACT}")
            self._found[key] = found
        return self._found[key]

    def _matter(self, check: Literal["authres", "dkim", "arc", "forwarder"], rcpt: str) -> str:
        """What of the recipient a proof depends on."""
        if check == "forwarder" or (check == "arc" and "+caf_=" in self._envelope.mail_from):
            return rcpt
        return rcpt.rpartition("@")[2] if check == "arc" else ""

    async def _look(self, check: Literal["authres", "dkim", "arc", "forwarder"], rcpt: str) -> Finding:
        envelope, policy = self._envelope, self._policy
        if check == "forwarder":
            return await spf.check(
                envelope.mail_from,
                rcpt=rcpt,
                peer=envelope.peer,
                accounts=policy.accounts,
                dns=self._dns,
                content=envelope.content,
            )
        if self._mail is None:
            self._mail = raw.read(envelope.content)
        now: datetime = envelope.received_at
        if check == "authres":
            return authres.check(self._mail, sender=self.sender, servers=policy.servers, now=now)
        if check == "dkim":
            return await dkim.check(self._mail, sender=self.sender, signers=policy.signers, dns=self._dns, now=now)
        return await arc.check(
            self._mail,
            sender=self.sender,
            rcpt=rcpt,
            forwarders=policy.forwarders,
            dns=self._dns,
            now=now,
            mail_from=envelope.mail_from,
            peer=envelope.peer,
        )


def _unwanted(sender: str, lists: Sequence[tuple[str, ...]]) -> Failure | None:
    """A sender that one of the lists does not hold; an empty one is in no list but ``*``."""
    folded = sender.casefold()
    for patterns in lists:
        if not any(pattern == "*" or fnmatchcase(folded, pattern.casefold()) for pattern in patterns):
            return Failure(check="sender", why="its sender is not among those whose mails may be pushed")
    return None
