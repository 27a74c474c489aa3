"""The contract of a store as a suite: an implementation passes it by giving it a `Place` (see test_sqlite_contract)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Protocol

import pytest

from mailbridge.config.settings import RetentionSettings
from mailbridge.core.delivery import Accepted, Claim, Deferred, Doubtful, Outcome, Refused, State, Step, settle
from mailbridge.store import Receipt, Store, StoreUnavailable
from tests.loop import looped
from tests.moved_time import MovedTime
from tests.store.mails import LIFETIME, arrival, draft

GRACE = timedelta(seconds=5)
SECOND = timedelta(seconds=1)
DAYS = timedelta(days=3)
RETENTION = RetentionSettings()


class Place(Protocol):
    """Where an implementation keeps things, so that it can be opened anew, and kept from it."""

    time: MovedTime

    def open(self, retention: RetentionSettings = RETENTION) -> Store:
        """Open it as a daemon that starts; `GRACE` is its grace."""
        ...

    async def kill(self, store: Store) -> None:
        """End a store as a killed process would: whatever it was doing, its claims stay as they are."""
        ...

    def locked(self) -> AbstractContextManager[None]:
        """Another process holds on to it for the length of the block."""
        ...

    def gone(self) -> AbstractContextManager[None]:
        """It is away for the length of the block, and then back."""
        ...


Call = Callable[[Store, Claim], Awaitable[object]]

WRITES: dict[str, Call] = {
    "settle": lambda store, claim: store.settle(claim, _step(claim, Accepted())),
    "release": lambda store, claim: store.release([claim]),
    "claim": lambda store, claim: store.claim(limit=10),
    "retry": lambda store, claim: store.retry(2),
    "sweep": lambda store, claim: store.sweep(),
}
READS: dict[str, Call] = {
    "deliveries": lambda store, claim: store.deliveries(),
    "mails": lambda store, claim: store.mails(),
    "raw": lambda store, claim: store.raw(1),
    "counts": lambda store, claim: store.counts(),
    "journal": lambda store, claim: store.journal(),
    "cursor": lambda store, claim: store.cursor("box"),
}


def _step(claim: Claim, outcome: Outcome, *, seconds: float = 0) -> Step:
    """What the core makes of an outcome so long after the delivery's due time, with all of the jitter."""
    now = claim.delivery.received_at + timedelta(seconds=seconds)
    return settle(claim.delivery, outcome, now=now, jitter=1.0, grace=GRACE)


class StoreContract:
    """Subclasses provide the fixture ``place``."""

    async def _put(self, store: Store, place: Place, code: str = "482913", **of: object) -> Receipt:
        return await store.put(arrival(draft(code, **of), at=place.time.now()))  # type: ignore[arg-type]

    async def _settled(self, store: Store, claim: Claim, outcome: Outcome, place: Place) -> tuple[Claim, ...]:
        step = settle(claim.delivery, outcome, now=place.time.now(), jitter=1.0, grace=GRACE)
        return await store.settle(claim, step)

    async def _state(self, store: Store, number: int) -> State:
        return next(one.state for one in await store.deliveries() if one.id == number)

    async def _code(self, claims: tuple[Claim, ...]) -> list[str]:
        return [claim.delivery.draft.content.reveal() for claim in claims]

    # what is stored

    @looped
    async def test_what_was_put_is_there_for_the_next_process(self, place: Place) -> None:
        """Mail, delivery, journal and octets are found by another process, as they were put."""
        store = place.open()
        one = arrival(draft("482913", run="wr_1"), at=place.time.now())
        receipt = await store.put(one)
        await place.kill(store)
        store = place.open()
        (mail,) = await store.mails()
        assert (mail.id, mail.subject, mail.identifiers) == (receipt.mail_id, "Your code is 482913", ("ann@example.com",))
        assert (mail.rejected, mail.defects, mail.rule) == ((("2026", "year"),), ("bad-charset",), "generic")
        (delivery,) = await store.deliveries()
        assert delivery.draft == one.drafts[0]
        envelope = await store.raw(receipt.mail_id)
        assert envelope is not None
        assert (envelope.content, envelope.received_at) == (one.envelope.content, one.envelope.received_at)
        assert [line.event for line in await store.journal()] == ["stored", "pending"]
        await store.close()

    @looped
    async def test_a_new_code_comes_back_claimed(self, place: Place) -> None:
        """`put` returns the claim, with the code and the deadline on the wall clock: no second look is needed."""
        store = place.open()
        receipt = await self._put(store, place)
        (claim,) = receipt.claims
        assert claim.delivery.state is State.IN_FLIGHT
        assert claim.delivery.draft.content.reveal() == "482913"
        assert claim.expires_at == place.time.now() + LIFETIME
        assert (await store.claim(limit=10)).claims == ()
        await store.close()

    @looped
    async def test_a_mail_without_a_code_is_held(self, place: Place) -> None:
        """It is stored and shown with its reason, and nothing is to be delivered."""
        store = place.open()
        receipt = await store.put(arrival(at=place.time.now()))
        assert receipt.claims == ()
        (mail,) = await store.mails()
        assert (mail.verdict, mail.reason) == ("none", "nothing in it looks like a code")
        assert await store.deliveries() == ()
        await store.close()

    @looped
    async def test_the_same_mail_again_is_one_delivery(self, place: Place) -> None:
        """A known fingerprint is a duplicate: the first mail's number, no claim, and only the cursor moves."""
        store = place.open()
        first = await store.put(arrival(draft(), at=place.time.now(), fingerprint="same"))
        again = await store.put(arrival(draft(), at=place.time.now(), fingerprint="same", cursor="box/1/7"))
        assert (again.mail_id, again.is_duplicate, again.claims) == (first.mail_id, True, ())
        assert len(await store.deliveries()) == 1
        assert await store.cursor("box") == "box/1/7"
        assert [line.event for line in await store.journal()] == ["stored", "duplicate"]
        await store.close()

    @looped
    async def test_a_duplicate_is_known_after_a_restart(self, place: Place) -> None:
        """The second arrival may come to another process."""
        store = place.open()
        await store.put(arrival(draft(), at=place.time.now(), fingerprint="same"))
        await place.kill(store)
        store = place.open()
        assert (await store.put(arrival(draft(), at=place.time.now(), fingerprint="same"))).is_duplicate
        await store.close()

    @looped
    async def test_the_cursor_goes_forward_only(self, place: Place) -> None:
        """Of one UIDVALIDITY the highest UID counts, also numerically; another UIDVALIDITY begins anew; boxes are apart."""
        store = place.open()
        for cursor, known in (("a/b/5/9", "a/b/5/9"), ("a/b/5/10", "a/b/5/10"), ("a/b/5/8", "a/b/5/10"), ("a/b/6/1", "a/b/6/1")):
            await store.put(arrival(at=place.time.now(), cursor=cursor))
            assert await store.cursor("a/b") == known
        assert await store.cursor("a") is None
        await store.close()

    @looped
    async def test_many_at_once_are_all_stored(self, place: Place) -> None:
        """Two hundred puts at once get two hundred numbers, and as many deliveries."""
        store = place.open()
        puts = [self._put(store, place, identifier=f"user{number}@example.com") for number in range(200)]
        receipts = await asyncio.gather(*puts)
        assert len({receipt.mail_id for receipt in receipts}) == 200
        assert (await store.counts())[State.IN_FLIGHT] == 200
        await store.close()

    @looped
    async def test_a_caller_that_leaves_undoes_nothing(self, place: Place) -> None:
        """A put whose caller was cancelled is stored all the same, and the mail that comes again is a duplicate."""
        store = place.open()
        task = asyncio.create_task(store.put(arrival(draft(), at=place.time.now(), fingerprint="same")))
        await asyncio.sleep(0)
        task.cancel()
        assert (await store.put(arrival(draft(), at=place.time.now(), fingerprint="same"))).is_duplicate
        await store.close()

    # order and superseding

    @looped
    async def test_one_line_is_served_in_order(self, place: Place) -> None:
        """Of one identifier the next code is claimed when the one before is settled, whoever sent them, in any spelling."""
        store = place.open()
        first = await self._put(store, place, "111111", sender="a@larch.example")
        second = await self._put(store, place, "222222", sender="b@larch.example", identifier="ANN@example.com")
        third = await self._put(store, place, "333333", sender="c@larch.example")
        assert (second.claims, third.claims) == ((), ())
        assert (await store.claim(limit=10)).claims == ()
        follow = await self._settled(store, first.claims[0], Accepted(), place)
        assert await self._code(follow) == ["222222"]
        follow = await self._settled(store, follow[0], Refused(reason="no"), place)
        assert await self._code(follow) == ["333333"]
        await store.close()

    @looped
    async def test_lines_are_apart(self, place: Place) -> None:
        """Another identifier, or another target for the same one, does not wait."""
        store = place.open()
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
        store = place.open()
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
        store = place.open()
        await self._put(store, place, "111111")
        await self._put(store, place, "222222")
        assert (await self._put(store, place, "333333", **other)).superseded == 0
        assert await self._state(store, 2) is State.PENDING
        await store.close()

    @looped
    async def test_superseding_the_head_brings_up_the_next(self, place: Place) -> None:
        """A line whose head is superseded while it backs off goes on with the one behind, which had no due time."""
        store = place.open()
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
        store = place.open()
        first = await self._put(store, place, "111111")
        await self._put(store, place, "222222")
        assert await self._code(await self._settled(store, first.claims[0], Deferred(reason="503"), place)) == ["222222"]
        assert await self._state(store, 1) is State.SUPERSEDED
        await store.close()

    # time

    @looped
    async def test_a_deferred_delivery_comes_back_when_due(self, place: Place) -> None:
        """Not before its time; `next_at` says when; its attempts are counted."""
        store = place.open()
        receipt = await self._put(store, place)
        await self._settled(store, receipt.claims[0], Deferred(reason="503", retry_after=7 * SECOND), place)
        due = await store.claim(limit=10)
        assert (due.claims, due.next_at) == ((), place.time.now() + 7 * SECOND)
        place.time.pass_by(7 * SECOND)
        (claim,) = (await store.claim(limit=10)).claims
        assert (claim.delivery.attempts, claim.token) == (1, receipt.claims[0].token + 1)
        assert (await store.claim(limit=10)).next_at is None
        await store.close()

    @looped
    async def test_no_more_is_claimed_than_asked_for(self, place: Place) -> None:
        """``limit`` holds over targets, and what is left is due still; busy targets are left out."""
        store = place.open()
        for number in range(6):
            receipt = await self._put(store, place, identifier=f"u{number}@example.com", target=f"t{number % 2}")
            await store.release(receipt.claims)
        assert (await store.claim(limit=1, busy=["t0", "t1"])).next_at is None
        claims = (await store.claim(limit=2, busy=["t1"])).claims
        assert [claim.delivery.draft.target for claim in claims] == ["t0", "t0"]
        due = await store.claim(limit=3)
        assert (len(due.claims), due.next_at) == (3, place.time.now())
        assert len((await store.claim(limit=3)).claims) == 1
        await store.close()

    @looped
    async def test_nothing_is_handed_out_after_its_deadline(self, place: Place) -> None:
        """A claim at the deadline finds nothing; the delivery is expired, and a sweep brings up who waits behind it."""
        store = place.open()
        first = await self._put(store, place, "111111", sender="a@larch.example", lifetime=30 * SECOND)
        await self._put(store, place, "222222", sender="b@larch.example")
        await self._put(store, place, "333333", identifier="bob@example.com", lifetime=30 * SECOND)
        await self._settled(store, first.claims[0], Deferred(reason="503", retry_after=timedelta(minutes=5)), place)
        place.time.pass_by(30 * SECOND)
        assert await self._code((await store.claim(limit=10)).claims) == ["222222"]
        await store.sweep()
        assert await self._state(store, 1) is State.EXPIRED
        await store.close()

    @looped
    async def test_a_sweep_expires_and_brings_up_the_next(self, place: Place) -> None:
        """The one behind an expired head gets a due time, and is claimed."""
        store = place.open()
        first = await self._put(store, place, "111111", sender="a@larch.example", lifetime=30 * SECOND)
        await self._put(store, place, "222222", sender="b@larch.example")
        await self._settled(store, first.claims[0], Deferred(reason="503", retry_after=timedelta(seconds=29)), place)
        place.time.pass_by(31 * SECOND)
        await store.sweep()
        assert await self._state(store, 1) is State.EXPIRED
        assert await self._code((await store.claim(limit=10)).claims) == ["222222"]
        await store.close()

    @looped
    async def test_what_comes_in_too_late_is_expired(self, place: Place) -> None:
        """A code whose lifetime was over when it was stored is kept and shown, and not claimed."""
        store = place.open()
        one = arrival(draft(lifetime=SECOND), at=place.time.now())
        place.time.pass_by(2 * SECOND)
        assert (await store.put(one)).claims == ()
        assert (await store.counts())[State.EXPIRED] == 1
        await store.close()

    @looped
    async def test_a_doubt_blocks_its_line(self, place: Place) -> None:
        """After an attempt without an answer nothing goes for the grace, not even a newer code of the sender."""
        store = place.open()
        first = await self._put(store, place, "111111")
        await self._settled(store, first.claims[0], Doubtful(reason="no answer"), place)
        second = await self._put(store, place, "222222")
        assert (second.claims, second.superseded) == ((), 0)
        place.time.pass_by(GRACE - SECOND)
        assert (await store.claim(limit=10)).claims == ()
        place.time.pass_by(SECOND)
        assert await self._code((await store.claim(limit=10)).claims) == ["222222"]
        assert await self._state(store, 1) is State.SUPERSEDED
        await store.close()

    @looped
    async def test_a_doubt_is_remembered(self, place: Place) -> None:
        """The delivery comes back after the grace as one that must be asked for first."""
        store = place.open()
        first = await self._put(store, place)
        await self._settled(store, first.claims[0], Doubtful(reason="no answer"), place)
        place.time.pass_by(GRACE)
        (claim,) = (await store.claim(limit=10)).claims
        assert (claim.delivery.is_doubtful, claim.delivery.attempts) == (True, 1)
        await store.close()

    @looped
    async def test_a_doubt_blocks_beyond_the_deadline(self, place: Place) -> None:
        """A request that may still arrive blocks its line although its own code is over meanwhile, for a new mail too."""
        store = place.open()
        first = await self._put(store, place, "111111", lifetime=2 * SECOND, sender="a@larch.example")
        await self._put(store, place, "222222", sender="b@larch.example")
        await self._settled(store, first.claims[0], Doubtful(reason="no answer"), place)
        place.time.pass_by(3 * SECOND)
        await store.sweep()
        assert (await store.claim(limit=10)).claims == ()
        assert (await self._put(store, place, "333333", sender="c@larch.example")).claims == ()
        place.time.pass_by(2 * SECOND)
        await store.sweep()
        assert await self._state(store, 1) is State.EXPIRED
        assert await self._code((await store.claim(limit=10)).claims) == ["222222"]
        await store.close()

    @pytest.mark.parametrize("jump", [DAYS, -DAYS], ids=["forward", "back"])
    @looped
    async def test_a_clock_that_jumps_while_a_code_lives(self, place: Place, jump: timedelta) -> None:
        """On one boot a restart after a jump of days neither expires a live code nor lets it live longer."""
        store = place.open()
        await self._put(store, place)
        await place.kill(store)
        place.time.jump(jump)
        store = place.open()
        place.time.pass_by(LIFETIME - SECOND)
        assert len((await store.claim(limit=10)).claims) == 1
        await place.kill(store)
        store = place.open()
        place.time.pass_by(2 * SECOND + GRACE)
        await store.sweep()
        assert await self._state(store, 1) is State.EXPIRED
        await store.close()

    @looped
    async def test_a_code_told_to_the_target_in_its_time(self, place: Place) -> None:
        """What the target is told as the end of a code is on the wall clock as it is now, however that was moved."""
        store = place.open()
        receipt = await self._put(store, place)
        await store.release(receipt.claims)
        place.time.jump(DAYS)
        (claim,) = (await store.claim(limit=10)).claims
        assert claim.expires_at == place.time.now() + LIFETIME
        await store.close()

    @looped
    async def test_a_boot_with_a_clock_behind(self, place: Place) -> None:
        """After a reboot steady time is not before the newest mail: a code does not live longer than its lifetime."""
        store = place.open()
        await self._put(store, place)
        await place.kill(store)
        place.time.reboot("boot-2", -DAYS)
        store = place.open()
        place.time.pass_by(LIFETIME)
        await store.sweep()
        assert await self._state(store, 1) is State.EXPIRED
        await store.close()

    @looped
    async def test_the_wall_is_taken_up_again_when_nothing_lives(self, place: Place) -> None:
        """After a jump, the sweep that finds no live code puts steady time back on the wall, for the next start too."""
        store = place.open()
        receipt = await self._put(store, place)
        place.time.jump(DAYS)
        await store.sweep()
        await self._settled(store, receipt.claims[0], Accepted(), place)
        await store.sweep()
        later = await self._put(store, place, identifier="bob@example.com")
        assert later.claims[0].delivery.received_at == place.time.now()
        await place.kill(store)
        store = place.open()
        place.time.pass_by(LIFETIME - SECOND)
        assert len((await store.claim(limit=10)).claims) == 1
        await store.close()

    @looped
    async def test_a_clock_that_was_ahead_keeps_no_code_longer(self, place: Place) -> None:
        """What was stored under a clock days ahead is erased a quarter of an hour after that was set right."""
        place.time.jump(DAYS)
        store = place.open()
        receipt = await self._put(store, place)
        await self._settled(store, receipt.claims[0], Accepted(), place)
        place.time.jump(-DAYS)
        await store.sweep()
        place.time.pass_by(RETENTION.code + SECOND)
        await store.sweep()
        (delivery,) = await store.deliveries()
        assert not delivery.draft.content
        assert (await store.mails())[0].subject == ""
        await store.close()

    # claims

    @looped
    async def test_a_late_settle_does_nothing(self, place: Place) -> None:
        """A claim that was given back, settled, or taken anew no longer writes: the token fences it."""
        store = place.open()
        (old,) = (await self._put(store, place)).claims
        await store.release([old])
        assert await self._settled(store, old, Accepted(), place) == ()
        assert await self._state(store, 1) is State.PENDING
        (new,) = (await store.claim(limit=10)).claims
        await self._settled(store, old, Refused(reason="late"), place)
        await store.release([old])
        assert await self._state(store, 1) is State.IN_FLIGHT
        await self._settled(store, new, Accepted(), place)
        await self._settled(store, new, Refused(reason="twice"), place)
        assert await self._state(store, 1) is State.DELIVERED
        await store.close()

    @looped
    async def test_a_claim_given_back_is_not_counted(self, place: Place) -> None:
        """It is due at once, no more in doubt than before, with as many attempts as before."""
        store = place.open()
        receipt = await self._put(store, place)
        await store.release(receipt.claims)
        (claim,) = (await store.claim(limit=10)).claims
        assert (claim.delivery.attempts, claim.delivery.is_doubtful) == (0, False)
        await store.close()

    @looped
    async def test_an_interrupted_attempt_is_in_doubt_and_not_counted(self, place: Place) -> None:
        """What a killed process had in flight blocks its line for the grace, and is then to be asked for."""
        store = place.open()
        await self._put(store, place, "111111", sender="a@larch.example")
        await place.kill(store)
        store = place.open()
        assert (await self._put(store, place, "222222", sender="b@larch.example")).claims == ()
        due = await store.claim(limit=10)
        assert (due.claims, due.next_at) == ((), place.time.now() + GRACE)
        place.time.pass_by(GRACE)
        (claim,) = (await store.claim(limit=10)).claims
        assert claim.delivery.draft.content.reveal() == "111111"
        assert (claim.delivery.is_doubtful, claim.delivery.attempts) == (True, 0)
        await store.close()

    @looped
    async def test_a_claim_that_was_lost_frees_its_line(self, place: Place) -> None:
        """An attempt that nobody settled ends when its lease is over, and the next of its line comes up."""
        store = place.open()
        (claim,) = (await self._put(store, place, "111111", sender="a@larch.example", lifetime=SECOND)).claims
        await self._put(store, place, "222222", sender="b@larch.example")
        place.time.pass_by(claim.lease_until - place.time.now() - SECOND)
        await store.sweep()
        assert (await store.claim(limit=10)).claims == ()
        place.time.pass_by(2 * SECOND)
        await store.sweep()
        assert await self._code((await store.claim(limit=10)).claims) == ["222222"]
        assert await self._settled(store, claim, Accepted(), place) == ()
        await store.close()

    # an operator's retry

    @pytest.mark.parametrize("ending", ["dead", "expired"])
    @looped
    async def test_a_lost_delivery_can_be_retried(self, place: Place, ending: str) -> None:
        """It gets its lifetime anew and is due at once, for another process to claim."""
        store = place.open()
        (claim,) = (await self._put(store, place)).claims
        if ending == "dead":
            await self._settled(store, claim, Refused(reason="422"), place)
        else:
            await self._settled(store, claim, Deferred(reason="503"), place)
        place.time.pass_by(LIFETIME + SECOND)
        await store.sweep()
        assert await self._state(store, 1) == ending
        assert await store.retry(1)
        (again,) = (await store.claim(limit=10)).claims
        assert again.delivery.deadline == place.time.now() + LIFETIME
        assert [line.event for line in await store.journal()].count("retry") == 1
        await store.close()

    @looped
    async def test_what_cannot_be_retried(self, place: Place) -> None:
        """Nothing unknown, delivered, in flight, pending or superseded."""
        store = place.open()
        (first,) = (await self._put(store, place)).claims
        await self._put(store, place)
        await self._put(store, place)
        assert not any([await store.retry(number) for number in (0, 1, 2, 3, 4)])
        await self._settled(store, first, Accepted(), place)
        assert not await store.retry(1)
        await store.close()

    @looped
    async def test_a_retry_never_goes_after_a_newer_code(self, place: Place) -> None:
        """While a newer code of the line waits, flies or was delivered, an older one stays dead, whoever sent it."""
        store = place.open()
        (first,) = (await self._put(store, place, "111111", sender="a@larch.example")).claims
        await self._put(store, place, "222222", sender="b@larch.example")
        (second,) = await self._settled(store, first, Refused(reason="no"), place)
        assert not await store.retry(1)
        await self._settled(store, second, Deferred(reason="503"), place)
        assert not await store.retry(1)
        place.time.pass_by(SECOND)
        (second,) = (await store.claim(limit=10)).claims
        await self._settled(store, second, Accepted(), place)
        assert not await store.retry(1)
        await store.close()

    @looped
    async def test_a_retry_waits_for_its_turn(self, place: Place) -> None:
        """Behind an older one that is still in flight it has no due time, and comes up when that is settled."""
        store = place.open()
        (first,) = (await self._put(store, place, "111111", sender="a@larch.example")).claims
        await self._put(store, place, "222222", sender="b@larch.example", lifetime=30 * SECOND)
        place.time.pass_by(31 * SECOND)
        await store.sweep()
        assert await store.retry(2)
        due = await store.claim(limit=10)
        assert (due.claims, due.next_at) == ((), None)
        assert await self._code(await self._settled(store, first, Accepted(), place)) == ["222222"]
        await store.close()

    # what is told and what is forgotten

    @looped
    async def test_the_journal_tells_what_happened(self, place: Place) -> None:
        """In order, with ids that grow, and from where the reader left off; no line holds a code."""
        store = place.open()
        (claim,) = (await self._put(store, place)).claims
        await self._settled(store, claim, Deferred(reason="503"), place)
        place.time.pass_by(SECOND)
        (claim,) = (await store.claim(limit=10)).claims
        await self._settled(store, claim, Accepted(ref="totp_1"), place)
        lines = await store.journal()
        assert [line.event for line in lines] == ["stored", "pending", "delivered"]
        assert [line.id for line in lines] == sorted({line.id for line in lines})
        assert await store.journal(after=lines[0].id, limit=1) == (lines[1],)
        assert "482913" not in str(lines)
        await store.close()

    @looped
    async def test_counts_are_of_what_asks_for_attention(self, place: Place) -> None:
        """Pending, in flight, expired and dead are counted, also where there are none."""
        store = place.open()
        assert await store.counts() == dict.fromkeys((State.PENDING, State.IN_FLIGHT, State.EXPIRED, State.DEAD), 0)
        (claim,) = (await self._put(store, place)).claims
        await self._put(store, place)
        await self._settled(store, claim, Refused(reason="no"), place)
        counts = await store.counts()
        assert (counts[State.PENDING], counts[State.IN_FLIGHT], counts[State.DEAD]) == (0, 1, 1)
        await store.close()

    @looped
    async def test_what_is_over_its_time_is_erased(self, place: Place) -> None:
        """First code and subject, then the mail; what remains is shown, and cannot be retried."""
        store = place.open()
        (claim,) = (await self._put(store, place)).claims
        await self._settled(store, claim, Refused(reason="no"), place)
        place.time.pass_by(LIFETIME + RETENTION.code - SECOND)
        await store.sweep()
        assert (await store.deliveries())[0].draft.content.reveal() == "482913"
        place.time.pass_by(2 * SECOND)
        await store.sweep()
        (delivery,) = await store.deliveries()
        assert not delivery.draft.content
        assert not await store.retry(delivery.id)
        (mail,) = await store.mails()
        assert (mail.subject, mail.rejected, mail.verdict) == ("", (), "code")
        assert await store.raw(mail.id) is not None
        place.time.pass_by(RETENTION.mail)
        await store.sweep()
        assert await store.raw(mail.id) is None
        await store.close()

    @looped
    async def test_a_code_that_waits_is_not_erased(self, place: Place) -> None:
        """Retention counts from the end of a delivery: one that lives longer than that keeps its code."""
        store = place.open(RetentionSettings(code=SECOND, mail=SECOND, journal=SECOND))
        receipt = await self._put(store, place)
        await store.release(receipt.claims)
        place.time.pass_by(LIFETIME - SECOND)
        await store.sweep()
        (claim,) = (await store.claim(limit=10)).claims
        assert claim.delivery.draft.content.reveal() == "482913"
        await store.close()

    @looped
    async def test_in_the_end_everything_is_forgotten(self, place: Place) -> None:
        """Beyond the journal's time rows go, the newest of each kind excepted, so that no number is ever used again."""
        store = place.open()
        for number in range(5):
            (claim,) = (await self._put(store, place, identifier=f"u{number}@example.com")).claims
            await self._settled(store, claim, Accepted(), place)
        place.time.pass_by(RETENTION.journal + SECOND)
        for _ in range(3):
            await store.sweep()
        assert [mail.id for mail in await store.mails()] == [5]
        assert [line.id for line in await store.journal()] == [10]
        await place.kill(store)
        store = place.open()
        assert (await self._put(store, place)).mail_id == 6
        assert (await store.journal())[-1].id == 11
        await store.close()

    # trouble

    async def _prepared(self, place: Place) -> tuple[Store, Claim]:
        """A store in which every method has something to do."""
        store = place.open()
        (claim,) = (await self._put(store, place, "111111")).claims
        (dead,) = (await self._put(store, place, identifier="bob@example.com")).claims
        await self._settled(store, dead, Refused(reason="no"), place)
        waiting = await self._put(store, place, identifier="cid@example.com")
        await store.release(waiting.claims)
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
