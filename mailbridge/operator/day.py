"""The last day in figures, kept by the hour and carried on from the journal: looking again costs what has happened since."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from datetime import datetime, timedelta

from mailbridge.core.dataclass import dataclass
from mailbridge.operator.faults import Fault
from mailbridge.operator.shapes import Day, Hour
from mailbridge.operator.shown import stamp
from mailbridge.store.lists import Happened, Journal

HOURS = 24
LINES = 500
PATIENCE = 0.03
"""Seconds that one look waits at the most; the count over a day of many mails goes on behind it, for the next one."""

MOST_CONFIRMATIONS = 20
MOST_RULES = 1_000
"""Rules that are counted in an hour."""

FINENESS = 20
"""Steps of the scale of times to a factor of e: 5 % each."""


@dataclass(slots=True)
class _Hour:
    """What is counted of one hour."""

    mails: int = 0
    codes: int = 0
    held: int = 0
    failed: int = 0
    times: Counter[int] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    confirmations: list[int] = field(default_factory=list)


class DayVerb:
    """The verb of the last day."""

    def __init__(self, *, journal: Journal, now: Callable[[], datetime]) -> None:
        self._journal = journal
        self._now = now
        self._hours: dict[datetime, _Hour] = {}
        self._last: int | None = None
        self._count_on: asyncio.Task[None] | None = None

    async def figures(self) -> Day | Fault:
        """Figures of the last 24 hours and of each of them."""
        first = _hour(self._now()) - timedelta(hours=HOURS - 1)
        if self._count_on is None:
            self._count_on = asyncio.create_task(self._carry_on(first), name="day")
            self._count_on.add_done_callback(self._counted)
        count = self._count_on
        is_complete = bool((await asyncio.wait((count,), timeout=PATIENCE))[0])
        if is_complete:
            count.result()
        self._hours = {at: one for at, one in self._hours.items() if at >= first}
        hours = [(first + timedelta(hours=number)) for number in range(HOURS)]
        found = [(at, self._hours.get(at, _Hour())) for at in hours]
        times: Counter[int] = sum((one.times for _, one in found), Counter())
        return Day(
            hours=[Hour(at=stamp(at), mails=one.mails, codes=one.codes, held=one.held) for at, one in found],
            mails=sum(one.mails for _, one in found),
            codes=sum(one.codes for _, one in found),
            held=sum(one.held for _, one in found),
            failed=sum(one.failed for _, one in found),
            median_ms=_quantile(times, 0.5),
            p99_ms=_quantile(times, 0.99),
            confirmations=[number for _, one in reversed(found) for number in reversed(one.confirmations)][:MOST_CONFIRMATIONS],
            rules=dict(sum((one.rules for _, one in found), Counter[str]())),
            is_complete=is_complete,
        )

    def _counted(self, count: asyncio.Task[None]) -> None:
        """The next look begins where this count ended. Nobody may be there any more to be told that the store was gone."""
        self._count_on = None
        if not count.cancelled():
            count.exception()

    async def _carry_on(self, first: datetime) -> None:
        """Count what has happened since the last count, up to now."""
        if self._last is None:
            self._last = await self._journal.line_before(first)
        page: Sequence[Happened] = await self._journal.happened(self._last, limit=LINES)
        while page:
            for one in page:
                self._count(one)
                self._last = one.id
            page = await self._journal.happened(self._last, limit=LINES) if len(page) == LINES else ()

    def _count(self, one: Happened) -> None:
        hour = self._hours.setdefault(_hour(one.at), _Hour())
        match one.event:
            case "stored":
                hour.mails += 1
                hour.codes += one.verdict in ("code", "link")
                hour.held += one.is_held
                if one.rule and (one.rule in hour.rules or len(hour.rules) < MOST_RULES):
                    hour.rules[one.rule] += 1
                if one.verdict == "confirmation" and len(hour.confirmations) < MOST_CONFIRMATIONS:
                    hour.confirmations.append(one.mail_id)
            case "dead" | "expired":
                hour.failed += 1
            case "delivered" if one.received_at is not None:
                milliseconds = max((one.at - one.received_at) / timedelta(milliseconds=1), 0.1)
                hour.times[round(math.log(milliseconds) * FINENESS)] += 1


def _hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def _quantile(times: Counter[int], share: float) -> float | None:
    """The time that so many of all were within, in milliseconds; None of none."""
    wanted = share * times.total()
    for step, seen in _summed(times):
        if seen >= wanted:
            return round(math.exp(step / FINENESS), 1)
    return None


def _summed(times: Counter[int]) -> Iterator[tuple[int, int]]:
    seen = 0
    for step in sorted(times):
        seen += times[step]
        yield step, seen
