"""The outbox in the writer's transactions: claims, results of attempts, and deliveries in lists."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import apsw

from mailbridge.clock import SteadyClock
from mailbridge.core.delivery import Claim, Delivery, Ending, State
from mailbridge.core.occurrence import Released, Settled
from mailbridge.store import EVERYTHING, Due, Filter, Page, Settlement
from mailbridge.store.cipher import Cipher
from mailbridge.store.queueing import Written, log_ended
from mailbridge.store.rows import DELIVERY, read_delivery, with_content
from mailbridge.store.sqlite import filters
from mailbridge.store.sqlite.queues import Queues
from mailbridge.store.sqlite.readers import Readers, Reading
from mailbridge.store.sqlite.writer import Writer

COUNTS = """
SELECT 'pending', count(*) FROM delivery WHERE state = 'pending' UNION ALL
SELECT 'in_flight', count(*) FROM delivery WHERE state = 'in_flight' UNION ALL
SELECT 'expired', count(*) FROM delivery WHERE state = 'expired' UNION ALL
SELECT 'dead', count(*) FROM delivery WHERE state = 'dead'
"""
"""Written so that each part is counted in an index that contains nothing else."""


class SqliteOutbox:
    """Implements `mailbridge.store.Outbox`."""

    def __init__(self, *, writer: Writer, readers: Readers, queues: Queues, cipher: Cipher, clock: SteadyClock) -> None:
        self._writer = writer
        self._readers = readers
        self._queues = queues
        self._cipher = cipher
        self._clock = clock

    async def claim(self, *, limit: int, busy: Sequence[str] = ()) -> Due:
        """See `Outbox.claim`."""
        return await self._writer.do(
            lambda connection: self._queues.claim(connection, limit, self._clock.micros(), busy),
            on_abandoned=lambda connection, due: self.give_back(connection, due.claims),
        )

    async def settle(self, claim: Claim, ending: Ending, *, jitter: float, grace: timedelta) -> Settlement:
        """See `Outbox.settle`."""
        settled = Settled(id=claim.delivery.id, fencing_token=claim.fencing_token, ending=ending, jitter=jitter, grace=grace)
        written = await self._writer.do(
            lambda connection: self._happened(connection, claim, settled),
            on_abandoned=lambda connection, written: self.give_back(connection, written.claims),
            is_short=True,
        )
        log_ended(written.changes, but=settled.id)
        own = next((change.row for change in written.changes if change.row.id == settled.id), None)
        return Settlement(delivery=own, claims=written.claims)

    async def release(self, claims: Sequence[Claim]) -> None:
        """See `Outbox.release`."""
        await self._writer.do(lambda connection: self.give_back(connection, claims))

    def give_back(self, connection: apsw.Connection, claims: Sequence[Claim]) -> None:
        """Release claims in a transaction of the writer."""
        for claim in claims:
            self._happened(connection, claim, Released(id=claim.delivery.id, fencing_token=claim.fencing_token))

    async def one(self, delivery_id: int) -> Delivery | None:
        """See `Outbox.one`."""
        rows = await self._readers.rows(f"SELECT {DELIVERY} FROM delivery WHERE id = ?", (delivery_id,))  # noqa: S608
        return read_delivery(rows[0]) if rows else None

    async def retry(self, delivery_id: int) -> bool:
        """See `Outbox.retry`."""
        return await self._writer.do(lambda connection: self._queues.retry(connection, delivery_id, self._clock.micros()))

    async def deliveries(
        self, wanted: Filter = EVERYTHING, *, mail_id: int | None = None, before: int | None = None, limit: int = 100
    ) -> Page[Delivery]:
        """See `Outbox.deliveries`."""

        def read(row: tuple[object, ...]) -> Delivery:
            found = read_delivery(row)
            uid, sealed = row[-2:]
            return with_content(found, uid, sealed, self._cipher) or found  # type: ignore[arg-type]

        def page(reading: Reading) -> Page[Delivery]:
            how = filters.common(reading, wanted)
            chosen = filters.deliveries(wanted, mail_id=mail_id, before=before, how=how)
            query = f"SELECT {DELIVERY}, uid, content FROM {chosen.source} WHERE {chosen.where} ORDER BY {chosen.order} LIMIT ?"  # noqa: S608
            return filters.page(reading.rows(query, (*chosen.values, limit + 1)), read, limit=limit)

        return await self._readers.do(page)

    async def counts(self) -> dict[State, int]:
        """See `Outbox.counts`."""
        rows = await self._readers.rows(COUNTS)
        return {State(state): count for state, count in rows}

    def _happened(self, connection: apsw.Connection, claim: Claim, occurrence: Settled | Released) -> Written:
        draft = claim.delivery.draft
        return self._queues.happened(connection, draft.target, draft.identifier.casefold(), occurrence, self._clock.micros())
