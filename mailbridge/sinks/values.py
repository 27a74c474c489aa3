"""The values that a template may name, of a code that is pushed and of any other event."""

from __future__ import annotations

from datetime import UTC, datetime

from mailbridge.core.delivery import Claim
from mailbridge.core.happening import RECEIVED, Event, message_of, title_of
from mailbridge.sinks import MailFields


def of_claim(claim: Claim, mail: MailFields, event_id: str) -> dict[str, str]:
    """The values of a code or a link."""
    delivery, draft = claim.delivery, claim.delivery.draft
    content = draft.content.reveal()
    return {
        "type": RECEIVED,
        "event_id": event_id,
        "timestamp": iso(delivery.received_at),
        "identifier": draft.identifier,
        "kind": draft.kind,
        "content": content,
        "code": content if draft.kind == "code" else "",
        "link": content if draft.kind == "link" else "",
        "from": draft.sender,
        "from_name": mail.sender_name,
        "to": mail.to,
        "raw_to": mail.raw_to or mail.to,
        "subject": mail.subject,
        "text": mail.text,
        "raw": mail.raw,
        "message_id": mail.message_id,
        "received_at": iso(delivery.received_at),
        "expires_at": iso(claim.expires_at),
        "mail": str(delivery.mail_id or ""),
        "delivery": str(delivery.id),
        "rule": delivery.rule or "",
        "run": draft.workflow_run_id or "",
        "workflow": draft.workflow_id or "",
        "task": draft.task_id or "",
        "target": draft.target,
    }


def of_event(event: Event, *, more: int = 0, page: str = "") -> dict[str, str]:
    """The values of an event other than a code. A notice contains no secret."""
    plain = {key: str(value) for key, value in event.data.items() if isinstance(value, str | int) and value != ""}
    return {
        **plain,
        "type": event.type,
        "event_id": event.id,
        "timestamp": iso(event.at),
        "title": title_of(event),
        "message": message_of(event, more=more),
        "page": page,
    }


def iso(at: datetime) -> str:
    """A time in UTC, to the millisecond."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
