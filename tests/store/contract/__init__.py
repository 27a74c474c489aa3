"""The contract of a store as a suite: an implementation passes it by giving it a `Place` (see test_sqlite_contract).

Nothing here knows how it is kept. Another implementation is another `Place`, and the same classes over it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Protocol

from mailbridge.config.settings import RetentionSettings
from mailbridge.core.delivery import Claim, Ending, State
from mailbridge.store import Receipt, Store
from tests.moved_time import MovedTime
from tests.store.mails import arrival, draft

GRACE = timedelta(seconds=5)
SECOND = timedelta(seconds=1)
DAYS = timedelta(days=3)
RETENTION = RetentionSettings()


class Place(Protocol):
    """Where an implementation keeps things, so that it can be opened anew, and kept from it."""

    time: MovedTime

    async def open(self, retention: RetentionSettings = RETENTION) -> Store:
        """Open it as a daemon that starts; `GRACE` is its grace."""
        ...

    async def kill(self, store: Store) -> None:
        """End a store as a killed process would: whatever it was doing, its claims stay as they are."""
        ...

    def in_trouble(self, name: str) -> AbstractContextManager[None]:
        """A trouble for the length of the block, injected where it really happens.

        ``locked``: another process holds on to it. ``full``: there is no room for an octet more. ``gone``: it is away.
        ``unwritable``: what is written does not come to the disk.
        """
        ...


class Contract:
    """What every part of the suite does. Subclasses provide the fixture ``place``."""

    async def _put(self, store: Store, place: Place, code: str = "482913", **of: object) -> Receipt:
        return await store.put(arrival(draft(code, **of), at=place.time.now()))  # type: ignore[arg-type]

    async def _settled(self, store: Store, claim: Claim, ending: Ending, place: Place) -> tuple[Claim, ...]:
        return (await store.outbox.settle(claim, ending, jitter=1.0, grace=GRACE)).claims

    async def _state(self, store: Store, number: int) -> State:
        return next(one.state for one in await store.outbox.deliveries() if one.id == number)

    async def _code(self, claims: tuple[Claim, ...]) -> list[str]:
        return [claim.delivery.draft.content.reveal() for claim in claims]
