"""The dispatcher: takes claims as they come, hands each to its sink, and settles what became of it.

A claim exists at most once for a target and identifier, and the next one of that queue appears only when the store has
settled it; so order needs no bookkeeping here, and a few senders for each target are enough (`mailbridge.dispatch.sender_pool`).
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any, assert_never

from mailbridge import log_events
from mailbridge.core.dataclass import dataclass
from mailbridge.core.delivery import Accepted, Claim, Deferred, Delivery, Doubtful, Ending, Lapsed, Outcome, Refused, State
from mailbridge.core.inbox import TARGET as INBOX
from mailbridge.dispatch.attempt import Attempt
from mailbridge.dispatch.sender_pool import SenderPool, is_known
from mailbridge.metrics import Metrics
from mailbridge.sinks import Sink
from mailbridge.store import Outbox, Settlement, StoreUnavailable

log = logging.getLogger("mailbridge.dispatch")

LOOK_AGAIN = timedelta(seconds=2)
"""The longest sleep of the dispatcher: an operator's retry in another process does not wake it."""

LOOK_SOONEST = timedelta(milliseconds=5)
BATCH = 100

EXPECT_EVERY = 1.0
"""Seconds during which one notice of coming mail is enough."""

ROOM = 1_000
"""Most claims of one target that wait here; further ones go back to the store, and come again in order."""

NOWHERE = "unknown"
OUT_OF_TOUCH = "this process had lost touch with the database, and with its claims perhaps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One sink with its name, the number of its senders, and how long an uncertain attempt blocks its queue."""

    name: str
    sink: Sink
    senders: int
    grace: timedelta


class _Nowhere:
    """The sink of deliveries whose target was removed: they become dead letters, and can be retried when the target exists
    again."""

    async def prepare(self) -> None:
        pass

    async def push(self, claim: Claim) -> Outcome:
        return Refused(reason=f"no target named {claim.delivery.draft.target!r} is configured any more")

    async def holds(self, claim: Claim) -> bool | None:  # noqa: ARG002
        return False

    async def identifiers(self) -> tuple[str, ...] | None:
        return None

    async def aclose(self) -> None:
        pass


class _Kept:
    """The sink of codes that are not pushed: they are for callers who ask, and can be read at once."""

    async def prepare(self) -> None:
        pass

    async def push(self, claim: Claim) -> Outcome:  # noqa: ARG002
        return Accepted(ref="kept for who asks")

    async def holds(self, claim: Claim) -> bool | None:  # noqa: ARG002
        return True

    async def identifiers(self) -> tuple[str, ...] | None:
        return None

    async def aclose(self) -> None:
        pass


class _Line:
    """One target while it is served: the claims that wait for it, and the tasks that use its sink."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.pool = SenderPool()
        self.tasks: set[asyncio.Task[None]] = set()

    def start(self, group: asyncio.TaskGroup, work: Coroutine[Any, Any, None], name: str) -> None:
        """Start a task that uses the sink."""
        task = group.create_task(work, name=f"dispatch-{self.target.name}-{name}")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def close(self) -> None:
        """Wait for running attempts, and close the sink."""
        try:
            while self.tasks:
                await asyncio.wait(tuple(self.tasks))
        finally:
            await self.target.sink.aclose()


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
        may_attempt: Callable[[], bool] = lambda: True,
    ) -> None:
        self._outbox = outbox
        self._may_attempt = may_attempt
        nowhere = Target(name=NOWHERE, sink=_Nowhere(), senders=1, grace=timedelta())
        kept = Target(name=INBOX, sink=_Kept(), senders=1, grace=timedelta())
        self._lines = {target.name: _Line(target) for target in (nowhere, kept, *targets)}
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
        self.gone: dict[str, str] = {}
        self.proven: set[str] = set()
        """Targets that accepted something since the start, or that are no longer known: their earlier alarms are over."""
        for target in targets:
            metrics.alarm("target", target.name, is_raised=False)

    @property
    def backlog(self) -> int:
        """How many claims wait for a sender."""
        return sum(line.pool.waiting for line in self._lines.values())

    def serve(self, targets: Sequence[Target]) -> None:
        """Let these be the targets from now on. Cannot fail; only while `run` is running.

        A target that is the very same object goes on as before. One that is gone, or replaced by another of its name, begins no
        attempt any more; an attempt under way comes to its end, and then its sink is closed. Its claims go to the target of
        that name; where there is none, they become dead letters, and so does whatever else of it falls due.
        """
        if not self.is_running or self._is_stopping:
            return
        wanted = {target.name: target for target in targets}
        moved: list[Claim] = []
        for name, line in list(self._lines.items()):
            if name in (NOWHERE, INBOX) or line.target is wanted.get(name):
                continue
            del self._lines[name]
            moved += line.pool.dismiss()
            self._group.create_task(line.close(), name=f"dispatch-{name}-close")
            self._forget(name)
        for name, target in wanted.items():
            if name not in self._lines:
                self._lines[name] = _Line(target)
                self._man(self._lines[name])
                self._metrics.alarm("target", name, is_raised=False)
        self._behind.intersection_update(self._lines)
        self.offer(moved)
        self.ring()

    def _forget(self, name: str) -> None:
        """Clear the alarm of a target that was removed."""
        self.failing.pop(name, None)
        self.gone.pop(name, None)
        self.proven.add(name)
        if self.alarms.pop(name, None) is not None:
            self._metrics.alarm("target", name, is_raised=False)

    def disable(self, name: str, reason: str) -> None:
        """Send nothing more to a target that answered 410; its codes become dead letters. `enable` ends this, and so does
        another target of that name."""
        self.gone[name] = reason
        self._alarm(name, reason)

    def enable(self, name: str) -> None:
        """Send again to a disabled target."""
        if self.gone.pop(name, None) is not None:
            self._forget(name)

    def _man(self, line: _Line) -> None:
        """Start the senders of a target."""
        for number in range(line.target.senders):
            line.start(self._group, self._send(line), str(number))

    def _line_of(self, claim: Claim) -> _Line:
        """The queue of a claim: that of its target, or that of removed targets."""
        return self._lines.get(claim.delivery.draft.target, self._lines[NOWHERE])

    def offer(self, claims: Sequence[Claim]) -> None:
        """Queue claims for the senders of their target; where there is no room for them, give them back to the store.

        A target that has more in the store than fits here gets everything by way of the store until it has caught up, so
        that what came first goes first; a known sender's does not wait for strangers' there either.
        """
        for claim in claims:
            line = self._line_of(claim)
            name = line.target.name
            is_first = name not in self._behind or is_known(claim)
            if not (is_first and line.pool.has_room(claim, ROOM)):
                self._behind.add(name)
                self._overflow.append(claim)
                self._bell.set()
            else:
                line.pool.add(claim)

    def ring(self) -> None:
        """Check the store now: something may be due."""
        self._bell.set()

    def prewarm(self) -> None:
        """A mail will come soon: prepare a connection to each target. Cheap, however often it is called."""
        now = time.monotonic()
        if now < self._expected_at + EXPECT_EVERY or not self.is_running or self._is_stopping:
            return
        self._expected_at = now
        for line in self._lines.values():
            line.start(self._group, line.target.sink.prepare(), "prepare")

    async def run(self) -> None:
        """Send until cancelled."""
        async with self._group as group:
            self.is_running = True
            group.create_task(self._watch(), name="dispatch-watch")
            for line in self._lines.values():
                self._man(line)

    async def drain(self, limit: timedelta) -> None:
        """Stop taking work from the store, send what is queued for up to ``limit``, return the rest."""
        self._is_stopping = True
        until = time.monotonic() + limit.total_seconds()
        while (self.backlog or self._busy or self._settling) and time.monotonic() < until:
            await asyncio.sleep(0.01)
        for line in self._lines.values():
            self._overflow += line.pool.withdraw()
        try:
            await self._give_back()
        except StoreUnavailable:
            log.warning(
                "claims not released; the next start releases them",
                extra={"event": log_events.CLAIMS_KEPT, "claims": len(self._overflow)},
            )

    async def _give_back(self) -> None:
        """Return claims to the store for which there is no room here."""
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
        """Take due claims, for the targets that have room for a batch."""
        self._next_at = None
        if self._is_stopping:
            return
        try:
            await self._give_back()
            busy = [name for name in self._behind if self._lines[name].pool.waiting > ROOM - BATCH]
            due = await self._outbox.claim(limit=BATCH, busy=busy)
        except StoreUnavailable as fault:
            log.warning("store unavailable", extra={"event": log_events.STORE_UNAVAILABLE, "kind": fault.kind})
            return
        for claim in due.claims:
            self._line_of(claim).pool.add(claim)
        if len(due.claims) == BATCH:
            self._next_at = self._now()
        else:
            self._next_at = due.next_at
            self._behind.intersection_update(busy)

    async def _send(self, line: _Line) -> None:
        target, pool = line.target, line.pool
        while (claim := await pool.take()) is not None:
            if target.name in self._behind and pool.waiting == ROOM // 2:
                self.ring()
            self._busy += 1
            try:
                with pool.attempt():
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
        """One attempt; none at a target that is disabled. A delivery in doubt is asked for before it is sent a second time.

        The deadline cuts an attempt short, so that nothing is sent after it, by a connection that took long for instance.
        """
        if not self._may_attempt():
            return Deferred(reason=OUT_OF_TOUCH)
        if target.name in self.gone:
            return Refused(reason=f"not sent: {self.gone[target.name]}; `mailbridge target test {target.name}` enables it again")
        if claim.delivery.is_doubtful:
            held = await target.sink.holds(claim)
            if held is None:
                return Deferred(reason="the target could not be asked whether it has the code already")
            if held:
                return Accepted(ref="found there")
            if not self._may_attempt():
                return Deferred(reason=OUT_OF_TOUCH)
        left = (claim.delivery.deadline - self._now()).total_seconds()
        if left <= 0:
            return Lapsed()
        try:
            async with Attempt(left, self._may_attempt):
                return await target.sink.push(claim)
        except TimeoutError:
            return Doubtful(reason="the deadline passed during an attempt" if self._may_attempt() else OUT_OF_TOUCH)

    async def _settle(self, target: Target, claim: Claim, ending: Ending, at: datetime) -> None:
        """Record how the attempt ended, however long the store is unavailable: until then the queue of this identifier waits."""
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
        """Note what an attempt shows about its target, if the target still exists."""
        if isinstance(ending, Accepted) and target.name != INBOX:
            self._metrics.accepted_after((self._now() - claim.delivery.received_at).total_seconds())
        line = self._lines.get(target.name)
        if line is None or line.target is not target:
            return
        match ending:
            case Accepted():
                self.proven.add(target.name)
                self.failing.pop(target.name, None)
                if self.alarms.pop(target.name, None) is not None:
                    self._metrics.alarm("target", target.name, is_raised=False)
                    log.warning("alarm over", extra={"event": log_events.ALARM_CLEARED, "kind": "target", "alarm": target.name})
            case Refused(is_gone=True):
                self.disable(target.name, ending.reason)
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
        """Count and log the result of the attempt; ``after``: as it was recorded, if it was."""
        delivery = after or claim.delivery
        is_over = isinstance(ending, Lapsed) or delivery.state is State.EXPIRED
        outcome = type(ending).__name__.lower()
        self._metrics.delivery(target.name, str(State.EXPIRED) if is_over else outcome)
        log.info(
            log_events.DELIVERY_SETTLED,
            extra={
                "event": log_events.DELIVERY_SETTLED,
                "outcome": outcome if after is None else str(after.state),
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
        """Log once what needs a person; again only if it changes."""
        if self.alarms.get(name) != reason:
            log.error("alarm: %s", reason, extra={"event": log_events.ALARM_RAISED, "kind": "target", "alarm": name})
        self.alarms[name] = reason
        self._metrics.alarm("target", name, is_raised=True)
