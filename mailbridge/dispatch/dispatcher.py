"""The dispatcher: takes claims as they come, hands each to its sink, and settles what became of it.

A claim exists at most once for a target and identifier, and the next one of that line appears only when the store has
settled it; so order needs no bookkeeping here, and a few senders for each target are enough (measured: 2 senders carry
more mails a second than a task for each mail, since httpx's cost grows with what waits in its pool).
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailbridge.core.delivery import Accepted, Claim, Deferred, Outcome, Refused, State, Step, settle
from mailbridge.metrics import Metrics
from mailbridge.sinks import Sink
from mailbridge.store import Store, StoreUnavailable

log = logging.getLogger("mailbridge.dispatch")

LOOK_AGAIN = timedelta(seconds=2)
"""How long the dispatcher sleeps at most: an operator's retry in another process rings no bell here."""

BATCH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One sink with its name, the number of its senders, and how long a doubt about an attempt blocks its line."""

    name: str
    sink: Sink
    senders: int
    grace: timedelta


class Dispatcher:
    """Owns the senders. `offer` is synchronous and never blocks; `run` lives as long as the daemon."""

    def __init__(
        self,
        *,
        store: Store,
        targets: Sequence[Target],
        now: Callable[[], datetime],
        metrics: Metrics,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._targets: Mapping[str, Target] = {target.name: target for target in targets}
        self._queues: Mapping[str, deque[Claim]] = {name: deque() for name in self._targets}
        self._wake: Mapping[str, asyncio.Event] = {name: asyncio.Event() for name in self._targets}
        self._bell = asyncio.Event()
        self._now = now
        self._metrics = metrics
        self._jitter = jitter
        self._next_at: datetime | None = None
        self._settling = 0
        self._group = asyncio.TaskGroup()
        self._busy = 0
        self._is_stopping = False
        self.alarms: dict[str, str] = {}

    @property
    def backlog(self) -> int:
        """How many claims wait for a sender."""
        return sum(len(queue) for queue in self._queues.values())

    def offer(self, claims: Sequence[Claim]) -> None:
        """Queue claims for the senders of their target."""
        for claim in claims:
            name = claim.delivery.draft.target
            self._queues[name].append(claim)
            self._wake[name].set()

    def ring(self) -> None:
        """Look into the store now: something may have fallen due."""
        self._bell.set()

    async def run(self) -> None:
        """Send until cancelled."""
        async with self._group as group:
            group.create_task(self._watch(), name="dispatch-watch")
            for target in self._targets.values():
                for number in range(target.senders):
                    group.create_task(self._send(target), name=f"dispatch-{target.name}-{number}")

    async def drain(self, limit: timedelta) -> None:
        """Stop taking due work from the store, send what is queued for up to ``limit``, give the rest back."""
        self._is_stopping = True
        until = time.monotonic() + limit.total_seconds()
        while (self.backlog or self._busy or self._settling) and time.monotonic() < until:
            await asyncio.sleep(0.01)
        left = [claim for queue in self._queues.values() for claim in queue]
        for queue in self._queues.values():
            queue.clear()
        if left:
            try:
                await self._store.release(left)
            except StoreUnavailable:
                log.warning("claims not given back; the next start does it", extra={"claims": len(left)})

    async def _watch(self) -> None:
        """Clear the bell, then look, then wait: nothing that rings in between is lost."""
        while True:
            self._bell.clear()
            await self._look()
            wait = LOOK_AGAIN
            if self._next_at is not None:
                wait = min(max(self._next_at - self._now(), timedelta()), LOOK_AGAIN)
            try:
                async with asyncio.timeout(wait.total_seconds()):
                    await self._bell.wait()
            except TimeoutError:
                continue

    async def _look(self) -> None:
        self._next_at = None
        if self._is_stopping:
            return
        try:
            due = await self._store.claim(limit=BATCH)
        except StoreUnavailable as fault:
            log.warning("store unavailable", extra={"kind": fault.kind})
            return
        self.offer(due.claims)
        self._next_at = self._now() if len(due.claims) == BATCH else due.next_at

    async def _send(self, target: Target) -> None:
        queue, wake = self._queues[target.name], self._wake[target.name]
        while True:
            while not queue:
                wake.clear()
                await wake.wait()
            claim = queue.popleft()
            self._busy += 1
            try:
                step = await self._attempt(target, claim)
                self._settling += 1
                self._group.create_task(self._settle(claim, step), name="dispatch-settle")
            finally:
                self._busy -= 1

    async def _attempt(self, target: Target, claim: Claim) -> Step:
        now = self._now()
        if now >= claim.delivery.deadline:
            return Step(state=State.EXPIRED, attempts=claim.delivery.attempts, reason="its time was over before it could be sent")
        began = time.perf_counter()
        outcome = await self._outcome(target, claim)
        self._metrics.stage("push", time.perf_counter() - began)
        step = settle(claim.delivery, outcome, now=self._now(), jitter=self._jitter(), grace=target.grace)
        self._account(target, claim, outcome, step)
        return step

    async def _outcome(self, target: Target, claim: Claim) -> Outcome:
        """One attempt. A delivery in doubt is asked for before it is sent a second time."""
        if claim.delivery.is_doubtful:
            held = await target.sink.holds(claim)
            if held is None:
                return Deferred(reason="the target could not be asked whether it has the code already")
            if held:
                return Accepted(ref="found there")
        return await target.sink.push(claim)

    async def _settle(self, claim: Claim, step: Step) -> None:
        """Write the step, however long the store is away: until then the line of this identifier stands still."""
        try:
            following = await self._written(claim, step)
        finally:
            self._settling -= 1
        self.offer(following)
        if step.state is State.PENDING:
            self.ring()

    async def _written(self, claim: Claim, step: Step) -> Sequence[Claim]:
        delay = 0.05
        while True:
            try:
                return await self._store.settle(claim, step)
            except StoreUnavailable as fault:
                if fault.kind == "closed":
                    return ()
            await asyncio.sleep(delay)
            delay = min(delay * 2, 2.0)

    def _account(self, target: Target, claim: Claim, outcome: Outcome, step: Step) -> None:
        delivery = claim.delivery
        name = type(outcome).__name__.lower()
        self._metrics.delivery(target.name, str(step.state) if step.state is State.EXPIRED else name)
        if isinstance(outcome, Accepted):
            self.alarms.pop(target.name, None)
            self._metrics.accepted_after((self._now() - delivery.received_at).total_seconds())
        elif isinstance(outcome, Deferred | Refused) and outcome.is_alarm and target.name not in self.alarms:
            self.alarms[target.name] = outcome.reason
            log.error("alarm: %s", outcome.reason, extra={"target": target.name})
        log.info(
            "delivery %s",
            step.state,
            extra={
                "delivery": delivery.id,
                "target": target.name,
                "identifier": delivery.draft.identifier,
                "rule": delivery.rule,
                "attempt": step.attempts,
                "ms": round((self._now() - delivery.received_at).total_seconds() * 1000, 1),
                "reason": step.reason,
            },
        )
