"""`accept`: the one door of every ingress. It returns when the mail is on disk, or says why it is not."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Literal, Protocol

from mailbridge.core.delivery import Claim, Draft
from mailbridge.core.extraction import Extraction, Verdict
from mailbridge.core.identity import Identification
from mailbridge.core.mail import Envelope
from mailbridge.core.recipients import Recipient
from mailbridge.core.secret import Secret
from mailbridge.intake.understand import Addressed, Understanding
from mailbridge.metrics import Metrics
from mailbridge.store import Arrival, Receipt, Store, StoreUnavailable

log = logging.getLogger("mailbridge.intake")

Kind = Literal["code", "link", "body"]


class Reader(Protocol):
    """Understands a mail within its time, or gives None: unreadable, and to be held."""

    async def understand(self, envelope: Envelope) -> Understanding | None: ...


class Courier(Protocol):
    """Takes claims that may go at once, and says whether it has room for more of them."""

    def offer(self, claims: Sequence[Claim]) -> None: ...


class Routes(Protocol):
    """Which targets serve an identifier, by name."""

    def targets(self, identifier: str) -> Sequence[str]: ...


class Intake:
    """Understands, stores, hands over. Safe to call from many tasks at once."""

    def __init__(
        self,
        *,
        reader: Reader,
        store: Store,
        courier: Courier,
        routes: Routes,
        metrics: Metrics,
        lifetime: timedelta,
        push_ambiguous: bool = False,
    ) -> None:
        self._reader = reader
        self._store = store
        self._courier = courier
        self.routes = routes
        self._metrics = metrics
        self.lifetime = lifetime
        self.push_ambiguous = push_ambiguous

    async def accept(self, envelope: Envelope) -> Receipt:
        """Store one mail with what it means. On return it is fsynced.

        Raises:
            StoreUnavailable: nothing was kept; the sender must try again.
        """
        understood = await self._reader.understand(envelope)
        read = time.perf_counter()
        arrival = self._arrival(envelope, understood)
        try:
            receipt = await self._store.put(arrival, ahead=self._hand_over)
        except StoreUnavailable:
            self._metrics.message(envelope.ingress, "unavailable")
            raise
        self._metrics.stage("commit", time.perf_counter() - read)
        if understood is not None:
            for stage, seconds in zip(("parse", "extract", "resolve"), understood.timings, strict=True):
                self._metrics.stage(stage, seconds)
        self._account(arrival, receipt)
        return receipt

    def _hand_over(self, receipt: Receipt) -> None:
        self._courier.offer(receipt.claims)

    def _arrival(self, envelope: Envelope, understood: Understanding | None) -> Arrival:
        if understood is None:
            understood = Understanding(
                extraction=Extraction(verdict=Verdict.UNREADABLE, reason="the parser did not finish with it within its limits"),
                addressed=tuple(
                    Addressed(recipient=Recipient(rcpt=rcpt), identification=Identification()) for rcpt in envelope.rcpt_to
                ),
                defects=("parser-killed",),
            )
        identification = _merge(entry.identification for entry in understood.addressed)
        return Arrival(
            envelope=envelope,
            fingerprint=fingerprint(envelope, understood, identification.identifiers),
            subject=understood.subject,
            sender=understood.sender,
            message_id=understood.message_id,
            extraction=understood.extraction,
            identification=identification,
            defects=understood.defects,
            drafts=tuple(self._drafts(understood, envelope)),
        )

    def _drafts(self, understood: Understanding, envelope: Envelope) -> Iterable[Draft]:
        content, kind = self._content(understood)
        if content is None:
            return
        lifetime = self._lifetime(understood.extraction, envelope)
        seen = set()
        for entry in understood.addressed:
            for identifier in entry.identification.identifiers:
                for target in self.routes.targets(identifier):
                    if (target, identifier) in seen:
                        continue
                    seen.add((target, identifier))
                    yield Draft(
                        target=target,
                        identifier=identifier,
                        kind=kind,
                        content=content,
                        sender=understood.sender,
                        lifetime=lifetime,
                        workflow_run_id=entry.recipient.workflow_run_id,
                        workflow_id=entry.recipient.workflow_id,
                        task_id=entry.recipient.task_id,
                    )

    def _content(self, understood: Understanding) -> tuple[Secret | None, Kind]:
        extraction = understood.extraction
        is_best = extraction.verdict is Verdict.AMBIGUOUS and self.push_ambiguous
        if extraction.value is not None and (extraction.verdict.is_pushed or is_best):
            return extraction.value, "link" if extraction.verdict is Verdict.LINK else "code"
        return understood.body, "body"

    def _lifetime(self, extraction: Extraction, envelope: Envelope) -> timedelta:
        if extraction.expires_at is not None:
            return max(extraction.expires_at - envelope.received_at, timedelta())
        return extraction.lifetime or self.lifetime

    def _account(self, arrival: Arrival, receipt: Receipt) -> None:
        outcome = _outcome(arrival, receipt)
        self._metrics.message(arrival.envelope.ingress, outcome)
        log.info(
            "mail %s",
            outcome,
            extra={
                "mail": receipt.mail_id,
                "ingress": arrival.envelope.ingress,
                "identifier": ",".join(arrival.identification.identifiers),
                "identifier_from": arrival.identification.source,
                "rule": arrival.extraction.rule,
                "reason": arrival.extraction.reason,
                "superseded": receipt.superseded,
            },
        )


def fingerprint(envelope: Envelope, understood: Understanding, identifiers: tuple[str, ...]) -> str:
    """The same for the same mail by whatever door, and for no other.

    Message-ID, identifiers and what was found in it; without a Message-ID the octets of the body, the subject and the sender,
    since the trace headers above them differ from door to door.
    """
    parts = [",".join(sorted(identifiers or envelope.rcpt_to))]
    if understood.message_id:
        value = understood.extraction.value
        parts += [understood.message_id, value.reveal() if value else ""]
        tail = b""
    else:
        head, separator, body = envelope.content.partition(b"\r\n\r\n")
        parts += [understood.sender, understood.subject]
        tail = body if separator else head
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass"))
    digest.update(b"\0" + tail)
    return digest.hexdigest()


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
    if arrival.drafts:
        return str(arrival.extraction.verdict) if arrival.extraction.verdict.is_pushed else "body"
    if arrival.extraction.verdict.is_pushed:
        return "unidentified"
    return str(arrival.extraction.verdict)
