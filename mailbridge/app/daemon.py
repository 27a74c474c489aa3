"""Assembles the daemon. It starts from the inside out, replaces its settings in one step, and stops in reverse order."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mailbridge import log_events
from mailbridge.app.condition import alarms_of, health_of, metrics_of
from mailbridge.app.engine import FLUSH, Engine, Flush, running, start_engine, turning_away
from mailbridge.app.events import DaemonEvents
from mailbridge.app.following import follow_additions, learn
from mailbridge.app.heartbeat import Heartbeat
from mailbridge.app.mailboxes import HANG_UP, Mailboxes, mailboxes_of, note_change, nothing_watched
from mailbridge.app.parts import PARTS, Parts
from mailbridge.app.preparation import Prepared, prepare
from mailbridge.app.sharing import give_back, hear_waits, share_again, tell_waits
from mailbridge.app.snapshot import Live, Snapshot, snapshot
from mailbridge.app.storing import fingerprint
from mailbridge.app.targets import guard
from mailbridge.app.watching import Alarms, AlarmWatch, Delays, MissingWatch, watch
from mailbridge.config.added import Added, merged
from mailbridge.config.problems import ConfigError, Problem
from mailbridge.config.settings import Settings, SmtpSettings
from mailbridge.core.dataclass import dataclass
from mailbridge.ingress import smtp
from mailbridge.intake.admission import Admission, Rates
from mailbridge.intake.confirming import Confirming
from mailbridge.intake.door import Intake
from mailbridge.intake.doorway import Doorway
from mailbridge.intake.gate import Gate
from mailbridge.intake.onetime import OneTime, Together
from mailbridge.masks import Masks
from mailbridge.net.listening import ListenError, bound
from mailbridge.operator.entries import additions
from mailbridge.store import StoreError, StoreUnavailable
from mailbridge.store.places import path_of, socket_path_of
from mailbridge.trust import dkim, gmail
from mailbridge.trust.dns import Dns, Resolver
from mailbridge.web.readiness import Health

if TYPE_CHECKING:  # what people and programs ask over HTTP is loaded behind the listeners for mail
    import httpx
    from starlette.types import ASGIApp

    from mailbridge.app.operating import Reread
    from mailbridge.operator.verbs import Operator
    from mailbridge.practice.receiver import Practice

log = logging.getLogger("mailbridge.app")

AT_START = ("smtp", "skyvern", "practice", "http", "store", "retention", "parser", "log")
"""The sections that a reload does not change: they are bound, opened or started once."""


def _no_verbs() -> Operator:
    raise LookupError("the daemon has not started")


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where every way in brings its mail: what they are given of it, the intake and the names that it looks up, and whom they tell."""

    way: Doorway
    intake: Intake
    dns: Resolver
    events: DaemonEvents
    tests: OneTime


@dataclass(slots=True, kw_only=True)
class Bridge:
    """The daemon, running. What a reload changes is in ``live``, and nowhere else."""

    engine: Engine
    live: Live
    door: Door
    mailboxes: Mailboxes
    verbs: Callable[[], Operator] = field(default=_no_verbs)
    http_address: str = ""
    listeners: smtp.Listeners | None = None
    _change: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def settings(self) -> Settings:
        """The current settings."""
        return self.live.now.settings

    @property
    def operator(self) -> Operator:
        """The verbs of the operator, made at the first request."""
        return self.verbs()

    @property
    def practice(self) -> Practice | None:
        """The practice receiver, while there is no key for a real target."""
        receiver = self.engine.targets.receiver
        return receiver.practice if receiver is not None else None

    @property
    def smtp_addresses(self) -> tuple[str, ...]:
        """Where SMTP and LMTP are bound, ``host:port`` with the real port."""
        return self.listeners.addresses if self.listeners is not None else ()

    async def health(self) -> Health:
        """See `health_of`."""
        return await health_of(self)

    def alarms(self) -> Alarms:
        """See `alarms_of`."""
        return alarms_of(self)

    async def render_metrics(self) -> bytes:
        """See `metrics_of`."""
        return await metrics_of(self)

    async def leave(self) -> None:
        """Become unready, and continue for `[http] drain`, so that a balancer that asks `/readyz` sends nothing more here."""
        self.live.is_leaving = True
        await asyncio.sleep(self.settings.http.drain.total_seconds())

    async def reload(self, settings: Settings) -> tuple[str, ...]:
        """Take new settings as one: rules, recipients, identifiers, trust, targets, mailboxes and certificates.

        Everything that can fail is prepared first; then one assignment swaps it. Sections of AT_START stay as they were, and
        those that differ are named in the log. Mailboxes are watched anew where their accounts have changed, or where one
        waits for a person to fix something. Returns the sections that have changed and wait for a restart.

        Raises:
            ConfigError: every mistake at once; the old settings serve on.
        """
        guard(self.engine.masks, settings)
        async with self._change:
            try:
                return await self._take(settings, is_read_again=True)
            except StoreUnavailable as fault:
                raise ConfigError((Problem(where="[store]", what=f"the store is {fault.kind}; try again"),)) from None

    async def take_additions(self) -> None:
        """Take what people have added or removed by command since.

        Raises:
            ConfigError: it contradicts the file; what was in force stays.
            StoreUnavailable: it cannot be read now.
        """
        async with self._change:
            revision = await self.engine.store.entries.revision()
            if revision != self.live.revision:
                await self._take(self.live.base, is_read_again=False)
                self.live.revision = revision

    async def _take(self, wanted: Settings, *, is_read_again: bool) -> tuple[str, ...]:
        """Prepare, then swap. ``is_read_again``: a person asked for it, so certificates, and mailboxes that are
        parked or wait after a fault, are tried anew too.

        Returns the sections that wait for a restart.
        """
        added = await additions(self.engine.store.entries)
        prepared = await asyncio.to_thread(prepare, merged(wanted, added))
        change = self._listeners_for(wanted) if is_read_again else None
        try:
            return await self._swap(wanted, added, prepared, change, is_read_again=is_read_again)
        finally:
            if change is not None:
                change.abandon()

    async def _swap(
        self, wanted: Settings, added: Sequence[Added], prepared: Prepared, change: smtp.Change | None, *, is_read_again: bool
    ) -> tuple[str, ...]:
        """Make everything of the new settings that can fail, then put it in force. See `_take`."""
        now = self.live.base
        if change is not None:
            now = msgspec.structs.replace(now, smtp=msgspec.structs.replace(now.smtp, **_bound_anew(wanted)))
        base, waiting = _reloadable(now, wanted)
        settings = merged(base, added)
        guard(self.engine.masks, settings)
        fresh = self._snapshot(settings, prepared.rules, self.live.now.parser_config.learned)
        made = await asyncio.to_thread(self.engine.targets.prepare, settings)
        listeners = await asyncio.to_thread(self.engine.listeners.prepare, settings, made)
        if fresh.gate.asks_for_proofs:
            await asyncio.to_thread(dkim.warm_up)
        is_parked = is_read_again and any(one.mode == "parked" for one in self.mailboxes.health())
        try:
            watchers = (
                await mailboxes_of(settings, self.engine, self.door.way)
                if is_parked or settings.imap != self.settings.imap
                else None
            )
            is_guide_new = is_read_again or fresh.parser_config != self.live.now.parser_config
            successors = await self.engine.pool.prepare(fresh.parser_config.encode()) if is_guide_new else None
        except StoreError as fault:
            raise ConfigError((Problem(where="[[imap]]", what=str(fault)),)) from None
        except (OSError, TimeoutError) as fault:
            raise ConfigError((Problem(where="", what=f"no parser worker starts with it: {type(fault).__name__}"),)) from None
        if change is not None and self.listeners is not None:
            await self.listeners.take(change)
        # From here on nothing can fail.
        if successors is not None:
            successors.take_over()
        self.live.now, self.live.base = fresh, base
        with suppress(StoreUnavailable):  # the next reload says it again
            await self.engine.store.processes.describe(fingerprint(base))
        self.engine.targets.swap(made, self.engine.dispatcher)
        self.engine.listeners.swap(listeners)
        if is_read_again and self.listeners is not None:
            self.listeners.reload_tls()
        if watchers is not None:
            old, self.mailboxes = self.mailboxes, watchers
            watchers.follow(old)
            await old.close(HANG_UP)
            watchers.start()
        elif is_read_again:
            self.mailboxes.try_again()
        self.mailboxes.retry_now()
        return waiting

    async def share_mailboxes(self, *, with_states: bool = False) -> None:
        """Watch the mailboxes that this process has a lease on; none if it cannot know."""
        async with self._change:
            leases = self.engine.store.leases
            names = [one.label for one in self.settings.imap]
            states = self.mailboxes.states(self.engine.masks.masked) if with_states else {}
            try:
                held = await leases.share(names, states) if leases.is_certain else None
            except StoreUnavailable:
                held = None
            note_change(*self.mailboxes.shared(held))

    async def elsewhere(self) -> list[dict[str, Any]]:
        """The mailboxes that other processes watch, as those report them; none if that cannot be read now."""
        store = self.engine.store
        try:
            return self.mailboxes.others(await store.leases.elsewhere()) if store.is_shared else []
        except StoreUnavailable:
            return []

    def _listeners_for(self, wanted: Settings) -> smtp.Change | None:
        """The listeners of the new settings, bound; None if they stay, or need a restart."""
        if self.listeners is None or _bound_anew(wanted) == _bound_anew(self.live.base):
            return None
        try:
            return self.listeners.prepare(wanted.smtp)
        except ListenError as fault:
            log.warning("%s; until a restart it listens where it did", fault, extra={"event": log_events.RELOAD_PARTIAL})
            return None

    async def learn(self, identifiers: tuple[str, ...]) -> None:
        """Push under these spellings too, which Skyvern's credentials name.

        Raises:
            OSError, TimeoutError: no parser worker starts; nothing has changed.
        """
        async with self._change:
            now = self.live.now
            fresh = self._snapshot(now.settings, now.parser_config.rules, identifiers)
            successors = await self.engine.pool.prepare(fresh.parser_config.encode())
            successors.take_over()
            self.live.now = fresh

    def _snapshot(self, settings: Settings, rules: tuple[tuple[str, str], ...], learned: tuple[str, ...]) -> Snapshot:
        return snapshot(settings, rules=rules, served=self.engine.targets.served(settings), learned=learned)


@asynccontextmanager
async def bridge(
    settings: Settings,
    *,
    state_dir: Path,
    sockets: Mapping[str, Sequence[socket.socket]] | None = None,
    dns: Resolver | None = None,
    browser: Callable[[], httpx.AsyncClient] = gmail.browser,
    masks: Masks | None = None,
    reread: Reread | None = None,
    parts: Parts = PARTS,
) -> AsyncIterator[Bridge]:
    """The daemon, assembled and running for the length of the ``async with``.

    Starts from the inside out (store, targets, mail, and behind it what is asked over HTTP) and stops in reverse: what is accepted is
    settled or given back before the store closes. Mail that comes while the parser workers are still loading waits for them.
    ``dns`` and ``browser`` reach the world outside; a test brings its own. ``masks``
    learns every secret of the settings and each that is got later. ``reread`` reads the configuration again when an operator asks.
    ``parts`` are further ways in, sinks and routes.

    Raises:
        ConfigError, StoreError, ListenError: a set-up that cannot work; the message says what to do.
    """
    masks = masks or Masks()
    guard(masks, settings)
    prepared = prepare(settings)
    async with AsyncExitStack() as stack:
        flush = Flush(FLUSH)
        engine, live = await start_engine(stack, prepared, flush, masks, parts)
        here = await _open_door(stack, engine, live, dns, browser)
        web = await stack.enter_async_context(AsyncExitStack())  # served behind the mail, and closed behind it too
        asked = web.enter_context(bound(here.settings.http.listen, socket_path_of(here.settings.store)))
        await _listen(stack, here, settings.smtp, state_dir, sockets, flush)
        here.verbs = cache(lambda: _operator(here, dns=dns, browser=browser, reread=reread))
        here.http_address = await _serve_http(web, asked, here, parts, flush)
        for ingress in parts.ingresses:
            await stack.enter_async_context(ingress(live.now.settings, here.door.way))
        here.mailboxes = await mailboxes_of(here.settings, engine, here.door.way)
        stack.push_async_callback(lambda: here.mailboxes.close(min(HANG_UP, flush.left())))
        stack.push_async_callback(give_back, engine.store.leases)
        here.mailboxes.start()
        engine.waiting.subscribe(lambda identifier: here.mailboxes.wake((identifier,)))
        if live.now.gate.asks_for_proofs:
            await stack.enter_async_context(running(_load_proofs(here.door.dns)))
        beat = Heartbeat(lambda: here.settings.heartbeat, here.health, engine.listeners.teller.failing)
        await stack.enter_async_context(running(follow_additions(here), watch(*_watches(here)), beat.run()))
        if engine.store.is_shared:
            await stack.enter_async_context(running(*_shared(here)))
        if settings.identity.learn_from_skyvern:
            await stack.enter_async_context(running(learn(here)))
        await engine.pool.started()
        stack.enter_context(turning_away(engine.pool, flush))
        yield here


async def _listen(
    stack: AsyncExitStack,
    here: Bridge,
    settings: SmtpSettings,
    state_dir: Path,
    sockets: Mapping[str, Sequence[socket.socket]] | None,
    flush: Flush,
) -> None:
    """SMTP and LMTP: from now on mail is taken."""
    here.listeners = listeners = await smtp.serve(
        settings,
        here.door.intake.accept,
        here.door.way.admission,
        now=here.engine.clock.now,
        state_dir=state_dir,
        sockets=sockets,
        events=here.door.events,
    )
    stack.push_async_callback(lambda: listeners.close(flush.left()))


async def _load_proofs(dns: Resolver) -> None:
    """Load what checks proofs after the start, which does not need it; a mail that needs it earlier loads it itself."""
    await asyncio.to_thread(dkim.warm_up)
    if isinstance(dns, Dns):
        await asyncio.to_thread(dns.warm_up)


async def _serve_http(stack: AsyncExitStack, sockets: Sequence[socket.socket], here: Bridge, parts: Parts, flush: Flush) -> str:
    """Everything that is served over HTTP, including mail. Returns the address."""
    await asyncio.to_thread(importlib.import_module, "mailbridge.app.serving")  # mail comes in meanwhile
    from mailbridge.app.serving import serve_http

    async def rest() -> ASGIApp:
        await asyncio.to_thread(_load_verbs)
        from mailbridge.app.routes import rest_of

        return await asyncio.to_thread(rest_of, here, here.operator, parts.routes)

    return await serve_http(
        stack,
        sockets,
        here.engine,
        socket_path_of(here.settings.store),
        ready=here.health,
        metrics=here.render_metrics,
        rest=rest,
        patience=flush.left,
    )


def _load_verbs() -> None:
    """The routes for people and programs, loaded in a thread: it takes 80 ms."""
    for name in ("app.operating", "app.probing", "app.routes", "operator.why"):
        importlib.import_module(f"mailbridge.{name}")


def _operator(here: Bridge, *, dns: Resolver | None, browser: Callable[[], httpx.AsyncClient], reread: Reread | None) -> Operator:
    """The verbs over the parts of a daemon."""
    from mailbridge.app.operating import Around, HandIn, LiveConfiguration, RunningDaemon, operator_of
    from mailbridge.app.probing import LocalMailboxProbes, LocalProbes

    engine, live, way = here.engine, here.live, here.door.way
    trust = live.now.settings.trust
    return operator_of(
        store=engine.store,
        door=HandIn(admission=way.admission, intake=here.door.intake),
        configuration=LiveConfiguration(here),
        daemon=RunningDaemon(here, live=live, tests=here.door.tests, reread=reread),
        waiting=engine.waiting,
        on_due=engine.dispatcher.ring,
        on_taken=engine.dispatcher.enable,
        inboxes=live.inboxes,
        surroundings=Around(known=live.is_known, admission=way.admission),
        probes=LocalProbes(lambda: live.now.settings, reread=reread, masks=engine.masks),
        mailboxes=LocalMailboxProbes(live.now.settings.store, engine.masks),
        dns=lambda: dns or Dns(timeout=trust.dns_timeout, nameservers=trust.nameservers),
        clock=engine.clock,
        masks=engine.masks,
        browser=browser,
    )


async def _open_door(
    stack: AsyncExitStack,
    engine: Engine,
    live: Live,
    dns: Resolver | None,
    browser: Callable[[], httpx.AsyncClient],
) -> Bridge:
    """The gate and the intake behind it, and whom they tell."""
    settings = live.now.settings
    if engine.targets.served(settings).is_only_practice:
        log.info(
            "practice: there is no Skyvern key, so nothing leaves this machine and no mail needs a proof",
            extra={"event": log_events.PRACTICE_STARTED},
        )
    confirming = Confirming(lambda: live.now.confirming, browser, engine.store.confirmed)
    await stack.enter_async_context(running(confirming.run()))
    events = DaemonEvents(
        dispatcher=engine.dispatcher,
        waiting=engine.waiting,
        confirming=confirming,
        metrics=engine.metrics,
    )
    dns = dns or Dns(timeout=settings.trust.dns_timeout, nameservers=settings.trust.nameservers)
    gate = Gate(
        policy=lambda: live.now.gate,
        dns=dns,
        deadline=settings.trust.dns_timeout,
        contacts=engine.contacts,
        inboxes=live.inboxes,
        drift=lambda: engine.clock.drift,
    )
    together = None
    if engine.store.is_shared:
        key = engine.store.names.name("addresses of tests").encode()  # which outlives the key of the database
        together = Together(kept=engine.store.one_time, key=key, now=engine.clock.now)
    tests = OneTime(now=time.monotonic, dice=os.urandom, together=together)
    intake = Intake(
        reader=engine.pool,
        gate=gate,
        store=engine.store,
        tests=tests,
        policy=lambda: live.now.intake,
        events=events,
        metrics=engine.metrics,
    )
    admission = Admission(
        is_ours=lambda rcpt: live.accepts(rcpt) or tests.is_live(rcpt),
        memory=settings.smtp.max_memory,
        rates=Rates(recipient=settings.smtp.rate_recipient, sender=settings.smtp.rate_sender, client=settings.smtp.rate_client),
        on_flood=events.on_flood,
    )
    way = Doorway(accept=intake.accept, admission=admission, events=events, now=engine.clock.now)
    door = Door(way=way, intake=intake, dns=dns, events=events, tests=tests)
    return Bridge(engine=engine, live=live, door=door, mailboxes=Mailboxes((), nothing_watched))


def state_dir(settings: Settings) -> Path:
    """The folder of the database, for the daemon's own files."""
    return path_of(settings.store).parent


def _reloadable(old: Settings, new: Settings) -> tuple[Settings, tuple[str, ...]]:
    """The new settings, with the old values where only a restart can change them; and the sections that differ, which the log
    names."""
    kept = {name: getattr(old, name) for name in AT_START if getattr(old, name) != getattr(new, name)}
    if kept:
        log.warning(
            "a restart is needed for what changed in %s",
            ", ".join(f"[{name}]" for name in kept),
            extra={"event": log_events.RELOAD_PARTIAL},
        )
    return msgspec.structs.replace(new, **kept), tuple(kept)


def _bound_anew(settings: Settings) -> dict[str, Any]:
    """The keys of `[smtp]` that a reload changes; the others wait for a restart."""
    return {key: getattr(settings.smtp, key) for key in ("listen", "lmtp", "hostname")}


def _shared(here: Bridge) -> tuple[Coroutine[Any, Any, None], ...]:
    """Tasks of several processes on one database: each watches its share of the mailboxes, and a wait at one counts for all."""
    leases, waiting = here.engine.store.leases, here.engine.waiting
    return (
        share_again(here.share_mailboxes),
        tell_waits(leases, waiting, lambda: bool(here.settings.imap)),
        hear_waits(leases, waiting, lambda identifiers: here.mailboxes.wake(identifiers)),
    )


def _watches(here: Bridge) -> tuple[AlarmWatch, MissingWatch]:
    """Watches what people are told of."""
    engine, delays = here.engine, Delays()

    async def why(identifier: str, since: datetime) -> str:
        await asyncio.to_thread(_load_verbs)
        from mailbridge.operator.faults import Fault
        from mailbridge.operator.why import WhyAsk

        found = await here.operator.why.why(WhyAsk(identifier=identifier, since=since))
        return "" if isinstance(found, Fault) else engine.masks.masked("; ".join(one.text for one in found.causes[:2]))

    missing = MissingWatch(store=engine.store, waiting=engine.waiting, why=why, now=engine.clock.now, delays=delays)
    return AlarmWatch(engine.store, here.alarms, delays), missing
