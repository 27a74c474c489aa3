"""The life of one code on its way out: states, transitions, settle, backoff, supersede, deadline.

The machine is the table `TRANSITIONS`; a test holds this picture of it (`picture`) and the database's guards to it::

    pending    --claimed-------> in_flight
    pending    --newer code----> superseded
    pending    --deadline------> expired
    in_flight  --accepted------> delivered
    in_flight  --deferred------> pending
    in_flight  --interrupted---> pending
    in_flight  --refused-------> dead
    in_flight  --deadline------> expired
    expired    --retry---------> pending
    dead       --retry---------> pending
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, assert_never

from mailbridge.core.secret import Secret


class State(StrEnum):
    """Where a delivery stands. The last four are final until an operator retries."""

    PENDING = "pending"
    IN_FLIGHT = "in_flight"
    DELIVERED = "delivered"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A delivery to be made: what `intake` asks the store to put into the outbox.

    ``target`` names the sink (``skyvern``, or a `[[target]]` of the configuration). ``sender`` is the mail's
    From: a newer code of the same sender to the same identifier and target supersedes an older one that waits.
    ``lifetime`` counts from ``Envelope.received_at``; the delivery is never made after it.
    """

    target: str
    identifier: str
    kind: Literal["code", "link", "body"]
    content: Secret
    sender: str
    lifetime: timedelta
    workflow_run_id: str | None = None
    workflow_id: str | None = None
    task_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One row of the outbox. Times are aware UTC of the store's steady clock. ``attempts`` are made, not left.

    ``is_doubtful``: an attempt ended without an answer, or a process died in the middle of one, so the target may
    already hold it; it must be asked before the code is sent again. ``without_run`` is set after the target called
    the run ids stale: the next attempt goes without them. ``blocked_until``: a request may still be on its way until
    then, so nothing else goes to this target and identifier, not even a newer code.
    """

    id: int
    draft: Draft
    state: State
    received_at: datetime
    deadline: datetime
    due_at: datetime
    attempts: int = 0
    is_doubtful: bool = False
    without_run: bool = False
    rule: str | None = None
    reason: str = ""
    blocked_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A delivery that this process alone may attempt until ``lease_until``; ``token`` fences late writers.

    ``expires_at`` is the deadline on the wall clock, for the target's ``expired_at``.
    """

    delivery: Delivery
    token: int
    lease_until: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The target has it (2xx and the code in its answer, or found there when asked). ``ref`` is its id for it."""

    ref: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """Not now: try again. ``retry_after`` is the target's own wish, if it stated one."""

    reason: str
    retry_after: timedelta | None = None
    is_alarm: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubtful:
    """The request may have been taken in, but no answer came: wait the grace out, ask, and only then send again."""

    reason: str
    is_alarm: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Never: the target will not take it. ``is_stale_run``: it refused only the run ids."""

    reason: str
    is_alarm: bool = False
    is_stale_run: bool = False


Outcome = Accepted | Deferred | Doubtful | Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What the store is to write after an attempt: the next state, when it is due again, and what to remember.

    ``blocked_until`` is set where the attempt's own end is unknown (`Delivery.blocked_until`).
    """

    state: State
    due_at: datetime | None = None
    attempts: int = 0
    is_doubtful: bool = False
    without_run: bool = False
    reason: str = ""
    ref: str = ""
    blocked_until: datetime | None = None


class Event(StrEnum):
    """What can befall a delivery."""

    CLAIMED = "claimed"
    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    INTERRUPTED = "interrupted"
    REFUSED = "refused"
    NEWER = "newer code"
    DEADLINE = "deadline"
    RETRY = "retry"


TRANSITIONS: Mapping[tuple[State, Event], State] = MappingProxyType(
    {
        (State.PENDING, Event.CLAIMED): State.IN_FLIGHT,
        (State.PENDING, Event.NEWER): State.SUPERSEDED,
        (State.PENDING, Event.DEADLINE): State.EXPIRED,
        (State.IN_FLIGHT, Event.ACCEPTED): State.DELIVERED,
        (State.IN_FLIGHT, Event.DEFERRED): State.PENDING,
        (State.IN_FLIGHT, Event.INTERRUPTED): State.PENDING,
        (State.IN_FLIGHT, Event.REFUSED): State.DEAD,
        (State.IN_FLIGHT, Event.DEADLINE): State.EXPIRED,
        (State.EXPIRED, Event.RETRY): State.PENDING,
        (State.DEAD, Event.RETRY): State.PENDING,
    }
)
"""The machine. What is not in it cannot happen; the database refuses it too."""

UNFINISHED = (State.PENDING, State.IN_FLIGHT)
"""The states in which a delivery still holds its place in the line of its target and identifier."""

FIRST_DELAY = timedelta(milliseconds=250)
LONGEST_DELAY = timedelta(seconds=30)


def picture() -> str:
    """The table as text, a transition a line, in the order of the table."""
    return "\n".join(f"{before:<10} --{event:-<14}> {after}" for (before, event), after in TRANSITIONS.items())


def backoff(attempts: int, jitter: float) -> timedelta:
    """How long to wait after the attempt numbered ``attempts`` (from 1) failed.

    Doubles from 0.25 s to 30 s, with full jitter: ``jitter`` in 0…1 chooses between nothing and all of it, so that
    many deliveries that failed together do not come back together.
    """
    doublings = min(max(attempts - 1, 0), 16)
    longest: timedelta = min(FIRST_DELAY * 2**doublings, LONGEST_DELAY)
    return longest * jitter


def settle(delivery: Delivery, outcome: Outcome, *, now: datetime, jitter: float, grace: timedelta) -> Step:
    """What an attempt's outcome makes of a delivery. ``now`` is steady time, ``grace`` how long a doubt blocks.

    A next try is never due after the deadline: it falls due at the deadline itself at the latest, when the store
    expires it instead of handing it out.
    """
    attempts = delivery.attempts + 1
    match outcome:
        case Accepted():
            return Step(
                state=TRANSITIONS[State.IN_FLIGHT, Event.ACCEPTED],
                attempts=attempts,
                without_run=delivery.without_run,
                ref=outcome.ref,
            )
        case Deferred():
            return _deferred(delivery, outcome, now=now, attempts=attempts, jitter=jitter)
        case Doubtful():
            return Step(
                state=TRANSITIONS[State.IN_FLIGHT, Event.DEFERRED],
                due_at=now + grace,
                blocked_until=now + grace,
                attempts=attempts,
                is_doubtful=True,
                without_run=delivery.without_run,
                reason=outcome.reason,
            )
        case Refused():
            return _refused(delivery, outcome, now=now, attempts=attempts)
        case _:
            assert_never(outcome)


def _deferred(delivery: Delivery, outcome: Deferred, *, now: datetime, attempts: int, jitter: float) -> Step:
    if now >= delivery.deadline:
        return _over(delivery, attempts=attempts, reason=outcome.reason)
    delay = backoff(attempts, jitter)
    if outcome.retry_after is not None:
        delay = max(delay, outcome.retry_after)
    return Step(
        state=TRANSITIONS[State.IN_FLIGHT, Event.DEFERRED],
        due_at=delivery.deadline if delay >= delivery.deadline - now else now + delay,
        attempts=attempts,
        is_doubtful=delivery.is_doubtful,
        without_run=delivery.without_run,
        reason=outcome.reason,
    )


def _refused(delivery: Delivery, outcome: Refused, *, now: datetime, attempts: int) -> Step:
    if outcome.is_stale_run and not delivery.without_run:
        if now >= delivery.deadline:
            return _over(delivery, attempts=attempts, reason=outcome.reason)
        return Step(
            state=TRANSITIONS[State.IN_FLIGHT, Event.DEFERRED],
            due_at=now,
            attempts=attempts,
            without_run=True,
            reason=outcome.reason,
        )
    return Step(
        state=TRANSITIONS[State.IN_FLIGHT, Event.REFUSED],
        attempts=attempts,
        without_run=delivery.without_run,
        reason=outcome.reason,
    )


def _over(delivery: Delivery, *, attempts: int, reason: str) -> Step:
    return Step(
        state=TRANSITIONS[State.IN_FLIGHT, Event.DEADLINE],
        attempts=attempts,
        is_doubtful=delivery.is_doubtful,
        without_run=delivery.without_run,
        reason=reason,
    )


def interrupted(delivery: Delivery, *, now: datetime, grace: timedelta) -> Step:
    """An attempt that a dying process left in the middle: not counted, in doubt, and its line blocked for the grace."""
    return Step(
        state=TRANSITIONS[State.IN_FLIGHT, Event.INTERRUPTED],
        due_at=now + grace,
        blocked_until=now + grace,
        attempts=delivery.attempts,
        is_doubtful=True,
        without_run=delivery.without_run,
        reason="interrupted in the middle of an attempt",
    )


def released(delivery: Delivery, *, now: datetime) -> Step:
    """A claim given back before its attempt was begun: not counted, due at once, no more in doubt than before."""
    return Step(
        state=TRANSITIONS[State.IN_FLIGHT, Event.INTERRUPTED],
        due_at=now,
        attempts=delivery.attempts,
        is_doubtful=delivery.is_doubtful,
        without_run=delivery.without_run,
        reason=delivery.reason,
    )


def supersedes(newer: Draft, older: Delivery, *, now: datetime) -> bool:
    """Whether a draft that has just arrived makes an older delivery pointless.

    Same target, identifier and sender (any case), for the same run, workflow and task: a run sees only its own rows.
    The older must wait, and not be under a doubt that is not yet over. A ``body`` replaces nothing, since it may not
    hold a code at all; and of two mails without a sender nobody knows that they are of one.
    """
    draft = older.draft
    return (
        older.state is State.PENDING
        and (older.blocked_until is None or older.blocked_until <= now)
        and newer.kind != "body"
        and newer.sender != ""
        and newer.target == draft.target
        and newer.identifier.lower() == draft.identifier.lower()
        and newer.sender.lower() == draft.sender.lower()
        and (newer.workflow_run_id, newer.workflow_id, newer.task_id) == (draft.workflow_run_id, draft.workflow_id, draft.task_id)
    )
