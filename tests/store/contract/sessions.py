"""A store's contract: who is logged in to the page, and the links to log in with; and what is counted of a day."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta

from tests.loop import looped
from tests.store.contract import Contract, Place

MINUTE = timedelta(minutes=1)


def digest(text: str) -> bytes:
    """32 octets."""
    return hashlib.sha256(text.encode()).digest()


class SessionsContract(Contract):
    """Links work once, sessions outlive a restart, and neither outlives its time."""

    @looped
    async def test_a_link_is_used_once_and_in_time(self, place: Place) -> None:
        """Of two at the same time one gets it; after its time nobody does, nor is another text one."""
        store = await place.open()
        for name in ("one", "late"):
            await store.sessions.invite(digest(name), name="ann", role="viewer", until=place.time.now() + 5 * MINUTE)
        assert await store.sessions.redeem(digest("other")) is None
        both = await asyncio.gather(*(store.sessions.redeem(digest("one")) for _ in range(2)))
        assert sorted(both, key=str) == [("ann", "viewer"), None] or both == [None, ("ann", "viewer")]
        place.time.pass_by(5 * MINUTE)
        assert await store.sessions.redeem(digest("late")) is None
        await store.close()

    @looped
    async def test_a_session_outlives_a_restart_and_ends_at_its_time(self, place: Place) -> None:
        """With its times as they were; extended it lasts longer, and a sweep forgets it."""
        store = await place.open()
        began = place.time.now()
        made = await store.sessions.begin(digest("a"), name="ann", role="operator", way="link", until=began + 10 * MINUTE)
        await place.kill(store)
        store = await place.open()
        assert await store.sessions.find(digest("a")) == made
        assert (made.created_at, made.seen_at, made.expires_at) == (began, began, began + 10 * MINUTE)
        place.time.pass_by(9 * MINUTE)
        await store.sessions.extend(made.id, place.time.now() + 10 * MINUTE)
        place.time.pass_by(9 * MINUTE)
        found = await store.sessions.find(digest("a"))
        assert found is not None
        assert (found.created_at, found.seen_at) == (began, began + 9 * MINUTE)
        place.time.pass_by(MINUTE)
        assert await store.sessions.find(digest("a")) is None
        await store.sessions.extend(made.id, place.time.now() + 10 * MINUTE)
        await store.sweep()
        assert await store.sessions.sessions() == ()
        assert not await store.sessions.end(made.id)
        await store.close()

    @looped
    async def test_a_session_is_ended(self, place: Place) -> None:
        """At once, by its number; the others stay, newest first."""
        store = await place.open()
        until = place.time.now() + MINUTE
        made = [
            await store.sessions.begin(digest(name), name=name, role="viewer", way="link", until=until)
            for name in ("a", "b", "c")
        ]
        assert await store.sessions.end(made[1].id)
        assert not await store.sessions.end(made[1].id)
        assert [one.name for one in await store.sessions.sessions()] == ["c", "a"]
        assert await store.sessions.find(digest("b")) is None
        await store.close()

    @looped
    async def test_a_new_password_ends_what_the_old_one_began(self, place: Place) -> None:
        """Links are nobody's password."""
        store = await place.open()
        until = place.time.now() + MINUTE
        assert await store.sessions.password() is None
        await store.sessions.set_password("$argon2id$v=19$one")
        await store.sessions.begin(digest("a"), name="password", role="operator", way="password", until=until)
        await store.sessions.begin(digest("b"), name="ann", role="operator", way="link", until=until)
        await store.sessions.set_password("$argon2id$v=19$two")
        assert await store.sessions.password() == "$argon2id$v=19$two"
        assert [one.name for one in await store.sessions.sessions()] == ["ann"]
        await store.sessions.set_password(None)
        assert await store.sessions.password() is None
        await store.close()

    @looped
    async def test_the_last_line_before_a_moment(self, place: Place) -> None:
        """Found among lines of any times; what is counted goes on behind it, in order and whole."""
        store = await place.open()
        assert await store.journal.line_before(place.time.now()) == 0
        moments = []
        for number in range(20):
            place.time.pass_by(MINUTE)
            moments.append(place.time.now())
            await self._put(store, place, f"48291{number}")
        lines = await store.journal.happened(limit=1000)
        assert [one.id for one in lines] == sorted(one.id for one in lines)
        for moment in (*moments, place.time.now() + MINUTE):
            assert await store.journal.line_before(moment) == max((one.id for one in lines if one.at < moment), default=0)
        stored = [one for one in lines if one.event == "stored"]
        assert len(stored) == 20
        assert {one.verdict for one in stored} == {"code"}
        assert await store.journal.happened(lines[-1].id) == ()
        await store.close()
