"""A store's contract: codes for whoever waits, what was given to whom, and authenticators."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from mailbridge.core.delivery import Accepted
from mailbridge.core.secret import Secret
from mailbridge.core.totp import Authenticator
from mailbridge.store import Store
from mailbridge.store.reading import Poll, Wanted
from tests.loop import looped
from tests.store.contract import SECOND, Contract, Place
from tests.store.mails import LIFETIME, arrival, draft

GRACE = timedelta(minutes=1)
TOTP = Authenticator(secret=Secret("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"), issuer="Shop", digits=8)


class CodesContract(Contract):
    """The newest live code is had by who may have it, and by nobody after it was consumed."""

    async def _newest(self, store: Store, **of: object) -> str | None:
        wanted = Wanted(identifier="ANN@example.com", **of)  # type: ignore[arg-type]
        code = await store.codes.newest(wanted)
        return None if code is None else code.value.reveal()

    async def _pulled(self, store: Store, run: str, **of: object) -> str | None:
        poll = Poll(identifier="ann@example.com", run=run, runs=(run,), grace=GRACE, **of)  # type: ignore[arg-type]
        code = await store.codes.pull(poll)
        return None if code is None else code.value.reveal()

    @looped
    async def test_the_newest_that_lives(self, place: Place) -> None:
        """By its receipt, in whatever state its delivery stands, of the kind, sender and time that are wanted; until its deadline."""
        store = await place.open()
        (claim,) = (await self._put(store, place, "111111", sender="a@larch.example")).claims
        await self._settled(store, claim, Accepted(), place)
        place.time.pass_by(SECOND)
        await store.put(arrival(draft("https://fir.example/x", sender="b@mail.fir.example", is_link=True), at=place.time.now()))
        await store.put(arrival(draft("a body", is_body=True), at=place.time.now()))
        assert await self._newest(store) == "https://fir.example/x"
        assert await self._newest(store, kinds=("code",)) == "111111"
        assert await self._newest(store, sender="larch.example") == "111111"
        assert await self._newest(store, sender="*@mail.fir.example") == "https://fir.example/x"
        assert await self._newest(store, kinds=("code",), since=place.time.now()) is None
        place.time.pass_by(LIFETIME - SECOND)
        assert await self._newest(store, kinds=("code",)) is None
        assert await self._newest(store) == "https://fir.example/x"
        await store.close()

    @looped
    async def test_a_run_gets_its_own(self, place: Place) -> None:
        """What came no longer than the grace before its first poll, the same again until a newer one comes, and nobody else's."""
        store = await place.open()
        await self._put(store, place, "111111", sender="a@larch.example")
        place.time.pass_by(GRACE + SECOND)
        assert await self._pulled(store, "tsk_1") is None
        await self._put(store, place, "222222", sender="b@larch.example", run="wr_9")
        assert await self._pulled(store, "tsk_1") is None
        assert await self._pulled(store, "wr_9") == "222222"
        await self._put(store, place, "333333", sender="c@larch.example")
        place.time.pass_by(2 * GRACE)
        assert [await self._pulled(store, "tsk_1") for _ in range(2)] == ["333333"] * 2
        assert await self._pulled(store, "tsk_1", is_new=True) is None
        given = await store.codes.given()
        assert {(one.reader, one.what, one.times) for one in given} == {("wr_9", "mail 2", 1), ("tsk_1", "mail 3", 2)}
        await store.close()

    @looped
    async def test_two_never_consume_one_code(self, place: Place) -> None:
        """Of many who ask at once each gets another one, and the last nothing; it is told to whom, and read by nobody after that."""
        store = await place.open()
        for number in range(3):
            await self._put(store, place, f"{number:06d}", sender=f"s{number}@larch.example")
        wanted = Wanted(identifier="ann@example.com")
        found = await asyncio.gather(*(store.codes.consume(wanted, reader=f"r{number}") for number in range(5)))
        codes = [one.value.reveal() for one in found if one is not None]
        assert sorted(codes) == ["000000", "000001", "000002"]
        assert await self._newest(store) is None
        assert not await store.codes.note("ann@example.com", way="api", reader="x", what="mail 1", is_consumed=False)
        live = await store.codes.live(identifiers=("ann@*",))
        assert [(one.value.reveal(), one.is_consumed) for one in live] == [(f"{n:06d}", True) for n in (2, 1, 0)]
        assert {one.is_consumed for one in await store.codes.given()} == {True}
        assert [line.event for line in await store.journal.after(mail_id=1)] == ["stored", "consumed"]
        await store.close()

    @looped
    async def test_live_codes_are_listed(self, place: Place) -> None:
        """Of identifiers by patterns, newest first, a mail that goes to several targets once, as many as are asked for."""
        store = await place.open()
        for name in ("ann", "bob", "cid"):
            both = (draft(identifier=f"{name}@x.example"), draft(identifier=f"{name}@x.example", target="other"))
            await store.put(arrival(*both, at=place.time.now()))
            place.time.pass_by(SECOND)
        assert [one.identifier[:3] for one in await store.codes.live(identifiers=("*@x.example",))] == ["cid", "bob", "ann"]
        assert [one.identifier[:3] for one in await store.codes.live(identifiers=("BOB@*", "ann@*"), limit=1)] == ["bob"]
        since = place.time.now() - SECOND
        assert [one.identifier[:3] for one in await store.codes.live(identifiers=("*",), since=since)] == ["cid"]
        assert await store.codes.live(identifiers=()) == ()
        await store.close()

    @looped
    async def test_an_authenticator_answers_for_one_identifier(self, place: Place) -> None:
        """Under its name and for its identifier, over a restart; another one takes neither; it can be bound to another, and forgotten."""
        store = await place.open()
        assert await store.vault.add_totp("shop", TOTP, identifier="Ann@example.com")
        assert not await store.vault.add_totp("shop", TOTP, identifier=None)
        assert not await store.vault.add_totp("other", TOTP, identifier="ann@EXAMPLE.com")
        assert await store.vault.add_totp("other", TOTP, identifier=None)
        await place.kill(store)
        store = await place.open()
        found = await store.vault.bound("ANN@example.com")
        assert found is not None
        assert (found.name, found.identifier, found.authenticator) == ("shop", "Ann@example.com", TOTP)
        assert [one.name for one in await store.vault.totps()] == ["other", "shop"]
        assert not await store.vault.bind_totp("other", "ann@example.com")
        assert not await store.vault.bind_totp("nobody", None)
        assert await store.vault.bind_totp("shop", None)
        assert await store.vault.bind_totp("other", "ann@example.com")
        assert await store.vault.bound("bob@example.com") is None
        assert await store.vault.remove_totp("other")
        assert not await store.vault.remove_totp("other")
        assert await store.vault.totp("other") is await store.vault.bound("ann@example.com") is None
        assert await store.vault.totp("shop") is not None
        await store.close()
