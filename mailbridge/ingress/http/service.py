"""The routes ``/ingest/mime`` and ``/ingest/<provider>``: each POST must prove itself, and is answered 2xx only after the
commit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from starlette.requests import Request
from starlette.responses import Response

from mailbridge import log_events
from mailbridge.core.addresses import parse_mailbox, parse_return_path
from mailbridge.core.mail import Envelope
from mailbridge.core.secret import Secret
from mailbridge.ingress.http.mime import Mime
from mailbridge.ingress.http.posted import Adapter, Brought, Delivery, Refused
from mailbridge.ingress.http.posting import NO_STORE, Callers, Lobby, Spent, problem
from mailbridge.ingress.http.proofs import standard_webhook
from mailbridge.intake.admission import Hold
from mailbridge.intake.answer import Answer

log = logging.getLogger("mailbridge.ingest")

Ask = Callable[[Envelope, str, Secret], Awaitable[Answer]]
"""Stores a question to a person: its words, and the link that says yes."""

MOST_MAILS = 100
"""The largest number of mails in one POST."""


KEYS: Mapping[str, str] = MappingProxyType(
    {
        "mailgun": "mailgun_key_file",
        "postmark": "postmark_password_file",
        "cloudmailin": "cloudmailin_password_file",
        "forwardemail": "forwardemail_key_file",
        "sendgrid": "sendgrid_key, or sendgrid_password_file",
        "ses": "ses_topics",
    }
)
"""The key of `[ingest]` that each provider needs."""


def _how_it_is_configured(wanted: str) -> str:
    """What is missing in the configuration for a provider. For an unknown name: the providers that exist."""
    if wanted in KEYS:
        return f"set [ingest] {KEYS[wanted]}, and `mailbridge reload`"
    return f"there are mime and text, and with their keys in [ingest] {', '.join(KEYS)}"


class Ingest:
    """``POST /ingest/mime`` and ``POST /ingest/<provider>`` for each adapter that is configured."""

    def __init__(self, lobby: Lobby, *, adapters: Callable[[], Sequence[Adapter]], spent: Spent, ask: Ask) -> None:
        self._lobby = lobby
        self._adapters = adapters
        self._spent = spent
        self._ask = ask
        self._in_use: set[str] = set()

    async def mime(self, request: Request) -> Response:
        """A raw mail from a program of your own. A wrong token is refused before the body is read."""
        doorway, callers = self._lobby.doorway, self._lobby.callers
        with doorway.admission.hold() as hold:
            try:
                token = await callers.bearer(request)
                posted = await self._lobby.posted(request, hold)
                once = ""
                if token is None:
                    number = standard_webhook(posted.headers, posted.body, callers.webhook_secrets, doorway.now())
                    once = f"webhook {number[:200]}"
                delivery = replace(Mime().take(posted, now=doorway.now()), once=once)
                return self._told("mime", await self._taken(Mime(), delivery, request))
            except Refused as fault:
                return self._told("mime", problem(fault))

    async def provider(self, request: Request) -> Response:
        """A mail from the webhook of a mail service. The rest of the path after its name is ignored: Mailgun wants it to end
        in ``/mime``."""
        wanted = request.path_params["name"]
        adapter = next((one for one in self._adapters() if one.name == wanted), None)
        if adapter is None:
            return self._told("other", problem(Refused(404, "no such way in is configured", _how_it_is_configured(wanted))))
        if request.method == "HEAD":
            return Response(status_code=200, headers=NO_STORE)
        with self._lobby.doorway.admission.hold() as hold:
            try:
                delivery = await self._proven(adapter, request, hold)
                return self._told(adapter.name, await self._taken(adapter, delivery, request))
            except Refused as fault:
                told = {"provider": adapter.name, "reason": fault.title, "status": fault.status}
                log.warning("post refused", extra={"event": log_events.POST_REFUSED, **told})
                return self._told(adapter.name, problem(fault))

    async def _proven(self, adapter: Adapter, request: Request, hold: Hold) -> Delivery:
        """What a post brings, if its proof holds. The post itself is dropped, so that a mail is in memory once.

        Raises:
            Refused: it is not accepted.
        """
        posted = await self._lobby.posted(request, hold)
        # Not in the event loop: signatures of large bodies take milliseconds, and a certificate may have to be fetched.
        delivery = await asyncio.to_thread(adapter.take, posted, now=self._lobby.doorway.now())
        hold.release()
        if len(delivery.mails) > MOST_MAILS:
            raise Refused(413, f"more than {MOST_MAILS} mails in one post")
        if not hold.take(sum(len(one.content) for one in delivery.mails)):
            raise Refused(503, "too many mails are on their way in; come back later")
        return delivery

    def _told(self, way: str, response: Response) -> Response:
        self._lobby.on_answer(way, response.status_code)
        return response

    async def _taken(self, adapter: Adapter, delivery: Delivery, request: Request) -> Response:
        """Pass every mail of a delivery to the intake, and then answer.

        Raises:
            Refused: no recipient is ours, the proof has already counted, or the post must be repeated.
        """
        if delivery.note:
            await self._noted(adapter, delivery)
            return Response(status_code=200, headers=NO_STORE)
        if delivery.once in self._in_use:
            raise Refused(503, "the same post is being taken in; come back later")
        if delivery.once:
            self._in_use.add(delivery.once)
        try:
            if delivery.once and await self._spent.has(delivery.once):
                raise Refused(401, "this proof has been used already")
            stored = [await self._is_stored(adapter, one, request) for one in delivery.mails]
            if delivery.once and any(stored):
                await self._spent.spend(delivery.once)
        finally:
            self._in_use.discard(delivery.once)
        if not any(stored):
            hint = "mailbridge address list shows what is taken"
            raise Refused(adapter.unknown_recipient, "no recipient of it is one of ours", hint)
        return Response(status_code=204 if isinstance(adapter, Mime) else 200, headers=NO_STORE)

    async def _noted(self, adapter: Adapter, delivery: Delivery) -> None:
        """Report to the operator a post that is not a mail. A question is stored with its link, for a person to answer.

        Raises:
            Refused: 503; the question was not stored.
        """
        log.warning("%s", delivery.note, extra={"event": log_events.POST_NOTED, "provider": adapter.name})
        if delivery.link:
            envelope = Envelope(
                mail_from="",
                rcpt_to=(),
                content=f"Subject: {delivery.note}\r\n\r\n{delivery.note}\r\n".encode(),
                received_at=self._lobby.doorway.now(),
                ingress="http",
                peer=adapter.name,
            )
            await self._lobby.stored(self._ask(envelope, delivery.note, Secret(delivery.link)))

    async def _is_stored(self, adapter: Adapter, brought: Brought, request: Request) -> bool:
        """Store one mail. False if no recipient is ours.

        Raises:
            Refused: a flood, or it cannot be stored now.
        """
        doorway = self._lobby.doorway
        if len(brought.content) > self._lobby.largest:
            raise Refused(413, f"the mail is larger than [smtp] max_size, {self._lobby.largest} octets")
        mailboxes = [parse_mailbox(one) for one in brought.rcpt_to]
        recipients = tuple(dict.fromkeys(one for one in mailboxes if one is not None and doorway.admission.is_ours(one)))
        if not recipients:
            return False
        mail_from = parse_return_path(brought.mail_from) or ""
        self._lobby.must_not_flood(request, sender=mail_from, recipients=recipients)
        envelope = Envelope(
            mail_from=mail_from,
            rcpt_to=recipients,
            content=brought.content if isinstance(adapter, Mime) else _with_line_ends(brought.content),
            received_at=doorway.now(),
            ingress="http",
            peer=adapter.name,
            is_exact=brought.is_exact,
        )
        await self._lobby.stored(doorway.accept(envelope))
        return True


def _with_line_ends(content: bytes) -> bytes:
    """A mail whose line ends became LF on the way, with CRLF again as it was sent. Signatures are made over CRLF (RFC 5322
    2.3)."""
    return content if b"\r" in content else content.replace(b"\n", b"\r\n")


__all__ = ["Callers", "Ingest", "Lobby", "Spent"]
