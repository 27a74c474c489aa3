"""The dispatcher: takes claims as they come, hands each to its sink, and settles what became of it.

A claim exists at most once for a target and identifier, and the next one of that queue appears only when the store has
settled it; so order needs no bookkeeping here, and a few senders for each target are enough (`mailbridge.dispatch.crew`).
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from mailbridge.core.delivery import Accepted, Claim, Deferred, Delivery, Doubtful, Ending, Lapsed, Outcome, Refused, State
from mailbridge.dispatch.crew import Crew, is_known
from mailbridge.metrics import Metrics
from mailbridge.sinks import Sink
from mailbridge.sinks.skyvern_pages import Login
from mailbridge.store import Outbox, Settlement, StoreUnavailable

log = logging.getLogger("mailbridge.dispatch")

LOOK_AGAIN = timedelta(seconds=2)
"""How long the dispatcher sleeps at most: an operator's retry in another process rings no bell here."""

LOOK_SOONEST = timedelta(milliseconds=5)
BATCH = 100

EXPECT_EVERY = 1.0
"""Seconds in which one word of coming mail is enough."""

ROOM = 1_000
"""Claims of one target that wait here at the most; what comes beyond that goes back to the store, and comes again in order."""

NOWHERE = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One sink with its name, the number of its senders, and how long a doubt about an attempt blocks its line."""

    name: str
    sink: Sink
    senders: int
    grace: timedelta


class _Nowhere:
    """The sink of deliveries whose target is no longer in the configuration: they become dead letters, and may be retried."""

    async def prepare(self) -> None:
        pass

    async def push(self, claim: Claim) -> Outcome:
        return Refused(reason=f"no target named {claim.delivery.draft.target!r} is configured any more")

    async def holds(self, claim: Claim) -> bool | None:  # noqa: ARG002
        return False

    async def logins(self) -> tuple[Login, ...] | None:
        return None

    async def page_of(self, *, run: str | None, task: str | None) -> str:  # noqa: ARG002
        return ""

    async def aclose(self) -> None:
        pass


class Dispatcher:
    """Owns the senders. `offer` is synchronous and never blocks; `run` lives as long as the daemon."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        targets: Sequence[Target],
        now: Callable[[], datetime],
        metrics: Metrics,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._outbox = outbox
        nowhere = Target(name=NOWHERE, sink=_Nowhere(), senders=1, grace=timedelta())
        self._targets: Mapping[str, Target] = {target.name: target for target in (nowhere, *targets)}
        self._crews: Mapping[str, Crew] = {name: Crew() for name in self._targets}
        self._bell = asyncio.Event()
        self._now = now
        self._metrics = metrics
        self._jitter = jitter
        self._next_at: datetime | None = None
        self._overflow: list[Claim] = []
        self._behind: set[str] = set()
        self._settling = 0
        self._group = asyncio.TaskGroup()
        self._busy = 0
        self._is_stopping = False
        self._expected_at = float("-inf")
        self.is_running = False
        self.alarms: dict[str, str] = {}
        self.failing: dict[str, str] = {}
        for target in targets:
            metrics.alarm(target.name, is_raised=False)

    @property
    def backlog(self) -> int:
        """How many claims wait for a sender."""
        return sum(crew.waiting for crew in self._crews.values())

    def offer(self, claims: Sequence[Claim]) -> None:
        """Queue claims for the senders of their target; where there is no room for them, give them back to the store.

        A target that has more in the store than fits here gets everything by way of the store until it has caught up, so
        that what came first goes first; a known sender's does not wait for strangers' there either.
        """
        for claim in claims:
            name = claim.delivery.draft.target
            name = name if name in self._crews else NOWHERE
            crew = self._crews[name]
            is_first = name not in self._behind or is_known(claim)
            if not (is_first and crew.has_room(claim, ROOM)):
                self._behind.add(name)
                self._overflow.append(claim)
                self._bell.set()
            else:
                crew.add(claim)

    def ring(self) -> None:
        """Look into the store now: something may have fallen due."""
        self._bell.set()

    def expect(self) -> None:
        """A mail is about to come: have a connection to each target ready. Cheap, however often it is called."""
        now = time.monotonic()
        if now < self._expected_at + EXPECT_EVERY or not self.is_running or self._is_stopping:
            return
        self._expected_at = now
        for target in self._targets.values():
            self._group.create_task(target.sink.prepare(), name=f"dispatch-{target.name}-prepare")

    async def run(self) -> None:
        """Send until cancelled."""
        async with self._group as group:
            self.is_running = True
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
        for crew in self._crews.values():
            self._overflow += crew.withdraw()
        try:
            await self._give_back()
        except StoreUnavailable:
            log.warning("claims not given back; the next start does it", extra={"claims": len(self._overflow)})

    async def _give_back(self) -> None:
        """Give back to the store what there is no room for here."""
        claims, self._overflow = self._overflow, []
        if not claims:
            return
        try:
            await self._outbox.release(claims)
        except StoreUnavailable:
            self._overflow += claims
            raise

    async def _watch(self) -> None:
        """Clear the bell, then look, then wait: nothing that rings in between is lost."""
        while True:
            self._bell.clear()
            await self._look()
            wait = LOOK_AGAIN
            if self._next_at is not None:
                wait = min(max(self._next_at - self._now(), LOOK_SOONEST), LOOK_AGAIN)
            try:
                async with asyncio.timeout(wait.total_seconds()):
                    await self._bell.wait()
            except TimeoutError:
                continue

    async def _look(self) -> None:
        """Take what is due, for the targets that have room for a batch."""
        self._next_at = None
        if self._is_stopping:
            return
        try:
            await self._give_back()
            busy = [name for name in self._behind if self._crews[name].waiting > ROOM - BATCH]
            due = await self._outbox.claim(limit=BATCH, busy=busy)
        except StoreUnavailable as fault:
            log.warning("store unavailable", extra={"kind": fault.kind})
            return
        for claim in due.claims:
            name = claim.delivery.draft.target
            self._crews[name if name in self._crews else NOWHERE].add(claim)
        if len(due.claims) == BATCH:
            self._next_at = self._now()
        else:
            self._next_at = due.next_at
            self._behind.intersection_update(busy)

    async def _send(self, target: Target) -> None:
        crew = self._crews[target.name]
        while True:
            claim = await crew.take()
            if target.name in self._behind and crew.waiting == ROOM // 2:
                self.ring()
            self._busy += 1
            try:
                with crew.attempt(claim):
                    ending = await self._attempt(target, claim)
                self._settling += 1
                self._group.create_task(self._settle(target, claim, ending, self._now()), name="dispatch-settle")
            finally:
                self._busy -= 1

    async def _attempt(self, target: Target, claim: Claim) -> Ending:
        began = time.perf_counter()
        ending = await self._ending(target, claim)
        if not isinstance(ending, Lapsed):
            self._metrics.stage("push", time.perf_counter() - began)
        self._note(target, claim, ending)
        return ending

    async def _ending(self, target: Target, claim: Claim) -> Ending:
        """One attempt. A delivery in doubt is asked for before it is sent a second time.

        The deadline cuts an attempt short, so that nothing is sent after it, by a connection that took long for instance.
        """
        if claim.delivery.is_doubtful:
            held = await target.sink.holds(claim)
            if held is None:
                return Deferred(reason="the target could not be asked whether it has the code already")
            if held:
                return Accepted(ref="found there")
        left = (claim.delivery.deadline - self._now()).total_seconds()
        if left <= 0:
            return Lapsed()
        try:
            async with asyncio.timeout(left):
                return await target.sink.push(claim)
        except TimeoutError:
            return Doubtful(reason="its time ran out in the middle of an attempt")

    async def _settle(self, target: Target, claim: Claim, ending: Ending, at: datetime) -> None:
        """Write how it ended, however long the store is away: until then the queue of this identifier stands still."""
        try:
            settlement = await self._written(target, claim, ending)
        finally:
            self._settling -= 1
        self.offer(settlement.claims)
        self._tell(target, claim, ending, settlement.delivery, at)
        if settlement.delivery is not None and settlement.delivery.state is State.PENDING:
            self.ring()

    async def _written(self, target: Target, claim: Claim, ending: Ending) -> Settlement:
        delay, jitter = 0.05, self._jitter()
        while True:
            try:
                return await self._outbox.settle(claim, ending, jitter=jitter, grace=target.grace)
            except StoreUnavailable as fault:
                if fault.kind == "closed":
                    return Settlement()
            await asyncio.sleep(delay)
            delay = min(delay * 2, 2.0)

    def _note(self, target: Target, claim: Claim, ending: Ending) -> None:
        """What an attempt says of its target."""
        match ending:
            case Accepted():
                self.failing.pop(target.name, None)
                if self.alarms.pop(target.name, None) is not None:
                    self._metrics.alarm(target.name, is_raised=False)
                    log.warning("alarm over", extra={"target": target.name})
                self._metrics.accepted_after((self._now() - claim.delivery.received_at).total_seconds())
            case Deferred(is_alarm=True) | Doubtful(is_alarm=True) | Refused(is_alarm=True):
                self._alarm(target.name, ending.reason)
            case Deferred() | Doubtful():
                self.failing[target.name] = ending.reason
            case Refused():
                self.failing.pop(target.name, None)  # it is there, and answers
            case Lapsed():
                pass
            case _:
                assert_never(ending)

    def _tell(self, target: Target, claim: Claim, ending: Ending, after: Delivery | None, at: datetime) -> None:
        """Count and log what became of the delivery when the attempt ended; ``after``: as it was written, if it was."""
        delivery = after or claim.delivery
        is_over = isinstance(ending, Lapsed) or delivery.state is State.EXPIRED
        outcome = type(ending).__name__.lower()
        self._metrics.delivery(target.name, str(State.EXPIRED) if is_over else outcome)
        log.info(
            "delivery %s",
            outcome if after is None else after.state,
            extra={
                "delivery": delivery.id,
                "target": target.name,
                "identifier": delivery.draft.identifier,
                "rule": delivery.rule,
                "attempt": delivery.attempts,
                "ms": round((at - delivery.received_at).total_seconds() * 1000, 1),
                "reason": delivery.reason,
            },
        )

    def _alarm(self, name: str, reason: str) -> None:
        """Say once what needs a person; again only where it is something else."""
        if self.alarms.get(name) != reason:
            log.error("alarm: %s", reason, extra={"target": name})
        self.alarms[name] = reason
        self._metrics.alarm(name, is_raised=True)
