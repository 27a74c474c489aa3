"""The life of a delivery as a table: its picture, what every outcome makes of it, how long it waits, and what supersedes what."""

from __future__ import annotations

import inspect
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.core import delivery as machine
from mailbridge.core.delivery import (
    FIRST_DELAY,
    LONGEST_DELAY,
    TRANSITIONS,
    UNFINISHED,
    Accepted,
    Deferred,
    Delivery,
    Doubtful,
    Draft,
    Event,
    Outcome,
    Refused,
    State,
    Step,
    backoff,
    interrupted,
    picture,
    released,
    settle,
    supersedes,
)
from mailbridge.core.secret import Secret

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
GRACE = timedelta(seconds=5)
MINUTE = timedelta(minutes=1)

DRAFT = Draft(
    target="skyvern",
    identifier="ann@example.com",
    kind="code",
    content=Secret("482913"),
    sender="no-reply@larch.example",
    lifetime=10 * MINUTE,
)
FLYING = Delivery(
    id=1, draft=DRAFT, state=State.IN_FLIGHT, received_at=NOW, deadline=NOW + 10 * MINUTE, due_at=NOW, attempts=2, rule="larch"
)
WAITING = replace(FLYING, state=State.PENDING)


def step_of(outcome: Outcome, delivery: Delivery = FLYING, *, now: datetime = NOW, jitter: float = 1.0) -> Step:
    """What an outcome makes of a delivery."""
    return settle(delivery, outcome, now=now, jitter=jitter, grace=GRACE)


def test_the_picture_is_the_table() -> None:
    """The module's docstring shows the transitions as `picture` draws them, all and in order."""
    drawn = [line.strip() for line in inspect.getdoc(machine).splitlines() if "-->" in line or "->" in line]  # type: ignore[union-attr]
    assert drawn == [line.strip() for line in picture().splitlines()]


def test_every_state_can_be_reached_and_every_event_befalls() -> None:
    """No state and no event stands in the types alone."""
    assert set(TRANSITIONS.values()) == set(State)
    assert {event for _, event in TRANSITIONS} == set(Event)


def test_what_is_final_stays_so_but_for_an_operator() -> None:
    """Out of a final state only a retry leads, and out of delivered and superseded nothing does."""
    ways = {(before, event) for before, event in TRANSITIONS if before not in UNFINISHED}
    assert ways == {(State.EXPIRED, Event.RETRY), (State.DEAD, Event.RETRY)}


@pytest.mark.parametrize(
    ("outcome", "delivery", "now", "wanted"),
    [
        (Accepted(ref="totp_1"), FLYING, NOW, Step(state=State.DELIVERED, attempts=3, ref="totp_1")),
        (Accepted(), FLYING, NOW + 11 * MINUTE, Step(state=State.DELIVERED, attempts=3)),
        (
            Deferred(reason="503"),
            FLYING,
            NOW,
            Step(state=State.PENDING, due_at=NOW + 4 * FIRST_DELAY, attempts=3, reason="503"),
        ),
        (
            Deferred(reason="429", retry_after=MINUTE),
            FLYING,
            NOW,
            Step(state=State.PENDING, due_at=NOW + MINUTE, attempts=3, reason="429"),
        ),
        (
            Deferred(reason="429", retry_after=timedelta(days=100)),
            FLYING,
            NOW,
            Step(state=State.PENDING, due_at=FLYING.deadline, attempts=3, reason="429"),
        ),
        (Deferred(reason="503"), FLYING, FLYING.deadline, Step(state=State.EXPIRED, attempts=3, reason="503")),
        (
            Deferred(reason="503"),
            replace(FLYING, is_doubtful=True, without_run=True),
            NOW,
            Step(state=State.PENDING, due_at=NOW + 4 * FIRST_DELAY, attempts=3, is_doubtful=True, without_run=True, reason="503"),
        ),
        (
            Doubtful(reason="no answer"),
            FLYING,
            NOW,
            Step(
                state=State.PENDING,
                due_at=NOW + GRACE,
                blocked_until=NOW + GRACE,
                attempts=3,
                is_doubtful=True,
                reason="no answer",
            ),
        ),
        (
            Doubtful(reason="no answer"),
            FLYING,
            FLYING.deadline,
            Step(
                state=State.PENDING,
                due_at=FLYING.deadline + GRACE,
                blocked_until=FLYING.deadline + GRACE,
                attempts=3,
                is_doubtful=True,
                reason="no answer",
            ),
        ),
        (Refused(reason="422"), FLYING, NOW, Step(state=State.DEAD, attempts=3, reason="422")),
        (
            Refused(reason="stale", is_stale_run=True),
            FLYING,
            NOW,
            Step(state=State.PENDING, due_at=NOW, attempts=3, without_run=True, reason="stale"),
        ),
        (
            Refused(reason="stale", is_stale_run=True),
            FLYING,
            FLYING.deadline,
            Step(state=State.EXPIRED, attempts=3, reason="stale"),
        ),
        (
            Refused(reason="stale", is_stale_run=True),
            replace(FLYING, without_run=True),
            NOW,
            Step(state=State.DEAD, attempts=3, without_run=True, reason="stale"),
        ),
    ],
    ids=[
        "accepted",
        "accepted late",
        "deferred",
        "as it wishes",
        "no later than the deadline",
        "deferred at the deadline",
        "still in doubt",
        "no answer",
        "no answer at the deadline",
        "refused",
        "stale run",
        "stale run at the deadline",
        "stale run twice",
    ],
)
def test_what_an_outcome_makes_of_a_delivery(outcome: Outcome, delivery: Delivery, now: datetime, wanted: Step) -> None:
    """Every outcome, before and at the deadline, with what was known before."""
    assert step_of(outcome, delivery, now=now) == wanted


def test_an_interrupted_attempt_is_not_counted() -> None:
    """It is in doubt and blocks for the grace; a claim that was not begun is neither."""
    step = interrupted(FLYING, now=NOW, grace=GRACE)
    assert (step.state, step.attempts, step.is_doubtful, step.blocked_until) == (State.PENDING, 2, True, NOW + GRACE)
    step = released(FLYING, now=NOW)
    assert (step.state, step.attempts, step.is_doubtful, step.due_at, step.blocked_until) == (State.PENDING, 2, False, NOW, None)


@pytest.mark.parametrize(
    ("attempts", "longest"), [(0, 0.25), (1, 0.25), (2, 0.5), (3, 1.0), (7, 16.0), (8, 30.0), (10_000, 30.0)]
)
def test_waits_double_up_to_half_a_minute(attempts: int, longest: float) -> None:
    """From a quarter of a second; with all of the jitter it is the whole, with none nothing."""
    assert backoff(attempts, 1.0) == timedelta(seconds=longest)
    assert backoff(attempts, 0.0) == timedelta()


@given(
    attempts=st.integers(0, 100),
    jitter=st.floats(0, 1),
    elapsed=st.timedeltas(timedelta(), 20 * MINUTE),
    wish=st.none() | st.timedeltas(timedelta(), timedelta(days=9_000)),
)
def test_no_try_is_due_after_the_deadline(attempts: int, jitter: float, elapsed: timedelta, wish: timedelta | None) -> None:
    """Whatever jitter and wishes of the target: a deferred delivery is due by its deadline, not in the past, or it is expired."""
    now = NOW + elapsed
    flying = replace(FLYING, attempts=attempts)
    step = settle(flying, Deferred(reason="503", retry_after=wish), now=now, jitter=jitter, grace=GRACE)
    if now >= flying.deadline:
        assert (step.state, step.due_at) == (State.EXPIRED, None)
    else:
        assert step.due_at is not None
        assert now <= step.due_at <= flying.deadline
        assert step.due_at - now >= min(wish or timedelta(), flying.deadline - now)
        assert step.due_at - now <= max(wish or timedelta(), LONGEST_DELAY)


@pytest.mark.parametrize(
    ("newer", "older", "wanted"),
    [
        (DRAFT, WAITING, True),
        (replace(DRAFT, sender="NO-REPLY@larch.example", identifier="ANN@example.com"), WAITING, True),
        (replace(DRAFT, kind="link"), WAITING, True),
        (DRAFT, replace(WAITING, draft=replace(DRAFT, kind="body")), True),
        (DRAFT, FLYING, False),
        (DRAFT, replace(WAITING, state=State.DELIVERED), False),
        (DRAFT, replace(WAITING, blocked_until=NOW + GRACE), False),
        (DRAFT, replace(WAITING, blocked_until=NOW), True),
        (replace(DRAFT, kind="body"), WAITING, False),
        (replace(DRAFT, sender=""), replace(WAITING, draft=replace(DRAFT, sender="")), False),
        (replace(DRAFT, sender="other@larch.example"), WAITING, False),
        (replace(DRAFT, target="other"), WAITING, False),
        (replace(DRAFT, identifier="bob@example.com"), WAITING, False),
        (replace(DRAFT, workflow_run_id="wr_1"), WAITING, False),
        (replace(DRAFT, task_id="tsk_1"), WAITING, False),
    ],
)
def test_what_supersedes_what(newer: Draft, older: Delivery, wanted: bool) -> None:
    """Same sender, identifier, target and run, and the older one waits without a doubt that is not over."""
    assert supersedes(newer, older, now=NOW) is wanted
