"""Mail over HTTP in the daemon: the routes, who may post, and which proofs have counted. What reads posts is loaded by the first of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from mailbridge.app.engine import Engine
from mailbridge.app.snapshot import Live
from mailbridge.core.delivery import Draft
from mailbridge.core.mail import Envelope
from mailbridge.core.secret import Secret
from mailbridge.intake.answer import Answer
from mailbridge.intake.door import Intake, Question
from mailbridge.intake.doorway import Doorway
from mailbridge.store import Filter
from mailbridge.store.answers import Answers
from mailbridge.store.entries import Token
from mailbridge.web.auth import TokenAuth, bearer_of

if TYPE_CHECKING:
    from mailbridge.config.settings import IngestSettings
    from mailbridge.ingress.http.posted import Adapter
    from mailbridge.ingress.http.service import Ingest
    from mailbridge.ingress.http.texts import Texts

LATELY = timedelta(minutes=1)


class LiveCallers:
    """Implements `posting.Callers` over the tokens of the store and the secrets of the settings that count now."""

    def __init__(self, auth: TokenAuth, live: Live) -> None:
        self._auth = auth
        self._live = live

    async def bearer(self, request: Request) -> Token | None:
        """See `Callers.bearer`."""
        if "authorization" not in request.headers:
            return None
        return await self._auth.bringer(request, bearer_of(request))

    async def key(self, request: Request) -> Token:
        """See `Callers.key`."""
        return await self._auth.bringer(request, request.headers.get("x-api-key", "").strip() or bearer_of(request))

    @property
    def webhook_secrets(self) -> tuple[Secret, ...]:
        """See `Callers.webhook_secrets`."""
        return self._live.now.settings.ingest.webhook_secrets


class SpentProofs:
    """Implements `posting.Spent`: a proof is kept as a request that was answered, for `store.answers.KEPT`."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    async def has(self, proof: str) -> bool:
        """See `Spent.has`."""
        return await self._answers.find(_key(proof)) is not None

    async def spend(self, proof: str) -> None:
        """See `Spent.spend`."""
        await self._answers.keep(_key(proof), request=_key(proof), answer=b"")


def _key(proof: str) -> bytes:
    return hashlib.sha256(f"ingest\0{proof}".encode("utf-8", "surrogatepass")).digest()


class IngestRoutes:
    """The routes of mail over HTTP."""

    def __init__(self, engine: Engine, live: Live, *, auth: TokenAuth, way: Doorway, intake: Intake) -> None:
        self._engine = engine
        self._live = live
        self._callers = LiveCallers(auth, live)
        self._way = way
        self._intake = intake
        self._made: tuple[Ingest, Texts] | None = None
        self._making = asyncio.Lock()
        self._adapters: tuple[IngestSettings, Sequence[Adapter]] | None = None

    def routes(self) -> Sequence[BaseRoute]:
        """The routes cost nothing before the first post."""
        return [
            Route("/ingest/mime", self._to(lambda ingest, _: ingest.mime), methods=["POST"]),
            Route("/ingest/text", self._to(lambda _, texts: texts.text), methods=["POST"]),
            Route("/v1/credentials/totp", self._to(lambda _, texts: texts.skyvern), methods=["POST"]),
            Route("/ingest/{name}", self._to(lambda ingest, _: ingest.provider), methods=["POST", "HEAD"]),
            Route("/ingest/{name}/mime", self._to(lambda ingest, _: ingest.provider), methods=["POST", "HEAD"]),
        ]

    def _to(
        self, pick: Callable[[Ingest, Texts], Callable[[Request], Awaitable[Response]]]
    ) -> Callable[..., Awaitable[Response]]:
        async def serve(request: Request) -> Response:
            async with self._making:
                if self._made is None:
                    await asyncio.to_thread(_load)
                    self._made = self._make()
            return await pick(*self._made)(request)

        return serve

    def _make(self) -> tuple[Ingest, Texts]:
        from mailbridge.ingress.http.posting import Lobby
        from mailbridge.ingress.http.service import Ingest
        from mailbridge.ingress.http.texts import Texts

        lobby = Lobby(
            doorway=self._way,
            callers=self._callers,
            largest=self._live.now.settings.smtp.max_size,
            on_answer=self._engine.metrics.ingest,
        )
        ingest = Ingest(lobby, adapters=self._configured, spent=SpentProofs(self._engine.store.answers), ask=self._ask)
        return ingest, Texts(lobby, accept=self._intake.accept, spelling=self._spelling, found=self._found)

    def _configured(self) -> Sequence[Adapter]:
        """The adapters of the current settings; made again after a change."""
        from mailbridge.ingress.http.adapters import adapters_of

        settings = self._live.now.settings.ingest
        if self._adapters is None or self._adapters[0] != settings:
            self._adapters = (settings, adapters_of(settings))
        return self._adapters[1]

    async def _ask(self, envelope: Envelope, text: str, link: Secret) -> Answer:
        return await self._intake.ask(
            envelope, Question(text=text, link=link, trust=f"signed: it came by /ingest/{envelope.peer}")
        )

    def _spelling(self, identifier: str) -> str | None:
        inbox = self._live.inboxes.named(identifier)
        if inbox is not None:
            return inbox.identifier
        is_known = self._live.is_known(identifier)
        return (self._live.now.identity.spelling(identifier) or identifier) if is_known else None

    async def _found(self, mail: int, identifier: str) -> Draft | None:
        """The result of a mail, also if it came a second time."""
        wanted = Filter(identifier=identifier)
        rows = await self._engine.store.outbox.deliveries(wanted, limit=100)
        return next((one.draft for one in rows if one.mail_id == mail), None)


def _load() -> None:
    """The modules that read posts, loaded in a thread: 30 ms."""
    from mailbridge.ingress.http import adapters, service, texts  # noqa: F401
