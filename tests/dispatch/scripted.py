"""A sink that does what a test tells it, and remembers what it was asked; and a dispatcher between it and a real store."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.delivery import Accepted, Claim, Delivery, Draft, Outcome, State
from mailbridge.dispatch.dispatcher import Dispatcher, Target
from mailbridge.metrics import Metrics
from mailbridge.sinks import Sink
from mailbridge.store import Receipt
from mailbridge.store.sqlite import SqliteStore, open_sqlite
from tests.loop import until
from tests.store.mails import arrival

GRACE = timedelta(milliseconds=300)
Act = Outcome | Callable[[Claim], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """One push: of which code, when (steady time), and how."""

    code: str
    at: datetime
    attempts: int
    without_run: bool


@dataclass(slots=True)
class ScriptedSink:
    """Answers pushes of a code with what its script says, in order, and then accepts. Implements `mailbridge.sinks.Sink`."""

    now: Callable[[], datetime]
    script: dict[str, deque[Act]] = field(default_factory=lambda: defaultdict(deque))
    answers: deque[bool | Callable[[], Awaitable[bool | None]] | None] = field(default_factory=deque)
    pushed: list[Pushed] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    prepared: int = 0

    @property
    def codes(self) -> list[str]:
        """The codes in the order of their pushes."""
        return [one.code for one in self.pushed]

    async def prepare(self) -> None:
        """Count."""
        self.prepared += 1

    async def push(self, claim: Claim) -> Outcome:
        """Do as the script says."""
        code = claim.delivery.draft.content.reveal()
        delivery = claim.delivery
        self.pushed.append(Pushed(code=code, at=self.now(), attempts=delivery.attempts, without_run=delivery.without_run))
        acts = self.script[code]
        act = acts.popleft() if acts else Accepted()
        if not callable(act):
            return act
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await act(claim)
        finally:
            self.at_once -= 1

    async def holds(self, claim: Claim) -> bool | None:
        """The next of ``answers``."""
        self.asked.append(claim.delivery.draft.content.reveal())
        answer = self.answers.popleft()
        return await answer() if callable(answer) else answer

    async def identifiers(self) -> tuple[str, ...] | None:
        """None."""
        return None

    async def aclose(self) -> None:
        """Nothing is open."""


@dataclass(slots=True, kw_only=True)
class Post:
    """A dispatcher that runs, over a database of its own."""

    store: SqliteStore
    dispatcher: Dispatcher
    metrics: Metrics
    clock: SteadyClock
    settings: StoreSettings

    async def take(self, *drafts: Draft) -> Receipt:
        """Store a mail and offer its claims, as the intake does."""
        receipt = await self.store.put(arrival(*drafts, at=self.clock.now()))
        self.dispatcher.offer(receipt.claims)
        return receipt

    async def states(self) -> list[State]:
        """Of all deliveries, oldest first."""
        return [one.state for one in await self.deliveries()]

    async def deliveries(self) -> list[Delivery]:
        """All of them, oldest first."""
        return list(reversed(await self.store.outbox.deliveries(limit=10_000)))

    async def until_states(self, *wanted: State, patience: float = 10.0) -> None:
        """Wait until the deliveries stand like this."""
        async with asyncio.timeout(patience):
            while await self.states() != list(wanted):
                await asyncio.sleep(0.01)


@asynccontextmanager
async def post(
    folder: Path,
    sink: Callable[[SteadyClock], Sink],
    *,
    senders: int = 2,
    jitter: float = 1.0,
    grace: timedelta = GRACE,
    may_attempt: Callable[[], bool] = lambda: True,
) -> AsyncIterator[Post]:
    """A dispatcher with one target, ``skyvern``, running for the length of the block."""
    clock = SteadyClock()
    settings = StoreSettings(url=f"sqlite:///{folder / 'mailbridge.db'}", busy_timeout=timedelta(milliseconds=20))
    store = open_sqlite(settings, RetentionSettings(), clock=clock, grace=grace)
    metrics = Metrics()
    target = Target(name="skyvern", sink=sink(clock), senders=senders, grace=grace)
    dispatcher = Dispatcher(
        outbox=store.outbox,
        targets=[target],
        now=clock.now,
        metrics=metrics,
        jitter=lambda: jitter,
        may_attempt=may_attempt,
    )
    running = asyncio.create_task(dispatcher.run())
    await until(lambda: dispatcher.is_running)
    try:
        yield Post(store=store, dispatcher=dispatcher, metrics=metrics, clock=clock, settings=settings)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await store.close()
