"""The routes below ``/ingest``: each POST is read in bounded memory, proven, and answered 2xx only behind the commit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mailbridge.core.addresses import parse_mailbox, parse_return_path
from mailbridge.core.mail import Envelope
from mailbridge.core.secret import Secret
from mailbridge.ingress.http.mime import Mime
from mailbridge.ingress.http.posted import Adapter, Delivery, Posted, Refused
from mailbridge.ingress.http.proofs import TOLERANCE, standard_webhook
from mailbridge.intake.admission import Admission, Hold
from mailbridge.intake.answer import Accept, Answer, Deferred, Full, Stored

log = logging.getLogger("mailbridge.ingest")

NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
BODY_PATIENCE = timedelta(seconds=60)
RETRY_AFTER = "5"


class Callers(Protocol):
    """Who may post raw mails: the bearer tokens of role ``ingest``, and the secrets of Standard Webhooks."""

    async def bearer(self, request: Request) -> str | None:
        """The name of the token that the request carries; None where it carries none.

        Raises:
            HTTPException: 401 for a wrong one, 429 after many such.
        """
        ...

    @property
    def webhook_secrets(self) -> Sequence[Secret]: ...


class Spent(Protocol):
    """Proofs that have counted already."""

    async def has(self, proof: str) -> bool: ...

    async def spend(self, proof: str, *, until: datetime) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """What every POST needs: the door, what may come in, and our clock (aware UTC). ``largest`` is in octets, for one mail."""

    accept: Accept
    admission: Admission
    now: Callable[[], datetime]
    largest: int


class Ingest:
    """``POST /ingest/mime`` and ``POST /ingest/<provider>`` for each adapter that is configured."""

    def __init__(self, way: Way, *, adapters: Callable[[], Sequence[Adapter]], callers: Callers, spent: Spent) -> None:
        self._way = way
        self._adapters = adapters
        self._callers = callers
        self._spent = spent
        self._storing: set[asyncio.Task[Answer]] = set()
        self._in_use: set[str] = set()

    def routes(self) -> list[BaseRoute]:
        """The routes. What follows a provider's name in the path is ignored: Mailgun wants it to end in ``/mime``."""
        return [
            Route("/ingest/mime", self.mime, methods=["POST"]),
            Route("/ingest/{name}", self.provider, methods=["POST", "HEAD"]),
            Route("/ingest/{name}/mime", self.provider, methods=["POST", "HEAD"]),
        ]

    async def mime(self, request: Request) -> Response:
        """A raw mail by a program of one's own."""
        with self._way.admission.hold() as hold:
            try:
                name = await self._callers.bearer(request)
                posted = await self._posted(request, hold)
                once = ""
                if name is None:
                    number = standard_webhook(posted.headers, posted.body, self._callers.webhook_secrets, self._way.now())
                    once = f"webhook {number[:100]}"
                delivery = Mime().take(posted, now=self._way.now())
                return await self._taken(Mime(), Delivery(mails=delivery.mails, once=once), request)
            except Refused as fault:
                return _problem(fault)

    async def provider(self, request: Request) -> Response:
        """A mail by the webhook of a mail service."""
        wanted = request.path_params["name"]
        adapter = next((one for one in self._adapters() if one.name == wanted), None)
        if adapter is None:
            return _problem(Refused(404, "no such way in is configured", f"[ingest] has no key for {wanted[:40]}"))
        if request.method == "HEAD":
            return Response(status_code=200, headers=NO_STORE)
        with self._way.admission.hold() as hold:
            try:
                posted = await self._posted(request, hold)
                # Signatures of large bodies take milliseconds, and a certificate may have to be fetched: not in the event loop.
                delivery = await asyncio.to_thread(adapter.take, posted, now=self._way.now())
                return await self._taken(adapter, delivery, request)
            except Refused as fault:
                log.warning("a post was refused", extra={"provider": adapter.name, "reason": fault.title, "status": fault.status})
                return _problem(fault)

    async def _posted(self, request: Request, hold: Hold) -> Posted:
        """The request with its whole body.

        Raises:
            Refused: too large, too slow, broken off, or no memory left for it.
        """
        most = self._way.largest * 4 // 3 + (1 << 20)
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_PATIENCE.total_seconds()):
                async for part in request.stream():
                    if len(body) + len(part) > most:
                        raise Refused(413, f"the mail is larger than [smtp] max_size, {self._way.largest} octets")
                    if not hold.take(len(part)):
                        raise Refused(503, "too many mails are on their way in; come back later")
                    body += part
        except TimeoutError:
            raise Refused(408, "the body did not come in in time") from None
        except ClientDisconnect:
            raise Refused(400, "the body broke off") from None
        query: dict[str, tuple[str, ...]] = {}
        for name, value in request.query_params.multi_items():
            query[name] = (*query.get(name, ()), value)
        return Posted(headers={name.lower(): value for name, value in request.headers.items()}, query=query, body=bytes(body))

    async def _taken(self, adapter: Adapter, delivery: Delivery, request: Request) -> Response:
        """Every mail of a delivery through the door, and then the answer."""
        if delivery.note:
            log.warning("%s", delivery.note, extra={"provider": adapter.name})
            return Response(status_code=200, headers=NO_STORE)
        if delivery.once and delivery.once in self._in_use:
            raise Refused(503, "the same post is being taken in; come back later")
        if delivery.once and await self._spent.has(delivery.once):
            raise Refused(401, "this proof has been used already")
        self._in_use.add(delivery.once)
        try:
            answers = [await self._brought(adapter, delivery, number, request) for number in range(len(delivery.mails))]
            if any(isinstance(one, Deferred | Full) for one in answers):
                raise Refused(503, "the mail cannot be stored now; come back later")
            if delivery.once:
                await self._spent.spend(delivery.once, until=self._way.now() + 2 * TOLERANCE)
        finally:
            self._in_use.discard(delivery.once)
        if all(one is None for one in answers):
            raise Refused(
                adapter.unknown_recipient, "no recipient of it is one of ours", "mailbridge address list shows what is taken"
            )
        return Response(status_code=204 if isinstance(adapter, Mime) else 200, headers=NO_STORE)

    async def _brought(self, adapter: Adapter, delivery: Delivery, number: int, request: Request) -> Answer | None:
        """One mail stored; None where no recipient is ours."""
        brought, admission = delivery.mails[number], self._way.admission
        mailboxes = [parse_mailbox(one) for one in brought.rcpt_to]
        recipients = tuple(one for one in mailboxes if one is not None and admission.is_ours(one))
        if not recipients:
            return None
        mail_from = parse_return_path(brought.mail_from) or ""
        client, now = request.client.host if request.client else "", asyncio.get_running_loop().time()
        over = admission.is_over("sender", mail_from.casefold(), now) or any(
            admission.is_over("recipient", one.casefold(), now) for one in recipients
        )
        if over:
            raise Refused(429, "too many mails; come back later")
        admission.count(
            recipients=tuple(one.casefold() for one in recipients),
            sender=mail_from.casefold(),
            client=client,
            now=now,
        )
        envelope = Envelope(
            mail_from=mail_from,
            rcpt_to=recipients,
            content=brought.content,
            received_at=self._way.now(),
            ingress="http",
            peer=adapter.name,
        )
        # A client that leaves meanwhile changes nothing: the task is the daemon's, not the request's.
        task = asyncio.create_task(self._accepted(envelope))
        self._storing.add(task)
        task.add_done_callback(self._storing.discard)
        return await asyncio.shield(task)

    async def _accepted(self, envelope: Envelope) -> Answer:
        return await self._way.accept(envelope)


def _problem(fault: Refused) -> Response:
    """The refusal as problem+json (RFC 9457), with the setting to change; 200 without a body where a provider knows no refusal."""
    if fault.status < 300:
        return Response(status_code=fault.status, headers=NO_STORE)
    told = {"type": "about:blank", "title": fault.title, "status": fault.status}
    if fault.hint:
        told["detail"] = fault.hint
    headers = dict(NO_STORE)
    if fault.status in (429, 503):
        headers["Retry-After"] = RETRY_AFTER
    if fault.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="mailbridge"' if "URL" in fault.hint else 'Bearer realm="mailbridge"'
    if fault.status in (408, 413):
        headers["Connection"] = "close"
    return JSONResponse(told, status_code=fault.status, media_type="application/problem+json", headers=headers)


__all__ = ["Callers", "Ingest", "Spent", "Stored", "Way"]
