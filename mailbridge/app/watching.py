"""What needs a person, watched while the daemon runs: alarms that begin and end, and waits that ended without a code.

Both become lines of the journal, from which whoever wants to know is told. Alarms are kept in the store, so that a restart neither
repeats one nor takes it for over before that is seen. A look costs a few comparisons; nothing is written while nothing changes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import field
from datetime import datetime, timedelta

from mailbridge import log_events
from mailbridge.core.dataclass import dataclass
from mailbridge.core.delivery import State
from mailbridge.dispatch.occasions import missing_detail
from mailbridge.operator.shown import stamp
from mailbridge.store import Filter, Store, StoreUnavailable
from mailbridge.waiting import Waiting

log = logging.getLogger("mailbridge.app")

LOOK_EVERY = 1.0

LEAD = timedelta(minutes=2)
"""How long before a wait its code may have come."""

ALIVE = (State.PENDING, State.IN_FLIGHT, State.DELIVERED)
MAILBOX = "mailbox "
OF_WATCHERS = (MAILBOX, "canary ")
"""Alarms that whoever watches the mailbox raises and clears; all others are the affair of one process of all on the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """``red``: how long a mailbox is red before a person is told. ``quiet``: how long nobody waits any more before a wait counts as
    ended, since agents ask again and again; ``shortest``: a wait that nobody is told of."""

    red: timedelta = timedelta(seconds=60)
    quiet: timedelta = timedelta(seconds=15)
    shortest: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarms:
    """What is wrong now by name, with the reason, and of which names it is known that all is well."""

    raised: Mapping[str, str]
    well: frozenset[str]
    known: frozenset[str]
    """All names; an alarm of another name is over."""


class AlarmWatch:
    """Compares current problems with the alarms in the store. ``now_wrong`` returns the problems."""

    def __init__(self, store: Store, now_wrong: Callable[[], Alarms], delays: Delays) -> None:
        self._store = store
        self._now_wrong = now_wrong
        self._red = delays.red.total_seconds()
        self._kept: dict[str, str] | None = None
        self._red_since: dict[str, float] = {}

    async def look(self) -> None:
        """Raise and clear what is this process's affair, of all on the same store. Raises StoreUnavailable."""
        if self._kept is None or self._store.is_shared:
            self._kept = dict(await self._store.events.alarms())
        is_first = self._store.is_first
        now = self._now_wrong()
        raised = dict(self._patient(now.raised))
        for name, reason in raised.items():
            if name not in self._kept and (is_first or name.startswith(OF_WATCHERS)):
                event = "mailbox.down" if name.startswith(MAILBOX) else "alarm.raised"
                await self._store.events.raise_alarm(name, reason, event=event)
                self._kept[name] = reason
        for name in [one for one in self._kept if one not in now.raised]:
            is_over = name in now.well and (is_first or name.startswith(OF_WATCHERS))
            if is_over or (is_first and name not in now.known):
                event = "mailbox.up" if name.startswith(MAILBOX) else "alarm.cleared"
                await self._store.events.clear_alarm(name, event=event)
                del self._kept[name]

    def _patient(self, raised: Mapping[str, str]) -> Iterable[tuple[str, str]]:
        """Problems that have lasted long enough: a mailbox reconnects now and then."""
        at = time.monotonic()
        self._red_since = {name: self._red_since.get(name, at) for name in raised if name.startswith(MAILBOX)}
        for name, reason in raised.items():
            if at - self._red_since.get(name, float("-inf")) >= self._red:
                yield name, reason


@dataclass(slots=True)
class _Seen:
    """One identifier for which somebody waits or has just waited."""

    identifier: str
    who: str
    since: datetime
    last_at: datetime


@dataclass(slots=True, kw_only=True)
class MissingWatch:
    """Notices waits that ended without a code, and writes why. ``why`` gives the likeliest causes since a moment, in a line."""

    store: Store
    waiting: Waiting
    why: Callable[[str, datetime], Awaitable[str]]
    now: Callable[[], datetime]
    delays: Delays
    _seen: dict[str, _Seen] = field(default_factory=dict)

    async def look(self) -> None:
        """Note who waits, and tell of those who do so no longer. Raises StoreUnavailable."""
        now = self.now()
        for wait in self.waiting.everybody():
            line = wait.identifier.casefold()
            known = self._seen.get(line)
            if known is None:
                self._seen[line] = _Seen(wait.identifier, wait.who, wait.since, now)
            else:
                known.last_at, known.since = now, min(known.since, wait.since)
        for line, one in list(self._seen.items()):
            if now - one.last_at < self.delays.quiet:
                continue
            if one.last_at - one.since >= self.delays.shortest and not await self._has_come(one):
                causes = await self.why(one.identifier, one.since - LEAD)
                detail = missing_detail(one.who, stamp(one.since), causes)
                await self.store.events.note("code.missing", identifier=one.identifier, detail=detail)
            del self._seen[line]

    async def _has_come(self, one: _Seen) -> bool:
        """Whether a code came for it, or was given to whoever waited."""
        rows = await self.store.outbox.deliveries(Filter(identifier=one.identifier, since=one.since - LEAD))
        if any(row.state in ALIVE for row in rows):
            return True
        folded = one.identifier.casefold()
        given = await self.store.codes.given(limit=200)
        return any(row.identifier.casefold() == folded and row.last_at >= one.since - LEAD for row in given)


async def watch(*watches: AlarmWatch | MissingWatch, every: float = LOOK_EVERY) -> None:
    """Check regularly. Never returns."""
    while True:
        await asyncio.sleep(every)
        for one in watches:
            try:
                await one.look()
            except StoreUnavailable as fault:
                log.debug("alarms not compared: the store is %s", fault.kind, extra={"event": log_events.STORE_UNAVAILABLE})
