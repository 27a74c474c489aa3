"""Webhooks as Standard Webhooks 1.0.0 has them: a small signed JSON body for a code that came, and for every other event.

The id stays over all attempts, so a receiver takes each event once; that ends a doubt without asking it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from mailbridge.core.delivery import Claim, Deferred, Outcome
from mailbridge.core.happening import RECEIVED, Event
from mailbridge.core.template import compact
from mailbridge.sinks import MailFields, NoRecords, Records
from mailbridge.sinks.posting import Poster, Sent
from mailbridge.sinks.signing import signed
from mailbridge.sinks.values import iso

JSON = (b"Content-Type", b"application/json")


class WebhookSink:
    """Implements `mailbridge.sinks.Sink`, `Told` and `ReadsRecords`. Without ``include_code`` a receiver learns that a code is there, and
    for whom; the code itself it gets from the API."""

    def __init__(self, poster: Poster, *, keys: Sequence[bytes], include_code: bool = False) -> None:
        self._poster = poster
        self._keys = tuple(keys)
        self._include_code = include_code
        self._records: Records = NoRecords()

    def read_from(self, records: Records) -> None:
        """See `ReadsRecords.read_from`."""
        self._records = records

    async def prepare(self) -> None:
        """See `Sink.prepare`; a connection is made when there is something to say."""

    async def push(self, claim: Claim) -> Outcome:
        """Send a code; see `Sink.push`."""
        mail = await self._records.mail(claim.delivery.mail_id, frozenset({"subject"})) if self._include_code else MailFields()
        if mail is None:
            return Deferred(reason="the mail cannot be read now")
        data = received(claim, mail, include_code=self._include_code)
        event_id = self._records.event_id("delivery", claim.delivery.id, claim.delivery.received_at)
        return (await self._sent(event_id, RECEIVED, claim.delivery.received_at, data)).outcome

    async def tell(self, event: Event, *, more: int = 0) -> Outcome:  # noqa: ARG002  (each event is told by itself)
        """See `Told.tell`."""
        return (await self.tried(event)).outcome

    async def tried(self, event: Event) -> Sent:
        """Send it once, and return the receiver's answer."""
        return await self._sent(event.id, event.type, event.at, dict(event.data))

    async def holds(self, claim: Claim) -> bool | None:  # noqa: ARG002
        """A receiver knows a second attempt by its id: see `Sink.holds`."""
        return False

    async def identifiers(self) -> tuple[str, ...] | None:
        """A receiver has no identifiers of its own."""
        return None

    async def aclose(self) -> None:
        """See `Sink.aclose`."""
        await self._poster.aclose()

    async def _sent(self, event_id: str, kind: str, at: datetime, data: dict[str, Any]) -> Sent:
        body = compact({"type": kind, "timestamp": iso(at), "data": data})
        return await self._poster.send(body, [JSON, *signed(self._keys, event_id, datetime.now(UTC), body)])


def received(claim: Claim, mail: MailFields, *, include_code: bool) -> dict[str, Any]:
    """The data of a code that came. A subject often holds the code, so it comes with it."""
    delivery, draft = claim.delivery, claim.delivery.draft
    data: dict[str, Any] = {"identifier": draft.identifier, "kind": draft.kind}
    if include_code:
        data |= {"link" if draft.kind == "link" else "code": draft.content.reveal(), "subject": mail.subject}
    data |= {
        "from": draft.sender,
        "received_at": iso(delivery.received_at),
        "expires_at": iso(claim.expires_at),
        "mail": delivery.mail_id or None,
        "delivery": delivery.id,
        "target": draft.target,
        "rule": delivery.rule,
        "run": draft.workflow_run_id,
        "workflow": draft.workflow_id,
        "task": draft.task_id,
    }
    return {key: value for key, value in data.items() if value not in (None, "")}
