"""A store's contract: every method, while the store is locked, gone or closed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from mailbridge.core.delivery import Accepted, Claim, Refused
from mailbridge.store import Store, StoreUnavailable
from tests.loop import looped
from tests.store.contract import GRACE, SECOND, Contract, Place
from tests.store.mails import arrival, draft

Call = Callable[[Store, Claim], Awaitable[object]]

WRITES: dict[str, Call] = {
    "settle": lambda store, claim: store.settle(claim, Accepted(), jitter=1.0, grace=GRACE),
    "release": lambda store, claim: store.release([claim]),
    "claim": lambda store, claim: store.claim(limit=10),
    "retry": lambda store, claim: store.retry(2),
    "sweep": lambda store, claim: store.sweep(),
    "pay": lambda store, claim: store.pay(["box/1/1"]),
}
READS: dict[str, Call] = {
    "deliveries": lambda store, claim: store.deliveries(),
    "mails": lambda store, claim: store.mails(),
    "raw": lambda store, claim: store.raw(1),
    "counts": lambda store, claim: store.counts(),
    "journal": lambda store, claim: store.journal(),
    "cursor": lambda store, claim: store.cursor("box"),
    "owed": lambda store, claim: store.owed("box"),
}


class TroubleContract(Contract):
    """StoreUnavailable and nothing else, nothing half done, and well again after it."""

    async def _prepared(self, place: Place) -> tuple[Store, Claim]:
        """A store in which every method has something to do."""
        store = place.open()
        (claim,) = (await self._put(store, place, "111111")).claims
        (dead,) = (await self._put(store, place, identifier="bob@example.com")).claims
        await self._settled(store, dead, Refused(reason="no"), place)
        waiting = await self._put(store, place, identifier="cid@example.com")
        owed = arrival(draft(identifier="eve@example.com"), at=place.time.now(), cursor="box/1/1", is_owed=True)
        await store.release([*waiting.claims, *(await store.put(owed)).claims])
        over = await self._put(store, place, identifier="dan@example.com", lifetime=SECOND)
        await store.release(over.claims)
        place.time.pass_by(2 * SECOND)
        return store, claim

    @pytest.mark.parametrize("kind", ["locked", "gone", "closed"])
    @pytest.mark.parametrize("name", ["put", *WRITES])
    @looped
    async def test_what_cannot_be_written_raises(self, place: Place, name: str, kind: str) -> None:
        """Every method that writes raises StoreUnavailable of that kind, leaves nothing behind, and works again after it."""
        store, claim = await self._prepared(place)
        before = (await store.deliveries(), await store.journal(), await store.mails())
        one = arrival(draft(identifier="eve@example.com"), at=place.time.now())

        async def act() -> object:
            return await (store.put(one) if name == "put" else WRITES[name](store, claim))

        if kind == "closed":
            await store.close()
            with pytest.raises(StoreUnavailable, match="closed"):
                await act()
            return
        with place.locked() if kind == "locked" else place.gone():
            with pytest.raises(StoreUnavailable) as caught:
                await act()
            assert (caught.value.kind, store.trouble) == (kind, kind)
        assert (await store.deliveries(), await store.journal(), await store.mails()) == before
        await act()
        assert store.trouble is None
        await store.close()

    @pytest.mark.parametrize("kind", ["locked", "gone", "closed"])
    @pytest.mark.parametrize("name", READS)
    @looped
    async def test_what_cannot_be_read_raises(self, place: Place, name: str, kind: str) -> None:
        """Every method that reads tells the truth or raises StoreUnavailable, and tells it again after that."""
        store, claim = await self._prepared(place)
        truth = await READS[name](store, claim)
        if kind == "closed":
            await store.close()
            with pytest.raises(StoreUnavailable, match="closed"):
                await READS[name](store, claim)
            return
        with place.locked() if kind == "locked" else place.gone():
            for _ in range(2):
                try:
                    assert await READS[name](store, claim) == truth
                except StoreUnavailable as fault:
                    assert fault.kind == kind
                with pytest.raises(StoreUnavailable):
                    await store.put(arrival(at=place.time.now()))
        assert await READS[name](store, claim) == truth
        await store.close()

    @looped
    async def test_a_sweep_finds_out_that_trouble_is_over(self, place: Place) -> None:
        """`trouble` does not wait for the next mail: a sweep with nothing to do writes something to know."""
        store = place.open()
        with place.gone():
            with pytest.raises(StoreUnavailable):
                await self._put(store, place)
            assert store.trouble == "gone"
        await store.sweep()
        assert store.trouble is None
        await store.close()
