"""``/ingest/text``, and Skyvern's own ``/v1/credentials/totp``: texts without a signature. The token that brings them vouches
for them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mailbridge.core.addresses import parse_mailbox
from mailbridge.core.delivery import Draft
from mailbridge.core.mail import Envelope
from mailbridge.core.recipients import Recipient
from mailbridge.ingress.http.posted import Posted, Refused
from mailbridge.ingress.http.posting import NO_STORE, Lobby, problem
from mailbridge.ingress.http.written import Written, read_written
from mailbridge.intake.answer import Answer
from mailbridge.intake.vouching import TokenWord
from mailbridge.store.entries import Token

MOST = 1 << 20
"""Octets of a posted text. With ``raw`` it may have as many as a mail."""

RUN_IDS = ("workflow_run_id", "workflow_id", "task_id")
RUN_ID = re.compile(r"[A-Za-z]{1,10}_[A-Za-z0-9]{1,60}")
BARE = re.compile(r"(?=[A-Za-z-]*\d)[A-Za-z0-9-]{4,10}")
"""A code alone: Skyvern takes a text of up to ten characters as the code itself."""

Accept = Callable[[Envelope, TokenWord], Awaitable[Answer]]
Spelling = Callable[[str], str | None]
"""Gives the spelling of an identifier under which codes are pushed; None if no code can ever come for it."""

Found = Callable[[int, str], Awaitable[Draft | None]]
"""Gives the draft of the delivery that a mail led to for an identifier; None if it led to none."""


class Texts:
    """``POST /ingest/text`` and ``POST /v1/credentials/totp``."""

    def __init__(self, lobby: Lobby, *, accept: Accept, spelling: Spelling, found: Found) -> None:
        self._lobby = lobby
        self._accept = accept
        self._spelling = spelling
        self._found = found

    async def text(self, request: Request) -> Response:
        """One flat JSON object or form; see `written`."""
        with self._lobby.doorway.admission.hold() as hold:
            try:
                token = await self._lobby.callers.key(request)
                posted = await self._lobby.posted(request, hold)
                written = read_written(posted, now=self._lobby.doorway.now())
                if written.identifier:
                    number = await self._vouched(request, token, written, self._recipient(token, written.identifier, {}))
                else:
                    number = await self._addressed(request, written)
                return self._told("text", JSONResponse({"mail": number}, headers=NO_STORE))
            except Refused as fault:
                return self._told("text", problem(fault))

    async def skyvern(self, request: Request) -> Response:
        """A code in the form that is posted to Skyvern, answered like Skyvern 1.0.56 does."""
        with self._lobby.doorway.admission.hold() as hold:
            try:
                token = await self._lobby.callers.key(request)
                posted = await self._lobby.posted(request, hold, most=MOST)
                now = self._lobby.doorway.now()
                asked = _asked(posted)
                written = read_written(_spelled_out(posted, asked), now=now)
                recipient = self._recipient(token, written.identifier, {name: _run_id(asked, name) for name in RUN_IDS})
                number = await self._vouched(request, token, written, recipient)
                draft = await self._found(number, recipient.identifier or "")
                return self._told("skyvern", JSONResponse(_answer(asked, number, draft, now), headers=NO_STORE))
            except Refused as fault:
                return self._told("skyvern", problem(fault))

    def _told(self, way: str, response: Response) -> Response:
        self._lobby.on_answer(way, response.status_code)
        return response

    def _recipient(self, token: Token, identifier: str, ids: Mapping[str, str | None]) -> Recipient:
        """The recipient of a text.

        Raises:
            Refused: the token may not post for the identifier, or no code can ever come for it.
        """
        if not token.may_bring(identifier):
            hint = "mailbridge token add --role ingest --identifier IDENTIFIER makes a token for one; this one is for others, or for raw mails"
            raise Refused(403, "this token brings no texts for that identifier", hint)
        spelled = self._spelling(identifier)
        if spelled is None:
            raise Refused(
                404, "no code can ever come for that identifier", "it is not in [identity] known, nor bound to an address"
            )
        return Recipient(
            rcpt="",
            identifier=spelled,
            workflow_run_id=ids.get("workflow_run_id"),
            workflow_id=ids.get("workflow_id"),
            task_id=ids.get("task_id"),
        )

    async def _vouched(self, request: Request, token: Token, written: Written, recipient: Recipient) -> int:
        """Store a text for an identifier of the token. Returns the number of the mail that was made of it."""
        identifier = recipient.identifier or ""
        self._lobby.must_not_flood(request, sender=f"token {token.name}", recipients=(identifier,))
        mailbox, now = parse_mailbox(identifier), self._lobby.doorway.now()
        envelope = Envelope(
            mail_from="",
            rcpt_to=(mailbox,) if mailbox else (),
            content=written.content,
            # A raw mail counts as of its arrival here: with an earlier time an old signature would count.
            received_at=written.received_at or now if not written.is_raw else now,
            ingress="http",
            peer="text",
        )
        stored = await self._lobby.stored(self._accept(envelope, TokenWord(by=token.name, recipient=recipient)))
        return stored.receipt.mail_id

    async def _addressed(self, request: Request, written: Written) -> int:
        """Store a text for one of our addresses, as a mail that must prove itself like any other."""
        doorway = self._lobby.doorway
        if not doorway.admission.is_ours(written.rcpt):
            raise Refused(404, "mail is not taken for this rcpt", "mailbridge address list shows the addresses")
        self._lobby.must_not_flood(request, sender="", recipients=(written.rcpt,))
        envelope = Envelope(
            mail_from="",
            rcpt_to=(written.rcpt,),
            content=written.content,
            received_at=doorway.now(),
            ingress="http",
            peer="text",
            is_exact=written.content.isascii(),
        )
        return (await self._lobby.stored(doorway.accept(envelope))).receipt.mail_id


def _asked(posted: Posted) -> dict[str, Any]:
    """The body in Skyvern's own format. Raises Refused."""
    try:
        asked = msgspec.json.decode(posted.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refused(422, "the body is not JSON") from None
    if not isinstance(asked, dict):
        raise Refused(422, "the body must be one JSON object")
    for name in ("totp_identifier", "content"):
        if not isinstance(asked.get(name), str) or not asked[name].strip():
            raise Refused(422, f"{name} must be given, and be text")
    return asked


def _spelled_out(posted: Posted, asked: dict[str, Any]) -> Posted:
    """The same for `read_written`. A bare code gets words that say it is a code, as Skyvern takes it; other texts have their
    own words."""
    content = asked["content"].strip()
    text = f"Your verification code is: {content}" if BARE.fullmatch(content) else content
    told = {"identifier": asked["totp_identifier"], "text": text}
    return Posted(headers={"content-type": "application/json"}, query=posted.query, body=msgspec.json.encode(told))


def _run_id(asked: dict[str, Any], name: str) -> str | None:
    """The id of the run that the code is for. Raises Refused."""
    value = asked.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not RUN_ID.fullmatch(value):
        raise Refused(400, f"Invalid {name.removesuffix('_id').replace('_', ' ')} id")
    return value


def _answer(asked: dict[str, Any], number: int, draft: Draft | None, now: datetime) -> dict[str, Any]:
    """The row in the form that Skyvern returns. Its times are UTC but do not say so. Without a code it waits for a person."""
    at = now.replace(tzinfo=None).isoformat()
    row: dict[str, Any] = {
        "totp_identifier": draft.identifier if draft is not None else asked["totp_identifier"].strip(),
        "task_id": asked.get("task_id"),
        "workflow_id": asked.get("workflow_id"),
        "workflow_run_id": asked.get("workflow_run_id"),
        "source": asked.get("source"),
        "content": asked["content"],
        "expired_at": None,
        "type": asked.get("type"),
        "totp_code_id": f"totp_{number}",
        "code": draft.content.reveal() if draft is not None else "",
        "organization_id": "o_mailbridge",
        "created_at": at,
        "modified_at": at,
        "otp_type": None if draft is None else "magic_link" if draft.kind == "link" else "totp",
    }
    return row if draft is not None else {**row, "status": "raw_pending"}
