"""A store's contract: whatever happens to it, what it has written is what `core.queue` decides."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from mailbridge.config.settings import RetentionSettings
from mailbridge.core.delivery import Claim, Delivery, Draft, Ending, Standing
from mailbridge.core.occurrence import Arrived, Asked, Lost, Occurrence, Passed, Released, Retried, Settled
from mailbridge.core.secret import Secret
from tests.core.queue_model import Kept
from tests.core.test_queue_histories import ENDINGS, STEPS
from tests.store.contract import GRACE, Place
from tests.store.mails import arrival, draft

T = TypeVar("T")

LONG = RetentionSettings(code=timedelta(days=30), mail=timedelta(days=30))
DRAFTS = st.builds(
    draft,
    st.just("482913"),
    identifier=st.sampled_from(["ann@example.com", "ANN@example.com", "bob@example.com"]),
    sender=st.sampled_from(["a@larch.example", "a@larch.example", "b@larch.example", ""]),
    target=st.sampled_from(["skyvern", "skyvern", "other"]),
    lifetime=st.sampled_from([1, 10, 60, 60]).map(lambda seconds: timedelta(seconds=seconds)),
    run=st.sampled_from([None, None, "wr_1"]),
    is_body=st.sampled_from([False, False, False, True]),
    standing=st.sampled_from([Standing.KNOWN, Standing.KNOWN, Standing.FIRST_SEEN, Standing.FIRST_SEEN, Standing.ASIDE]),
    domain=st.sampled_from(["larch.example", "fir.example", ""]),
)


def bare(row: Delivery) -> Delivery:
    """Without its content and its mail, which the core never sees."""
    return replace(row, draft=replace(row.draft, content=Secret("")), mail_id=0)


class Histories(RuleBasedStateMachine):
    """A store, and beside it the same queues in memory."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.runner = asyncio.Runner()
        self.store = self.run(self.opened())
        self.numbers = itertools.count(1)
        self.queues: dict[tuple[str, str], Kept] = {}
        self.claims: list[Claim] = []

    async def opened(self) -> Any:
        """Inside the loop that will use it."""
        return await self.place.open(LONG)

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        """In the loop of this history."""
        return self.runner.run(doing)

    def teardown(self) -> None:
        """Close the store and the loop."""
        self.run(self.store.close())
        self.runner.close()

    def queue_of(self, one: Draft) -> Kept:
        """The queue that a draft belongs to."""
        key = (one.target, one.identifier.casefold())
        return self.queues.setdefault(key, Kept(number=lambda: next(self.numbers)))

    def everywhere(self, occurrence: Occurrence) -> list[Delivery]:
        """Let it happen to every queue. Returns what was handed out."""
        found = [queue.happened(occurrence, self.place.time.now())[1] for queue in self.queues.values()]
        return [one for one in found if one is not None]

    def handed_out(self, claims: tuple[Claim, ...], expected: list[Delivery]) -> None:
        """The store hands out what the core does, with its code."""
        assert {claim.delivery.id: bare(claim.delivery) for claim in claims} == {one.id: bare(one) for one in expected}
        assert all(claim.fencing_token == claim.delivery.fencing_token for claim in claims)
        assert all(claim.delivery.draft.content.reveal() == "482913" for claim in claims)
        self.claims += claims

    @rule(
        drafts=st.lists(DRAFTS, min_size=1, max_size=2),
        age=st.sampled_from([0, 0, 0, 2_000, 2_001, 15_000]),
        written=st.sampled_from([None, None, -30, 0, 10, 60]),
    )
    def put(self, drafts: list[Draft], age: int, written: int | None) -> None:
        """A mail comes in that was received so many milliseconds ago, and written so many seconds before that."""
        at = self.place.time.now() - timedelta(milliseconds=age)
        if written is not None:
            drafts = [replace(one, written_at=at - timedelta(seconds=written)) for one in drafts]
        receipt = self.run(self.store.put(arrival(*drafts, at=at)))
        expected = []
        for one in drafts:
            arrived = Arrived(draft=replace(one, content=Secret("")), received_at=at, rule="generic")
            _, claimed = self.queue_of(one).happened(arrived, self.place.time.now())
            expected += [] if claimed is None else [claimed]
        self.handed_out(receipt.claims, expected)

    @rule()
    def claim(self) -> None:
        """Somebody has many hands free."""
        self.handed_out(self.run(self.store.outbox.claim(limit=1_000)).claims, self.everywhere(Asked()))

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), ending=ENDINGS, jitter=st.sampled_from([0.0, 1.0]), is_kept=st.sampled_from([False, False, True]))
    def settle(self, data: st.DataObject, ending: Ending, jitter: float, is_kept: bool) -> None:
        """A claim ends, perhaps one that holds no longer, perhaps not for the last time."""
        claim = data.draw(st.sampled_from(self.claims))
        self.claims = self.claims if is_kept else [one for one in self.claims if one is not claim]
        settlement = self.run(self.store.outbox.settle(claim, ending, jitter=jitter, grace=GRACE))
        settled = Settled(id=claim.delivery.id, fencing_token=claim.fencing_token, ending=ending, jitter=jitter, grace=GRACE)
        changes, claimed = self.queue_of(claim.delivery.draft).happened(settled, self.place.time.now())
        assert (settlement.delivery and bare(settlement.delivery)) == (changes[0].row if changes else None)
        self.handed_out(settlement.claims, [] if claimed is None else [claimed])

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """A claim is given back."""
        claim = data.draw(st.sampled_from(self.claims))
        self.run(self.store.outbox.release([claim]))
        released = Released(id=claim.delivery.id, fencing_token=claim.fencing_token)
        self.queue_of(claim.delivery.draft).happened(released, self.place.time.now())

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """An operator gives something a second chance."""
        number = data.draw(st.sampled_from([*sorted(number for queue in self.queues.values() for number in queue.rows), 999]))
        queue = next((queue for queue in self.queues.values() if number in queue.rows), None)
        changes = [] if queue is None else queue.happened(Retried(id=number), self.place.time.now())[0]
        assert self.run(self.store.outbox.retry(number)) is bool(changes)

    @rule()
    def sweep(self) -> None:
        """Somebody looks at what is over."""
        self.run(self.store.sweep())
        self.everywhere(Passed())

    @rule()
    def kill(self) -> None:
        """The process is killed, and another one starts. Whoever had a claim may still come with it."""
        self.run(self.place.kill(self.store))
        self.store = self.run(self.opened())
        self.everywhere(Lost(grace=GRACE))

    @rule(step=STEPS)
    def wait(self, step: timedelta) -> None:
        """Time passes, and nobody looks."""
        self.place.time.pass_by(step)

    @invariant()
    def the_store_has_what_the_core_decided(self) -> None:
        """Every delivery, in every field."""
        found = {one.id: bare(one) for one in self.run(self.store.outbox.deliveries(limit=10_000))}
        assert found == {number: bare(row) for queue in self.queues.values() for number, row in queue.rows.items()}

    @invariant()
    def what_is_due_is_known(self) -> None:
        """`claim` says when the next thing falls due, so that nobody has to look before."""
        due = self.run(self.store.outbox.claim(limit=0))
        times = [row.due_at for queue in self.queues.values() for row in queue.rows.values() if row.due_at is not None]
        assert (due.claims, due.next_at) == ((), min(times, default=None))


class HistoryContract:
    """Subclasses provide the fixture ``new_place``."""

    def test_the_same_histories_run_against_the_store(self, new_place: Callable[[], Place]) -> None:
        """Mails, claims, endings, retries, sweeps and kills, in any order: the store's rows are those that the core decides."""
        chosen = settings(max_examples=25, stateful_step_count=30, deadline=None)
        run_state_machine_as_test(lambda: Histories(new_place()), settings=chosen)  # type: ignore[arg-type]
