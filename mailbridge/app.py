"""The one room that knows every other by name: assembles the daemon, starts it in order, and takes it down in reverse."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from starlette.routing import BaseRoute

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import Settings
from mailbridge.core.identity import IdentityPolicy
from mailbridge.core.mail import Envelope
from mailbridge.dispatch.dispatcher import Dispatcher
from mailbridge.dispatch.routing import Routing
from mailbridge.ingress import smtp
from mailbridge.ingress.imap import service as imap
from mailbridge.ingress.imap.vault import open_vault
from mailbridge.ingress.reply import FULL, OUR_FAULT, QUEUED, UNPROVEN_YET, Accept, Reply
from mailbridge.intake.burst import Burst
from mailbridge.intake.confirming import Confirming
from mailbridge.intake.door import Intake, ProofUnavailable
from mailbridge.intake.gate import Gate, policy_of
from mailbridge.intake.guide import Guide, guide_of
from mailbridge.intake.pool import ParserPool, parser_pool
from mailbridge.intake.understand import Understanding
from mailbridge.intake.warmup import warm_ups
from mailbridge.metrics import Metrics
from mailbridge.sinks import Sink
from mailbridge.store import Store, StoreUnavailable
from mailbridge.store.cipher import read_key
from mailbridge.store.sqlite import key_path_of, open_sqlite, path_of
from mailbridge.targets import longest_grace, practice_of, pull_keys, target_of, targets_of
from mailbridge.trust import gmail, verify
from mailbridge.trust.dns import Dns, Resolver
from mailbridge.trust.seal import Sealer
from mailbridge.waiting import Waiting
from mailbridge.web.auth import Gate as TokenGate
from mailbridge.web.codes import CodesApi
from mailbridge.web.events import EventsApi
from mailbridge.web.health import Health, Level, health_app
from mailbridge.web.openapi import openapi_routes
from mailbridge.web.practice import Practice
from mailbridge.web.pull import Pull
from mailbridge.web.server import serve_app

log = logging.getLogger("mailbridge.app")

FLUSH = timedelta(seconds=10)
"""How long a stop waits for what is in hand, mails on their way in and codes on their way out together."""

HANG_UP = timedelta(seconds=3)
"""How long a stop waits for the threads of the mailboxes: what they have not handed in is fetched again."""

SWEEP_EVERY = timedelta(seconds=5)
SWEEP_SOONEST = timedelta(milliseconds=50)
LEARN_EVERY = timedelta(minutes=10)


class Flush:
    """The time that a stop has, for all of its steps together; it begins when the first of them asks."""

    def __init__(self, limit: timedelta) -> None:
        self._limit = limit.total_seconds()
        self._until: float | None = None

    def left(self) -> timedelta:
        """What is left of it."""
        now = time.monotonic()
        self._until = now + self._limit if self._until is None else self._until
        return timedelta(seconds=max(self._until - now, 0.0))


@dataclass(slots=True, kw_only=True)
class Bridge:
    """The daemon, running. ``reload`` takes new settings as one, or raises and leaves everything as it was."""

    settings: Settings
    store: Store
    dispatcher: Dispatcher
    intake: Intake
    metrics: Metrics
    pool: ParserPool[Understanding]
    gate: Gate
    clock: SteadyClock
    waiting: Waiting
    pull: Pull
    confirming: Confirming
    http_address: str = ""
    listeners: smtp.Listeners = field(init=False)
    watch: Callable[[Settings], Awaitable[imap.Watchers]]
    mailboxes: imap.Watchers = field(init=False)
    practice: Practice | None = None
    practice_address: str = ""
    learned: tuple[str, ...] = ()

    @property
    def smtp_addresses(self) -> tuple[str, ...]:
        """Where SMTP and LMTP are bound, ``host:port`` with the real port."""
        return tuple(self.listeners.addresses)

    async def health(self) -> Health:
        """Unready only where mail cannot be accepted; a target or a mailbox that is down is a degradation."""
        ailing = {**self.dispatcher.failing, **self.dispatcher.alarms}
        checks = {f"target {name}": reason for name, reason in ailing.items()}
        if self.intake.burst.is_on(self.clock.now()):
            checks["trust"] = "many mails are held for want of proof"
        mailboxes = self.mailboxes.health()
        checks |= {f"mailbox {one.mailbox}": one.reason for one in mailboxes if not one.is_well}
        checks |= {f"canary {name}": one.reason for name, one in self.mailboxes.canaries().items() if not one.is_well}
        level = Level.DEGRADED if checks else Level.READY
        try:
            await self.store.outbox.counts()
        except StoreUnavailable as fault:
            level, checks = Level.UNREADY, {**checks, "store": fault.kind}
        if self.store.trouble is not None:
            level, checks = Level.UNREADY, {**checks, "store": self.store.trouble}
        if not self.pool.is_alive:
            level, checks = Level.UNREADY, {**checks, "parser": "no worker process is running"}
        return Health(level=level, checks=checks, mailboxes=tuple(asdict(one) for one in mailboxes))

    def is_known(self, identifier: str) -> bool:
        """Whether a mail's code could ever be for this identifier."""
        settings = self.settings
        policy = IdentityPolicy(known=settings.identity.known, learned=self.learned)
        bound = (entry.identifier.casefold() for entry in settings.address if entry.identifier)
        return policy.spelling(identifier) is not None or policy.is_allowed(identifier) or identifier.casefold() in bound

    async def render_metrics(self) -> bytes:
        """The metrics with what is read at the moment of asking."""
        try:
            self.metrics.outbox(await self.store.outbox.counts())
        except StoreUnavailable:
            log.warning("metrics without the outbox: store unavailable")
        self.metrics.waiting(Counter(wait.way for wait in self.waiting.everybody()))
        self.metrics.alarm("trust", is_raised=self.intake.burst.is_on(self.clock.now()))
        self.metrics.mailboxes({one.mailbox: one.age for one in self.mailboxes.health()})
        canaries = self.mailboxes.canaries()
        self.metrics.canaries({name: (one.latency, one.seen, not one.is_well) for name, one in canaries.items()})
        expiry = self.listeners.tls_not_after
        if expiry is not None:
            self.metrics.tls_expiry((expiry - datetime.now(UTC)).total_seconds())
        return self.metrics.render()

    async def reload(self, settings: Settings) -> None:
        """Rules, recipients, identifiers and certificates anew; listeners and store keep what they were started with.

        Mailboxes are watched anew where their accounts have changed, or where one waits for a person to mend something.
        """
        guide = guide_of(settings, learned=self.learned)
        await self.pool.reconfigure(guide.encode())
        self.listeners.set_recipients(recipients_of(guide))
        self.listeners.reload_tls()
        self.intake.routes = Routing(settings.target)
        self.pull.keys = pull_keys(settings, targets_of(settings, self.practice, self.practice_address))
        self.pull.grace = settings.pull.grace
        self.gate.policy = policy_of(settings, is_practice=self.gate.policy.is_practice)
        self.intake.burst.limit = settings.trust.alarm_held
        self.confirming.follow(settings.trust)
        self.intake.lifetime = settings.rules.lifetime
        self.intake.push_ambiguous = settings.rules.ambiguous == "push-best"
        if settings.imap != self.settings.imap or any(one.mode == "parked" for one in self.mailboxes.health()):
            await self.mailboxes.close(HANG_UP)
            self.mailboxes = await self.watch(settings)
        self.mailboxes.hurry()
        self.settings = settings


@asynccontextmanager
async def bridge(
    settings: Settings,
    *,
    state_dir: Path,
    sockets: Mapping[str, Sequence[socket.socket]] | None = None,
    dns: Resolver | None = None,
    browser: Callable[[], httpx.AsyncClient] = gmail.browser,
) -> AsyncIterator[Bridge]:
    """The daemon, assembled and running for the length of the ``async with``.

    Starts from the inside out (worker, store, target, dispatcher, and mail last) and stops in reverse: what is accepted is
    settled or given back before the store closes. ``dns`` and ``browser`` reach the world outside; a test brings its own.

    Raises:
        StoreError, ListenError, RuleError: a set-up that cannot work; the message says what to do.
    """
    clock = SteadyClock()
    metrics = Metrics()
    guide = guide_of(settings)
    async with AsyncExitStack() as stack:
        store: Store = open_sqlite(settings.store, settings.retention, clock=clock, grace=longest_grace(settings))
        stack.push_async_callback(store.close)
        starting = asyncio.ensure_future(
            stack.enter_async_context(
                parser_pool(
                    target="mailbridge.intake.understand:build",
                    answer=Understanding,
                    config=guide.encode(),
                    workers=settings.parser.workers,
                    timeout=settings.parser.timeout,
                )
            )
        )
        try:
            practice, practice_address = await practice_of(stack, settings)
            served = targets_of(settings, practice, practice_address)
            targets = [target_of(stack, one, metrics) for one in served]
            is_practice = practice is not None and not settings.target
            if not is_practice:
                await asyncio.to_thread(verify.warm_up)
        finally:
            pool = await starting
        dispatcher = Dispatcher(outbox=store.outbox, targets=targets, now=clock.now, metrics=metrics)
        await stack.enter_async_context(_running(dispatcher.run(), _sweep(store, clock.now)))
        flush = Flush(FLUSH)
        stack.push_async_callback(lambda: dispatcher.drain(flush.left()))
        waiting = Waiting(now=clock.now)
        pull = Pull(
            codes=store.codes,
            vault=store.vault,
            names=store.names,
            waiting=waiting,
            now=clock.now,
            metrics=metrics,
            keys=pull_keys(settings, served),
            grace=settings.pull.grace,
        )
        gate = Gate(
            policy=policy_of(settings, is_practice=is_practice),
            dns=dns or Dns(timeout=settings.trust.dns_timeout, nameservers=settings.trust.nameservers),
            deadline=settings.trust.dns_timeout,
        )
        if is_practice:
            log.info("practice: without a Skyvern key nothing leaves this machine, and no mail has to prove itself")
        confirming = Confirming(settings.trust, browser, is_practice=practice is not None)
        await stack.enter_async_context(_running(confirming.run()))
        intake = Intake(
            reader=pool,
            store=store,
            courier=dispatcher,
            routes=Routing(settings.target),
            metrics=metrics,
            lifetime=settings.rules.lifetime,
            gate=gate,
            sealer=Sealer(read_key(key_path_of(settings.store), is_made=False)),
            burst=Burst(settings.trust.alarm_held),
            on_asked=confirming.take,
            push_ambiguous=settings.rules.ambiguous == "push-best",
            on_stored=waiting.wake,
        )

        async def watch(settings: Settings) -> imap.Watchers:
            vault = open_vault(settings.store) if any(one.oauth is not None for one in settings.imap) else None
            key = read_key(key_path_of(settings.store), is_made=False)
            return await imap.serve(
                settings.imap,
                intake.accept,
                store.mailboxes,
                now=clock.now,
                drift=lambda: clock.drift,
                vault=vault,
                hot=waiting.is_anyone,
                key=key,
            )

        running = Bridge(
            watch=watch,
            settings=settings,
            store=store,
            dispatcher=dispatcher,
            intake=intake,
            metrics=metrics,
            pool=pool,
            gate=gate,
            clock=clock,
            waiting=waiting,
            pull=pull,
            confirming=confirming,
            practice=practice,
            practice_address=practice_address,
        )
        running.mailboxes = imap.Watchers(())
        http = serve_app(
            health_app(ready=running.health, metrics=running.render_metrics, more=api_routes(running)),
            listen=settings.http.listen,
        )
        running.http_address = (await stack.enter_async_context(http)).address
        stack.callback(waiting.close)
        rehearsal = warm_ups()[0]
        running.listeners = await smtp.serve(
            settings.smtp,
            door(intake),
            recipients_of(guide),
            now=clock.now,
            state_dir=state_dir,
            sockets=sockets,
            on_flood=metrics.flooded,
            expect=lambda: pool.rehearse(rehearsal),
            announce=dispatcher.expect,
        )
        stack.push_async_callback(lambda: running.listeners.close(flush.left()))
        stack.push_async_callback(lambda: running.mailboxes.close(min(HANG_UP, flush.left())))
        running.mailboxes = await watch(settings)
        waiting.subscribe(lambda _: running.mailboxes.wake())
        if settings.identity.learn_from_skyvern:
            await stack.enter_async_context(_running(_learn(running, targets[0].sink)))
        yield running


def api_routes(running: Bridge) -> Sequence[BaseRoute]:
    """What Skyvern and agents ask: the pull endpoint, codes, events, and the description of it all."""
    store, waiting = running.store, running.waiting
    gate = TokenGate(entries=store.entries, admin=running.settings.http.token)
    codes = CodesApi(
        gate=gate,
        codes=store.codes,
        vault=store.vault,
        waiting=waiting,
        now=running.clock.now,
        grace=lambda: running.settings.pull.grace,
        is_known=running.is_known,
    )
    events = EventsApi(gate=gate, journal=store.journal, waiting=waiting)
    return (*running.pull.routes(), *codes.routes(), *events.routes(), *openapi_routes())


def door(intake: Intake) -> Accept:
    """SMTP's view of the intake: a reply that tells the truth about what is on disk."""

    async def accept(envelope: Envelope) -> Reply:
        try:
            receipt = await intake.accept(envelope)
        except ProofUnavailable as fault:
            log.warning("mail put off: %s", fault.detail)
            return UNPROVEN_YET
        except StoreUnavailable as fault:
            log.warning("mail put off: the store is %s", fault.kind)
            return FULL if fault.kind == "full" else OUR_FAULT
        return QUEUED.naming(receipt.mail_id)

    return accept


def recipients_of(guide: Guide) -> Callable[[str], bool]:
    """Whether an address is one of ours, asked at RCPT TO."""
    recipients = guide.recipients()
    return lambda rcpt: recipients.accept(rcpt) is not None


def state_dir(settings: Settings) -> Path:
    """Where the daemon keeps what it makes: the folder of its database."""
    return path_of(settings.store).parent


@asynccontextmanager
async def _running(*chores: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run coroutines for the length of the block; one that fails ends the daemon with its fault."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(chore) for chore in chores]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as faults:
        if len(faults.exceptions) > 1:
            raise
        raise faults.exceptions[0] from None  # the fault itself, be it of the block or of a chore


async def _sweep(store: Store, now: Callable[[], datetime]) -> None:
    """Expire and erase what is over its time, for ever."""
    while True:
        wait = SWEEP_EVERY
        try:
            again_at = await store.sweep()
            if again_at is not None:
                wait = min(max(again_at - now(), SWEEP_SOONEST), SWEEP_EVERY)
        except StoreUnavailable as fault:
            log.warning("not swept: the store is %s", fault.kind)
        await asyncio.sleep(wait.total_seconds())


async def _learn(running: Bridge, sink: Sink) -> None:
    """Ask Skyvern now and then which identifiers its credentials expect, and push under those spellings."""
    while True:
        found = await sink.identifiers()
        if found is not None and found != running.learned:
            running.learned = found
            await running.pool.reconfigure(guide_of(running.settings, learned=found).encode())
            log.info("identifiers learned from Skyvern", extra={"count": len(found)})
        await asyncio.sleep(LEARN_EVERY.total_seconds())
