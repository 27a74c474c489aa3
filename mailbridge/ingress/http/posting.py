"""What all routes below ``/ingest`` share: a body read in bounded memory, an answer after the commit, and refusals as
problem+json."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from dataclasses import field
from datetime import timedelta
from typing import Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret
from mailbridge.ingress.http.posted import Posted, Refused
from mailbridge.intake.admission import Hold
from mailbridge.intake.answer import Answer, Deferred, Full, Stored
from mailbridge.intake.doorway import Doorway
from mailbridge.store.entries import Token

NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
BODY_PATIENCE = timedelta(minutes=2)
"""The time within which a body must arrive, like `[smtp] data_timeout` by default: 25 MB at 1.7 Mbit/s."""

RETRY_AFTER = "5"


class Callers(Protocol):
    """Who may post: bearer tokens of role ``ingest``, and the secrets of Standard Webhooks."""

    async def bearer(self, request: Request) -> Token | None:
        """The token in the request. None if there is none.

        Raises:
            HTTPException: 401 for a wrong token, 403 for a token of another role, 429 after many wrong ones.
        """
        ...

    async def key(self, request: Request) -> Token:
        """The token in ``x-api-key`` or in ``Authorization``.

        Raises:
            HTTPException: as `bearer`, and 401 if there is none.
        """
        ...

    @property
    def webhook_secrets(self) -> tuple[Secret, ...]: ...


class Spent(Protocol):
    """Proofs that have already counted. Everything raises StoreUnavailable."""

    async def has(self, proof: str) -> bool: ...

    async def spend(self, proof: str) -> None:
        """Remember a proof, durably, for longer than any proof is valid."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Lobby:
    """What every POST needs. ``largest`` is the largest mail in octets. ``on_answer`` is told how each post was answered, by
    ingress."""

    doorway: Doorway
    callers: Callers
    largest: int
    on_answer: Callable[[str, int], None] = lambda way, status: None  # noqa: ARG005
    storing: set[asyncio.Task[Answer]] = field(default_factory=set)

    async def stored(self, accepting: Awaitable[Answer]) -> Stored:
        """Wait until a mail is stored. A client that leaves meanwhile changes nothing: the task belongs to the daemon, not to the
        request.

        Raises:
            Refused: 503; nothing was stored.
        """

        async def run() -> Answer:
            return await accepting

        task = asyncio.create_task(run(), name="ingest")
        self.storing.add(task)
        task.add_done_callback(self.storing.discard)
        answer = await asyncio.shield(task)
        if isinstance(answer, Deferred | Full):
            raise Refused(503, "the mail cannot be stored now; come back later")
        return answer

    def must_not_flood(self, request: Request, *, sender: str, recipients: tuple[str, ...]) -> None:
        """Count a mail against the flood limits.

        Raises:
            Refused: 429; sender, recipient or client has reached its limit.
        """
        admission, now = self.doorway.admission, asyncio.get_running_loop().time()
        client, folded = request.client.host if request.client else "", tuple(one.casefold() for one in recipients)
        is_over = admission.is_over("client", client, now) or admission.is_over("sender", sender.casefold(), now)
        if is_over or any(admission.is_over("recipient", one, now) for one in folded):
            raise Refused(429, "too many mails; come back later")
        admission.count(recipients=folded, sender=sender.casefold(), client=client, now=now)

    async def posted(self, request: Request, hold: Hold, *, most: int = 0) -> Posted:
        """The request with its whole body, of at most ``most`` octets (0: as much as the largest mail needs).

        Raises:
            Refused: the body is too large, too slow or broken off, or no memory is left for it.
        """
        most, size, body = most or self.largest * 4 // 3 + (1 << 20), 0, io.BytesIO()
        try:
            async with asyncio.timeout(BODY_PATIENCE.total_seconds()):
                async for part in request.stream():
                    size += len(part)
                    if size > most:
                        raise Refused(413, f"the body is larger than {most} octets, which [smtp] max_size decides")
                    if not hold.take(len(part)):
                        raise Refused(503, "too many mails are on their way in; come back later")
                    body.write(part)
        except TimeoutError:
            raise Refused(408, "the body did not come in in time") from None
        except ClientDisconnect:
            raise Refused(400, "the body broke off") from None
        query: dict[str, tuple[str, ...]] = {}
        for name, value in request.query_params.multi_items():
            query[name] = (*query.get(name, ()), value)
        headers = {name.lower(): value for name, value in request.headers.items()}
        return Posted(headers=headers, query=query, body=body.getvalue())


def problem(fault: Refused) -> Response:
    """The refusal as problem+json (RFC 9457), with the setting to change. For a provider without a status for refusals: 200
    without a body."""
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
