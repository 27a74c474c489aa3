"""Events told to listeners: each follows the journal from its own place, one event after the other, and is never waited for by anybody.

What a listener was told is noted behind its answer, so a process that dies between the two tells it once more, under the same id.
A listener that fails is tried again by a schedule, and everything behind waits for it: they are told in the order in which things happened.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import field
from datetime import datetime, timedelta

from mailbridge import log_events
from mailbridge.core.dataclass import dataclass
from mailbridge.core.delivery import Accepted, Doubtful, Refused
from mailbridge.core.happening import RECEIVED, Event, Wish, lifetime, schedule
from mailbridge.dispatch.occasions import Occasions
from mailbridge.sinks import Told
from mailbridge.store import Store, StoreUnavailable

log = logging.getLogger("mailbridge.dispatch")

LOOK_AGAIN = 30.0
"""Seconds after which a listener checks the journal without being woken."""

SOONEST = 0.1
"""Shortest interval between two checks of one listener."""

STORE_AGAIN = 1.0
PAGE = 100
NOTED_EVERY = 500
"""Number of unwanted lines after which the position is recorded anyway."""


async def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Who is told of what. ``is_person``: a notice, of which more than one at a time is too much, and which is not told of questions that
    need no person; any other is told everything, but not of codes, which come to it by the outbox. ``is_off`` while it wants nothing (410); ``on_gone`` is told when it says so. ``close`` is
    called when it is told no more."""

    name: str
    sink: Told
    wish: Wish
    is_person: bool = False
    is_off: Callable[[], bool] = lambda: False
    on_gone: Callable[[str], None] = lambda reason: None  # noqa: ARG005
    close: Callable[[], Awaitable[None]] = _nothing

    def wants(self, event: Event) -> bool:
        """Whether it gets an event."""
        is_for_it = not event.data.get("is_answered") if self.is_person else event.type != RECEIVED
        return not self.is_off() and is_for_it and self.wish.takes(event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """``window``: a person is told of one kind and subject once in this time; what comes meanwhile is counted, and told at its end.
    ``pause`` is how long to wait after so many attempts (None: no more), ``jitter`` spreads it."""

    window: timedelta = timedelta(minutes=10)
    pause: Callable[[str, int], timedelta | None] = schedule
    jitter: Callable[[], float] = random.random


@dataclass(slots=True)
class _Window:
    """Events of one kind and subject since a person was told of the first."""

    until: datetime
    count: int = 0
    last: Event | None = None


@dataclass(slots=True)
class _Place:
    """The position of a listener, and the recorded position."""

    line: int
    noted: int
    windows: dict[tuple[str, str], _Window] = field(default_factory=dict)


class Teller:
    """Tells listeners. `serve` may be called before `run`, and again at any time. ``failing`` are those that cannot be told now, with why."""

    def __init__(
        self,
        *,
        store: Store,
        occasions: Occasions,
        now: Callable[[], datetime],
        pace: Pace | None = None,
    ) -> None:
        self._store = store
        self._occasions = occasions
        self._now = now
        self._pace = pace or Pace()
        self._wanted: tuple[Listener, ...] = ()
        self._changed = asyncio.Event()
        self._tasks: dict[str, tuple[Listener, asyncio.Task[None]]] = {}
        self.failing: dict[str, str] = {}

    def serve(self, listeners: Sequence[Listener]) -> None:
        """Use these listeners from now on. A listener that is the same object continues."""
        self._wanted = tuple(listeners)
        self._changed.set()

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await self._changed.wait()
                    self._changed.clear()
                    await self._take(group)
        finally:
            for listener, _ in self._tasks.values():
                await listener.close()

    async def _take(self, group: asyncio.TaskGroup) -> None:
        wanted = {one.name: one for one in self._wanted}
        for name, (listener, task) in list(self._tasks.items()):
            if wanted.get(name) is not listener:
                del self._tasks[name]
                await _ended(task)
                await listener.close()
                self.failing.pop(name, None)
        while True:
            try:
                await self._store.events.listen(tuple(wanted))
                break
            except StoreUnavailable as fault:
                if fault.kind == "closed":
                    return
                await asyncio.sleep(STORE_AGAIN)
        for name, listener in wanted.items():
            if name not in self._tasks:
                self._tasks[name] = listener, group.create_task(self._follow(listener), name=f"tell-{name}")

    async def _follow(self, listener: Listener) -> None:
        """Check, send, then wait. Never returns; an unavailable store is tried again."""
        place: _Place | None = None
        with self._store.journal.bell() as bell:
            while True:
                bell.clear()
                if not self._store.is_first:  # another process tells; whoever comes after it goes on from the place in the store
                    place = None
                    await asyncio.sleep(STORE_AGAIN)
                    continue
                try:
                    if place is None:
                        line = await self._store.events.place(listener.name)
                        place = _Place(line, line)
                    is_more = await self._look(listener, place)
                except StoreUnavailable as fault:
                    if fault.kind == "closed":
                        return
                    await asyncio.sleep(STORE_AGAIN)
                    continue
                if not is_more:
                    ends = [(one.until - self._now()).total_seconds() for one in place.windows.values()]
                    await bell.wait(min([LOOK_AGAIN, *ends]))
                await asyncio.sleep(SOONEST)

    async def _look(self, listener: Listener, place: _Place) -> bool:
        """Send what is new. Returns whether there may be more at once. Raises StoreUnavailable."""
        await self._close_windows(listener, place)
        lines = await self._store.journal.after(place.line, limit=PAGE)
        for line in lines:
            event = await self._occasions.of(line)
            if event is not None and listener.wants(event):
                if listener.is_person:
                    await self._tell_person(listener, event, place)
                else:
                    await self._tell(listener, event)
                await self._store.events.told(listener.name, line.id)
                place.noted = line.id
            place.line = line.id
        if place.line - place.noted >= NOTED_EVERY:
            await self._store.events.told(listener.name, place.line)
            place.noted = place.line
        return len(lines) == PAGE

    async def _tell_person(self, listener: Listener, event: Event, place: _Place) -> None:
        """Send the first of a kind and subject at once; count further ones until the window is over."""
        key = event.type, event.subject
        window = place.windows.get(key)
        if window is not None and self._now() < window.until:
            window.count, window.last = window.count + 1, event
            return
        place.windows[key] = _Window(self._now() + self._pace.window)
        await self._tell(listener, event)

    async def _close_windows(self, listener: Listener, place: _Place) -> None:
        for key, window in list(place.windows.items()):
            if self._now() < window.until:
                continue
            del place.windows[key]
            if window.last is not None:
                place.windows[key] = _Window(self._now() + self._pace.window)
                await self._tell(listener, window.last, more=window.count - 1)

    async def _tell(self, listener: Listener, event: Event, *, more: int = 0) -> None:
        """Send one event until it is accepted, refused for good, or too old."""
        attempts = 0
        while not listener.is_off():
            if self._now() - event.at > lifetime(event.type):
                self._gave_up(listener, event, "it is over its time")
                return
            outcome = await listener.sink.tell(event, more=more)
            attempts += 1
            match outcome:
                case Accepted():
                    self.failing.pop(listener.name, None)
                    log.debug("event told", extra={"event": log_events.EVENT_TOLD, "listener": listener.name, "kind": event.type})
                    return
                case Refused():
                    self.failing[listener.name] = outcome.reason
                    self._gave_up(listener, event, outcome.reason)
                    if outcome.is_gone:
                        listener.on_gone(outcome.reason)
                    return
                case _:
                    self.failing[listener.name] = outcome.reason
            wish = None if isinstance(outcome, Doubtful) else outcome.retry_after
            pause = self._pace.pause(event.type, attempts)
            if pause is None:
                self._gave_up(listener, event, outcome.reason)
                return
            spread = pause.total_seconds() * (0.8 + 0.4 * self._pace.jitter())
            await asyncio.sleep(max(spread, wish.total_seconds() if wish is not None else 0.0))

    def _gave_up(self, listener: Listener, event: Event, reason: str) -> None:
        log.warning(
            "event not told: %s",
            reason,
            extra={"event": log_events.EVENT_NOT_TOLD, "listener": listener.name, "kind": event.type},
        )


async def _ended(task: asyncio.Task[None]) -> None:
    """End a task, and wait until it has ended."""
    task.cancel()
    await asyncio.wait([task])
