"""`accept`: the one door of every ingress. It returns when the mail is on disk, or says why it is not."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Protocol

from mailbridge import log_events
from mailbridge.core.bound import Bound
from mailbridge.core.dataclass import dataclass
from mailbridge.core.delivery import Standing
from mailbridge.core.extraction import Extraction, Verdict
from mailbridge.core.identification import Identification
from mailbridge.core.mail import Envelope
from mailbridge.core.recipients import Recipient
from mailbridge.core.secret import Secret
from mailbridge.intake.answer import Answer, Deferred, Full, Stored
from mailbridge.intake.burst import Burst
from mailbridge.intake.drafts import IntakePolicy, Routes, content_of, drafts_of
from mailbridge.intake.events import ConfirmationRequest, Events
from mailbridge.intake.fair_limiter import FairLimiter
from mailbridge.intake.fingerprint import fingerprint
from mailbridge.intake.gate import Judge
from mailbridge.intake.gate_result import GateResult, ProofUnavailable, settled, vouched
from mailbridge.intake.judgement import KEYS, Failure, Undecided
from mailbridge.intake.meaning import Addressed, Understanding
from mailbridge.intake.onetime import OneTime, Test
from mailbridge.intake.strangers import introduced_by_hand
from mailbridge.intake.vouching import TokenWord, Word
from mailbridge.metrics import Metrics
from mailbridge.store import Arrival, Receipt, Store, StoreUnavailable
from mailbridge.trust import Unproven

log = logging.getLogger("mailbridge.intake")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a service asks a person, who answers by opening the link; ``trust``: how it is known that the service asks."""

    text: str
    link: Secret
    trust: str


class Reader(Protocol):
    """Understands a mail within its time, or gives None: unreadable, and to be held."""

    async def understand(self, envelope: Envelope) -> Understanding | None: ...


class Intake:
    """Understands, stores, hands over. Safe to call from many tasks at once."""

    def __init__(
        self,
        *,
        reader: Reader,
        gate: Judge,
        store: Store,
        tests: OneTime,
        policy: Callable[[], IntakePolicy],
        events: Events,
        metrics: Metrics,
    ) -> None:
        self._turns = FairLimiter()
        self._gate = gate
        self._tests = tests
        self._burst = Burst(lambda: policy().alarm_held)
        self._reader = reader
        self._store = store
        self._metrics = metrics
        self._policy = policy
        self._events = events

    def is_alarmed(self, now: datetime) -> bool:
        """Whether many mails were held without proof lately."""
        return self._burst.is_on(now)

    async def accept(self, envelope: Envelope, word: Word | TokenWord | None = None) -> Answer:
        """Store one mail with what it means. Where it answers `Stored` the mail is fsynced; else nothing of it was kept.

        ``word`` is an operator's, who hands the mail in by hand, or a token's. It comes beside the mail: nothing in a mail can speak
        for them.
        """
        return await self._answered(envelope, self._store_mail(envelope, word))

    async def ask(self, envelope: Envelope, question: Question) -> Answer:
        """Store a question to a person that a service asks: it is listed with its link among the mails, as Gmail's questions are."""
        arrival = Arrival(
            envelope=envelope,
            fingerprint=hashlib.sha256(f"question\0{question.link.reveal()}".encode()).hexdigest(),
            subject=question.text,
            sender="",
            message_id="",
            extraction=Extraction(verdict=Verdict.CONFIRMATION, value=question.link, reason=question.text),
            identification=Identification(),
            trust=question.trust,
        )
        return await self._answered(envelope, self._store_question(arrival))

    async def _store_question(self, arrival: Arrival) -> Receipt:
        receipt = await self._store.put(arrival)
        self._events.on_stored((), receipt.claims)
        self._account(arrival, receipt)
        return receipt

    async def _answered(self, envelope: Envelope, storing: Awaitable[Receipt]) -> Answer:
        began = time.perf_counter()
        try:
            return Stored(receipt=await storing)
        except ProofUnavailable as fault:
            self._metrics.message(envelope.ingress, "deferred")
            log.warning("mail deferred: %s", fault, extra={"event": log_events.MAIL_DEFERRED, "cause": "proof"})
            return Deferred(why="proof", detail=str(fault))
        except StoreUnavailable as fault:
            self._metrics.message(envelope.ingress, "unavailable")
            log.warning(
                "mail deferred: the store is %s", fault.kind, extra={"event": log_events.MAIL_DEFERRED, "cause": fault.kind}
            )
            return Full() if fault.kind == "full" else Deferred(why=fault.kind, detail=f"the store is {fault.kind}")
        finally:
            self._metrics.stage("accept", time.perf_counter() - began)

    async def _store_mail(self, envelope: Envelope, word: Word | TokenWord | None) -> Receipt:
        time_base = self._store.time_base
        test = await self._tests.of(envelope) if word is None else None
        if test is not None:
            word = Word(verb="tested", by=test.by)
        async with self._turns.of(envelope):
            understood = await self._reader.understand(envelope)
        if test is not None and understood is not None:
            understood = _tested(understood, test)
        if isinstance(word, TokenWord) and understood is not None:
            understood = _brought(understood, word)
        read = time.perf_counter()
        # Before it is judged: one that need not prove itself goes to no target that comes meanwhile.
        known, routes = self._addressed(envelope, understood or _unreadable(envelope), is_test=test is not None)
        verdict = await self._judged(envelope, known, word)
        self._metrics.stage("gate", time.perf_counter() - read)
        read = time.perf_counter()
        arrival = await self._under_its_run(self._arrival(envelope, verdict, word, routes, time_base))
        async with self._turns.of(envelope):
            receipt = await self._store.put(arrival)
        if test is not None:
            with suppress(StoreUnavailable):  # it is on disk, and the address is over in a minute anyway
                await self._tests.spend(test)
        self._events.on_stored(() if receipt.is_duplicate else arrival.identification.identifiers, receipt.claims)
        account = partial(self._account_for, understood, verdict, arrival, receipt, committed=time.perf_counter() - read)
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, account)  # behind the push and the 250, which both come in the loop's next round
        return receipt

    def _account_for(
        self, understood: Understanding | None, verdict: GateResult, arrival: Arrival, receipt: Receipt, *, committed: float
    ) -> None:
        """Count and log a mail that is stored, and tell whoever should know."""
        self._metrics.stage("commit", committed)
        if understood is not None:
            for stage, seconds in zip(("parse", "extract", "resolve"), understood.timings, strict=True):
                self._metrics.stage(stage, seconds)
        self._account(arrival, receipt)
        if not receipt.is_duplicate:
            self._watch(verdict, arrival, receipt)

    def _addressed(self, envelope: Envelope, understood: Understanding, *, is_test: bool) -> tuple[Understanding, Routes]:
        """For whom it is, its throw-away inboxes known, and where the codes of each go."""
        routes, inboxes = self._policy().routes, self._gate.inboxes
        if inboxes is None or is_test:
            return understood, routes
        return inboxes.addressed(understood, envelope), inboxes.around(routes)

    async def _judged(self, envelope: Envelope, understood: Understanding, word: Word | TokenWord | None) -> GateResult:
        """What may go out of what was understood. A mail that nothing would be pushed of is not judged, which costs nothing.

        Raises:
            ProofUnavailable: DNS did not answer.
        """
        if understood.extraction.verdict is Verdict.CONFIRMATION:
            return await self._confirmed(envelope, understood)
        content, kind = content_of(understood, self._policy())
        has_content = content is not None or (
            understood.bound and not (isinstance(word, TokenWord) or (word is not None and word.vouches))
        )
        if not has_content or not any(entry.identification.identifiers for entry in understood.addressed):
            return GateResult(understood=understood)
        if isinstance(word, TokenWord):
            return vouched(understood, word, kind)
        if word is not None and word.vouches:
            introductions = tuple(introduced_by_hand(one.identification.identifiers, understood) for one in understood.addressed)
            return GateResult(understood=understood, trust=word.trust, introductions=introductions)
        self._events.on_recipient()  # DNS may take its time, and a connection too: both at once
        if understood.bound:
            verdict = await self._bound(envelope, understood)
            if verdict is not None or content is None:
                return verdict or GateResult(understood=understood)
        judgements = await self._gate.judge(envelope, understood, kind)
        return settled(envelope, understood, judgements)

    async def _bound(self, envelope: Envelope, understood: Understanding) -> GateResult | None:
        """The verdict on the code that a mail binds to its own site; None where nothing proves that, and its words are read.

        Raises:
            ProofUnavailable: DNS did not answer.
        """
        verdict = settled(envelope, understood, await self._gate.judge(envelope, understood, "code"))
        bound = next((one.bound for one in verdict.introductions if one.bound is not None), None)
        if bound is None:
            return None
        return replace(verdict, understood=replace(verdict.understood, extraction=_extracted(bound, understood.extraction)))

    async def _confirmed(self, envelope: Envelope, understood: Understanding) -> GateResult:
        """A forwarding confirmation keeps its link only where Google has signed it."""
        found = await self._gate.confirmation(envelope, understood)
        if isinstance(found, Undecided):
            if envelope.can_wait:
                raise ProofUnavailable(found.reason)
            found = Unproven(by="dkim", why=found.reason)
        if isinstance(found, Unproven):
            failure = Failure(check="dkim", why=f"looks like Gmail's confirmation, but is not proven to be Google's: {found.why}")
            bare = replace(understood.extraction, value=None)
            return GateResult(understood=replace(understood, extraction=bare, requester=None), failures=(failure,))
        asking = f"; {understood.requester} asks" if understood.requester else ""
        return GateResult(understood=understood, trust=f"{found.by}: {found.detail}{asking}")

    def _arrival(
        self, envelope: Envelope, verdict: GateResult, word: Word | TokenWord | None, routes: Routes, time_base: int
    ) -> Arrival:
        by_hand = word if isinstance(word, Word) else None
        understood = verdict.understood
        identification = _merge(entry.identification for entry in understood.addressed)
        drafts = tuple(drafts_of(understood, envelope, verdict.introductions, policy=self._policy(), routes=routes))
        is_pushed = any(one.standing is not Standing.ASIDE for one in drafts)
        apart = _apart(verdict, by_hand, is_pushed=is_pushed)
        return Arrival(
            envelope=envelope,
            fingerprint=fingerprint(envelope, understood, identification.identifiers, apart=apart),
            subject=understood.subject,
            sender=understood.sender,
            message_id=understood.message_id,
            extraction=understood.extraction,
            identification=identification,
            defects=understood.defects,
            drafts=drafts,
            trust=verdict.trust,
            held=verdict.held,
            domain=verdict.domain,
            stranger=f"stranger ({KEYS['stranger']})",
            origin=by_hand.origin if by_hand is not None else 0,
            verb=by_hand.verb if by_hand is not None else "",
            inboxes=tuple(one.inbox.identifier for one in understood.addressed if one.inbox is not None),
            time_base=time_base,
        )

    async def _under_its_run(self, arrival: Arrival) -> Arrival:
        """The same with a known sender's link under the run that waits for it, where that can be told: so no other run opens it."""
        drafts = list(arrival.drafts)
        for number, one in enumerate(arrival.drafts):
            is_tagged = one.workflow_run_id or one.workflow_id or one.task_id
            if one.kind == "link" and one.standing is Standing.KNOWN and not is_tagged:
                found = await self._gate.contacts.run_for_link(one.identifier)
                if found is not None:
                    drafts[number] = replace(one, workflow_run_id=found[0], task_id=found[1])
        return arrival if drafts == list(arrival.drafts) else replace(arrival, drafts=tuple(drafts))

    def _watch(self, verdict: GateResult, arrival: Arrival, receipt: Receipt) -> None:
        """Tell whoever should know: a mail that is held, a burst of them, and Google's question."""
        at = arrival.envelope.received_at
        for check in {failure.check for failure in verdict.failures}:
            self._metrics.held(check)
        if any(one.standing is Standing.FIRST_SEEN for one in arrival.drafts) and receipt.is_pushed:
            self._metrics.first_seen()
        for why in dict.fromkeys(receipt.held):
            self._metrics.held("stranger")
            log.warning(
                "mail held: %s",
                why,
                extra={"event": log_events.MAIL_HELD, "mail": receipt.mail_id, "failed": "stranger", "keys": KEYS["stranger"]},
            )
        if verdict.failures:
            log.warning(
                "mail held without proof",
                extra={
                    "event": log_events.MAIL_HELD,
                    "mail": receipt.mail_id,
                    "failed": ",".join(dict.fromkeys(failure.check for failure in verdict.failures)),
                    "keys": KEYS[verdict.failures[0].check],
                },
            )
            if self._burst.add(at):
                log.error(
                    "alarm: many mails are held without proof; `mailbridge mail list` shows them",
                    extra={"event": log_events.ALARM_RAISED, "kind": "trust", "alarm": "held"},
                )
        extraction = arrival.extraction
        if extraction.verdict is Verdict.CONFIRMATION and extraction.value is not None:
            self._events.on_confirmation(
                ConfirmationRequest(mail_id=receipt.mail_id, requester=verdict.understood.requester, link=extraction.value)
            )

    def _account(self, arrival: Arrival, receipt: Receipt) -> None:
        outcome = _outcome(arrival, receipt)
        self._metrics.message(arrival.envelope.ingress, outcome)
        log.info(
            log_events.MAIL_STORED,
            extra={
                "event": log_events.MAIL_STORED,
                "outcome": outcome,
                "mail": receipt.mail_id,
                "ingress": arrival.envelope.ingress,
                "identifier": ",".join(arrival.identification.identifiers),
                "identifier_from": arrival.identification.source,
                "rule": arrival.extraction.rule,
                "reason": arrival.extraction.reason,
                "superseded": receipt.superseded,
            },
        )


def _extracted(bound: Bound, found: Extraction) -> Extraction:
    """A code that the mail binds to its site, as what is found in it. How long it lives is as its words say, if they tell of it."""
    where = "the last line" if bound.place == "body" else f"the header {bound.place}"
    is_same = found.value == bound.code
    return Extraction(
        verdict=Verdict.CODE,
        value=bound.code,
        displayed=bound.code,
        rule="bound",
        lifetime=found.lifetime if is_same else None,
        expires_at=found.expires_at if is_same else None,
        confidence=1.0,
        reason=f"{where} binds it to {bound.host}",
    )


def _unreadable(envelope: Envelope) -> Understanding:
    return Understanding(
        extraction=Extraction(verdict=Verdict.UNREADABLE, reason="the parser did not finish with it within its limits"),
        addressed=tuple(Addressed(recipient=Recipient(rcpt=rcpt), identification=Identification()) for rcpt in envelope.rcpt_to),
        defects=("parser-killed",),
    )


def _tested(understood: Understanding, test: Test) -> Understanding:
    """A test mail is for whom its address was made, whatever it says."""
    recipient = Recipient(rcpt=test.rcpt, identifier=test.identifier, is_token=True)
    identification = Identification(identifiers=(test.identifier,), source="one-time address")
    return replace(understood, addressed=(Addressed(recipient=recipient, identification=identification),))


def _brought(understood: Understanding, word: TokenWord) -> Understanding:
    """A text that a token brings is for whom the token says, and of an unknown sender: what stands in it is anybody's word."""
    identification = Identification(identifiers=(word.recipient.identifier or "",), source="token")
    addressed = (Addressed(recipient=word.recipient, identification=identification),)
    return replace(understood, addressed=addressed, sender="")


def _apart(verdict: GateResult, word: Word | None, *, is_pushed: bool) -> str:
    """What sets a mail apart from its own copy: one that was held must not make a duplicate of the one that is proven."""
    if word is not None and word.verb == "released":
        return f"released {word.origin}"
    return "held" if verdict.failures and not is_pushed else ""


def _merge(identifications: Iterable[Identification]) -> Identification:
    """One answer for a mail with several recipients: all identifiers, the provenance of the first."""
    merged = Identification()
    for one in identifications:
        if not merged.identifiers and not merged.clues and not merged.reason:
            merged = one
            continue
        merged = Identification(
            identifiers=tuple(dict.fromkeys((*merged.identifiers, *one.identifiers))),
            source=merged.source or one.source,
            clues=merged.clues,
            reason=merged.reason or one.reason,
        )
    return merged


def _outcome(arrival: Arrival, receipt: Receipt) -> str:
    if receipt.is_duplicate:
        return "duplicate"
    if receipt.is_pushed:
        return str(arrival.extraction.verdict) if arrival.extraction.verdict.is_pushed else "body"
    if arrival.held:
        return "held"
    if arrival.extraction.verdict.is_pushed:
        return "unidentified"
    return str(arrival.extraction.verdict)
