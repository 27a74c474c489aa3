"""A store's contract: what is due when, doubts, deadlines, and clocks that jump."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from mailbridge.clock import MICROSECOND
from mailbridge.core.delivery import Accepted, Deferred, Doubtful, State
from mailbridge.store.reading import Poll, Wanted
from tests.loop import looped
from tests.store.contract import DAYS, GRACE, RETENTION, SECOND, Contract, Place
from tests.store.mails import LIFETIME, arrival, draft

MINUTE = timedelta(minutes=1)


class TimeContract(Contract):
    """Nothing goes too early, and nothing too late."""

    @looped
    async def test_a_deferred_delivery_comes_back_when_due(self, place: Place) -> None:
        """Not before its time; `next_at` says when; its attempts are counted."""
        store = await place.open()
        receipt = await self._put(store, place)
        await self._settled(store, receipt.claims[0], Deferred(reason="503", retry_after=7 * SECOND), place)
        due = await store.outbox.claim(limit=10)
        assert (due.claims, due.next_at) == ((), place.time.now() + 7 * SECOND)
        place.time.pass_by(7 * SECOND)
        (claim,) = (await store.outbox.claim(limit=10)).claims
        assert (claim.delivery.attempts, claim.fencing_token) == (1, receipt.claims[0].fencing_token + 1)
        assert (await store.outbox.claim(limit=10)).next_at is None
        await store.close()

    @looped
    async def test_no_more_is_claimed_than_asked_for(self, place: Place) -> None:
        """``limit`` holds over targets, and what is left is due still; busy targets are left out."""
        store = await place.open()
        for number in range(6):
            receipt = await self._put(store, place, identifier=f"u{number}@example.com", target=f"t{number % 2}")
            await store.outbox.release(receipt.claims)
        assert (await store.outbox.claim(limit=1, busy=["t0", "t1"])).next_at is None
        claims = (await store.outbox.claim(limit=2, busy=["t1"])).claims
        assert [claim.delivery.draft.target for claim in claims] == ["t0", "t0"]
        due = await store.outbox.claim(limit=3)
        assert (len(due.claims), due.next_at) == (3, place.time.now())
        assert len((await store.outbox.claim(limit=3)).claims) == 1
        await store.close()

    @looped
    async def test_nothing_is_handed_out_after_its_deadline(self, place: Place) -> None:
        """A claim at the deadline finds nothing; the delivery is expired, and a sweep brings up who waits behind it."""
        store = await place.open()
        first = await self._put(store, place, "111111", sender="a@larch.example", lifetime=30 * SECOND)
        await self._put(store, place, "222222", sender="b@larch.example")
        await self._put(store, place, "333333", identifier="bob@example.com", lifetime=30 * SECOND)
        await self._settled(store, first.claims[0], Deferred(reason="503", retry_after=timedelta(minutes=5)), place)
        place.time.pass_by(30 * SECOND)
        assert await self._code((await store.outbox.claim(limit=10)).claims) == ["222222"]
        await store.sweep()
        assert await self._state(store, 1) is State.EXPIRED
        await store.close()

    @looped
    async def test_a_sweep_expires_and_brings_up_the_next(self, place: Place) -> None:
        """The one behind an expired head gets a due time, and is claimed."""
        store = await place.open()
        first = await self._put(store, place, "111111", sender="a@larch.example", lifetime=30 * SECOND)
        await self._put(store, place, "222222", sender="b@larch.example")
        await self._settled(store, first.claims[0], Deferred(reason="503", retry_after=timedelta(seconds=29)), place)
        place.time.pass_by(31 * SECOND)
        await store.sweep()
        assert await self._state(store, 1) is State.EXPIRED
        assert await self._code((await store.outbox.claim(limit=10)).claims) == ["222222"]
        await store.close()

    @looped
    async def test_a_mail_that_was_in_hand_while_time_was_put_right_lives_as_long_as_any(self, place: Place) -> None:
        """Its time of receipt goes with steady time, ahead or back; one whose lifetime was over by itself is expired all the same."""
        store = await place.open()
        now = place.time.now()
        for ahead in (DAYS, -DAYS):
            base = store.time_base - ahead // MICROSECOND
            one = arrival(draft(identifier=f"ann{ahead.days}@example.com"), at=now - ahead - SECOND)
            (claim,) = (await store.put(replace(one, time_base=base))).claims
            assert now - 2 * SECOND < claim.delivery.received_at <= now
            old = arrival(draft(identifier=f"old{ahead.days}@example.com"), at=now - ahead - 2 * LIFETIME)
            assert (await store.put(replace(old, time_base=base))).claims == ()
        await store.close()

    @looped
    async def test_what_comes_in_too_late_is_expired(self, place: Place) -> None:
        """A code whose lifetime was over when it was stored is kept and shown, and not claimed."""
        store = await place.open()
        one = arrival(draft(lifetime=SECOND), at=place.time.now())
        place.time.pass_by(2 * SECOND)
        assert (await store.put(one)).claims == ()
        assert (await store.outbox.counts())[State.EXPIRED] == 1
        await store.close()

    @looped
    async def test_a_doubt_blocks_its_line(self, place: Place) -> None:
        """After an attempt without an answer nothing goes for the grace, not even a newer code of the sender."""
        store = await place.open()
        first = await self._put(store, place, "111111")
        await self._settled(store, first.claims[0], Doubtful(reason="no answer"), place)
        second = await self._put(store, place, "222222")
        assert (second.claims, second.superseded) == ((), 0)
        place.time.pass_by(GRACE - SECOND)
        assert (await store.outbox.claim(limit=10)).claims == ()
        place.time.pass_by(SECOND)
        assert await self._code((await store.outbox.claim(limit=10)).claims) == ["222222"]
        assert await self._state(store, 1) is State.SUPERSEDED
        await store.close()

    @looped
    async def test_a_doubt_is_remembered(self, place: Place) -> None:
        """The delivery comes back after the grace as one that must be asked for first."""
        store = await place.open()
        first = await self._put(store, place)
        await self._settled(store, first.claims[0], Doubtful(reason="no answer"), place)
        place.time.pass_by(GRACE)
        (claim,) = (await store.outbox.claim(limit=10)).claims
        assert (claim.delivery.is_doubtful, claim.delivery.attempts) == (True, 1)
        await store.close()

    @looped
    async def test_a_doubt_blocks_beyond_the_deadline(self, place: Place) -> None:
        """A request that may still arrive blocks its line although its own code is over meanwhile, for a new mail too."""
        store = await place.open()
        first = await self._put(store, place, "111111", lifetime=2 * SECOND, sender="a@larch.example")
        await self._put(store, place, "222222", sender="b@larch.example")
        await self._settled(store, first.claims[0], Doubtful(reason="no answer"), place)
        place.time.pass_by(3 * SECOND)
        await store.sweep()
        assert (await store.outbox.claim(limit=10)).claims == ()
        third = await self._put(store, place, "333333", sender="b@larch.example")
        assert (third.claims, third.superseded) == ((), 1)
        place.time.pass_by(2 * SECOND)
        await store.sweep()
        assert await self._state(store, 1) is State.EXPIRED
        assert await self._code((await store.outbox.claim(limit=10)).claims) == ["333333"]
        await store.close()

    @pytest.mark.parametrize("is_restarted", [False, True], ids=["sweep", "restart"])
    @pytest.mark.parametrize("jump", [DAYS, -DAYS, 5 * MINUTE, -5 * MINUTE], ids=str)
    @looped
    async def test_a_clock_that_is_set_changes_no_life_of_a_code_that_was_pushed(
        self, place: Place, jump: timedelta, *, is_restarted: bool
    ) -> None:
        """It can be read for its lifetime, by whoever polls or asks, and no longer. A run that wants nothing older gets nothing older,
        nor does whoever says since when, and a newer code is the one that they get."""
        store = await place.open()
        ann, until, since = Wanted(identifier="ann@example.com"), place.time.now() + MINUTE, place.time.now() + SECOND
        for one in ("ann@example.com", "bob@example.com"):
            await self._settled(store, (await self._put(store, place, "111111", identifier=one)).claims[0], Accepted(), place)
        inbox = await store.inboxes.add("x@in.example", owner="ci", lifetime=2 * MINUTE, senders=(), is_pushed=False, most=9)
        assert inbox is not None
        place.time.pass_by(MINUTE)
        assert place.time.now() == until
        late = Poll(identifier="bob@example.com", run="tsk_1", grace=SECOND)
        assert await store.codes.pull(late) is None
        place.time.jump(jump)
        if is_restarted:
            await store.close()
            store = await place.open()
        await store.sweep()
        assert (await store.codes.newest(ann)) is not None
        assert await store.codes.pull(Poll(identifier="ann@example.com", run="tsk_2", grace=2 * MINUTE)) is not None
        assert await store.codes.pull(late) is None
        if not is_restarted:
            assert await store.codes.newest(replace(ann, since=since)) is None
        newer = await self._put(store, place, "222222", identifier="bob@example.com")
        await self._settled(store, newer.claims[0], Accepted(), place)
        found = await store.codes.newest(Wanted(identifier="bob@example.com", since=None if is_restarted else since))
        assert found is not None and found.value.reveal() == "222222"
        assert (pulled := await store.codes.pull(late)) is not None and pulled.value.reveal() == "222222"
        assert len(await store.inboxes.live()) == 1
        place.time.pass_by(MINUTE + SECOND)
        assert await store.inboxes.live() == ()
        place.time.pass_by(LIFETIME - 2 * MINUTE - 2 * SECOND)
        assert await store.codes.newest(ann) is not None
        place.time.pass_by(2 * SECOND)
        assert await store.codes.newest(ann) is None
        await store.close()

    @pytest.mark.parametrize("jump", [DAYS, -DAYS], ids=["forward", "back"])
    @looped
    async def test_a_clock_that_jumps_while_a_code_lives(self, place: Place, jump: timedelta) -> None:
        """On one boot a restart after a jump of days neither expires a live code nor lets it live longer."""
        store = await place.open()
        await self._put(store, place)
        await place.kill(store)
        place.time.jump(jump)
        await self._lives_its_lifetime(place, 1)

    @looped
    async def test_a_code_told_to_the_target_in_its_time(self, place: Place) -> None:
        """What the target is told as the end of a code is on the wall clock as it is now, however that was moved."""
        store = await place.open()
        receipt = await self._put(store, place)
        await store.outbox.release(receipt.claims)
        place.time.jump(DAYS)
        (claim,) = (await store.outbox.claim(limit=10)).claims
        assert claim.expires_at == place.time.now() + LIFETIME
        await store.close()

    @looped
    async def test_a_boot_with_a_clock_behind(self, place: Place) -> None:
        """After a reboot steady time is not before the newest mail: a code does not live longer than its lifetime."""
        store = await place.open()
        await self._put(store, place)
        await place.kill(store)
        place.time.reboot("boot-2", -DAYS)
        store = await place.open()
        place.time.pass_by(LIFETIME)
        await store.sweep()
        assert await self._state(store, 1) is State.EXPIRED
        await store.close()

    @looped
    async def test_the_wall_is_taken_up_again_when_nothing_lives(self, place: Place) -> None:
        """After a jump, the sweep that finds no live code puts steady time back on the wall, for the next start too."""
        store = await place.open()
        receipt = await self._put(store, place)
        place.time.jump(DAYS)
        await store.sweep()
        await self._settled(store, receipt.claims[0], Accepted(), place)
        await store.sweep()
        later = await self._put(store, place, identifier="bob@example.com")
        assert later.claims[0].delivery.received_at == place.time.now()
        await place.kill(store)
        await self._lives_its_lifetime(place, 2)

    @looped
    async def test_a_clock_that_was_ahead_keeps_no_code_longer(self, place: Place) -> None:
        """What was stored under a clock days ahead is erased as if it had never been, once that is set right."""
        place.time.jump(DAYS)
        store = await place.open()
        receipt = await self._put(store, place)
        await self._settled(store, receipt.claims[0], Accepted(), place)
        place.time.jump(-DAYS)
        await store.sweep()
        place.time.pass_by(LIFETIME + RETENTION.code + SECOND)
        await store.sweep()
        (delivery,) = await store.outbox.deliveries()
        assert not delivery.draft.content
        assert (await store.mails.page())[0].subject == ""
        await store.close()

    async def _lives_its_lifetime(self, place: Place, number: int) -> None:
        """A delivery can be claimed up to the end of its lifetime, over restarts, and is expired soon after that."""
        store = await place.open()
        place.time.pass_by(LIFETIME - SECOND)
        assert len((await store.outbox.claim(limit=10)).claims) == 1
        await place.kill(store)
        store = await place.open()
        place.time.pass_by(2 * SECOND + GRACE)
        await store.sweep()
        assert await self._state(store, number) is State.EXPIRED
        await store.close()
