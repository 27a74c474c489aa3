"""What becomes of a queue, as a table: its picture, every ending, how long it waits, what supersedes what, and what a retry may undo."""

from __future__ import annotations

import inspect
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailbridge.core import queue as machine
from mailbridge.core.delivery import (
    UNFINISHED,
    Accepted,
    Deferred,
    Delivery,
    Doubtful,
    Draft,
    Ending,
    Lapsed,
    Refused,
    Standing,
    State,
)
from mailbridge.core.occurrence import (
    NEW,
    Arrived,
    Asked,
    Lost,
    Occurrence,
    Passed,
    Queue,
    Released,
    Retried,
    Settled,
    Unreadable,
)
from mailbridge.core.queue import (
    FIRST_DELAY,
    INTERRUPTED,
    LAPSED,
    LATE,
    LEASE,
    LONGEST_DELAY,
    LOST,
    OVER,
    OVERTAKEN,
    TOO_LATE,
    TRANSITIONS,
    UNREADABLE,
    Change,
    Decision,
    Event,
    backoff,
    decide,
    picture,
    supersedes,
)
from mailbridge.core.secret import Secret

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
GRACE = timedelta(seconds=5)
MINUTE = timedelta(minutes=1)
TICK = timedelta(microseconds=1)

DRAFT = Draft(
    target="skyvern",
    identifier="ann@example.com",
    kind="code",
    content=Secret("482913"),
    sender="no-reply@larch.example",
    lifetime=10 * MINUTE,
)
OTHER = replace(DRAFT, sender="other@fir.example")
FLYING = Delivery(
    id=1,
    draft=DRAFT,
    state=State.IN_FLIGHT,
    received_at=NOW,
    deadline=NOW + 10 * MINUTE,
    attempts=2,
    fencing_token=3,
    rule="larch",
)
HEAD = replace(FLYING, state=State.PENDING, due_at=NOW)
BEHIND = replace(FLYING, id=2, draft=OTHER, state=State.PENDING, fencing_token=0, attempts=0)
BLOCKED = replace(HEAD, due_at=NOW + GRACE, blocked_until=NOW + GRACE, is_doubtful=True)


def decided(occurrence: Occurrence, *rows: Delivery, now: datetime = NOW, cut_after: int | None = None) -> Decision:
    """On a queue of these."""
    return decide(Queue(rows=rows, cut_after=cut_after), occurrence, now=now)


def moved(row: Delivery, event: Event, now: datetime = NOW, **fields: object) -> Change:
    """A row after an event: what is not given is as it was, and what belongs to the old state is gone."""
    state = TRANSITIONS[row.state, event]
    over = None if state in UNFINISHED else now
    kept = {"due_at": None, "blocked_until": None} | fields
    return Change(row=replace(row, state=state, final_at=over, **kept), event=event)  # type: ignore[arg-type]


def settled(row: Delivery, ending: Ending, *, now: datetime = NOW, jitter: float = 1.0) -> Delivery:
    """What an ending makes of a delivery alone in its queue, before anything else becomes of it."""
    occurrence = Settled(id=row.id, fencing_token=row.fencing_token, ending=ending, jitter=jitter, grace=GRACE)
    return decided(occurrence, row, now=now).changes[0].row


# -- the machine ------------------------------------------------------------------------------------------------------


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


def test_the_times_are_these() -> None:
    """What operators and docs/flow.md rely on: the waits, when a mail counts as late, and how long a lost claim is waited for."""
    assert (timedelta(milliseconds=250), timedelta(seconds=30)) == (FIRST_DELAY, LONGEST_DELAY)
    assert (timedelta(seconds=2), timedelta(minutes=1)) == (LATE, LEASE)


# -- a claim ends -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "row", "now", "event", "fields"),
    [
        (Accepted(ref="totp_1"), FLYING, NOW, Event.ACCEPTED, {"attempts": 3, "ref": "totp_1"}),
        (Accepted(), replace(FLYING, is_doubtful=True, reason="503"), NOW + 11 * MINUTE, Event.ACCEPTED, {"attempts": 3}),
        (
            Deferred(reason="503"),
            FLYING,
            NOW,
            Event.DEFERRED,
            {"attempts": 3, "reason": "503", "due_at": NOW + 4 * FIRST_DELAY},
        ),
        (
            Deferred(reason="429", retry_after=MINUTE),
            FLYING,
            NOW,
            Event.DEFERRED,
            {"attempts": 3, "reason": "429", "due_at": NOW + MINUTE},
        ),
        (
            Deferred(reason="429", retry_after=timedelta()),
            FLYING,
            NOW,
            Event.DEFERRED,
            {"attempts": 3, "reason": "429", "due_at": NOW + 4 * FIRST_DELAY},
        ),
        (
            Deferred(reason="429", retry_after=timedelta(days=100)),
            FLYING,
            NOW,
            Event.DEFERRED,
            {"attempts": 3, "reason": "429", "due_at": FLYING.deadline},
        ),
        (Deferred(reason="503"), FLYING, FLYING.deadline, Event.DEADLINE, {"attempts": 3, "reason": "503"}),
        (
            Deferred(reason="503"),
            FLYING,
            FLYING.deadline - TICK,
            Event.DEFERRED,
            {"attempts": 3, "reason": "503", "due_at": FLYING.deadline},
        ),
        (
            Deferred(reason="503"),
            replace(FLYING, is_doubtful=True, without_run=True),
            NOW,
            Event.DEFERRED,
            {"attempts": 3, "reason": "503", "due_at": NOW + 4 * FIRST_DELAY, "is_doubtful": True, "without_run": True},
        ),
        (
            Doubtful(reason="no answer"),
            FLYING,
            NOW,
            Event.DEFERRED,
            {
                "attempts": 3,
                "reason": "no answer",
                "due_at": NOW + GRACE,
                "blocked_until": NOW + GRACE,
                "is_doubtful": True,
            },
        ),
        (
            Doubtful(reason="no answer"),
            FLYING,
            FLYING.deadline,
            Event.DEFERRED,
            {
                "attempts": 3,
                "reason": "no answer",
                "due_at": FLYING.deadline + GRACE,
                "blocked_until": FLYING.deadline + GRACE,
                "is_doubtful": True,
            },
        ),
        (Refused(reason="422"), replace(FLYING, is_doubtful=True), NOW, Event.REFUSED, {"attempts": 3, "reason": "422"}),
        (
            Refused(reason="stale", is_stale_run=True),
            replace(FLYING, is_doubtful=True),
            NOW,
            Event.DEFERRED,
            {"attempts": 3, "reason": "stale", "due_at": NOW, "without_run": True},
        ),
        (
            Refused(reason="stale", is_stale_run=True),
            FLYING,
            FLYING.deadline,
            Event.DEADLINE,
            {"attempts": 3, "reason": "stale", "without_run": True},
        ),
        (
            Refused(reason="stale", is_stale_run=True),
            replace(FLYING, without_run=True),
            NOW,
            Event.REFUSED,
            {"attempts": 3, "reason": "stale", "without_run": True},
        ),
        (Lapsed(), FLYING, FLYING.deadline, Event.DEADLINE, {"reason": LAPSED}),
        (
            Lapsed(),
            replace(FLYING, reason="503", is_doubtful=True),
            FLYING.deadline,
            Event.DEADLINE,
            {"reason": "503", "is_doubtful": True},
        ),
    ],
    ids=[
        "accepted",
        "accepted late",
        "deferred",
        "as it wishes",
        "it wishes nothing",
        "no later than the deadline",
        "deferred at the deadline",
        "deferred just before the deadline",
        "still in doubt",
        "no answer",
        "no answer at the deadline",
        "refused",
        "stale run",
        "stale run at the deadline",
        "stale run twice",
        "lapsed",
        "lapsed with a reason",
    ],
)
def test_what_an_ending_makes_of_a_delivery(
    ending: Ending, row: Delivery, now: datetime, event: Event, fields: dict[str, object]
) -> None:
    """Every ending, before and at the deadline, with what was known before."""
    blank: dict[str, object] = {"is_doubtful": False, "reason": "", "ref": ""}
    assert settled(row, ending, now=now) == moved(row, event, now, **(blank | fields)).row


def test_a_stale_run_goes_again_at_once() -> None:
    """Without the run's ids, in the same decision."""
    stale = Settled(id=1, fencing_token=3, ending=Refused(reason="stale", is_stale_run=True), jitter=1.0, grace=GRACE)
    claimed = decided(stale, FLYING).claimed
    assert claimed is not None
    assert (claimed.without_run, claimed.fencing_token, claimed.attempts) == (True, 4, 3)


@pytest.mark.parametrize(
    "occurrence",
    [
        Settled(id=1, fencing_token=2, ending=Accepted(), jitter=1.0, grace=GRACE),
        Settled(id=9, fencing_token=3, ending=Accepted(), jitter=1.0, grace=GRACE),
        Released(id=1, fencing_token=4),
        Unreadable(id=1, fencing_token=2),
    ],
)
def test_a_claim_that_was_lost_changes_nothing(occurrence: Occurrence) -> None:
    """The token fences whoever comes too late, and nothing is handed out by it."""
    assert decided(occurrence, FLYING, BEHIND) == Decision()
    waiting = replace(HEAD, fencing_token=3)
    assert decided(replace(occurrence, id=1, fencing_token=3), waiting) == Decision()  # type: ignore[arg-type]


def test_the_next_goes_when_one_has_ended() -> None:
    """The one behind is claimed in the same decision; behind one that is deferred it waits."""
    accepted = Settled(id=1, fencing_token=3, ending=Accepted(), jitter=1.0, grace=GRACE)
    decision = decided(accepted, FLYING, BEHIND)
    assert decision.changes == (
        moved(FLYING, Event.ACCEPTED, attempts=3, is_doubtful=False, reason=""),
        moved(BEHIND, Event.CLAIMED, fencing_token=1),
    )
    assert decision.claimed == decision.changes[1].row
    deferred = replace(accepted, ending=Deferred(reason="503"))
    decision = decided(deferred, FLYING, BEHIND)
    assert (len(decision.changes), decision.claimed, decision.is_more) == (1, None, False)


def test_an_overtaken_one_is_not_tried_again() -> None:
    """What is deferred although a newer code came meanwhile is superseded, and the newer one goes; a doubt is waited out first."""
    newer = replace(BEHIND, draft=DRAFT)
    deferred = Settled(id=1, fencing_token=3, ending=Deferred(reason="503"), jitter=1.0, grace=GRACE)
    decision = decided(deferred, replace(FLYING, is_overtaken=True), newer)
    assert [(change.row.id, change.event) for change in decision.changes] == [
        (1, Event.DEFERRED),
        (1, Event.NEWER),
        (2, Event.CLAIMED),
    ]
    assert decision.changes[1].row.reason == OVERTAKEN
    decision = decided(replace(deferred, ending=Doubtful(reason="no answer")), replace(FLYING, is_overtaken=True), newer)
    assert ([change.event for change in decision.changes], decision.claimed) == ([Event.DEFERRED], None)


def test_a_claim_that_is_given_back() -> None:
    """Due at once, not counted, no more in doubt than before, and handed out to nobody."""
    decision = decided(Released(id=1, fencing_token=3), FLYING, BEHIND)
    assert decision == Decision(changes=(moved(FLYING, Event.RELEASED, due_at=NOW),))


def test_a_code_that_cannot_be_read() -> None:
    """It is dead without an attempt, and the next one goes."""
    decision = decided(Unreadable(id=1, fencing_token=3), FLYING, BEHIND)
    assert decision.changes == (moved(FLYING, Event.REFUSED, reason=UNREADABLE), moved(BEHIND, Event.CLAIMED, fencing_token=1))


def test_what_a_killed_process_had_in_flight() -> None:
    """It is in doubt, not counted, and blocks for the grace; what waited still waits."""
    decision = decided(Lost(grace=GRACE), FLYING, BEHIND)
    until = NOW + GRACE
    change = moved(FLYING, Event.INTERRUPTED, due_at=until, blocked_until=until, is_doubtful=True, reason=INTERRUPTED)
    assert decision == Decision(changes=(change,))
    assert decided(Lost(grace=GRACE), HEAD, BEHIND) == Decision()


# -- somebody has a hand free -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "events"),
    [
        ((), []),
        ((HEAD,), [(1, Event.CLAIMED)]),
        ((replace(HEAD, due_at=None),), [(1, Event.CLAIMED)]),
        ((replace(HEAD, due_at=NOW + TICK), BEHIND), []),
        ((FLYING, BEHIND), []),
        ((BLOCKED, BEHIND), []),
        ((replace(BLOCKED, blocked_until=NOW, due_at=NOW), BEHIND), [(1, Event.CLAIMED)]),
        ((replace(HEAD, deadline=NOW), BEHIND), [(1, Event.DEADLINE), (2, Event.CLAIMED)]),
        ((replace(HEAD, deadline=NOW + TICK), BEHIND), [(1, Event.CLAIMED)]),
        ((replace(BLOCKED, deadline=NOW), BEHIND), []),
        ((replace(HEAD, is_overtaken=True), BEHIND), [(1, Event.NEWER), (2, Event.CLAIMED)]),
        ((replace(HEAD, is_overtaken=True, deadline=NOW), BEHIND), [(1, Event.DEADLINE), (2, Event.CLAIMED)]),
        ((replace(HEAD, is_overtaken=True, due_at=NOW + TICK), BEHIND), [(1, Event.NEWER), (2, Event.CLAIMED)]),
        ((replace(HEAD, deadline=NOW), replace(BEHIND, deadline=NOW)), [(1, Event.DEADLINE), (2, Event.DEADLINE)]),
        ((replace(HEAD, state=State.DEAD), BEHIND), [(2, Event.CLAIMED)]),
    ],
    ids=[
        "nobody",
        "due",
        "no due time",
        "backing off",
        "in flight",
        "blocked",
        "block is over",
        "over",
        "not yet over",
        "over and blocked",
        "overtaken",
        "overtaken and over",
        "overtaken while it backs off",
        "all over",
        "finished",
    ],
)
def test_what_is_handed_out(rows: tuple[Delivery, ...], events: list[tuple[int, Event]]) -> None:
    """The head, if it may go; heads that are over or overtaken make way; nothing behind a head that waits."""
    decision = decided(Asked(), *rows)
    assert [(change.row.id, change.event) for change in decision.changes] == events
    is_claimed = any(event is Event.CLAIMED for _, event in events)
    assert decision.claimed == (decision.changes[-1].row if is_claimed else None)
    assert not decision.is_more


def test_a_claim_counts_its_tokens() -> None:
    """Each claim has the next one, no due time, and no block that is over; that it is in doubt is remembered."""
    assert decided(Asked(), HEAD).claimed == moved(HEAD, Event.CLAIMED, fencing_token=4).row
    later = NOW + GRACE
    assert decided(Asked(), BLOCKED, now=later).claimed == moved(BLOCKED, Event.CLAIMED, later, fencing_token=4).row


def test_what_is_not_shown_is_asked_for() -> None:
    """Where all that was shown made way and more follow, that is said, and nothing beyond the gap is touched."""
    over = replace(HEAD, deadline=NOW)
    beyond = replace(BEHIND, id=9)
    decision = decided(Asked(), over, beyond, cut_after=1)
    assert ([change.row.id for change in decision.changes], decision.claimed, decision.is_more) == ([1], None, True)
    assert decided(Asked(), over, replace(BEHIND, id=2), beyond, cut_after=2).claimed is not None
    assert not decided(Asked(), HEAD, beyond, cut_after=1).is_more
    decision = decided(Passed(), over, beyond, cut_after=1)
    assert ([change.row.id for change in decision.changes], decision.is_more) == ([1], True)


# -- a code comes in --------------------------------------------------------------------------------------------------


def arrived(draft: Draft = DRAFT, *, received_at: datetime = NOW) -> Arrived:
    """A draft that comes in."""
    return Arrived(draft=draft, received_at=received_at, rule="larch")


NEWCOMER = Delivery(
    id=NEW, draft=DRAFT, state=State.PENDING, received_at=NOW, deadline=NOW + 10 * MINUTE, due_at=None, rule="larch"
)


def test_a_code_for_an_empty_queue_is_claimed_at_once() -> None:
    """It comes back claimed, to be added as it is, and nothing else is written."""
    claimed = replace(NEWCOMER, state=State.IN_FLIGHT, fencing_token=1)
    assert decided(arrived()) == Decision(added=claimed, claimed=claimed)


def test_a_code_behind_others_waits() -> None:
    """It has no due time, whatever the head does; a head that is due is handed out by the way."""
    assert decided(arrived(), replace(FLYING, draft=OTHER)) == Decision(added=NEWCOMER)
    assert decided(arrived(), replace(HEAD, draft=OTHER, due_at=NOW + TICK)) == Decision(added=NEWCOMER)
    decision = decided(arrived(), replace(HEAD, draft=OTHER))
    assert decision.added == NEWCOMER
    assert decision.claimed == decision.changes[0].row


def test_a_code_that_is_over_is_kept_as_such() -> None:
    """Its time counts from its receipt; nothing else is touched by it, not even what it would supersede."""
    draft = replace(DRAFT, lifetime=MINUTE)
    over = replace(NEWCOMER, draft=draft, received_at=NOW - MINUTE, deadline=NOW, state=State.EXPIRED, final_at=NOW)
    assert decided(arrived(draft, received_at=NOW - MINUTE), HEAD) == Decision(added=replace(over, reason=TOO_LATE))
    assert decided(arrived(draft, received_at=NOW - MINUTE + TICK)).claimed is not None


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize(
    ("age", "newer", "is_late"),
    [
        (LATE + TICK, TICK, True),
        (LATE, TICK, False),
        (LATE + TICK, timedelta(), False),
        (LATE + TICK, -TICK, False),
        (LATE + TICK, LATE + TICK, True),
        (LATE + TICK, LATE + 2 * TICK, False),
    ],
    ids=["late", "as good as now", "at the same time", "later than the other", "the other now", "the clock was ahead"],
)
def test_a_code_that_comes_after_a_newer_one(state: State, age: timedelta, newer: timedelta, is_late: bool) -> None:
    """Of one sender, what was received before is superseded by what came in first, whatever has become of that."""
    received_at = NOW - age
    final_at = None if state in UNFINISHED else NOW
    other = replace(FLYING, state=state, received_at=received_at + newer, final_at=final_at)
    decision = decided(arrived(received_at=received_at), other)
    assert decision.added is not None
    assert (decision.added.state is State.SUPERSEDED and decision.added.reason == OVERTAKEN) is is_late
    assert not is_late or (decision.changes, decision.claimed) == ((), None)


def test_a_late_code_of_another_sender_is_not_superseded() -> None:
    """NoEvents can tell which of two senders' codes is the newer one."""
    decision = decided(arrived(OTHER, received_at=NOW - MINUTE), FLYING)
    assert decision.added is not None
    assert decision.added.state is State.PENDING


@pytest.mark.parametrize(
    ("older", "changes"),
    [
        (HEAD, [(Event.NEWER, False)]),
        (replace(HEAD, due_at=NOW + MINUTE), [(Event.NEWER, False)]),
        (replace(BLOCKED, blocked_until=NOW), [(Event.NEWER, False)]),
        (BLOCKED, [(None, True)]),
        (FLYING, [(None, True)]),
        (replace(FLYING, is_overtaken=True), []),
        (replace(HEAD, state=State.DEAD), []),
    ],
    ids=["due", "backing off", "block is over", "blocked", "in flight", "overtaken before", "finished"],
)
def test_a_newer_code_overtakes_what_is_older(older: Delivery, changes: list[tuple[Event | None, bool]]) -> None:
    """One that waits is superseded; of one that may be on its way it is written down that it is not tried again."""
    decision = decided(arrived(), older)
    assert [(change.event, change.row.is_overtaken) for change in decision.changes] == changes
    is_alone = bool(changes and changes[0][0] is Event.NEWER) or older.state is State.DEAD
    assert (decision.claimed is not None) is is_alone
    if changes and changes[0][0] is None:
        assert decision.changes[0].row == replace(older, is_overtaken=True)


def test_what_is_superseded_brings_up_the_next() -> None:
    """A queue whose head is superseded while it backs off goes on with the one behind it, and the newcomer waits."""
    decision = decided(arrived(), replace(HEAD, due_at=NOW + MINUTE), BEHIND)
    assert [(change.row.id, change.event) for change in decision.changes] == [(1, Event.NEWER), (2, Event.CLAIMED)]
    assert decision.added == NEWCOMER


def test_a_newcomer_is_never_handed_out_past_a_gap() -> None:
    """Where what is shown made way and more follow, the newcomer waits behind what is not shown."""
    decision = decided(arrived(), HEAD, cut_after=1)
    assert (decision.added, decision.claimed, decision.is_more) == (NEWCOMER, None, True)


@pytest.mark.parametrize(
    ("newer", "older", "wanted"),
    [
        (DRAFT, DRAFT, True),
        (replace(DRAFT, sender="NO-REPLY@larch.example"), DRAFT, True),
        (DRAFT, replace(DRAFT, sender="NO-REPLY@larch.example"), True),
        (replace(DRAFT, kind="link"), DRAFT, True),
        (DRAFT, replace(DRAFT, kind="body"), True),
        (replace(DRAFT, kind="body"), DRAFT, False),
        (replace(DRAFT, sender=""), replace(DRAFT, sender=""), False),
        (OTHER, DRAFT, False),
        (replace(DRAFT, workflow_run_id="wr_1"), DRAFT, False),
        (DRAFT, replace(DRAFT, workflow_id="w_1"), False),
        (replace(DRAFT, task_id="tsk_1"), DRAFT, False),
        (replace(DRAFT, task_id="tsk_1"), replace(DRAFT, task_id="tsk_1"), True),
    ],
)
def test_what_supersedes_what(newer: Draft, older: Draft, wanted: bool) -> None:
    """Same sender and same run, workflow and task; a body replaces nothing, and nobody's mail replaces nobody's."""
    assert supersedes(newer, older) is wanted


# -- time passes ------------------------------------------------------------------------------------------------------


def test_what_is_over_ends_wherever_it_stands() -> None:
    """Also behind others; one that blocks does not; the head that is left gets a due time, and nothing is handed out."""
    decision = decided(Passed(), replace(HEAD, deadline=NOW), BEHIND, replace(BEHIND, id=3, deadline=NOW))
    assert decision.changes == (
        moved(replace(HEAD, deadline=NOW), Event.DEADLINE, reason=OVER),
        moved(replace(BEHIND, id=3, deadline=NOW), Event.DEADLINE, reason=OVER),
        Change(row=replace(BEHIND, due_at=NOW), event=None),
    )
    assert decision.claimed is None
    assert decided(Passed(), replace(HEAD, deadline=NOW + TICK), BEHIND) == Decision()
    assert decided(Passed(), replace(BLOCKED, deadline=NOW), BEHIND) == Decision()
    assert decided(Passed(), FLYING, BEHIND) == Decision()
    assert decided(Passed(), HEAD, now=HEAD.deadline + LEASE).changes == (
        moved(HEAD, Event.DEADLINE, HEAD.deadline + LEASE, reason=OVER),
    )


def test_a_claim_that_nobody_settled_is_lost_with_its_lease() -> None:
    """A minute beyond its deadline, and not before; it may be at the target, and the next one comes up."""
    now = FLYING.deadline + LEASE
    behind = replace(BEHIND, deadline=now + MINUTE)
    decision = decided(Passed(), FLYING, behind, now=now)
    assert decision.changes == (
        moved(FLYING, Event.DEADLINE, now, reason=LOST, is_doubtful=True),
        Change(row=replace(behind, due_at=now), event=None),
    )
    assert decided(Passed(), FLYING, behind, now=now - TICK) == Decision()


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
    row = settled(flying, Deferred(reason="503", retry_after=wish), now=now, jitter=jitter)
    if now >= flying.deadline:
        assert (row.state, row.due_at) == (State.EXPIRED, None)
    else:
        assert row.due_at is not None
        assert now <= row.due_at <= flying.deadline
        assert row.due_at - now >= min(wish or timedelta(), flying.deadline - now)
        assert row.due_at - now <= max(wish or timedelta(), LONGEST_DELAY)


# -- an operator ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", State)
def test_what_can_be_retried(state: State) -> None:
    """What is dead or expired gets its lifetime anew and is due at once, with its attempts and doubts; nothing else is touched."""
    row = replace(HEAD, state=state, due_at=None, is_doubtful=True, is_overtaken=True, final_at=NOW - MINUTE)
    decision = decided(Retried(id=1), row, now=NOW + MINUTE)
    if state not in (State.DEAD, State.EXPIRED):
        assert decision == Decision()
        return
    again = moved(row, Event.RETRY, deadline=NOW + 11 * MINUTE, is_overtaken=False)
    assert decision.changes == (again, Change(row=replace(again.row, due_at=NOW + MINUTE), event=None))
    assert decision.claimed is None


def test_what_is_not_there_cannot_be_retried() -> None:
    """An unknown number changes nothing."""
    assert decided(Retried(id=7), HEAD) == Decision()


@pytest.mark.parametrize(
    ("newer", "is_retried"),
    [
        (BEHIND, False),
        (replace(FLYING, id=2), False),
        (replace(BEHIND, state=State.DELIVERED), False),
        (replace(BEHIND, state=State.EXPIRED, is_doubtful=True), False),
        (replace(BEHIND, state=State.SUPERSEDED, is_doubtful=True), False),
        (replace(BEHIND, state=State.EXPIRED), True),
        (replace(BEHIND, state=State.DEAD), True),
        (replace(BEHIND, state=State.SUPERSEDED), True),
    ],
    ids=["waits", "flies", "is there", "may be there", "may be there still", "expired", "dead", "superseded"],
)
def test_a_retry_undoes_no_newer_code(newer: Delivery, is_retried: bool) -> None:
    """A newer one that waits, or is or may be at the target, would no longer be the newest there."""
    dead = replace(HEAD, state=State.DEAD, due_at=None, final_at=NOW)
    assert bool(decided(Retried(id=1), dead, newer).changes) is is_retried


def test_a_known_senders_retry_gives_up_the_strangers_that_wait() -> None:
    """As a known sender's new code would: else a stranger's would go first, and be the newest for a while."""
    stranger = replace(
        HEAD, draft=replace(HEAD.draft, sender="x@evil.example", domain="evil.example", standing=Standing.FIRST_SEEN)
    )
    known = replace(BEHIND, draft=replace(BEHIND.draft, standing=Standing.KNOWN), state=State.DEAD, due_at=None, final_at=NOW)
    decision = decided(Retried(id=2), stranger, known)
    assert [(change.row.id, change.row.state) for change in decision.changes if change.event is not None] == [
        (2, State.PENDING),
        (1, State.SUPERSEDED),
    ]


def test_a_retry_waits_for_its_turn() -> None:
    """Behind an older one that is in flight it has no due time."""
    dead = replace(BEHIND, state=State.DEAD, final_at=NOW)
    decision = decided(Retried(id=2), FLYING, dead)
    assert [change.event for change in decision.changes] == [Event.RETRY]
    assert decision.changes[0].row.due_at is None
