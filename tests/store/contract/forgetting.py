"""A store's contract: an identifier is forgotten, and answers of requests are kept for a day."""

from __future__ import annotations

from datetime import timedelta

from mailbridge.core.delivery import Accepted, State
from mailbridge.core.secret import Secret
from mailbridge.core.totp import Authenticator
from mailbridge.store import Filter
from mailbridge.store.answers import KEPT
from tests.loop import looped
from tests.store.contract import GRACE, Contract, Place
from tests.store.mails import arrival, draft

ANN, BEN = "ann@example.com", "ben@example.com"
KEY, REQUEST = b"k" * 32, b"r" * 32


class ForgettingContract(Contract):
    """What is forgotten is in no list, and nobody else loses anything."""

    @looped
    async def test_an_identifier_is_forgotten(self, place: Place) -> None:
        """Its mails, codes, deliveries and lines are gone; another's are as they were, and numbers go on."""
        store = await place.open()
        mine = await store.put(arrival(draft(identifier=ANN), at=place.time.now()))
        other = await store.put(arrival(draft(identifier=BEN), at=place.time.now(), fingerprint="other"))
        await store.codes.note(ANN, way="api", reader="ci", what=f"mail {mine.mail_id}", is_consumed=False)
        found = await store.forget(ANN.upper())
        assert (found.mails, found.deliveries) == (1, 1)
        assert found.lines > 0
        assert list(await store.mails.page(Filter(identifier=ANN))) == []
        assert list(await store.outbox.deliveries(Filter(identifier=ANN))) == []
        assert await store.mails.raw(mine.mail_id) is None
        assert await store.codes.live(identifiers=(ANN,)) == ()
        assert await store.codes.given() == ()
        assert await store.journal.after(mail_id=mine.mail_id) == ()
        assert [one.id for one in await store.mails.page(Filter(identifier=BEN))] == [other.mail_id]
        assert (await store.codes.live(identifiers=("*",)))[0].identifier == BEN
        again = await store.put(arrival(draft(identifier=ANN), at=place.time.now()))
        assert not again.is_duplicate
        assert again.mail_id > other.mail_id
        await store.close()

    @looped
    async def test_a_push_that_is_under_way_comes_back_to_nothing(self, place: Place) -> None:
        """The claim of a delivery that was forgotten meanwhile holds no longer, and nothing of it is written."""
        store = await place.open()
        (claim,) = (await store.put(arrival(draft(identifier=ANN), at=place.time.now()))).claims
        await store.forget(ANN)
        settled = await store.outbox.settle(claim, Accepted(ref="r1"), jitter=0.5, grace=GRACE)
        assert settled.delivery is None
        one = await store.outbox.one(claim.delivery.id)
        assert one is not None
        assert (one.state, one.draft.identifier, one.ref) == (State.EXPIRED, "", "")
        await store.close()

    @looped
    async def test_a_mail_for_two_stays_the_others(self, place: Place) -> None:
        """The other one keeps the code and the mail's line; octets, subject and the name are gone."""
        store = await place.open()
        both = (draft(identifier=ANN), draft(identifier=BEN))
        mail = await store.put(arrival(*both, at=place.time.now()))
        await store.forget(ANN)
        row = await store.mails.one(mail.mail_id)
        assert row is not None
        assert (row.identifiers, row.subject) == ((BEN,), "")
        assert await store.mails.raw(mail.mail_id) is None
        assert [one.identifier for one in await store.codes.live(identifiers=("*",))] == [BEN]
        await store.close()

    @looped
    async def test_what_people_configured_stays(self, place: Place) -> None:
        """Authenticators, entries and tokens are not what mails brought."""
        store = await place.open()
        secret = Authenticator(secret=Secret("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"))
        await store.vault.add_totp("shop", secret, identifier=ANN)
        await store.entries.put("address", "otp@bridge.example", {"identifier": ANN}, by="ann")
        await store.forget(ANN)
        assert await store.vault.bound(ANN) is not None
        assert len(await store.entries.entries()) == 1
        await store.close()

    @looped
    async def test_an_answer_is_kept_for_a_day(self, place: Place) -> None:
        """The first answer of a key stays, over a restart too, until its time is over; then the key is free."""
        store = await place.open()
        assert await store.answers.find(KEY) is None
        await store.answers.keep(KEY, request=REQUEST, answer=b"first")
        await store.answers.keep(KEY, request=b"x" * 32, answer=b"second")
        await place.kill(store)
        store = await place.open()
        found = await store.answers.find(KEY)
        assert found is not None
        assert (found.request, found.answer) == (REQUEST, b"first")
        assert b"first" not in repr(found).encode()
        place.time.pass_by(KEPT + timedelta(seconds=1))
        assert await store.answers.find(KEY) is None
        await store.answers.keep(KEY, request=b"x" * 32, answer=b"third")
        await store.sweep()
        found = await store.answers.find(KEY)
        assert found is not None
        assert found.answer == b"third"
        await store.close()

    @looped
    async def test_an_answer_that_names_somebody_is_forgotten_with_him(self, place: Place) -> None:
        """That it was done is still known, so that it is not done again; an answer that names nobody stays."""
        store = await place.open()
        await store.answers.keep(KEY, request=REQUEST, answer=f'{{"identifier": "{ANN}"}}'.encode())
        await store.answers.keep(b"o" * 32, request=REQUEST, answer=b"{}")
        await store.forget(ANN)
        found, other = await store.answers.find(KEY), await store.answers.find(b"o" * 32)
        assert found is not None
        assert found.answer is None
        assert other is not None
        assert other.answer == b"{}"
        await store.close()
