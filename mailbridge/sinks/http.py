"""Any HTTP API as a target: a method, an address, headers and a body made by a template, as "Webhooks by Zapier" and its like send it."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime
from typing import Any

from mailbridge.core.dataclass import dataclass
from mailbridge.core.delivery import Claim, Deferred, Outcome
from mailbridge.core.happening import Event
from mailbridge.core.template import (
    compact,
    filled,
    filled_form,
    filled_header,
    filled_json,
    names_in,
    place_of,
)
from mailbridge.sinks import NoRecords, Records
from mailbridge.sinks.posting import Poster, Sent
from mailbridge.sinks.signing import signed
from mailbridge.sinks.values import of_claim, of_event


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What is sent: one of ``json``, ``form`` and ``raw``, or no body at all; and headers, as pairs of name and template.

    ``escape`` makes every value harmless for what the receiver does with it, before it is put in.
    """

    headers: Sequence[tuple[str, str]] = field(default=(), repr=False)
    json: Any = None
    form: Mapping[str, str] | None = None
    raw: str | None = None
    escape: Callable[[str], str] = str
    page: str = ""

    @property
    def names(self) -> frozenset[str]:
        """The names that it puts in."""
        whole = (self.json, self.form, self.raw, [value for _, value in self.headers])
        return frozenset(names_in([one for one in whole if one is not None]))


class HttpSink:
    """Implements `mailbridge.sinks.Sink`, `Told` and `ReadsRecords`. ``keys`` sign as a webhook is signed; none do not."""

    def __init__(self, poster: Poster, shape: Shape, *, keys: Sequence[bytes] = ()) -> None:
        self._poster = poster
        self._shape = shape
        self._keys = tuple(keys)
        self._records: Records = NoRecords()

    def read_from(self, records: Records) -> None:
        """See `ReadsRecords.read_from`."""
        self._records = records

    async def prepare(self) -> None:
        """See `Sink.prepare`; a connection is made when there is something to say."""

    async def push(self, claim: Claim) -> Outcome:
        """Hand the code over once; see `Sink.push`."""
        mail = await self._records.mail(claim.delivery.mail_id, self._shape.names)
        if mail is None:
            return Deferred(reason="the mail cannot be read now")
        event_id = self._records.event_id("delivery", claim.delivery.id, claim.delivery.received_at)
        return (await self._sent(of_claim(claim, mail, event_id), event_id)).outcome

    async def tell(self, event: Event, *, more: int = 0) -> Outcome:
        """See `Told.tell`."""
        return (await self.tried(event, more=more)).outcome

    async def tried(self, event: Event, *, more: int = 0) -> Sent:
        """Send it once, and return the receiver's answer."""
        return await self._sent(of_event(event, more=more, page=self._shape.page), event.id)

    async def holds(self, claim: Claim) -> bool | None:  # noqa: ARG002
        """It cannot be asked; the id of an event stays over its attempts: see `Sink.holds`."""
        return False

    async def identifiers(self) -> tuple[str, ...] | None:
        """A receiver has no identifiers of its own."""
        return None

    async def aclose(self) -> None:
        """See `Sink.aclose`."""
        await self._poster.aclose()

    async def _sent(self, values: Mapping[str, str], event_id: str) -> Sent:
        shape = self._shape
        safe = {name: shape.escape(value) for name, value in values.items()}
        headers = [(name.encode(), filled_header(value, safe).encode("utf-8", "replace")) for name, value in shape.headers]
        body, kind = body_of(shape, safe)
        if kind and not any(name.lower() == b"content-type" for name, _ in headers):
            headers.append((b"Content-Type", kind))
        if self._keys:
            headers += signed(self._keys, event_id, datetime.now(UTC), body or b"")
        return await self._poster.send(body, headers)


def body_of(shape: Shape, values: Mapping[str, str]) -> tuple[bytes | None, bytes]:
    """The body and its type; None if there is none."""
    if shape.json is not None:
        return compact(filled_json(shape.json, values)), b"application/json"
    if shape.form is not None:
        return filled_form(shape.form, values).encode(), b"application/x-www-form-urlencoded"
    if shape.raw is not None:
        kind = next((value for name, value in shape.headers if name.lower() == "content-type"), "text/plain; charset=utf-8")
        return filled(shape.raw, values, place_of(kind)).encode("utf-8", "replace"), kind.encode()
    return None, b""


def header_of(line: str) -> tuple[str, str]:
    """Name and value of a header as it is written in a configuration, ``Name: value``.

    Raises:
        ValueError: it is none, or one that is made here; the message does not hold the value.
    """
    name, colon, value = line.partition(":")
    name = name.strip()
    if not colon or not name or not all(33 <= ord(one) <= 126 and one not in '()<>@,;:\\"/[]?={}' for one in name):
        raise ValueError("must be lines like `x-api-key: …`")
    if name.lower() in ("host", "content-length", "transfer-encoding", "connection"):
        raise ValueError(f"{name} is made by mailbridge; leave it out")
    if not value.strip() or not value.strip().isprintable():
        raise ValueError(f"{name} must have a value of one line")
    return name, value.strip()


def escaped_for_slack(value: str) -> str:
    """As Slack wants text that is no markup: ``&``, ``<`` and ``>`` alone have a meaning there."""
    return html.escape(value, quote=False)
