"""What is to be pushed of a mail that was judged: its content, for how long it lives, and to which targets it goes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Protocol

from mailbridge.core.dataclass import dataclass
from mailbridge.core.delivery import Draft
from mailbridge.core.extraction import Extraction, Verdict
from mailbridge.core.mail import Envelope
from mailbridge.core.recipients import Recipient
from mailbridge.core.secret import Secret
from mailbridge.intake.judgement import Kind
from mailbridge.intake.meaning import Understanding
from mailbridge.intake.strangers import Introduction

UNTAGGED = Recipient(rcpt="")


class Routes(Protocol):
    """The targets that serve an identifier, by name."""

    def targets(self, identifier: str) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakePolicy:
    """What a reload may change: where codes go, how long one lives that does not say so, whether the best of several equals is
    pushed, and how many held mails in ten minutes raise the alarm."""

    routes: Routes
    lifetime: timedelta
    push_ambiguous: bool = False
    alarm_held: int = 20


def drafts_of(
    understood: Understanding, envelope: Envelope, introductions: Sequence[Introduction], *, policy: IntakePolicy, routes: Routes
) -> Iterator[Draft]:
    """What is to be pushed of a mail: one for each target and identifier that its sender is introduced to."""
    content, kind = content_of(understood, policy)
    if content is None:
        return
    lifetime = _lifetime(understood.extraction, envelope, policy)
    seen: set[tuple[str, str]] = set()
    for entry, who in zip(understood.addressed, introductions, strict=bool(introductions)):
        if entry.is_held:
            continue
        for identifier in entry.identification.identifiers:
            if identifier not in who.standings:
                continue
            tags = entry.recipient if identifier not in who.untagged else UNTAGGED
            for target in routes.targets(identifier):
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
                    workflow_run_id=tags.workflow_run_id,
                    workflow_id=tags.workflow_id,
                    task_id=tags.task_id,
                    standing=who.standings[identifier],
                    domain=who.domain,
                    written_at=who.written_at,
                )


def content_of(understood: Understanding, policy: IntakePolicy) -> tuple[Secret | None, Kind]:
    """What of a mail is worth a push, and what it is; None where nothing is."""
    extraction = understood.extraction
    is_best = extraction.verdict is Verdict.AMBIGUOUS and policy.push_ambiguous
    if extraction.value is not None and (extraction.verdict.is_pushed or is_best):
        return extraction.value, "link" if extraction.is_link else "code"
    return understood.body, "body"


def _lifetime(extraction: Extraction, envelope: Envelope, policy: IntakePolicy) -> timedelta:
    if extraction.expires_at is not None:
        return max(extraction.expires_at - envelope.received_at, timedelta())
    return extraction.lifetime or policy.lifetime
