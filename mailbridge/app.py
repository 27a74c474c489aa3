"""The one room that knows every other by name: assembles the daemon, starts it in order, and takes it down in reverse."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import Settings, TargetSettings
from mailbridge.core.mail import Envelope
from mailbridge.core.secret import Secret
from mailbridge.dispatch.dispatcher import Dispatcher, Target
from mailbridge.ingress import smtp
from mailbridge.ingress.reply import FULL, OUR_FAULT, QUEUED, Reply
from mailbridge.intake.door import Intake
from mailbridge.intake.pool import ParserPool
from mailbridge.intake.guide import guide_of
from mailbridge.intake.understand import Understanding
from mailbridge.metrics import Metrics
from mailbridge.sinks.skyvern import SkyvernSink
from mailbridge.store import StoreUnavailable
from mailbridge.store.sqlite import SqliteStore, open_sqlite
from mailbridge.web.health import Health, Level, health_app
from mailbridge.web.practice import Practice, practice_app
from mailbridge.web.server import serve_app

log = logging.getLogger("mailbridge.app")

FLUSH = timedelta(seconds=10)
"""How long a stop waits for what is in hand."""

SKYVERN = "skyvern"
PRACTICE_KEY_NOTE = "no Skyvern key is configured: codes go to the built-in practice receiver"


class Routing:
    """Which targets serve an identifier: every `[[target]]` that lists it, else the main one."""

    def __init__(self, targets: Sequence[TargetSettings]) -> None:
        self._targets = targets

    def targets(self, identifier: str) -> Sequence[str]:
        """Names of targets, never empty."""
        folded = identifier.casefold()
        listed = [t.name for t in self._targets if any(fnmatchcase(folded, p.casefold()) for p in t.identifiers)]
        return listed or [SKYVERN]


class WorkerReader:
    """Understanding by way of the killable worker processes."""

    def __init__(self, pool: ParserPool[Understanding]) -> None:
        self._pool = pool

    async def understand(self, envelope: Envelope) -> Understanding | None:
        """None where the worker did not finish within its time."""
        return await self._pool.understand(envelope)


@dataclass(slots=True, kw_only=True)
class Bridge:
    """The daemon, running. ``reload`` takes new settings as one, or raises and leaves everything as it was."""

    settings: Settings
    store: SqliteStore
    dispatcher: Dispatcher
    intake: Intake
    metrics: Metrics
    listeners: smtp.Listeners
    pool: ParserPool[Understanding]
    clock: SteadyClock
    http_address: str
    practice: Practice | None = None
    practice_address: str = ""
    learned: tuple[str, ...] = ()
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def smtp_addresses(self) -> tuple[str, ...]:
        """Where SMTP and LMTP are bound, ``host:port`` with the real port."""
        return tuple(self.listeners.addresses)

    async def health(self) -> Health:
        """Unready only where mail cannot be accepted; a target that refuses us is a degradation."""
        checks = {f"target {name}": reason for name, reason in self.dispatcher.alarms.items()}
        try:
            await self.store.counts()
        except StoreUnavailable as fault:
            return Health(level=Level.UNREADY, checks={**checks, "store": fault.kind})
        if not self.pool.is_alive:
            return Health(level=Level.UNREADY, checks={**checks, "parser": "no worker process is running"})
        return Health(level=Level.DEGRADED if checks else Level.READY, checks=checks)

    async def render_metrics(self) -> bytes:
        """The metrics with what is read at the moment of asking."""
        try:
            self.metrics.outbox(await self.store.counts())
        except StoreUnavailable:
            log.warning("metrics without the outbox: store unavailable")
        expiry = self.listeners.tls_not_after
        if expiry is not None:
            self.metrics.tls_expiry((expiry - datetime.now(UTC)).total_seconds())
        return self.metrics.render()

    async def reload(self, settings: Settings) -> None:
        """Rules, recipients, identifiers and certificates anew; listeners and store keep what they were started with."""
        guide = guide_of(settings, learned=self.learned)
        await self.pool.reconfigure(guide.encode())
        self.listeners.reload_tls()
        self.intake.routes = Routing(settings.target)
        self.settings = settings


@asynccontextmanager
async def bridge(
    settings: Settings, *, state_dir: Path, sockets: Mapping[str, Sequence[socket.socket]] | None = None
) -> AsyncIterator[Bridge]:
    """The daemon, assembled and running for the length of the ``async with``.

    Starts from the inside out (store, worker, target, dispatcher, HTTP, and mail last) and stops in reverse: what is accepted
    is settled or given back before the store closes.

    Raises:
        StoreError, ListenError, RuleError: a set-up that cannot work; the message says what to do.
    """
    handed = sockets or {}
    clock = SteadyClock()
    metrics = Metrics()
    guide = guide_of(settings)
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(_pool(settings, guide))
        store = await open_sqlite(settings.store, settings.retention, clock=clock, grace=settings.skyvern.grace)
        stack.push_async_callback(store.close)
        practice, practice_address = await _practice(stack, settings)
        targets = _targets(stack, settings, metrics, practice, practice_address)
        dispatcher = Dispatcher(store=store, targets=targets, now=clock.now, metrics=metrics)
        group = await stack.enter_async_context(_tasks())
        group.create_task(dispatcher.run(), name="dispatch")
        group.create_task(_sweep(store), name="sweep")
        stack.push_async_callback(dispatcher.drain, FLUSH)
        intake = Intake(
            reader=WorkerReader(pool),
            store=store,
            courier=dispatcher,
            routes=Routing(settings.target),
            metrics=metrics,
            lifetime=settings.rules.lifetime,
            push_ambiguous=settings.rules.ambiguous == "push-best",
        )
        recipients = guide.recipients()
        listeners = await smtp.serve(
            settings.smtp,
            door(intake),
            lambda rcpt: recipients.accept(rcpt) is not None,
            now=clock.now,
            state_dir=state_dir,
            sockets=handed.get("smtp", ()),
        )
        stack.push_async_callback(listeners.close, FLUSH)
        running = Bridge(
            settings=settings,
            store=store,
            dispatcher=dispatcher,
            intake=intake,
            metrics=metrics,
            listeners=listeners,
            pool=pool,
            clock=clock,
            http_address="",
            practice=practice,
            practice_address=practice_address,
        )
        app = health_app(ready=running.health, metrics=running.render_metrics)
        http = await stack.enter_async_context(serve_app(app, listen=settings.http.listen))
        running.http_address = http.address
        yield running


def door(intake: Intake) -> Callable[[Envelope], asyncio.Future[Reply]]:
    """SMTP's view of the intake: a reply that tells the truth about what is on disk."""

    async def accept(envelope: Envelope) -> Reply:
        try:
            receipt = await intake.accept(envelope)
        except StoreUnavailable as fault:
            log.warning("mail put off", extra={"kind": fault.kind})
            return FULL if fault.kind == "full" else OUR_FAULT
        return QUEUED.naming(receipt.mail_id)

    return accept
