"""Queues in every database: what a decision needs of a queue, and what is known of what was written. Nothing is decided here.

A long queue is not read completely, only its head and what the occurrence needs (`mailbridge.core.queue.Queue`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from enum import Enum, auto
from typing import Any

from mailbridge import log_events
from mailbridge.clock import SteadyClock, to_micros
from mailbridge.core.dataclass import dataclass
from mailbridge.core.delivery import Claim, Standing, State
from mailbridge.core.occurrence import Arrived, Occurrence, Passed, Retried
from mailbridge.core.queue import APART, Change, Event, is_under_way_long, may_be_dated
from mailbridge.store import Arrival
from mailbridge.store.rows import span

log = logging.getLogger("mailbridge.store")

WINDOW = 4
"""Deliveries that are read together from the head of a queue."""

AT_ONCE = 1_000
"""Deliveries that one pass over the queues ends because they are past their deadline."""

KNOWN_FIRST = (Standing.KNOWN, Standing.FIRST_SEEN)
TOLD = frozenset(Event) - {Event.CLAIMED, Event.RELEASED}
"""The events that have a line in the journal."""


def received_by(clock: SteadyClock, arrival: Arrival, now: int) -> int:
    """When a mail was received, in the present steady time (microseconds), and never in the future.

    Steady time is corrected while nothing waits to be pushed, but a mail that is still being read is not visible then. By its old
    time of receipt it could be days old, and would expire before it is stored.
    """
    shift = 0 if arrival.time_base is None else clock.base - arrival.time_base
    return min(to_micros(arrival.envelope.received_at) + shift, now)


class Need(Enum):
    """Deliveries in addition to the head of a queue. The values of each query begin with the target and the line (the folded
    identifier)."""

    WAITING_OF_SENDER = auto()
    """Waiting ones of a sender and run."""
    STRANGE = auto()
    """Waiting ones of strangers."""
    KNOWN = auto()
    """The newest live one of a known sender."""
    LAST_RECEIVED = auto()
    """The last received one of a sender between two moments, that is as certain."""
    WRITTEN_BY_SENDER = auto()
    """One of a sender that was written after a moment, and is as certain."""
    WRITTEN_BY_DOMAIN = auto()
    """The same for a proven domain."""
    OVER = auto()
    """Waiting ones that are past their deadline."""
    ONE = auto()
    """One by its number."""
    UNDONE = auto()
    """The newest after a number that waits, or is or may be at the target."""


AMONG_UNFINISHED = frozenset({Need.WAITING_OF_SENDER, Need.STRANGE, Need.OVER})
"""Needs of waiting deliveries. If a queue is not longer than `WINDOW`, its head has them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was written of a queue: every change in order, the claim that was made, and why what arrived is held."""

    changes: tuple[Change, ...] = ()
    claim: Claim | None = None
    held: str = ""

    @property
    def claims(self) -> tuple[Claim, ...]:
        """The claim as a tuple, or an empty tuple."""
        return () if self.claim is None else (self.claim,)


def needed(target: str, line: str, occurrence: Occurrence, at: datetime) -> list[tuple[Need, tuple[Any, ...]]]:
    """What else the decision needs of a queue, besides its head."""
    match occurrence:
        case Arrived(draft=draft, received_at=received_at):
            sender = draft.sender.lower()
            found: list[tuple[Need, tuple[Any, ...]]] = [
                (Need.WAITING_OF_SENDER, (target, line, sender, draft.workflow_run_id)),
                (Need.STRANGE, (target, line)),
            ]
            if draft.standing is Standing.FIRST_SEEN:
                found.append((Need.KNOWN, (target, line, to_micros(at))))
            written_at = min(draft.written_at or received_at, received_at)
            sure = (draft.workflow_run_id, draft.workflow_id, draft.task_id, draft.standing, draft.standing, draft.domain)
            apart = span(APART)
            if sender and is_under_way_long(received_at, at):
                bounds = (to_micros(received_at), to_micros(at), to_micros(written_at) - apart)
                found.append((Need.LAST_RECEIVED, (target, line, sender, *bounds, *sure)))
            if may_be_dated(draft, at):
                after = to_micros(written_at) + apart
                origins = ((Need.WRITTEN_BY_SENDER, sender), (Need.WRITTEN_BY_DOMAIN, draft.domain))
                found += [(need, (target, line, one, after, to_micros(at), after, *sure)) for need, one in origins if one]
            return found
        case Passed():
            return [(Need.OVER, (target, line, to_micros(at)))]
        case Retried(id=number):
            return [
                (Need.ONE, (target, line, number)),
                (Need.UNDONE, (target, line, number)),
                (Need.STRANGE, (target, line)),
                (Need.KNOWN, (target, line, to_micros(at))),
            ]
        case _:
            return []


def log_ended(changes: Sequence[Change], *, but: int | None = None) -> None:
    """Log deliveries that ended without an attempt. ``but`` is the delivery whose attempt is logged elsewhere."""
    for change in changes:
        row = change.row
        if row.final_at is not None and row.id != but:
            fields = {"delivery": row.id, "target": row.draft.target, "identifier": row.draft.identifier, "reason": row.reason}
            log.log(
                logging.INFO if row.state is State.SUPERSEDED else logging.WARNING,
                log_events.DELIVERY_SETTLED,
                extra={"event": log_events.DELIVERY_SETTLED, "outcome": str(row.state), **fields},
            )
