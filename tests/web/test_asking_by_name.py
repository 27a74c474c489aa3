"""Strangers' codes and links for who asks by name; links for polls that want links; what an answer says of itself."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pytest

from mailbridge.core.delivery import Standing
from tests.web.desk import KEY, Desk, at_desk

LINK = "https://acme.example/session/magic?token=abc"


def test_a_held_code_is_given_to_who_names_its_sender_and_to_nobody_else(tmp_path: Path) -> None:
    """Polls, lists and long polls without a name never see it; a name is an address, a domain or its pattern, and proven."""

    async def work(desk: Desk) -> None:
        await desk.mail("111111")
        await desk.mail("222222", sender="a@acme.example", domain="acme.example", standing=Standing.ASIDE)
        await desk.mail("333333", sender="a@fake.example", domain="", standing=Standing.ASIDE)
        assert await desk.code() == "111111"
        assert (await desk.wait(timeout=0))["code"] == "111111"
        assert [one["code"] for one in (await desk.ask("/api/v1/codes")).json()["codes"]] == ["111111"]
        for name in ("acme.example", "a@acme.example", "*@acme.example", "@acme.example"):
            assert (await desk.wait(timeout=0, from_=name))["code"] == "222222"
        for name in ("*", "*@*", "fake.example", "a@fake.example"):
            assert (await desk.wait(timeout=0, from_=name))["code"] in (None, "111111")

    at_desk(tmp_path, work)


def test_who_expects_a_sender_may_have_his_code(tmp_path: Path) -> None:
    """`expect` with a name counts for the caller's own waits, not for another's."""

    async def work(desk: Desk) -> None:
        await desk.mail("222222", sender="a@acme.example", domain="acme.example", standing=Standing.ASIDE)
        mine, other = await desk.token("*", name="mine"), await desk.token("*", name="other")
        path = "/api/v1/expect?identifier=ann@corp.com&from=acme.example"
        assert (await desk.client.post(path, headers=mine)).status_code == 200
        query = {"identifier": "ann@corp.com", "timeout": 0}
        assert (await desk.ask("/api/v1/codes/wait", headers=mine, **query)).json()["code"] == "222222"
        assert (await desk.ask("/api/v1/codes/wait", headers=other, **query)).json()["code"] is None

    at_desk(tmp_path, work)


def test_a_name_that_two_tokens_have_expects_nothing_for_the_other(tmp_path: Path) -> None:
    """What the holder of one token expects is not given to the holder of another of the same name."""

    async def work(desk: Desk) -> None:
        await desk.mail("222222", sender="a@acme.example", domain="acme.example", standing=Standing.ASIDE)
        mine, other = await desk.token("*", name="agent"), await desk.token("ann@corp.com", name="agent")
        path = "/api/v1/expect?identifier=ann@corp.com&from=acme.example"
        assert (await desk.client.post(path, headers=mine)).status_code == 200
        query = {"identifier": "ann@corp.com", "timeout": 0}
        assert (await desk.ask("/api/v1/codes/wait", headers=other, **query)).json()["code"] is None
        assert (await desk.client.post(path, headers=other)).status_code == 200
        for headers in (mine, other):
            assert (await desk.ask("/api/v1/codes/wait", headers=headers, **query)).json()["code"] == "222222"

    at_desk(tmp_path, work)


def test_a_known_code_goes_before_a_strangers_newer_one(tmp_path: Path) -> None:
    """For every reader who asks for no sender."""

    async def work(desk: Desk) -> None:
        await desk.mail("222222", sender="a@acme.example", domain="acme.example", standing=Standing.FIRST_SEEN, ago=1)
        await desk.mail("111111", ago=5)
        assert await desk.code() == "111111"
        assert (await desk.wait(timeout=0))["code"] == "111111"
        assert (await desk.wait(timeout=0, from_="acme.example"))["code"] == "222222"

    at_desk(tmp_path, work)


@pytest.mark.parametrize(("query", "wanted"), [("", "111111"), ("?kind=code", "111111"), ("?kind=link", LINK)])
def test_a_poll_says_by_its_query_what_it_wants(tmp_path: Path, query: str, wanted: str) -> None:
    """Skyvern keeps the query of its totp_url; the signature covers the body alone."""

    async def work(desk: Desk) -> None:
        await desk.mail(LINK, kind="link")
        await desk.mail("111111")
        signature = hmac.new(KEY.encode(), b"{}", hashlib.sha256).hexdigest()
        headers = {"x-skyvern-signature": signature}
        answer = await desk.client.post(f"/skyvern/totp/ann@corp.com{query}", content=b"{}", headers=headers)
        assert answer.json()["verification_code"] == wanted
        odd = await desk.client.post("/skyvern/totp/ann@corp.com?kind=both", content=b"{}", headers=headers)
        assert odd.status_code == 400

    at_desk(tmp_path, work)


def test_a_code_that_is_consumed_says_so(tmp_path: Path) -> None:
    """And one that is only read does not."""

    async def work(desk: Desk) -> None:
        await desk.mail("111111")
        assert (await desk.wait(timeout=0))["is_consumed"] is False
        assert (await desk.wait(timeout=0, consume="true"))["is_consumed"] is True

    at_desk(tmp_path, work)
