"""The inside of the daemon: store, parser workers, targets and dispatcher, started before any mail may come in."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import field
from datetime import datetime, timedelta
from typing import Any

from mailbridge import log_events
from mailbridge.app.contacts import AppContacts
from mailbridge.app.listeners import Listeners
from mailbridge.app.parts import Parts
from mailbridge.app.preparation import Prepared, prepare
from mailbridge.app.records import StoreRecords
from mailbridge.app.sharing import follow_others, wake_waiting
from mailbridge.app.snapshot import Live, snapshot
from mailbridge.app.storing import open_store
from mailbridge.app.targets import Targets, guard, longest_grace, main_target, receiver_of
from mailbridge.clock import SteadyClock
from mailbridge.config.added import merged
from mailbridge.config.settings import Settings
from mailbridge.core.dataclass import dataclass
from mailbridge.dispatch.dispatcher import Dispatcher
from mailbridge.dispatch.occasions import Occasions
from mailbridge.dispatch.telling import Teller
from mailbridge.intake.inboxes import Inboxes
from mailbridge.intake.launch import UNDERSTAND
from mailbridge.intake.meaning import Understanding
from mailbridge.intake.pool import ParserPool, parser_pool
from mailbridge.masks import Masks
from mailbridge.metrics import Metrics
from mailbridge.operator.entries import additions
from mailbridge.sinks import GONE, KnowsLogins
from mailbridge.store import Store, StoreUnavailable
from mailbridge.store.cipher import read_key
from mailbridge.store.places import key_path_of
from mailbridge.trust.spf import is_listed
from mailbridge.waiting import Waiting
from mailbridge.web.polls import Ids

log = logging.getLogger("mailbridge.app")

FLUSH = timedelta(seconds=10)
"""How long a stop waits for work in progress: mails that are being received and codes that are being sent."""

FOR_ANSWERS = timedelta(seconds=1)
"""How long before the end of a stop the senders of mails that nobody has read are told to come again."""

SWEEP_EVERY = timedelta(seconds=5)
SWEEP_SOONEST = timedelta(milliseconds=50)


class Flush:
    """The time for all steps of a stop together; it begins with the first step."""

    def __init__(self, limit: timedelta) -> None:
        self._limit = limit.total_seconds()
        self._until: float | None = None

    def left(self) -> timedelta:
        """The rest of this time."""
        now = time.monotonic()
        self._until = now + self._limit if self._until is None else self._until
        return timedelta(seconds=max(self._until - now, 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class WayOut:
    """The dispatcher, its targets, and the listeners of events."""

    dispatcher: Dispatcher
    targets: Targets
    listeners: Listeners


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What runs independently of incoming mail."""

    clock: SteadyClock
    metrics: Metrics
    store: Store
    pool: ParserPool[Understanding]
    way_out: WayOut
    masks: Masks
    key: bytes = field(repr=False)
    contacts: AppContacts

    @property
    def dispatcher(self) -> Dispatcher:
        """The dispatcher."""
        return self.way_out.dispatcher

    @property
    def targets(self) -> Targets:
        """The targets."""
        return self.way_out.targets

    @property
    def listeners(self) -> Listeners:
        """The listeners of events."""
        return self.way_out.listeners

    @property
    def waiting(self) -> Waiting:
        """Who waits for a code."""
        return self.contacts.waiting


async def start_engine(
    stack: AsyncExitStack, prepared: Prepared, flush: Flush, masks: Masks, parts: Parts
) -> tuple[Engine, Live]:
    """Open the store, start targets and dispatcher, and begin to start the workers; they end with the stack, the store last.

    Raises:
        ConfigError, StoreError, ListenError, RuleError, OSError, TimeoutError: a set-up that cannot work; what had started is taken down.
    """
    settings = prepared.settings
    clock, metrics = SteadyClock(), Metrics()
    store = await open_store(settings, clock=clock, grace=longest_grace(settings))
    stack.push_async_callback(store.close)
    key = read_key(key_path_of(settings.store), is_made=False)
    masks.guard(key)
    revision = await store.entries.revision()
    settings, rules = await _with_additions(prepared, store)
    guard(masks, settings)
    receiver = await receiver_of(stack, settings)
    targets = Targets(main_target(settings, receiver), receiver, sinks=parts.sinks, metrics=metrics)
    stack.push_async_callback(targets.aclose)
    served = targets.served(settings)
    guard(masks, settings, served.targets)
    inboxes = Inboxes(kept=store.inboxes, now=clock.now, dice=os.urandom)
    await inboxes.load()
    now = snapshot(settings, rules=rules, served=served)
    live = Live(now, base=prepared.settings, revision=revision, inboxes=inboxes)
    pool = await _pool(stack, settings, live, parts)
    targets.made = targets.prepare(settings)
    records = StoreRecords(store=store, pool=pool, now=clock.now)
    targets.read_from(records)
    serving = [one.target for one in targets.made]
    dispatcher = Dispatcher(
        outbox=store.outbox, targets=serving, now=clock.now, metrics=metrics, may_attempt=lambda: store.may_attempt
    )
    listeners = await _listeners(live, store, records, targets=targets, dispatcher=dispatcher)
    await stack.enter_async_context(running(dispatcher.run(), listeners.teller.run(), _sweep(store, clock.now, inboxes.load)))
    stack.push_async_callback(lambda: dispatcher.drain(flush.left()))
    contacts = await _contacts(stack, settings, live, store=store, targets=targets, clock=clock)
    engine = Engine(
        clock=clock,
        metrics=metrics,
        store=store,
        pool=pool,
        way_out=WayOut(dispatcher=dispatcher, targets=targets, listeners=listeners),
        masks=masks,
        key=key,
        contacts=contacts,
    )
    return engine, live


async def _listeners(live: Live, store: Store, records: StoreRecords, *, targets: Targets, dispatcher: Dispatcher) -> Listeners:
    """The listeners of events. A target that was disabled before a restart stays disabled."""
    gone = [name for name, reason in (await store.events.alarms()).items() if reason == GONE]
    for one in targets.made:
        if f"target {one.settings.name}" in gone:
            dispatcher.disable(one.settings.name, GONE)

    def is_answered(account: str) -> bool:
        policy = live.now.confirming
        return policy.is_on and is_listed(account, policy.accounts)

    occasions = Occasions(store=store, records=records, is_answered=is_answered)
    listeners = Listeners(Teller(store=store, occasions=occasions, now=records.now), dispatcher)
    listeners.swap(listeners.prepare(live.now.settings, targets.made))
    return listeners


async def _pool(stack: AsyncExitStack, settings: Settings, live: Live, parts: Parts) -> ParserPool[Understanding]:
    return await stack.enter_async_context(
        parser_pool(
            target=UNDERSTAND,
            answer=Understanding,
            config=live.now.parser_config.encode(),
            workers=settings.parser.workers,
            timeout=settings.parser.timeout,
            launched=parts.worker,
            is_awaited=False,
        )
    )


async def _contacts(
    stack: AsyncExitStack, settings: Settings, live: Live, *, store: Store, targets: Targets, clock: SteadyClock
) -> AppContacts:
    """Who waits, and whose mail is known; the pages of runs are asked for in the background."""

    async def page_of(identifier: str, ids: Ids) -> str:
        names = live.now.intake.routes.targets(identifier)
        sink = next((one.target.sink for one in targets.made if one.target.name == names[0]), None)
        return await sink.page_of(run=ids.workflow_run_id, task=ids.task_id) if isinstance(sink, KnowsLogins) else ""

    contacts = AppContacts(store=store, waiting=Waiting(now=clock.now), now=clock.now, ask=page_of)
    await contacts.load()
    if settings.identity.learn_from_skyvern:
        await stack.enter_async_context(running(contacts.run()))
    if store.is_shared:
        await stack.enter_async_context(running(wake_waiting(store, contacts.waiting), follow_others(live.inboxes, contacts)))
    return contacts


async def _with_additions(prepared: Prepared, store: Store) -> tuple[Settings, tuple[tuple[str, str], ...]]:
    """The settings of the file with what people have added by command, and the rules."""
    added = await additions(store.entries)
    if not added:
        return prepared.settings, prepared.rules
    whole = await asyncio.to_thread(prepare, merged(prepared.settings, added))
    return whole.settings, whole.rules


@asynccontextmanager
async def running(*chores: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
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


@contextmanager
def turning_away(pool: ParserPool[Understanding], flush: Flush) -> Iterator[None]:
    """After the block the daemon stops. Mails that nobody has read until shortly before the end of that are deferred, while their
    senders can still be answered."""
    loop = asyncio.get_running_loop()
    try:
        yield
    finally:
        loop.call_later(max((flush.left() - FOR_ANSWERS).total_seconds(), 0), pool.turn_away)


async def _sweep(store: Store, now: Callable[[], datetime], put_right: Callable[[], Awaitable[None]]) -> None:
    """Expire and erase old rows. Never returns. ``put_right`` reads again what is kept of times, after steady time was set."""
    while True:
        wait, base = SWEEP_EVERY, store.time_base
        try:
            again_at = await store.sweep()
            if store.time_base != base and not store.is_shared:
                await put_right()
            if again_at is not None:
                wait = min(max(again_at - now(), SWEEP_SOONEST), SWEEP_EVERY)
        except StoreUnavailable as fault:
            log.warning("expired data not deleted: the store is %s", fault.kind, extra={"event": log_events.STORE_UNAVAILABLE})
        await asyncio.sleep(wait.total_seconds())
