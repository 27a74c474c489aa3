"""The store, the registry of who waits, and the HTTP routes over them, on a port of their own: everything but mail coming in."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import itertools
import json
import os
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx
from starlette.requests import Request
from starlette.routing import Route

from mailbridge.app.ingesting import SpentProofs
from mailbridge.app.operating import Around, operator_of
from mailbridge.app.probing import LocalProbes
from mailbridge.clock import SteadyClock
from mailbridge.config.added import merged
from mailbridge.config.settings import DomainSettings, ImapSettings, RetentionSettings, Settings, StoreSettings
from mailbridge.core.delivery import Claim, Draft, Standing
from mailbridge.core.extraction import Extraction, Verdict
from mailbridge.core.identity import Identification
from mailbridge.core.mail import Envelope
from mailbridge.core.secret import Secret
from mailbridge.core.token import token_digest
from mailbridge.ingress.http.service import Ingest, Lobby
from mailbridge.ingress.http.texts import Texts
from mailbridge.intake.admission import Admission
from mailbridge.intake.answer import Answer, Stored
from mailbridge.intake.doorway import Doorway
from mailbridge.intake.events import NoEvents
from mailbridge.intake.inboxes import Inboxes
from mailbridge.intake.vouching import Word
from mailbridge.metrics import Metrics
from mailbridge.operator.doctor.finding import Step
from mailbridge.operator.entries import additions
from mailbridge.operator.faults import Fault
from mailbridge.operator.mailboxes import MailboxProbes, Tried
from mailbridge.operator.shapes import Reloaded, Status, TargetShape, TestAddress
from mailbridge.operator.shown import stamp
from mailbridge.operator.verbs import Operator
from mailbridge.store import Arrival
from mailbridge.store.entries import Entries, Role, Token
from mailbridge.store.sqlite import SqliteStore, open_sqlite
from mailbridge.waiting import Waiting
from mailbridge.web.auth import TokenAuth, bearer_of
from mailbridge.web.codes import CodesApi
from mailbridge.web.events import EventsApi
from mailbridge.web.health import Health, Level, health_app
from mailbridge.web.inboxes import InboxesApi
from mailbridge.web.limits import RateLimit
from mailbridge.web.openapi import openapi_routes
from mailbridge.web.operator import OperatorApi
from mailbridge.web.pages.entrance import PageParts, page_routes
from mailbridge.web.pull import PollLimits, Pull, PullKey, PullPolicy
from mailbridge.web.server import serve_app
from tests.peers.zone import Zone

T = TypeVar("T")

KEY = "eyJ.a-key-of-skyvern.xyz"
ADMIN = "the-token-that-reads-everything"
GRACE = timedelta(seconds=120)
UNUSED = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Nothing here speaks TLS; the default context would read every authority, for 20 ms a client."""


@dataclass
class Pulling:
    """The policy of the pull endpoint, which a test may swap as a reload does."""

    now: PullPolicy


class Calm:
    """A daemon to which nothing happens. ``rows`` are its mailboxes."""

    def __init__(self, *, is_practice: bool, rows: Sequence[dict[str, Any]] = ()) -> None:
        self._is_practice = is_practice
        self._rows = list(rows)

    async def status(self) -> Status | Fault:
        """All is well."""
        return Status(
            version="1",
            level="ready",
            checks={},
            smtp=[],
            http="",
            targets=[TargetShape(name="skyvern", url="http://127.0.0.1:9", is_practice=False, reason="")],
            mailboxes=self._rows,
            outbox={"dead": 0},
            is_practice=self._is_practice,
        )

    async def reload(self, by: str) -> Reloaded | Fault:
        """Nothing waits for a restart."""
        return Reloaded(after_restart=[])

    async def test_address(self, identifier: str, by: str) -> TestAddress | Fault:
        """One that no mail comes to."""
        return TestAddress(
            rcpt="test-1@bridge.example", identifier=identifier, expires_at=stamp(datetime.now(UTC)), is_practice=False, proofs=[]
        )


class NoMailboxes:
    """Probes of mailboxes that reach nobody."""

    def tried(self, settings: ImapSettings, token: Secret | None, *, idle_for: float, with_canary: bool) -> Tried:
        return Tried(steps=[Step(name="connect", is_good=False, text="nobody is asked here")])

    def keep(self, label: str, token: Secret) -> None:
        raise AssertionError(label)

    def forget(self, label: str) -> None:
        """There is nothing to forget."""

    def hint(self, preset: str | None) -> str:
        return preset or "a password"


class Fixed:
    """Settings that only what is added changes."""

    def __init__(self, store: StoreSettings, entries: Entries | None = None) -> None:
        self.now = self.base = Settings(domains=DomainSettings(accept=("bridge.example",)), store=store)
        self._entries = entries

    async def take_additions(self) -> None:
        """What is added is in force, as far as the settings tell."""
        if self._entries is not None:
            self.now = merged(self.base, await additions(self._entries))


class Shut:
    """A door that stores what an operator hands in, and understands nothing of it."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def is_ours(self, rcpt: str) -> bool:
        """One domain."""
        return rcpt.casefold().endswith("@bridge.example")

    async def accept(self, envelope: Envelope) -> Answer:
        """Stored as what an operator hands in."""
        return await self.hand_in(envelope, Word(verb="imported", by="a test"))

    async def hand_in(self, envelope: Envelope, word: Word) -> Answer:
        """Stored as a mail without a code."""
        arrival = Arrival(
            envelope=envelope,
            fingerprint=hashlib.sha256(envelope.content).hexdigest(),
            subject="",
            sender="",
            message_id="",
            extraction=Extraction(verdict=Verdict.NONE),
            identification=Identification(),
            trust=word.trust,
            origin=word.origin,
            verb=word.verb,
        )
        return Stored(receipt=await self._store.put(arrival))


class OneSecret:
    """Who may post: the tokens of the store; no signature counts."""

    webhook_secrets = ()

    def __init__(self, auth: TokenAuth) -> None:
        self._auth = auth

    async def bearer(self, request: Request) -> Token | None:
        """Whoever has a token."""
        return await self._auth.bringer(request, bearer_of(request)) if "authorization" in request.headers else None

    async def key(self, request: Request) -> Token:
        """Whoever has a token."""
        return await self._auth.bringer(request, bearer_of(request))


def ingest_routes(auth: TokenAuth, door: Shut, store: SqliteStore, now: Callable[[], datetime]) -> list[Route]:
    """Raw mails, texts and codes, as the daemon serves them."""
    admission = Admission(is_ours=door.is_ours, memory=1 << 20)
    doorway = Doorway(accept=door.accept, admission=admission, events=NoEvents(), now=now)
    lobby = Lobby(doorway=doorway, callers=OneSecret(auth), largest=100_000)

    async def ask(envelope: Envelope, text: str, link: Secret) -> Answer:
        return await door.accept(envelope)

    async def found(number: int, identifier: str) -> Draft | None:
        return None

    ingest = Ingest(lobby, adapters=tuple, spent=SpentProofs(store.answers), ask=ask)
    texts = Texts(lobby, accept=lambda envelope, _: door.accept(envelope), spelling=lambda one: one, found=found)
    return [
        Route("/ingest/mime", ingest.mime, methods=["POST"]),
        Route("/ingest/text", texts.text, methods=["POST"]),
        Route("/v1/credentials/totp", texts.skyvern, methods=["POST"]),
    ]


class Desk:
    """What a test may do: store a mail, poll as Skyvern does, ask as an agent does."""

    def __init__(
        self,
        store: SqliteStore,
        waiting: Waiting,
        pulling: Pulling,
        clock: SteadyClock,
        client: httpx.AsyncClient,
        operator: Operator,
    ) -> None:
        self.store = store
        self.waiting = waiting
        self.pulling = pulling
        self.clock = clock
        self.client = client
        self.operator = operator
        self.claims: list[Claim] = []
        self._numbers = itertools.count(1)

    async def mail(
        self,
        code: str,
        *,
        to: str = "ann@corp.com",
        sender: str = "no-reply@github.com",
        ago: float = 0.0,
        lifetime: float = 600.0,
        kind: Literal["code", "link"] = "code",
        targets: tuple[str, ...] = ("skyvern",),
        standing: Standing = Standing.KNOWN,
        domain: str = "github.com",
        task_id: str | None = None,
        workflow_run_id: str | None = None,
        workflow_id: str | None = None,
    ) -> int:
        """Store a mail with this code, received ``ago`` seconds ago, and ring the bell. Returns its number."""
        received = self.clock.now() - timedelta(seconds=ago)
        number = next(self._numbers)
        envelope = Envelope(mail_from=sender, rcpt_to=("x@y.example",), content=b"mail", received_at=received, ingress="smtp")
        drafts = tuple(
            Draft(
                target=target,
                identifier=to,
                kind=kind,
                content=Secret(code),
                sender=sender,
                lifetime=timedelta(seconds=lifetime),
                standing=standing,
                domain=domain,
                task_id=task_id,
                workflow_run_id=workflow_run_id,
                workflow_id=workflow_id,
            )
            for target in targets
        )
        arrival = Arrival(
            envelope=envelope,
            fingerprint=f"{number}",
            subject="Your code",
            sender=sender,
            message_id=f"<{number}@x>",
            extraction=Extraction(verdict=Verdict.LINK if kind == "link" else Verdict.CODE, value=Secret(code)),
            identification=Identification(identifiers=(to,), source="To"),
            drafts=drafts,
        )
        receipt = await self.store.put(arrival)
        self.claims += receipt.claims
        self.waiting.wake((to,))
        return receipt.mail_id

    async def poll(
        self, identifier: str = "ann@corp.com", body: bytes | None = None, *, key: str = KEY, **ids: str
    ) -> httpx.Response:
        """One poll as Skyvern signs it."""
        octets = json.dumps(ids, separators=(",", ":")).encode() if body is None else body
        signature = hmac.new(key.encode(), octets, hashlib.sha256).hexdigest()
        headers = {"x-skyvern-signature": signature, "x-skyvern-timestamp": "1", "Content-Type": "application/json"}
        return await self.client.post(f"/skyvern/totp/{identifier}", content=octets, headers=headers)

    async def code(self, identifier: str = "ann@corp.com", **ids: Any) -> str:
        """What a poll is given."""
        answer = await self.poll(identifier, **ids)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["verification_code"])

    async def token(
        self, *identifiers: str, expires_at: datetime | None = None, name: str = "test", role: Role = "agent"
    ) -> dict[str, str]:
        """The header of a new token for these identifiers."""
        text = f"mbt_{name}-{role}-{'-'.join(identifiers)}"
        await self.store.entries.add_token(
            token_digest(text), name=name, identifiers=identifiers, expires_at=expires_at, role=role
        )
        return {"Authorization": f"Bearer {text}"}

    async def ask(self, path: str, *, headers: dict[str, str] | None = None, **params: Any) -> httpx.Response:
        """GET with a token, by default the one that reads everything. ``from_`` is the parameter ``from``."""
        headers = {"Authorization": f"Bearer {ADMIN}"} if headers is None else headers
        return await self.client.get(path, params={name.rstrip("_"): value for name, value in params.items()}, headers=headers)

    async def wait(self, identifier: str = "ann@corp.com", **params: Any) -> Any:
        """The answer of a long poll."""
        answer = await self.ask("/api/v1/codes/wait", identifier=identifier, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def until_waiting(self, count: int = 1) -> None:
        """Return when so many wait."""
        await until(lambda: len(self.waiting.everybody()) == count)


async def until(holds: Callable[[], bool], *, patience: float = 10.0) -> None:
    """Return when a condition holds. Raises TimeoutError."""
    async with asyncio.timeout(patience):
        while not holds():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def open_desk(
    folder: Path,
    *,
    is_known: Callable[[str], bool] = lambda _: True,
    limit: RateLimit | None = None,
    polls: RateLimit | None = None,
    public_url: str = "",
    mailboxes: MailboxProbes | None = None,
    is_practice: bool = False,
    rows: Sequence[dict[str, Any]] = (),
) -> AsyncIterator[Desk]:
    """A desk over an empty store in ``folder``; with ``limit`` in place of the daemon's own rate limits, ``polls`` for signed polls.

    ``public_url`` is where a proxy serves the page; ``rows`` are how the mailboxes are.
    """
    clock = SteadyClock()
    settings = StoreSettings(url=f"sqlite:///{folder}/mailbridge.db")
    store = open_sqlite(settings, RetentionSettings(), clock=clock, grace=timedelta())
    waiting = Waiting(now=clock.now)
    pulling = Pulling(PullPolicy(keys=(PullKey(secret=Secret(KEY), serves=lambda _: True),), grace=GRACE))
    pull = Pull(
        store=store,
        waiting=waiting,
        now=clock.now,
        metrics=Metrics(),
        policy=lambda: pulling.now,
        limits=PollLimits(polls=polls or limit, strangers=limit),
    )
    inboxes = Inboxes(kept=store.inboxes, now=clock.now, dice=os.urandom)
    auth = TokenAuth(entries=store.entries, admin=Secret(ADMIN), strangers=limit)
    codes = CodesApi(
        auth=auth,
        store=store,
        waiting=waiting,
        now=clock.now,
        since=lambda _: clock.now() - GRACE,
        is_known=lambda identifier: (
            inboxes.named(identifier) is not None or (is_known(identifier) and not inboxes.is_over(identifier))
        ),
    )
    events = EventsApi(auth=auth, journal=store.journal, waiting=waiting)
    operator = operator_of(
        store=store,
        door=Shut(store),
        configuration=Fixed(settings, store.entries),
        daemon=Calm(is_practice=is_practice, rows=rows),
        waiting=waiting,
        surroundings=Around(known=is_known),
        probes=LocalProbes(lambda: Fixed(settings).now, reread=None),
        mailboxes=mailboxes or NoMailboxes(),
        dns=Zone,
        clock=clock,
        inboxes=inboxes,
    )
    verbs = OperatorApi(auth=auth, operator=operator, answers=store.answers)
    boxes = InboxesApi(auth=auth, verbs=operator.inboxes)
    page = page_routes(PageParts(operator=operator, public_url=public_url, now=clock.now))

    async def ready() -> Health:
        return Health(level=Level.READY)

    async def metrics() -> bytes:
        return b""

    posts = ingest_routes(auth, Shut(store), store, clock.now)
    more = (*posts, *pull.routes(), *codes.routes(), *boxes.routes(), *events.routes(), *verbs.routes(), *openapi_routes(), *page)
    try:
        async with (
            serve_app(health_app(ready=ready, metrics=metrics, more=more), listen="127.0.0.1:0") as bound,
            httpx.AsyncClient(base_url=f"http://{bound.address}", trust_env=False, verify=UNUSED, timeout=30) as client,
        ):
            try:
                yield Desk(store, waiting, pulling, clock, client, operator)
            finally:
                waiting.close()
    finally:
        await store.close()


def at_desk(folder: Path, work: Callable[[Desk], Coroutine[Any, Any, T]], **options: Any) -> T:
    """Run ``work`` at a new desk."""

    async def run() -> T:
        async with open_desk(folder, **options) as desk:
            return await work(desk)

    return asyncio.run(run())
