"""Codes stay readable for as long as they live, whatever became of the push; records and tokens are forgotten in time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from mailbridge.core.delivery import Accepted, Refused
from mailbridge.core.otpauth import read_secrets
from mailbridge.core.token import token_digest, token_text
from mailbridge.store.reading import Wanted, literal
from tests.loop import looped
from tests.store.mails import LIFETIME, arrival, draft
from tests.store.opening import settled
from tests.store.test_sqlite_contract import SqlitePlace
from tests.web.desk import Desk, at_desk

SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
JOURNAL = timedelta(days=31)


async def newest(desk: Desk, identifier: str = "ann@corp.com") -> str | None:
    """The newest code of an identifier."""
    code = await desk.store.codes.newest(Wanted(identifier=identifier))
    return None if code is None else code.value.reveal()


def test_a_code_is_readable_after_its_delivery_and_not_after_its_time(tmp_path: Path) -> None:
    """Delivered, dead, swept: until its deadline it is there for who asks."""

    async def work(desk: Desk) -> None:
        for code, to, outcome in (("111111", "a@corp.com", Accepted()), ("222222", "b@corp.com", Refused(reason="no"))):
            await desk.mail(code, to=to, lifetime=1.0)
            claim = desk.claims[-1]
            await desk.store.outbox.settle(claim, outcome, jitter=0, grace=timedelta())
            await desk.store.sweep()
            assert await newest(desk, to) == code
        async with asyncio.timeout(10):
            while await newest(desk, "b@corp.com") is not None:
                await asyncio.sleep(0.05)

    at_desk(tmp_path, work)


@looped
async def test_a_code_is_readable_after_a_restart(tmp_path: Path) -> None:
    """Also where everything was delivered when the daemon stopped: until its deadline a run may still ask for it."""
    place = SqlitePlace(tmp_path)
    store = await place.open()
    (claim,) = (await store.put(arrival(draft(), at=place.time.now()))).claims
    await settled(store, claim)
    await store.close()
    store = await place.open()
    wanted = Wanted(identifier="ann@example.com")
    assert await store.codes.newest(wanted) is not None
    place.time.pass_by(LIFETIME)
    assert await store.codes.newest(wanted) is None
    await store.close()


def test_a_newer_mail_is_newer_by_its_receipt(tmp_path: Path) -> None:
    """A mail that is stored late, from a mailbox, does not hide one that was received after it."""

    async def work(desk: Desk) -> None:
        await desk.mail("222222", ago=10)
        await desk.mail("111111", ago=60)
        assert await newest(desk) == "222222"
        assert [code.value.reveal() for code in await desk.store.codes.live(identifiers=("*@corp.com",))] == ["222222", "111111"]

    at_desk(tmp_path, work)


def test_a_pattern_of_an_identifier_matches_only_itself(tmp_path: Path) -> None:
    """Stars and brackets in an identifier are letters where one identifier is meant."""

    async def work(desk: Desk) -> None:
        await desk.mail("111111", to="a*[b]?")
        await desk.mail("222222", to="axxb")
        (code,) = await desk.store.codes.live(identifiers=(literal("A*[b]?"),))
        assert code.value.reveal() == "111111"

    at_desk(tmp_path, work)


def test_an_authenticator_belongs_to_its_name(tmp_path: Path) -> None:
    """A sealed secret that is moved to another name is nobody's."""
    (one,) = read_secrets(SECRET)

    async def work(desk: Desk) -> None:
        await desk.store.vault.add_totp("mine", one, identifier="ann@corp.com")
        found = await desk.store.vault.totp("mine")
        assert found is not None
        assert found.authenticator == one
        with apsw.Connection(str(tmp_path / "mailbridge.db")) as connection:
            connection.execute("UPDATE totp SET name = 'other'")
        assert await desk.store.vault.totp("other") is None
        assert await desk.store.vault.bound("ann@corp.com") is None

    at_desk(tmp_path, work)


def test_records_and_tokens_are_forgotten_with_the_journal(tmp_path: Path) -> None:
    """What was given, when a run first asked, and tokens that are long over are gone after the journal's time."""

    async def work(desk: Desk) -> None:
        await desk.mail("111111")
        await desk.code(task_id="tsk_1")
        await desk.token("*", name="over", expires_at=desk.clock.now() - timedelta(seconds=1))
        await desk.token("*", name="for ever")
        await desk.store.sweep()
        assert len(await desk.store.codes.given()) == 1
        with apsw.Connection(str(tmp_path / "mailbridge.db")) as connection:
            old = int(JOURNAL.total_seconds() * 1_000_000)
            connection.execute("UPDATE given SET first_at = first_at - ?, last_at = last_at - ?", (old, old))
            connection.execute("UPDATE run SET first_at = first_at - ?", (old,))
            connection.execute("UPDATE token SET expires_at = expires_at - ?", (old,))
        await desk.store.sweep()
        assert await desk.store.codes.given() == ()
        assert [one.name for one in await desk.store.entries.tokens()] == ["for ever"]
        with apsw.Connection(str(tmp_path / "mailbridge.db")) as connection:
            assert connection.execute("SELECT count(*) FROM run").fetchone() == (0,)

    at_desk(tmp_path, work)


def test_a_token_is_long_and_kept_as_a_hash(tmp_path: Path) -> None:
    """192 bits of chance, found by its digest alone, and never twice the same."""

    async def work(desk: Desk) -> None:
        text = token_text(bytes(range(24)))
        assert len(text) == 36
        with pytest.raises(ValueError, match="16 random octets"):
            token_text(b"too few")
        await desk.store.entries.add_token(token_digest(text), name="x", identifiers=("a", "b*"), expires_at=None)
        found = await desk.store.entries.token(token_digest(text))
        assert found is not None
        assert [found.may_read(one) for one in ("A", "bee", "c")] == [True, True, False]
        assert await desk.store.entries.token(token_digest(text + "x")) is None

    at_desk(tmp_path, work)
