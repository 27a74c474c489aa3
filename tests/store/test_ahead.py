"""The push need not wait for the disk, and a commit that fails after it harms nobody."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from mailbridge.core.delivery import Accepted, settle
from mailbridge.store import Receipt, StoreUnavailable
from tests.loop import looped, until
from tests.store.contract import GRACE
from tests.store.mails import arrival, draft
from tests.store.test_sqlite_contract import SqlitePlace


class Heard:
    """What was told ahead, and how much of it was on disk by then."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.receipts: list[Receipt] = []
        self.on_disk: list[int] = []

    def __call__(self, receipt: Receipt) -> None:
        with apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY) as connection:
            self.on_disk += [row[0] for row in connection.execute("SELECT count(*) FROM mail")]
        self.receipts.append(receipt)


def refuse(connection: apsw.Connection) -> None:
    """Make every commit from now on fail, as a disk that gives up does."""
    connection.set_commit_hook(lambda: True)


@looped
async def test_claims_are_told_once_before_the_answer(tmp_path: Path) -> None:
    """Whoever hands over gets the claims once, and before `put` returns."""
    place = SqlitePlace(tmp_path)
    store = place.open()
    heard = Heard(place.path)
    receipt = await store.put(arrival(draft(), at=place.time.now()), ahead=heard)
    assert heard.receipts == [receipt]
    assert [claim.delivery.draft.content.reveal() for claim in receipt.claims] == ["482913"]
    await store.close()


@looped
async def test_a_commit_that_fails_after_it_leaves_nothing(tmp_path: Path) -> None:
    """`put` raises, the claim that was handed over settles nothing, and the mail that comes again is a new one."""
    place = SqlitePlace(tmp_path)
    store = place.open()
    heard = Heard(place.path)
    await store._writer.do(refuse, is_read=True)
    with pytest.raises(StoreUnavailable):
        await store.put(arrival(draft(), at=place.time.now(), fingerprint="same"), ahead=heard)
    (claim,) = heard.receipts[0].claims
    step = settle(claim.delivery, Accepted(), now=place.time.now(), jitter=1.0, grace=GRACE)
    assert await store.settle(claim, step) == ()
    assert await store.deliveries() == ()
    again = await store.put(arrival(draft(), at=place.time.now(), fingerprint="same"))
    assert not again.is_duplicate
    assert [one.id for one in await store.deliveries()] != [claim.delivery.id]
    await store.close()


@looped
async def test_in_trouble_nothing_is_told_before_it_is_on_disk(tmp_path: Path) -> None:
    """After a commit that failed claims are handed over only when their mail is stored, until one has been."""
    place = SqlitePlace(tmp_path)
    store = place.open()
    await store._writer.do(refuse, is_read=True)
    with pytest.raises(StoreUnavailable):
        await store.put(arrival(draft(), at=place.time.now()), ahead=Heard(place.path))
    heard = Heard(place.path)
    await store._writer.do(refuse, is_read=True)
    with pytest.raises(StoreUnavailable):
        await store.put(arrival(draft(), at=place.time.now()), ahead=heard)
    assert heard.receipts == []
    receipt = await store.put(arrival(draft(), at=place.time.now()), ahead=heard)
    await until(lambda: heard.receipts)
    assert heard.receipts == [receipt]
    assert heard.on_disk == [1]
    await store.close()


@looped
async def test_a_commit_that_fails_after_it_leaves_a_doubt(tmp_path: Path) -> None:
    """What was told ahead may still arrive: the mail that comes again, and those after it, wait for the grace and are asked for."""
    place = SqlitePlace(tmp_path)
    store = place.open()
    await store._writer.do(refuse, is_read=True)
    with pytest.raises(StoreUnavailable):
        await store.put(arrival(draft(), at=place.time.now(), fingerprint="same"), ahead=Heard(place.path))
    again = await store.put(arrival(draft(), at=place.time.now(), fingerprint="same"))
    other = await store.put(arrival(draft("222222", sender="b@larch.example"), at=place.time.now()))
    assert (again.claims, other.claims) == ((), ())
    due = await store.claim(limit=10)
    assert (due.claims, due.next_at) == ((), place.time.now() + GRACE)
    place.time.pass_by(GRACE)
    (claim,) = (await store.claim(limit=10)).claims
    assert (claim.delivery.draft.content.reveal(), claim.delivery.is_doubtful) == ("482913", True)
    assert (await store.put(arrival(draft(identifier="bob@example.com"), at=place.time.now()))).claims != ()
    await store.close()
