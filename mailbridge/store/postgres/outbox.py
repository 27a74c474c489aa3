"""The outbox: claims, results of attempts, and deliveries in lists."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from mailbridge.clock import SteadyClock
from mailbridge.core.delivery import Claim, Delivery, Ending, State
from mailbridge.core.occurrence import Released, Settled
from mailbridge.store import EVERYTHING, Due, Filter, Page, Settlement
from mailbridge.store.cipher import Cipher
from mailbridge.store.postgres import filters
from mailbridge.store.postgres.database import PostgresDatabase, PostgresTransaction
from mailbridge.store.postgres.queues import Queues
from mailbridge.store.queueing import log_ended
from mailbridge.store.rows import DELIVERY, read_delivery, with_content

ONE = f"SELECT {DELIVERY} FROM delivery WHERE id = ?"  # noqa: S608
COUNTS = " UNION ALL ".join(
    f"SELECT '{state}', count(*) FROM delivery WHERE state = '{state}'"  # noqa: S608
    for state in (State.PENDING, State.IN_FLIGHT, State.EXPIRED, State.DEAD)
)


class PostgresOutbox:
    """Implements `mailbridge.store.Outbox`."""

    def __init__(self, *, database: PostgresDatabase, queues: Queues, cipher: Cipher, clock: SteadyClock) -> None:
        self._database = database
        self._queues = queues
        self._cipher = cipher
        self._clock = clock

    async def claim(self, *, limit: int, busy: Sequence[str] = ()) -> Due:
        """See `Outbox.claim`."""
        due = await self._database.finish(
            lambda: self._queues.claim(limit, busy), on_abandoned=lambda due: self.release(due.claims)
        )
        self._queues.take(due.claims)
        return due

    async def settle(self, claim: Claim, ending: Ending, *, jitter: float, grace: timedelta) -> Settlement:
        """See `Outbox.settle`."""
        settled = Settled(id=claim.delivery.id, fencing_token=claim.fencing_token, ending=ending, jitter=jitter, grace=grace)
        written = await self._database.write(
            lambda transaction: self._queues.happened(transaction, *_queue(claim), settled, self._clock.micros()),
            queues=[_queue(claim)],
            on_abandoned=lambda written: self.release(written.claims),
        )
        self._queues.give_up([claim])
        self._queues.take(written.claims)
        log_ended(written.changes, but=settled.id)
        own = next((change.row for change in written.changes if change.row.id == settled.id), None)
        return Settlement(delivery=own, claims=written.claims)

    async def release(self, claims: Sequence[Claim]) -> None:
        """See `Outbox.release`."""

        async def work(transaction: PostgresTransaction) -> None:
            for claim in claims:
                released = Released(id=claim.delivery.id, fencing_token=claim.fencing_token)
                await self._queues.happened(transaction, *_queue(claim), released, self._clock.micros())

        await self._database.write(work, queues=[_queue(claim) for claim in claims])
        self._queues.give_up(claims)

    async def one(self, delivery_id: int) -> Delivery | None:
        """See `Outbox.one`."""
        rows = await self._database.rows(ONE, (delivery_id,))
        return read_delivery(rows[0]) if rows else None

    async def retry(self, delivery_id: int) -> bool:
        """See `Outbox.retry`."""
        return await self._database.finish(lambda: self._queues.retry(delivery_id))

    async def deliveries(
        self, wanted: Filter = EVERYTHING, *, mail_id: int | None = None, before: int | None = None, limit: int = 100
    ) -> Page[Delivery]:
        """See `Outbox.deliveries`."""
        where, values = filters.deliveries(wanted, mail_id=mail_id, before=before)
        query = f"SELECT {DELIVERY}, uid, content FROM delivery WHERE {where} ORDER BY id DESC LIMIT ?"  # noqa: S608
        rows = await self._database.rows(query, (*values, limit + 1))
        found = []
        for row in rows[:limit]:
            one = read_delivery(row)
            found.append(with_content(one, row[-2], row[-1], self._cipher) or one)
        return Page(tuple(found), found[-1].id if len(rows) > limit and found else None)

    async def counts(self) -> dict[State, int]:
        """See `Outbox.counts`."""
        return {State(state): count for state, count in await self._database.rows(COUNTS)}


def _queue(claim: Claim) -> tuple[str, str]:
    """The queue of a claim."""
    return claim.delivery.draft.target, claim.delivery.draft.identifier.casefold()
