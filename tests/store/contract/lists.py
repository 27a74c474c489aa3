"""A store's contract: lists by pages and filters, searches in subjects, and the bell behind every commit."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from mailbridge.core.delivery import Accepted, Refused, State
from mailbridge.store import Filter, Store
from tests.loop import looped
from tests.store.contract import SECOND, Contract, Place
from tests.store.mails import arrival, draft

MINUTE = timedelta(minutes=1)


class ListsContract(Contract):
    """What is listed is what is asked for, newest first, each once."""

    async def _filled(self, place: Place) -> Store:
        """Twelve mails, a minute apart: of three identifiers, two senders and a domain, every fourth one held."""
        store = await place.open()
        for number in range(12):
            identifier = f"u{number % 3}@example.com"
            sender = "no-reply@larch.example" if number % 2 else "Codes@FIR.example"
            if number % 4 == 3:
                held = arrival(draft(f"{number:06d}", identifier=identifier), at=place.time.now(), sender=sender, is_held=True)
                await store.put(held)
            else:
                one = draft(f"{number:06d}", identifier=identifier, sender=sender)
                (claim,) = (await store.put(arrival(one, at=place.time.now(), sender=sender))).claims
                ending = Refused(reason="no") if number == 5 else Accepted()
                await store.outbox.settle(claim, ending, jitter=1.0, grace=SECOND)
            place.time.pass_by(MINUTE)
        return store

    @looped
    async def test_pages_follow_each_other(self, place: Place) -> None:
        """Each mail and delivery once, newest first, and a mail that comes meanwhile moves nothing."""
        store = await self._filled(place)
        seen: list[int] = []
        before = None
        for _ in range(9):
            page = await store.mails.page(before=before, limit=5)
            seen += [row.id for row in page]
            before = page.next
            if before is None:
                break
            await self._put(store, place, identifier="later@example.com")
        assert seen == list(range(12, 0, -1))
        first = await store.outbox.deliveries(limit=4)
        rest = await store.outbox.deliveries(before=first.next, limit=100)
        assert [row.id for row in (*first, *rest)] == [row.id for row in await store.outbox.deliveries(limit=100)]
        assert rest.next is None
        await store.close()

    @pytest.mark.parametrize(
        ("wanted", "mails"),
        [
            (Filter(), [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
            (Filter(identifier="U1@Example.com"), [11, 8, 5, 2]),
            (Filter(identifier="nobody@example.com"), []),
            (Filter(sender="NO-REPLY@larch.example"), [12, 10, 8, 6, 4, 2]),
            (Filter(sender="fir.example"), [11, 9, 7, 5, 3, 1]),
            (Filter(sender="@fir.example"), [11, 9, 7, 5, 3, 1]),
            (Filter(sender="example"), []),
            (Filter(states=(State.DEAD,)), [6]),
            (Filter(states=(State.DELIVERED,)), [11, 10, 9, 7, 5, 3, 2, 1]),
            (Filter(states=(State.DELIVERED, State.DEAD)), [11, 10, 9, 7, 6, 5, 3, 2, 1]),
            (Filter(states=(State.PENDING, State.EXPIRED)), []),
            (Filter(is_held=True), [12, 8, 4]),
            (Filter(is_held=False, identifier="u0@example.com"), [10, 7, 1]),
            (Filter(identifier="u2@example.com", sender="larch.example", states=(State.DEAD,)), [6]),
        ],
        ids=lambda value: "" if isinstance(value, list) else None,
    )
    @looped
    async def test_mails_are_filtered(self, place: Place, wanted: Filter, mails: list[int]) -> None:
        """By identifier, sender or its domain, the state of what became of them, and whether they are held; and by all together."""
        store = await self._filled(place)
        assert [row.id for row in await store.mails.page(wanted)] == mails
        paged: list[int] = []
        before = None
        while True:
            page = await store.mails.page(wanted, before=before, limit=2)
            paged += [row.id for row in page]
            before = page.next
            if before is None:
                break
        assert paged == mails
        if wanted.is_held is None:
            found = await store.outbox.deliveries(wanted)
            assert {row.draft.identifier for row in found} <= {
                row for mail in await store.mails.page(wanted) for row in mail.identifiers
            }
            assert len(found) == len([one for one in mails if one % 4])
        await store.close()

    @looped
    async def test_deliveries_of_several_mails(self, place: Place) -> None:
        """At once, newest first; a mail that is not there has none."""
        store = await self._filled(place)
        found = await store.outbox.deliveries(Filter(mails=(2, 7, 3, 999)))
        assert [row.mail_id for row in found] == [7, 3, 2]
        await store.close()

    @looped
    async def test_that_a_question_was_answered_is_kept(self, place: Place) -> None:
        """A line of the journal about that mail; about none where there is no such mail."""
        store = await self._filled(place)
        await store.confirmed(3)
        await store.confirmed(99)
        lines = [line for line in await store.journal.after(limit=1_000) if line.event == "confirmed"]
        assert [(line.mail_id, line.detail) for line in lines] == [(3, "")]
        await store.close()

    @looped
    async def test_time_is_a_filter(self, place: Place) -> None:
        """``since`` is included and ``until`` is not, and a mail that came in late is found by its receipt."""
        began = place.time.now()
        store = await self._filled(place)
        late = arrival(draft(identifier="late@example.com"), at=began + 2 * MINUTE + SECOND)
        await store.put(late)
        wanted = Filter(since=began + 2 * MINUTE, until=began + 5 * MINUTE)
        assert [row.id for row in await store.mails.page(wanted)] == [13, 5, 4, 3]
        assert [row.draft.identifier for row in await store.outbox.deliveries(wanted)] == [
            "late@example.com",
            "u1@example.com",
            "u2@example.com",
        ]
        assert not await store.mails.page(Filter(since=place.time.now() + MINUTE))
        assert not await store.outbox.deliveries(Filter(until=began))
        assert len(await store.mails.page(Filter(since=began, identifier="u0@example.com"))) == 4
        await store.close()

    @looped
    async def test_what_was_made_of_a_mail(self, place: Place) -> None:
        """Its deliveries and the lines of the journal that are about it, and nobody else's."""
        store = await place.open()
        two = await store.put(arrival(draft(identifier="a@x.example"), draft(identifier="b@x.example"), at=place.time.now()))
        await self._put(store, place, identifier="c@x.example")
        for claim in two.claims:
            await self._settled(store, claim, Accepted(), place)
        found = await store.outbox.deliveries(mail_id=two.mail_id)
        assert [row.draft.identifier for row in found] == ["b@x.example", "a@x.example"]
        lines = await store.journal.after(mail_id=two.mail_id)
        assert [(line.event, line.identifiers) for line in lines] == [
            ("stored", ("a@x.example", "b@x.example")),
            ("delivered", ("a@x.example",)),
            ("delivered", ("b@x.example",)),
        ]
        assert await store.journal.newest() == (await store.journal.after())[-1].id
        assert await store.mails.one(two.mail_id) == (await store.mails.page())[1]
        assert await store.mails.one(99) is None
        assert await store.mails.raw(99) is None
        await store.close()

    @looped
    async def test_subjects_are_searched(self, place: Place) -> None:
        """Without regard to case, newest first, among those that a filter leaves, and erased ones hold nothing."""
        store = await self._filled(place)
        assert [row.id for row in await store.mails.search("code is 00000")] == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
        assert [row.id for row in await store.mails.search("YOUR CODE", Filter(identifier="u2@example.com"))] == [12, 9, 6, 3]
        assert [row.subject for row in await store.mails.search("000011")] == ["Your code is 000011"]
        assert not await store.mails.search("no such words")
        place.time.pass_by(timedelta(hours=1))
        await store.sweep()
        assert not await store.mails.search("your code")
        await store.close()

    @looped
    async def test_a_search_goes_on_where_it_stopped(self, place: Place) -> None:
        """It stops at so many hits, at fifty at the most, and says where to go on; in the end every hit was there once."""
        store = await place.open()
        await asyncio.gather(*(self._put(store, place, f"{n:06d}", identifier=f"u{n}@x.example") for n in range(120)))
        for limit, pages in ((50, 3), (200, 3), (30, 4)):
            found = [await store.mails.search("your code", limit=limit)]
            while found[-1].next is not None:
                found.append(await store.mails.search("your code", before=found[-1].next, limit=limit))
            assert [row.id for page in found for row in page] == list(range(120, 0, -1))
            assert len(found) == pages
        await store.close()

    @looped
    async def test_the_bell_rings_behind_every_commit(self, place: Place) -> None:
        """Whoever clears it, looks, and then waits misses nothing; what writes nothing does not ring."""
        store = await place.open()
        with store.journal.bell() as bell, store.journal.bell() as other:
            (claim,) = (await self._put(store, place)).claims
            assert await bell.wait(5)
            assert await other.wait(5)
            bell.clear()
            assert [line.event for line in await store.journal.after()] == ["stored"]
            for _ in range(50):  # a store that several share may ring once more for its own sake, and then falls silent
                if not await bell.wait(0.05):
                    break
                bell.clear()
            else:
                pytest.fail("it rings although nothing is written")
            await self._settled(store, claim, Accepted(), place)
            assert await bell.wait(5)
        await self._put(store, place)
        await store.close()

    @looped
    async def test_no_line_is_missed_by_who_follows(self, place: Place) -> None:
        """A hundred mails at once, followed by the bell alone: every line, once, in order."""
        store = await place.open()
        seen: list[int] = []

        async def follow() -> None:
            with store.journal.bell() as bell:
                began.set()
                while len(seen) < 100:
                    bell.clear()
                    seen.extend(line.id for line in await store.journal.after(seen[-1] if seen else 0, limit=1_000))
                    if len(seen) < 100:
                        assert await bell.wait(10)

        began = asyncio.Event()
        following = asyncio.create_task(follow())
        await began.wait()
        for first in range(0, 100, 20):
            await asyncio.gather(*(self._put(store, place, identifier=f"u{first + n}@x.example") for n in range(20)))
        await following
        assert seen == list(range(1, 101))
        await store.close()
