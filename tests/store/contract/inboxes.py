"""A store's contract: throw-away inboxes, and that nothing is left of one that is over."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from mailbridge.core.inbox import Inbox
from mailbridge.store import Filter, Store
from tests.loop import looped
from tests.store.contract import Contract, Place
from tests.store.mails import arrival, draft

HOUR = timedelta(hours=1)
ONE, TWO = "inbox-7m3k9q2wxy8vhtnc@bridge.example", "inbox-8m3k9q2wxy8vhtnd@bridge.example"
BEN = "ben@example.com"


async def made(store: Store, address: str = ONE, *, owner: str = "token 1", most: int = 100) -> Inbox | None:
    """A new inbox for an hour."""
    return await store.inboxes.add(address, owner=owner, lifetime=HOUR, senders=("acme.com",), most=most)


class InboxesContract(Contract):
    """Inboxes outlive a restart and end on time, each with all that came to it and nothing else."""

    @looped
    async def test_an_inbox_outlives_a_restart_and_ends_at_its_time(self, place: Place) -> None:
        """As it was made; after its time it is not among those that live."""
        store = await place.open()
        one = await made(store)
        assert one is not None
        assert (one.address, one.identifier, one.senders, one.owner) == (ONE, ONE, ("acme.com",), "token 1")
        assert one.expires_at - one.created_at == HOUR
        await place.kill(store)
        store = await place.open()
        assert await store.inboxes.live() == (one,)
        place.time.pass_by(HOUR)
        assert await store.inboxes.live() == ()
        await store.close()

    @looped
    async def test_an_owner_has_no_more_than_he_may(self, place: Place) -> None:
        """Asked at the same time too; another owner has his own, and one that is over makes room."""
        store = await place.open()
        asked = [made(store, f"inbox-{number}@bridge.example", most=2) for number in range(5)]
        assert sum(one is not None for one in await asyncio.gather(*asked)) == 2
        assert await made(store, ONE, owner="token 2", most=2) is not None
        place.time.pass_by(HOUR)
        assert await made(store, TWO, most=2) is not None
        await store.close()

    @looped
    async def test_nothing_is_left_of_an_inbox_that_has_ended(self, place: Place) -> None:
        """Ended by its owner or by time: its mails, codes, deliveries and records are gone, another's are as they were."""
        for is_released in (True, False):
            store = await place.open()
            one, other = await made(store), await made(store, TWO, owner="token 2")
            assert one is not None
            assert other is not None
            mail = await store.put(arrival(draft(identifier=ONE.upper()), at=place.time.now(), fingerprint=f"a{is_released}"))
            await store.put(arrival(draft(identifier=BEN), at=place.time.now(), fingerprint=f"b{is_released}"))
            await store.codes.note(ONE, way="api", reader="ci", what=f"mail {mail.mail_id}", is_consumed=False)
            if is_released:
                assert await store.inboxes.end(one.id)
                assert not await store.inboxes.end(one.id)
                assert await store.inboxes.live() == (other,)
                await store.inboxes.end(other.id)
            else:
                again_at = await store.sweep()
                assert again_at is not None
                place.time.pass_by(HOUR)
                await store.sweep()
            assert await store.inboxes.live() == ()
            assert list(await store.mails.page(Filter(identifier=ONE))) == []
            assert list(await store.outbox.deliveries(Filter(identifier=ONE))) == []
            assert await store.mails.raw(mail.mail_id) is None
            assert await store.codes.live(identifiers=(ONE,)) == ()
            assert [given for given in await store.codes.given() if given.identifier != BEN] == []
            assert await store.journal.after(mail_id=mail.mail_id) == ()
            assert len(await store.mails.page(Filter(identifier=BEN))) == (1 if is_released else 2)
            await store.close()

    @looped
    async def test_a_mail_that_was_on_its_way_leaves_nothing(self, place: Place) -> None:
        """Stored for an inbox that ended meanwhile, it is erased in the same transaction, and goes nowhere."""
        store = await place.open()
        one = await made(store)
        assert one is not None
        await store.inboxes.end(one.id)
        late = replace(arrival(draft(identifier=ONE), at=place.time.now()), inboxes=(ONE,))
        receipt = await store.put(late)
        assert receipt.claims == ()
        assert await store.mails.raw(receipt.mail_id) is None
        assert await store.codes.live(identifiers=("*",)) == ()
        await store.close()

    @looped
    async def test_a_sweep_comes_back_when_the_next_inbox_ends(self, place: Place) -> None:
        """It is erased at its time, not at the next sweep that happens to come."""
        store = await place.open()
        await store.inboxes.add(ONE, owner="token 1", lifetime=timedelta(seconds=3), most=1)
        again_at = await store.sweep()
        assert again_at is not None
        assert again_at <= place.time.now() + timedelta(seconds=3)
        await store.close()

    @looped
    async def test_numbers_are_not_used_again(self, place: Place) -> None:
        """A number that somebody still holds never means another inbox."""
        store = await place.open()
        one = await made(store)
        assert one is not None
        await store.inboxes.end(one.id)
        two = await made(store, TWO)
        assert two is not None
        assert two.id > one.id
        await store.close()
