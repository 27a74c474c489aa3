"""Whole histories of a queue, made up by hypothesis: order, deadlines, doubts and the newest code hold, and nothing stands still."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

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
from mailbridge.core.occurrence import Arrived, Asked, Lost, Occurrence, Passed, Released, Retried, Settled, Unreadable
from mailbridge.core.queue import LATE, LEASE, OF_DOMAIN, STRANGERS, TRANSITIONS, is_dated_after, is_known_and_lives, supersedes
from mailbridge.core.secret import Secret
from tests.core.queue_model import Kept

START = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
GRACE = timedelta(seconds=5)
WINDOW = 2

DRAFTS = st.builds(
    Draft,
    target=st.just("skyvern"),
    identifier=st.just("ann@example.com"),
    kind=st.sampled_from(["code", "code", "code", "link", "body"]),
    content=st.just(Secret("")),
    sender=st.sampled_from(["a@larch.example", "a@larch.example", "b@larch.example", ""]),
    lifetime=st.sampled_from([1, 10, 60, 60]).map(lambda seconds: timedelta(seconds=seconds)),
    workflow_run_id=st.sampled_from([None, None, None, "wr_1"]),
    task_id=st.sampled_from([None, None, None, "tsk_1"]),
    standing=st.sampled_from([Standing.KNOWN, Standing.KNOWN, Standing.FIRST_SEEN, Standing.FIRST_SEEN, Standing.ASIDE]),
    domain=st.sampled_from(["larch.example", "larch.example", "fir.example", ""]),
)
ENDINGS: st.SearchStrategy[Ending] = st.one_of(
    st.just(Accepted(ref="totp_1")),
    st.just(Deferred(reason="503")),
    st.builds(Deferred, reason=st.just("429"), retry_after=st.sampled_from([0, 3, 30]).map(lambda s: timedelta(seconds=s))),
    st.just(Doubtful(reason="no answer")),
    st.builds(Refused, reason=st.just("4xx"), is_stale_run=st.booleans()),
    st.just(Lapsed()),
)
STEPS = st.sampled_from([1, 250, 1_000, 3_000, 5_000, 20_000, 61_000, 121_000]).map(lambda ms: timedelta(milliseconds=ms))


class Histories(RuleBasedStateMachine):
    """One queue, and beside it the same one of which only the least is shown at each step: both must come to the same."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.kept = Kept()
        self.least = Kept(window=WINDOW)
        self.flying: dict[int, int] = {}
        self.may_be_there: set[int] = set()
        self.overtaken: set[int] = set()
        self.blocked_until = START

    def happened(self, occurrence: Occurrence) -> Delivery | None:
        """Let something happen, and look at every change that it made."""
        before = dict(self.kept.rows)
        changes, claimed = self.kept.happened(occurrence, self.now)
        self.least.happened(occurrence, self.now)
        for change in changes:
            state = before[change.row.id].state
            expected = state if change.event is None else TRANSITIONS[state, change.event]
            assert change.row.state is expected
            before[change.row.id] = change.row
        if claimed is not None:
            self.was_claimed(claimed)
        return claimed

    def was_claimed(self, row: Delivery) -> None:
        """What has to hold whenever a code is handed out."""
        assert not self.flying
        assert row.state is State.IN_FLIGHT
        assert row.deadline > self.now
        assert self.now >= self.blocked_until
        assert row.id not in self.overtaken
        assert not any(number > row.id for number in self.may_be_there)
        assert row.fencing_token > 0
        assert row.draft.standing is not Standing.ASIDE
        if row.draft.standing is Standing.FIRST_SEEN:
            assert not any(is_known_and_lives(one, self.now) for one in self.kept.rows.values())
        self.flying = {row.id: row.fencing_token}

    # -- what happens -------------------------------------------------------------------------------------------------

    @rule(
        draft=DRAFTS,
        age=st.sampled_from([0, 0, 0, 1_000, 2_000, 2_001, 4_000, 15_000]),
        written=st.sampled_from([None, None, -9_000, 0, 1_000, 5_000, 20_000, 60_000]),
    )
    def arrive(self, draft: Draft, age: int, written: int | None) -> None:
        """A code comes in that was received so many milliseconds ago, and written so many before that."""
        received_at = self.now - timedelta(milliseconds=age)
        if written is not None:
            draft = replace(draft, written_at=received_at - timedelta(milliseconds=written))
        older = list(self.kept.rows.values())
        known = [one for one in older if is_known_and_lives(one, self.now)]
        self.happened(Arrived(draft=draft, received_at=received_at, rule="larch"))
        new = self.kept.rows[max(self.kept.rows)]
        is_late = self.now - received_at > LATE
        if new.deadline <= self.now:
            assert new.state is State.EXPIRED
        elif written is not None and any(is_dated_after(one, replace(new, draft=draft)) for one in older):
            assert new.state is State.SUPERSEDED
            assert new.moment < max(one.moment for one in older)
        elif is_late and any(
            supersedes(one.draft, draft)
            and one.received_at > received_at
            and new.written_at - one.written_at < timedelta(seconds=5)
            for one in older
        ):
            assert new.state is State.SUPERSEDED
        elif draft.standing is Standing.ASIDE or (draft.standing is Standing.FIRST_SEEN and known):
            assert new.state is State.SUPERSEDED
            assert new.draft.standing is Standing.ASIDE
        else:
            assert new.state in UNFINISHED
            beaten = {one.id for one in older if one.state in UNFINISHED and supersedes(draft, one.draft)}
            if draft.standing is Standing.KNOWN and draft.kind != "body":
                beaten |= {one.id for one in older if one.state in UNFINISHED and one.draft.standing is Standing.FIRST_SEEN}
            assert not any(self.kept.rows[one].state is State.PENDING and not self.is_blocked(one) for one in beaten)
            self.overtaken |= beaten

    def is_blocked(self, number: int) -> bool:
        until = self.kept.rows[number].blocked_until
        return until is not None and until > self.now

    @rule()
    def ask(self) -> None:
        """Somebody has a hand free."""
        self.happened(Asked())
        if head := next(iter(self.kept.unfinished), None):
            is_waiting = head.due_at is not None and head.due_at > self.now
            assert head.state is State.IN_FLIGHT or is_waiting or self.is_blocked(head.id)

    @precondition(lambda self: self.flying)
    @rule(ending=ENDINGS, jitter=st.sampled_from([0.0, 0.5, 1.0]))
    def settle(self, ending: Ending, jitter: float) -> None:
        """An attempt ends."""
        ((number, token),) = self.flying.items()
        self.flying = {}
        if isinstance(ending, Accepted | Doubtful):
            self.may_be_there.add(number)
        if isinstance(ending, Refused):
            self.may_be_there.discard(number)
        if isinstance(ending, Doubtful):
            self.blocked_until = self.now + GRACE
        self.happened(Settled(id=number, fencing_token=token, ending=ending, jitter=jitter, grace=GRACE))
        after = self.kept.rows[number]
        assert after.state is not State.IN_FLIGHT or after.fencing_token == token + 1
        if after.state is State.PENDING and not isinstance(ending, Doubtful):
            assert after.due_at is not None
            assert self.now <= after.due_at <= after.deadline

    @precondition(lambda self: self.flying)
    @rule()
    def give_back(self) -> None:
        """A claim is given back."""
        ((number, token),) = self.flying.items()
        self.flying = {}
        self.happened(Released(id=number, fencing_token=token))

    @precondition(lambda self: self.flying)
    @rule()
    def find_unreadable(self) -> None:
        """The code of a claim cannot be decrypted."""
        ((number, token),) = self.flying.items()
        self.flying = {}
        self.happened(Unreadable(id=number, fencing_token=token))
        assert self.kept.rows[number].state is State.DEAD

    @precondition(lambda self: self.kept.rows)
    @rule(data=st.data(), ending=ENDINGS)
    def settle_too_late(self, data: st.DataObject, ending: Ending) -> None:
        """Whoever lost his claim changes nothing."""
        number = data.draw(st.sampled_from(sorted(self.kept.rows)))
        token = data.draw(st.integers(0, 3))
        if self.flying.get(number) == token:
            return
        before = dict(self.kept.rows)
        self.happened(Settled(id=number, fencing_token=token, ending=ending, jitter=1.0, grace=GRACE))
        self.happened(Released(id=number, fencing_token=token))
        self.happened(Unreadable(id=number, fencing_token=token))
        assert self.kept.rows == before

    @rule()
    def die(self) -> None:
        """The process is killed and another one starts."""
        if self.flying:
            self.may_be_there |= self.flying.keys()
            self.blocked_until = self.now + GRACE
        self.flying = {}
        self.happened(Lost(grace=GRACE))

    @rule(step=STEPS)
    def wait(self, step: timedelta) -> None:
        """Time passes, and nobody looks."""
        self.now += step

    @rule()
    def sweep(self) -> None:
        """Somebody looks at what is over."""
        lost = {one for one in self.flying if self.kept.rows[one].deadline + LEASE <= self.now}
        self.may_be_there |= lost
        self.flying = {one: token for one, token in self.flying.items() if one not in lost}
        self.happened(Passed())
        over = [one for one in self.kept.unfinished if one.state is State.PENDING and one.deadline <= self.now]
        assert all(self.is_blocked(one.id) for one in over)
        assert all(self.kept.rows[one].state is State.EXPIRED for one in lost)

    @precondition(lambda self: self.kept.rows)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """An operator gives something a second chance."""
        number = data.draw(st.sampled_from(sorted(self.kept.rows)))
        before = self.kept.rows[number]
        self.happened(Retried(id=number))
        after = self.kept.rows[number]
        newer = [one for one in self.kept.rows.values() if one.id > number]
        if any(one.state in (*UNFINISHED, State.DELIVERED) for one in newer) or before.state not in (State.DEAD, State.EXPIRED):
            assert after.state is before.state
        elif after.state is State.PENDING:
            assert after.deadline == self.now + after.draft.lifetime
            self.overtaken.discard(number)
        elif before.draft.standing is not Standing.ASIDE:
            is_beaten = before.draft.standing is Standing.FIRST_SEEN and any(
                is_known_and_lives(one, self.now) for one in self.kept.rows.values()
            )
            assert is_beaten or any(one.id in self.may_be_there for one in newer)

    # -- what holds at every moment -----------------------------------------------------------------------------------

    @invariant()
    def one_flies_and_it_is_the_oldest(self) -> None:
        """At most one is in flight, the one that was handed out, and nothing unfinished is older."""
        flying = {row.id: row.fencing_token for row in self.kept.unfinished if row.state is State.IN_FLIGHT}
        assert flying == self.flying
        assert not flying or self.kept.unfinished[0].id in flying

    @invariant()
    def no_queue_stands_still(self) -> None:
        """Where something waits, either one is in flight, or the head is due at a time that comes; those behind it have none."""
        if self.kept.unfinished:
            head, *behind = self.kept.unfinished
            assert head.state is State.IN_FLIGHT or head.due_at is not None
            assert head.due_at is None or head.due_at <= max(head.deadline, self.now, self.blocked_until)
            assert all(row.due_at is None for row in behind)

    @invariant()
    def strangers_do_not_crowd(self) -> None:
        """No more of them wait than may, beside the one that flies or is in doubt."""
        waiting = [row for row in self.kept.unfinished if row.draft.standing is Standing.FIRST_SEEN]
        assert len(waiting) <= STRANGERS + 1
        for domain in {row.draft.domain for row in waiting}:
            assert sum(row.draft.domain == domain for row in waiting) <= OF_DOMAIN + 1

    @invariant()
    def what_is_over_is_over(self) -> None:
        """A final delivery has its time, and an unfinished one has none."""
        assert all((row.final_at is None) == (row.state in UNFINISHED) for row in self.kept.rows.values())

    @invariant()
    def the_least_is_enough(self) -> None:
        """Shown only what `Queue` says is enough, the same becomes of every delivery."""
        assert self.least.rows == self.kept.rows


Histories.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestHistories = Histories.TestCase
