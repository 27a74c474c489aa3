"""A store's contract: order in a line, superseding, claims, and an operator's retry."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mailbridge.core.delivery import Accepted, Deferred, Refused, State
from tests.loop import looped
from tests.store.contract import GRACE, SECOND, Contract, Place
from tests.store.mails import LIFETIME, arrival, draft


class OrderContract(Contract):
    """An older code never goes after a newer one of its line."""

    @looped
    async def test_one_line_is_served_in_order(self, place: Place) -> None:
        """Of one identifier the next code is claimed when the one before is settled, whoever sent them, in any spelling."""
        store = await place.open()
        first = await self._put(store, place, "111111", sender="a@larch.example")
        second = await self._put(store, place, "222222", sender="b@larch.example", identifier="ANN@example.com")
        third = await self._put(store, place, "333333", sender="c@larch.example")
        assert (second.claims, third.claims) == ((), ())
        assert (await store.outbox.claim(limit=10)).claims == ()
        follow = await self._settled(store, first.claims[0], Accepted(), place)
        assert await self._code(follow) == ["222222"]
        follow = await self._settled(store, follow[0], Refused(reason="no"), place)
        assert await self._code(follow) == ["333333"]
        await store.close()

    @looped
    async def test_lines_are_apart(self, place: Place) -> None:
        """Another identifier, or another target for the same one, does not wait."""
        store = await place.open()
        assert len((await self._put(store, place)).claims) == 1
        assert len((await self._put(store, place, identifier="bob@example.com")).claims) == 1
        assert len((await self._put(store, place, target="other")).claims) == 1
        both = await store.put(
            arrival(draft(identifier="x@example.com"), draft(identifier="x@example.com", target="other"), at=place.time.now())
        )
        assert len(both.claims) == 2
        await store.close()

    @looped
    async def test_a_newer_code_supersedes_what_waits(self, place: Place) -> None:
        """Same sender, identifier and run: the older one that waits is given up, the one in flight is not."""
        store = await place.open()
        first = await self._put(store, place, "111111")
        second = await self._put(store, place, "222222")
        third = await self._put(store, place, "333333", sender="No-Reply@LARCH.example")
        assert (second.superseded, third.superseded) == (0, 1)
        assert await self._state(store, 2) is State.SUPERSEDED
        assert await self._code(await self._settled(store, first.claims[0], Accepted(), place)) == ["333333"]
        await store.close()

    @pytest.mark.parametrize(
        "other",
        [{"sender": "b@larch.example"}, {"run": "wr_1"}, {"is_body": True}, {"sender": ""}, {"target": "other"}],
        ids=["sender", "run", "body", "no-sender", "target"],
    )
    @looped
    async def test_another_ones_code_supersedes_nothing(self, place: Place, other: dict[str, object]) -> None:
        """A code of another sender, run or target, a body, and a mail of nobody leave what waits alone."""
        store = await place.open()
        await self._put(store, place, "111111")
        await self._put(store, place, "222222")
        assert (await self._put(store, place, "333333", **other)).superseded == 0
        assert await self._state(store, 2) is State.PENDING
        await store.close()

    @looped
    async def test_superseding_the_head_brings_up_the_next(self, place: Place) -> None:
        """A line whose head is superseded while it backs off goes on with the one behind, which had no due time."""
        store = await place.open()
        first = await self._put(store, place, "111111", sender="a@larch.example")
        await self._put(store, place, "222222", sender="b@larch.example")
        later = Deferred(reason="503", retry_after=timedelta(minutes=1))
        assert await self._settled(store, first.claims[0], later, place) == ()
        third = await self._put(store, place, "333333", sender="a@larch.example")
        assert third.superseded == 1
        assert await self._code(third.claims) == ["222222"]
        assert await self._code(await self._settled(store, third.claims[0], Accepted(), place)) == ["333333"]
        await store.close()

    @looped
    async def test_a_failed_attempt_gives_way_to_a_newer_code(self, place: Place) -> None:
        """A code that came while the older one was in flight goes in its place when that attempt fails."""
        store = await place.open()
        first = await self._put(store, place, "111111")
        await self._put(store, place, "222222")
        assert await self._code(await self._settled(store, first.claims[0], Deferred(reason="503"), place)) == ["222222"]
        assert await self._state(store, 1) is State.SUPERSEDED
        await store.close()

    @looped
    async def test_a_late_settle_does_nothing(self, place: Place) -> None:
        """A claim that was given back, settled, or taken anew no longer writes: the token fences it."""
        store = await place.open()
        (old,) = (await self._put(store, place)).claims
        await store.outbox.release([old])
        assert await self._settled(store, old, Accepted(), place) == ()
        assert await self._state(store, 1) is State.PENDING
        (new,) = (await store.outbox.claim(limit=10)).claims
        await self._settled(store, old, Refused(reason="late"), place)
        await store.outbox.release([old])
        assert await self._state(store, 1) is State.IN_FLIGHT
        await self._settled(store, new, Accepted(), place)
        await self._settled(store, new, Refused(reason="twice"), place)
        assert await self._state(store, 1) is State.DELIVERED
        await store.close()

    @looped
    async def test_a_claim_given_back_is_not_counted(self, place: Place) -> None:
        """It is due at once, no more in doubt than before, with as many attempts as before."""
        store = await place.open()
        receipt = await self._put(store, place)
        await store.outbox.release(receipt.claims)
        (claim,) = (await store.outbox.claim(limit=10)).claims
        assert (claim.delivery.attempts, claim.delivery.is_doubtful) == (0, False)
        await store.close()

    @looped
    async def test_an_interrupted_attempt_is_in_doubt_and_not_counted(self, place: Place) -> None:
        """What a killed process had in flight blocks its line for the grace, and is then to be asked for."""
        store = await place.open()
        await self._put(store, place, "111111", sender="a@larch.example")
        await place.kill(store)
        store = await place.open()
        assert (await self._put(store, place, "222222", sender="b@larch.example")).claims == ()
        due = await store.outbox.claim(limit=10)
        assert (due.claims, due.next_at) == ((), place.time.now() + GRACE)
        place.time.pass_by(GRACE)
        (claim,) = (await store.outbox.claim(limit=10)).claims
        assert claim.delivery.draft.content.reveal() == "111111"
        assert (claim.delivery.is_doubtful, claim.delivery.attempts) == (True, 0)
        await store.close()

    @looped
    async def test_a_claim_that_was_lost_frees_its_line(self, place: Place) -> None:
        """An attempt that nobody settled ends when its lease is over, and the next of its line comes up."""
        store = await place.open()
        (claim,) = (await self._put(store, place, "111111", sender="a@larch.example", lifetime=SECOND)).claims
        await self._put(store, place, "222222", sender="b@larch.example")
        place.time.pass_by(claim.lease_until - place.time.now() - SECOND)
        await store.sweep()
        assert (await store.outbox.claim(limit=10)).claims == ()
        place.time.pass_by(2 * SECOND)
        await store.sweep()
        assert await self._code((await store.outbox.claim(limit=10)).claims) == ["222222"]
        assert await self._settled(store, claim, Accepted(), place) == ()
        await store.close()

    @pytest.mark.parametrize("ending", ["dead", "expired"])
    @looped
    async def test_a_lost_delivery_can_be_retried(self, place: Place, ending: str) -> None:
        """It gets its lifetime anew and is due at once, for another process to claim."""
        store = await place.open()
        (claim,) = (await self._put(store, place)).claims
        if ending == "dead":
            await self._settled(store, claim, Refused(reason="422"), place)
        else:
            await self._settled(store, claim, Deferred(reason="503"), place)
        place.time.pass_by(LIFETIME + SECOND)
        await store.sweep()
        assert await self._state(store, 1) == ending
        assert await store.outbox.retry(1)
        (again,) = (await store.outbox.claim(limit=10)).claims
        assert again.delivery.deadline == place.time.now() + LIFETIME
        assert [line.event for line in await store.journal.after()].count("retry") == 1
        await store.close()

    @looped
    async def test_what_cannot_be_retried(self, place: Place) -> None:
        """Nothing unknown, delivered, in flight, pending or superseded."""
        store = await place.open()
        (first,) = (await self._put(store, place)).claims
        await self._put(store, place)
        await self._put(store, place)
        assert not any([await store.outbox.retry(number) for number in (0, 1, 2, 3, 4)])
        await self._settled(store, first, Accepted(), place)
        assert not await store.outbox.retry(1)
        await store.close()

    @looped
    async def test_a_retry_never_goes_after_a_newer_code(self, place: Place) -> None:
        """While a newer code of the line waits, flies or was delivered, an older one stays dead, whoever sent it."""
        store = await place.open()
        (first,) = (await self._put(store, place, "111111", sender="a@larch.example")).claims
        await self._put(store, place, "222222", sender="b@larch.example")
        (second,) = await self._settled(store, first, Refused(reason="no"), place)
        assert not await store.outbox.retry(1)
        await self._settled(store, second, Deferred(reason="503"), place)
        assert not await store.outbox.retry(1)
        place.time.pass_by(SECOND)
        (second,) = (await store.outbox.claim(limit=10)).claims
        await self._settled(store, second, Accepted(), place)
        assert not await store.outbox.retry(1)
        await store.close()

    @looped
    async def test_a_retry_waits_for_its_turn(self, place: Place) -> None:
        """Behind an older one that is still in flight it has no due time, and comes up when that is settled."""
        store = await place.open()
        (first,) = (await self._put(store, place, "111111", sender="a@larch.example")).claims
        await self._put(store, place, "222222", sender="b@larch.example", lifetime=30 * SECOND)
        place.time.pass_by(31 * SECOND)
        await store.sweep()
        assert await store.outbox.retry(2)
        due = await store.outbox.claim(limit=10)
        assert (due.claims, due.next_at) == ((), None)
        assert await self._code(await self._settled(store, first, Accepted(), place)) == ["222222"]
        await store.close()
