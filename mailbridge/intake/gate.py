"""The gate: whether what a mail holds may be pushed, by what proof, or which checks failed and what changes that.

It runs after the mail is understood and before it is stored, in the daemon itself: proofs ask DNS, which the worker must not.
A mail from which nothing would be pushed, and a code to an address that nobody can guess, cost no proof at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from mailbridge.config.settings import Trust
from mailbridge.core.addresses import canonical
from mailbridge.core.confirmation import SENDER as CONFIRMING
from mailbridge.core.identification import Identification
from mailbridge.core.inbox import Inbox
from mailbridge.core.mail import Envelope
from mailbridge.intake.inboxes import Inboxes
from mailbridge.intake.judgement import Failure, Held, Judgement, Kind, Passed, Undecided
from mailbridge.intake.meaning import Addressed, Understanding
from mailbridge.intake.policy import Policy
from mailbridge.intake.proofs import Proofs
from mailbridge.intake.strangers import (
    Contacts,
    Meeting,
    NoContacts,
    introduce,
    introduced_by_hand,
    invited,
    is_worth_a_proof,
)
from mailbridge.trust import Finding, Proven, Unproven, dkim, raw, recipients, spf
from mailbridge.trust.dns import DnsUnavailable, Resolver

SEVERAL = "but it was written to several mailboxes, and nobody who knows says for which of them"
UNCERTAIN = "the headers that say how its body is read are not signed, and read in another way that fits it holds something else"
OUTLIVED = (
    "its author signed it {age} minutes before it came, and its {kind} lives for {lives}; where that is wrong, this machine's clock may be "
    "(`mailbridge doctor` compares it)"
)
SLACK = timedelta(minutes=5)
"""How far clocks of senders may differ from ours (as `mailbridge.trust.dkim.SKEW`), and how long mail may be under way beside."""

LATE = "DNS did not answer in time"
OF_AUTHOR: frozenset[Trust] = frozenset(("dkim", "arc"))
"""What proves the author of a mail."""


class Judge(Protocol):
    """What `Intake` asks before it lets anything out."""

    @property
    def contacts(self) -> Contacts:
        """Known senders, and who waits."""
        ...

    @property
    def inboxes(self) -> Inboxes | None:
        """The throw-away inboxes that live; None where none can."""
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
        inboxes: Inboxes | None = None,
        drift: Callable[[], timedelta] = timedelta,
    ) -> None:
        """``drift``: how far the wall clock is ahead of the time by which mails are received."""
        self._drift = drift
        self.contacts = contacts or NoContacts()
        self.inboxes = inboxes
        self._policy = policy
        self._dns = dns
        self._deadline = deadline.total_seconds()

    @property
    def policy(self) -> Policy:
        """The current settings."""
        return self._policy()

    async def judge(self, envelope: Envelope, understood: Understanding, kind: Kind) -> tuple[Judgement, ...]:
        """See `Judge.judge`. A proof is looked for once for the whole mail, and all of them within the deadline."""
        at_once = self._at_once(understood, kind)
        if at_once is not None:
            return at_once
        proofs = Proofs(envelope, understood, self.policy, self._dns)
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

    def _at_once(self, understood: Understanding, kind: Kind) -> tuple[Judgement, ...] | None:
        """The judgements where no proof would change any of them, at a tenth of the cost; None where one might."""
        policy, judgements = self.policy, list[Judgement]()
        for entry in understood.addressed:
            # What comes to a throw-away inbox is judged by what the inbox is there for, also where nothing has to be proven.
            judgement = policy.settled(entry, understood, kind) if entry.inbox is None else None
            if judgement is None:
                return None
            if isinstance(judgement, Passed):
                meeting = self._meeting(judgement, entry, understood, kind, policy)
                if policy.is_practice or is_worth_a_proof(meeting, policy.acquaintance, self.contacts):
                    return None
                judgement = self._met(judgement, meeting, policy)
            judgements.append(judgement)
        return tuple(judgements)

    async def _one(self, entry: Addressed, understood: Understanding, kind: Kind, proofs: Proofs) -> Judgement:
        if entry.inbox is not None:
            judgement = await self._for_inbox(entry, entry.inbox, understood, kind, proofs)
        else:
            judgement = await self._judged(entry, understood, kind, proofs)
            if isinstance(judgement, Passed):
                judgement = await self._introduced(judgement, entry, understood, kind, proofs)
        old = self._outlived(judgement, understood, kind, proofs.received_at) if isinstance(judgement, Passed) else ""
        return Held(failures=(Failure(check="age", why=old),)) if old else judgement

    def _outlived(self, passed: Passed, understood: Understanding, kind: Kind, received_at: datetime) -> str:
        """Why a mail is older than its code lives, by the proof of its author; "" where it is not, or the proof does not say.

        Somebody sends an old mail on, or it was long under way. Its age is taken by our time as it goes on or by the clock as it was set,
        whichever makes it younger; and a code for which its mail states no lifetime has that of the settings.
        """
        signed_at = passed.proof.signed_at if passed.proof is not None else None
        if signed_at is None or kind == "body":
            return ""
        lives = understood.extraction.lifetime or self.policy.lifetime
        age = min(received_at - signed_at, received_at + self._drift() - signed_at)
        if age <= lives + SLACK:
            return ""
        minutes = timedelta(minutes=1)
        return OUTLIVED.format(age=age // minutes, kind=kind, lives=-(-lives // minutes))

    async def _for_inbox(
        self, entry: Addressed, inbox: Inbox, understood: Understanding, kind: Kind, proofs: Proofs
    ) -> Judgement:
        """For a throw-away inbox: its address says for whom, so what is left to prove is who wrote the mail."""
        policy = self.policy
        failure = policy.unwelcome(inbox, understood, kind)
        if failure is not None:
            return Held(failures=(failure,))
        passed: Judgement
        if policy.is_practice or "none" in policy.default:
            by, why = ("practice", "nothing leaves this machine") if policy.is_practice else ("none", "no proof is asked for")
            passed = Passed(by=by, detail=why, identification=entry.identification)
        else:
            passed = await self._proven(entry, OF_AUTHOR, proofs, is_certain=understood.is_certain)
        if not isinstance(passed, Passed):
            return passed
        meeting = Meeting(
            understood=understood,
            kind=kind,
            identifiers=entry.identification.identifiers,
            by=passed.by,
            proof=passed.proof,
            accept_from=inbox.senders,
        )
        introduction = invited(meeting, policy.acquaintance, self.contacts)
        if introduction.failures:
            return Held(failures=tuple(Failure(check=check, why=why) for check, why in introduction.failures))
        return replace(passed, introduction=introduction)

    async def _introduced(
        self, passed: Passed, entry: Addressed, understood: Understanding, kind: Kind, proofs: Proofs
    ) -> Judgement:
        """What has passed, with who its sender is; held where nothing of it may go for that."""
        policy, identifiers = self.policy, passed.identification.identifiers
        if policy.is_practice:
            return replace(passed, introduction=introduced_by_hand(identifiers, understood))
        meeting = self._meeting(passed, entry, understood, kind, policy)
        if passed.proof is None and is_worth_a_proof(meeting, policy.acquaintance, self.contacts):
            proof = await self._author(proofs, entry.recipient.rcpt, is_certain=understood.is_certain)
            is_copy = (
                proof is not None and passed.by != "forwarder" and self._is_anothers(entry, proof, identifiers, proofs.sender)
            )
            meeting = replace(meeting, proof=None if is_copy else proof, is_copy=is_copy)
        return self._met(passed, meeting, policy)

    def _meeting(self, passed: Passed, entry: Addressed, understood: Understanding, kind: Kind, policy: Policy) -> Meeting:
        return Meeting(
            understood=understood,
            kind=kind,
            identifiers=passed.identification.identifiers,
            by=passed.by,
            proof=passed.proof,
            accept_from=policy.of(entry.recipient)[2],
            sites=policy.sites_of(entry.recipient),
        )

    def _met(self, passed: Passed, meeting: Meeting, policy: Policy) -> Passed | Held:
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
            proof=meeting.proof,
            introduction=introduction,
        )  # a replace() takes three times as long

    async def _author(self, proofs: Proofs, rcpt: str, *, is_certain: bool) -> Proven | None:
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

    async def _judged(self, entry: Addressed, understood: Understanding, kind: Kind, proofs: Proofs) -> Judgement:
        settled = self.policy.settled(entry, understood, kind)
        if settled is not None:
            return settled
        wanted, is_unguessable, _ = self.policy.of(entry.recipient)
        judgement = await self._proven(entry, wanted, proofs, is_certain=understood.is_certain)
        if isinstance(judgement, Held) and "token" in wanted:
            why = "an address is no proof for a link or a text" if is_unguessable else "the address can be guessed"
            return Held(failures=(*judgement.failures, Failure(check="token", why=why)))
        return judgement

    async def _proven(self, entry: Addressed, wanted: frozenset[Trust], proofs: Proofs, *, is_certain: bool) -> Judgement:
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
        if entry.inbox is not None:
            return entry.identification
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
        if not named and (proof.written or not is_unguessable):
            return recipients.unnamed(proof)
        if is_unguessable or named & proof.sure:
            return entry.identification  # where the author says nothing, too: only who set it up knows the address
        beside = recipients.others(proof, identifier, sender=sender, is_own=self.policy.is_own) - ours
        is_clear = all(any(recipients.is_neighbour(one, own) for own in ours) for one in beside)
        return entry.identification if is_clear else SEVERAL

    def _is_anothers(self, entry: Addressed, proof: Proven, identifiers: Sequence[str], sender: str) -> bool:
        """Whether the author has signed that the mail is for somebody else, so that whoever got it may have sent it on. An identifier
        that is no mailbox, or another mailbox of the same organization, is nobody else's."""
        ours = {canonical(one) for one in (*identifiers, entry.recipient.rcpt)}
        if not proof.written or not all("@" in one for one in identifiers) or proof.named & ours:
            return False
        return not any(
            self.policy.is_own(one)
            or spf.is_listed(one, self.policy.accounts)
            or any(recipients.is_neighbour(one, own) for own in (sender, *identifiers))
            for one in proof.written
        )

    def _is_meant(self, identifier: str, entry: Addressed, proof: Proven, *, sender: str) -> bool:
        """Whether a mail that names this mailbox, and perhaps others, is for this one: nobody else could be meant, or of the others
        of its organization none is listed by itself, as it is."""
        beside = recipients.others(proof, identifier, sender=sender, is_own=self.policy.is_own) - {
            canonical(entry.recipient.rcpt)
        }
        is_single = self.policy.is_exact(identifier) and not any(map(self.policy.is_exact, beside))
        return not beside or (is_single and all(recipients.is_neighbour(one, identifier) for one in beside))
