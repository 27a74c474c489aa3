"""A store's contract: what is stored, told, and forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from mailbridge.config.settings import RetentionSettings
from mailbridge.core.delivery import Accepted, Claim, Deferred, Draft, Refused, Standing, State
from tests.loop import looped
from tests.store.contract import RETENTION, SECOND, Contract, Place
from tests.store.mails import LIFETIME, arrival, draft


def _seen() -> Draft:
    """The draft of a copy that proves nothing."""
    return draft("482913", standing=Standing.FIRST_SEEN)


def _proven() -> Draft:
    """That of a copy of the same mail that proves its author, who is known."""
    return draft("482913", domain="larch.example")


class StoringContract(Contract):
    """What was put is there, once, until its time is over."""

    @looped
    async def test_what_was_put_is_there_for_the_next_process(self, place: Place) -> None:
        """Mail, delivery, journal and octets are found by another process, as they were put."""
        store = await place.open()
        one = arrival(draft("482913", run="wr_1"), at=place.time.now())
        receipt = await store.put(one)
        await place.kill(store)
        store = await place.open()
        (mail,) = await store.mails.page()
        assert (mail.id, mail.subject, mail.identifiers) == (receipt.mail_id, "Your code is 482913", ("ann@example.com",))
        assert (mail.rejected, mail.defects, mail.rule) == ((("2026", "year"),), ("bad-charset",), "generic")
        (delivery,) = await store.outbox.deliveries()
        assert delivery.draft == one.drafts[0]
        envelope = await store.mails.raw(receipt.mail_id)
        assert envelope is not None
        assert (envelope.content, envelope.received_at) == (one.envelope.content, one.envelope.received_at)
        assert [line.event for line in await store.journal.after()] == ["stored", "pending"]
        await store.close()

    @looped
    async def test_a_new_code_comes_back_claimed(self, place: Place) -> None:
        """`put` returns the claim, with the code and the deadline on the wall clock: no second look is needed."""
        store = await place.open()
        receipt = await self._put(store, place)
        (claim,) = receipt.claims
        assert claim.delivery.state is State.IN_FLIGHT
        assert claim.delivery.draft.content.reveal() == "482913"
        assert claim.expires_at == place.time.now() + LIFETIME
        assert (await store.outbox.claim(limit=10)).claims == ()
        await store.close()

    @looped
    async def test_a_mail_without_a_code_is_held(self, place: Place) -> None:
        """It is stored and shown with its reason, and nothing is to be delivered."""
        store = await place.open()
        receipt = await store.put(arrival(at=place.time.now()))
        assert receipt.claims == ()
        (mail,) = await store.mails.page()
        assert (mail.verdict, mail.reason) == ("none", "nothing in it looks like a code")
        assert not await store.outbox.deliveries()
        await store.close()

    @looped
    async def test_a_large_mail_is_kept_to_the_octet_and_forgotten(self, place: Place) -> None:
        """Beyond the size up to which it is written at once, it is what was put, after a kill too, and gone when its identifier is."""
        store = await place.open()
        one = arrival(draft(), at=place.time.now(), size=3_000_001)
        receipt = await store.put(one)
        await place.kill(store)
        store = await place.open()
        envelope = await store.mails.raw(receipt.mail_id)
        assert envelope is not None and envelope.content == one.envelope.content
        await store.forget("ann@example.com")
        assert await store.mails.raw(receipt.mail_id) is None
        await store.close()

    @looped
    async def test_the_same_mail_again_is_one_delivery(self, place: Place) -> None:
        """A known fingerprint is a duplicate: the first mail's number, no claim, and only the cursor moves."""
        store = await place.open()
        first = await store.put(arrival(draft(), at=place.time.now(), fingerprint="same"))
        again = await store.put(arrival(draft(), at=place.time.now(), fingerprint="same", cursor="box/1/7"))
        assert (again.mail_id, again.is_duplicate, again.claims) == (first.mail_id, True, ())
        assert len(await store.outbox.deliveries()) == 1
        assert await store.mailboxes.cursor("box") == "box/1/7"
        assert [line.event for line in await store.journal.after()] == ["stored", "duplicate"]
        await store.close()

    @looped
    async def test_a_proven_copy_is_delivered_where_the_strangers_was_held(self, place: Place) -> None:
        """Once, with the known sender's place in the queue; what came first still says from when on it lives. A third is a duplicate."""
        store = await place.open()
        await self._put(store, place, "111111", sender="a@birch.example", domain="birch.example")
        came = place.time.now()
        first = await store.put(arrival(_seen(), at=came, fingerprint="same"))
        assert first.held and not first.claims
        place.time.pass_by(SECOND)
        proven = await store.put(arrival(_proven(), at=place.time.now(), fingerprint="same"))
        assert (proven.mail_id, proven.is_duplicate, proven.is_pushed) == (first.mail_id, False, True)
        rows = await store.outbox.deliveries(mail_id=first.mail_id)
        assert sorted((row.state, row.draft.standing) for row in rows) == [
            (State.PENDING, Standing.KNOWN),
            (State.SUPERSEDED, Standing.ASIDE),
        ]
        assert next(row.received_at for row in rows if row.state is State.PENDING) == came
        mail = await store.mails.one(first.mail_id)
        assert mail is not None and not mail.held
        for again in (_proven(), _seen()):
            assert (await store.put(arrival(again, at=place.time.now(), fingerprint="same"))).is_duplicate
        await store.close()

    @looped
    async def test_a_proven_copy_takes_the_place_of_the_strangers_that_waits(self, place: Place) -> None:
        """The first copy waits behind another code: it is given up, and the proven one goes in its place."""
        store = await place.open()
        await self._put(store, place, "111111", sender="", standing=Standing.FIRST_SEEN)
        first = await store.put(arrival(_seen(), at=place.time.now(), fingerprint="same"))
        proven = await store.put(arrival(_proven(), at=place.time.now(), fingerprint="same"))
        assert not proven.is_duplicate and proven.superseded == 1
        rows = await store.outbox.deliveries(mail_id=first.mail_id)
        assert sorted(row.state for row in rows) == [State.PENDING, State.SUPERSEDED]
        await store.close()

    @pytest.mark.parametrize("is_delivered", [True, False])
    @looped
    async def test_a_proven_copy_of_what_has_gone_out_is_no_second_delivery(self, place: Place, is_delivered: bool) -> None:
        """At the target, or on its way there, it stays the one delivery, and is the known sender's from then on."""
        store = await place.open()
        first = await store.put(arrival(_seen(), at=place.time.now(), fingerprint="same"))
        if is_delivered:
            await self._settled(store, first.claims[0], Accepted(), place)
        proven = await store.put(arrival(_proven(), at=place.time.now(), fingerprint="same"))
        assert proven.is_duplicate and not proven.claims
        if not is_delivered:
            await self._settled(store, first.claims[0], Accepted(), place)
        (row,) = await store.outbox.deliveries(mail_id=first.mail_id)
        assert (row.state, row.draft.standing, row.draft.domain) == (State.DELIVERED, Standing.KNOWN, "larch.example")
        stranger = await self._put(store, place, "999999", sender="b@evil.example", standing=Standing.FIRST_SEEN)
        assert stranger.held
        await store.close()

    @looped
    async def test_a_duplicate_is_known_after_a_restart(self, place: Place) -> None:
        """The second arrival may come to another process."""
        store = await place.open()
        await store.put(arrival(draft(), at=place.time.now(), fingerprint="same"))
        await place.kill(store)
        store = await place.open()
        assert (await store.put(arrival(draft(), at=place.time.now(), fingerprint="same"))).is_duplicate
        await store.close()

    @looped
    async def test_the_cursor_goes_forward_only(self, place: Place) -> None:
        """Of one UIDVALIDITY the highest UID counts, also numerically; another UIDVALIDITY begins anew; boxes are apart."""
        store = await place.open()
        for cursor, known in (("a/b/5/9", "a/b/5/9"), ("a/b/5/10", "a/b/5/10"), ("a/b/5/8", "a/b/5/10"), ("a/b/6/1", "a/b/6/1")):
            await store.put(arrival(at=place.time.now(), cursor=cursor))
            assert await store.mailboxes.cursor("a/b") == known
        assert await store.mailboxes.cursor("a") is None
        await store.close()

    @looped
    async def test_a_cursor_goes_back_where_it_is_told_to(self, place: Place) -> None:
        """A server that gives its UIDs out anew: the lower cursor stands, also after a restart, and goes forward from there."""
        store = await place.open()
        await store.mailboxes.advance("a/b/5/9")
        await store.mailboxes.rewind("a/b/5/3")
        await store.close()
        store = await place.open()
        assert await store.mailboxes.cursor("a/b") == "a/b/5/3"
        await store.put(arrival(at=place.time.now(), cursor="a/b/5/4"))
        assert await store.mailboxes.cursor("a/b") == "a/b/5/4"
        await store.close()

    @looped
    async def test_what_was_noted_of_a_mailbox_outlives_a_restart(self, place: Place) -> None:
        """The last notes in place of the earlier ones, each mailbox its own, and nothing where nothing was noted."""
        store = await place.open()
        assert await store.mailboxes.notes("a/b") == "{}"
        await store.mailboxes.note("a/b", '{"is_deaf": true}')
        await store.mailboxes.note("a/b", '{"is_deaf": false}')
        await store.mailboxes.note("a/c", '{"missing": []}')
        await store.close()
        store = await place.open()
        assert await store.mailboxes.notes("a/b") == '{"is_deaf": false}'
        assert await store.mailboxes.notes("a/c") == '{"missing": []}'
        await store.close()

    @looped
    async def test_what_is_owed_is_known_until_it_is_paid(self, place: Place) -> None:
        """With the mail, a duplicate's too, and over a kill; not for a mail that is held, nor for one without a place."""
        store = await place.open()
        for uid, drafts in ((9, [draft()]), (10, []), (11, [draft(identifier="bob@example.com")])):
            await store.put(arrival(*drafts, at=place.time.now(), cursor=f"a/b/5/{uid}", has_action=True))
        await store.put(arrival(draft(), at=place.time.now(), fingerprint="same", cursor="a/c/5/1"))
        await store.put(arrival(draft(), at=place.time.now(), fingerprint="same", cursor="a/b/6/1", has_action=True))
        await store.put(arrival(draft(identifier="cid@example.com"), at=place.time.now(), has_action=True))
        await place.kill(store)
        store = await place.open()
        assert await store.mailboxes.pending_actions("a/b") == ("a/b/5/9", "a/b/5/11", "a/b/6/1")
        assert await store.mailboxes.pending_actions("a/c") == await store.mailboxes.pending_actions("a") == ()
        await store.mailboxes.actions_done(["a/b/5/9", "a/b/6/1", "a/b/7/7"])
        assert await store.mailboxes.pending_actions("a/b") == ("a/b/5/11",)
        await store.close()

    @looped
    async def test_many_at_once_are_all_stored(self, place: Place) -> None:
        """Two hundred puts at once get two hundred numbers, and as many deliveries."""
        store = await place.open()
        puts = [self._put(store, place, identifier=f"user{number}@example.com") for number in range(200)]
        receipts = await asyncio.gather(*puts)
        assert len({receipt.mail_id for receipt in receipts}) == 200
        assert (await store.outbox.counts())[State.IN_FLIGHT] == 200
        await store.close()

    @looped
    async def test_a_caller_that_leaves_undoes_nothing(self, place: Place) -> None:
        """A put whose caller was cancelled is stored all the same, and the mail that comes again is a duplicate."""
        store = await place.open()
        task = asyncio.create_task(store.put(arrival(draft(), at=place.time.now(), fingerprint="same")))
        await asyncio.sleep(0)
        task.cancel()
        assert (await store.put(arrival(draft(), at=place.time.now(), fingerprint="same"))).is_duplicate
        await store.close()

    @pytest.mark.parametrize("name", ["put", "claim", "settle"])
    @looped
    async def test_claims_that_nobody_took_are_given_back(self, place: Place, name: str) -> None:
        """A caller that is cancelled has no use for them: they are due again, uncounted, and not held until their lease is over."""
        store = await place.open()
        (first,) = (await self._put(store, place, "111111", sender="a@larch.example")).claims
        if name == "claim":
            await store.outbox.release([first])
        doing: dict[str, Callable[[], Coroutine[Any, Any, object]]] = {
            "put": lambda: self._put(store, place, identifier="bob@example.com"),
            "claim": lambda: store.outbox.claim(limit=10),
            "settle": lambda: store.outbox.settle(first, Accepted(), jitter=1.0, grace=SECOND),
        }
        if name == "settle":
            await self._put(store, place, "222222", sender="b@larch.example")
        for pauses in range(3):  # before the store has begun, while it works, and perhaps when the answer is on its way
            task = asyncio.create_task(doing[name]())
            for _ in range(pauses):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if name != "claim" and pauses:
                break
        due: Sequence[Claim] = ()
        async with asyncio.timeout(10):
            while not due:
                due = (await store.outbox.claim(limit=10)).claims
        assert {claim.delivery.attempts for claim in due} == {0}
        await store.close()

    @looped
    async def test_the_journal_tells_what_happened(self, place: Place) -> None:
        """In order, with ids that grow, and from where the reader left off; no line holds a code."""
        store = await place.open()
        (claim,) = (await self._put(store, place)).claims
        await self._settled(store, claim, Deferred(reason="503"), place)
        place.time.pass_by(SECOND)
        (claim,) = (await store.outbox.claim(limit=10)).claims
        await self._settled(store, claim, Accepted(ref="totp_1"), place)
        lines = await store.journal.after()
        assert [line.event for line in lines] == ["stored", "pending", "delivered"]
        assert [line.id for line in lines] == sorted({line.id for line in lines})
        assert await store.journal.after(lines[0].id, limit=1) == (lines[1],)
        assert "482913" not in str(lines)
        await store.close()

    @looped
    async def test_counts_are_of_what_asks_for_attention(self, place: Place) -> None:
        """Pending, in flight, expired and dead are counted, also where there are none."""
        store = await place.open()
        assert await store.outbox.counts() == dict.fromkeys((State.PENDING, State.IN_FLIGHT, State.EXPIRED, State.DEAD), 0)
        (claim,) = (await self._put(store, place)).claims
        await self._put(store, place)
        await self._settled(store, claim, Refused(reason="no"), place)
        counts = await store.outbox.counts()
        assert (counts[State.PENDING], counts[State.IN_FLIGHT], counts[State.DEAD]) == (0, 1, 1)
        await store.close()

    @looped
    async def test_what_is_over_its_time_is_erased(self, place: Place) -> None:
        """First code and subject, then the mail; what remains is shown, and cannot be retried."""
        store = await place.open()
        (claim,) = (await self._put(store, place)).claims
        await self._settled(store, claim, Refused(reason="no"), place)
        place.time.pass_by(LIFETIME + RETENTION.code - SECOND)
        await store.sweep()
        assert (await store.outbox.deliveries())[0].draft.content.reveal() == "482913"
        place.time.pass_by(2 * SECOND)
        await store.sweep()
        (delivery,) = await store.outbox.deliveries()
        assert not delivery.draft.content
        assert not await store.outbox.retry(delivery.id)
        (mail,) = await store.mails.page()
        assert (mail.subject, mail.rejected, mail.verdict) == ("", (), "code")
        assert await store.mails.raw(mail.id) is not None
        place.time.pass_by(RETENTION.mail)
        await store.sweep()
        assert await store.mails.raw(mail.id) is None
        await store.close()

    @looped
    async def test_a_code_that_waits_is_not_erased(self, place: Place) -> None:
        """Retention counts from the end of a delivery: one that lives longer than that keeps its code."""
        store = await place.open(RetentionSettings(code=SECOND, mail=SECOND, journal=SECOND))
        receipt = await self._put(store, place)
        await store.outbox.release(receipt.claims)
        place.time.pass_by(LIFETIME - SECOND)
        await store.sweep()
        (claim,) = (await store.outbox.claim(limit=10)).claims
        assert claim.delivery.draft.content.reveal() == "482913"
        await store.close()

    @looped
    async def test_rows_of_a_clock_that_was_ahead_keep_no_others(self, place: Place) -> None:
        """They are dated when the clock is right again, and forgotten with those that came then."""
        place.time.jump(2 * RETENTION.journal)
        store = await place.open()
        (claim,) = (await self._put(store, place)).claims
        await self._settled(store, claim, Accepted(), place)
        place.time.jump(-2 * RETENTION.journal)
        for _ in range(2):  # the first sets the clock of the store right
            await store.sweep()
        for number in range(3):
            (claim,) = (await self._put(store, place, identifier=f"u{number}@example.com")).claims
            await self._settled(store, claim, Accepted(), place)
        place.time.pass_by(RETENTION.journal + SECOND)
        for _ in range(3):
            await store.sweep()
        assert [mail.id for mail in await store.mails.page()] == [4]
        assert [one.id for one in await store.outbox.deliveries()] == [4]
        assert len(await store.journal.after()) == 1
        await store.close()

    @looped
    async def test_in_the_end_everything_is_forgotten(self, place: Place) -> None:
        """Beyond the journal's time rows go, the newest of each kind excepted, so that no number is ever used again."""
        store = await place.open()
        for number in range(5):
            (claim,) = (await self._put(store, place, identifier=f"u{number}@example.com")).claims
            await self._settled(store, claim, Accepted(), place)
        for _ in range(2):
            await store.put(arrival(at=place.time.now()))
        place.time.pass_by(RETENTION.journal + SECOND)
        for _ in range(3):
            await store.sweep()
        assert [mail.id for mail in await store.mails.page()] == [7, 5]
        assert [one.id for one in await store.outbox.deliveries()] == [5]
        assert [line.id for line in await store.journal.after()] == [12]
        await place.kill(store)
        store = await place.open()
        assert (await self._put(store, place)).mail_id == 8
        assert (await store.outbox.deliveries())[0].id == 6
        assert (await store.journal.after())[-1].id == 13
        await store.close()
