"""Codes for anybody with a token: waited for without loss, consumed by one only, and shown to nobody else."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from mailbridge.core.otpauth import read_secrets
from mailbridge.operator.shown import stamp
from tests.web.desk import Desk, at_desk

WAIT = "/api/v1/codes/wait"


def test_a_long_poll_ends_when_the_mail_is_stored(tmp_path: Path) -> None:
    """The request is held open, and answered with the code as soon as that is on disk."""

    async def work(desk: Desk) -> None:
        waiting = asyncio.create_task(desk.wait(timeout=20))
        await desk.until_waiting()
        number = await desk.mail("482913")
        answer = await asyncio.wait_for(waiting, 5)
        assert (answer["code"], answer["kind"], answer["from"], answer["mail"]) == (
            "482913",
            "code",
            "no-reply@github.com",
            number,
        )
        assert not desk.waiting.is_anyone()

    at_desk(tmp_path, work)


def test_when_the_time_is_over_the_code_is_null(tmp_path: Path) -> None:
    """200 and no code, after the time asked for and not before."""

    async def work(desk: Desk) -> None:
        began = time.monotonic()
        assert await desk.wait(timeout=0.2) == {"identifier": "ann@corp.com", "code": None}
        assert time.monotonic() - began >= 0.2
        nothing = await desk.ask(WAIT, identifier="ann@corp.com", timeout=0)
        assert nothing.json()["code"] is None
        again = await desk.ask(WAIT, identifier="ann@corp.com", timeout=0, since=nothing.headers["Mailbridge-Since"])
        assert again.headers["Mailbridge-Since"] == nothing.headers["Mailbridge-Since"], (
            "the next wait begins where the first did"
        )

    at_desk(tmp_path, work)


def test_only_what_is_asked_for_ends_the_wait(tmp_path: Path) -> None:
    """Kind, sender (address, domain, pattern), time and run choose; the newest of what is left is given."""

    async def work(desk: Desk) -> None:
        await desk.mail("111111", sender="no-reply@mail.github.com", ago=60)
        await desk.mail("https://larch.example/in?t=1", kind="link", sender="hello@larch.example", ago=30)
        await desk.mail("333333", sender="id@larch.example", ago=20, task_id="tsk_1")
        since = (desk.clock.now() - timedelta(seconds=45)).isoformat()
        rows: list[tuple[dict[str, Any], str | None]] = [
            ({}, "https://larch.example/in?t=1"),
            ({"kind": "code"}, "111111"),
            ({"kind": "link"}, "https://larch.example/in?t=1"),
            ({"from_": "github.com"}, "111111"),
            ({"from_": "@GitHub.com"}, "111111"),
            ({"from_": "*@mail.github.com"}, "111111"),
            ({"from_": "no-reply@mail.github.com"}, "111111"),
            ({"from_": "hub.com"}, None),
            ({"since": since, "kind": "code"}, None),
            ({"since": since}, "https://larch.example/in?t=1"),
            ({"since": str(time.time() - 45), "kind": "code", "run": "tsk_1"}, "333333"),
            ({"run": "tsk_2", "kind": "code"}, "111111"),
        ]
        for params, expected in rows:
            assert (await desk.wait(timeout=0, **params))["code"] == expected, params

    at_desk(tmp_path, work)


def test_a_code_from_before_the_grace_is_not_taken_for_the_awaited_one(tmp_path: Path) -> None:
    """Without ``since`` only what came in the last two minutes will do; with it anything that lives."""

    async def work(desk: Desk) -> None:
        await desk.mail("111111", ago=130)
        assert (await desk.wait(timeout=0))["code"] is None
        assert (await desk.wait(timeout=0, since="1970-01-01T00:00:00Z"))["code"] == "111111"

    at_desk(tmp_path, work)


def test_two_never_consume_one_code(tmp_path: Path) -> None:
    """Of twenty who wait at once and consume, ten mails serve ten, each code once; the others go away empty."""

    async def work(desk: Desk) -> None:
        waits = [asyncio.create_task(desk.wait(timeout=1, consume="true")) for _ in range(20)]
        await desk.until_waiting(20)
        codes = [f"{number:06d}" for number in range(10)]
        await asyncio.gather(*(desk.mail(code) for code in codes))
        given = [(await one)["code"] for one in waits]
        assert sorted(code for code in given if code) == codes
        assert (await desk.wait(timeout=0))["code"] is None
        assert await desk.code(task_id="tsk_1") == ""

    at_desk(tmp_path, work)


def test_reading_without_consuming_leaves_the_code_to_others(tmp_path: Path) -> None:
    """Two readers get the same code, and what was read may still be consumed, once."""

    async def work(desk: Desk) -> None:
        await desk.mail("482913", targets=("skyvern", "other"))
        assert [(await desk.wait(timeout=0))["code"] for _ in range(2)] == ["482913"] * 2
        assert (await desk.wait(timeout=0, consume="true"))["code"] == "482913"
        assert (await desk.wait(timeout=0))["code"] is None

    at_desk(tmp_path, work)


def test_nothing_is_consumed_for_a_caller_who_has_hung_up(tmp_path: Path) -> None:
    """A request that was given up while it waited does not swallow the code that comes afterwards."""

    async def work(desk: Desk) -> None:
        gone = asyncio.create_task(desk.wait(timeout=20, consume="true"))
        await desk.until_waiting()
        gone.cancel()
        await desk.until_waiting(0)
        await desk.mail("482913")
        assert (await desk.wait(timeout=0, consume="true"))["code"] == "482913"

    at_desk(tmp_path, work)


def test_nothing_is_consumed_by_a_request_whose_answer_has_no_body(tmp_path: Path) -> None:
    """HEAD is 405, and the code is still there."""

    async def work(desk: Desk) -> None:
        await desk.mail("482913")
        answer = await desk.client.head(WAIT, params={"identifier": "ann@corp.com", "consume": "true"})
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
        assert (await desk.wait(timeout=0))["code"] == "482913"

    at_desk(tmp_path, work)


def test_a_token_reads_its_own_identifiers_only(tmp_path: Path) -> None:
    """Patterns choose them; another identifier is 403 whether or not a code is there, and lists leave it out."""

    async def work(desk: Desk) -> None:
        await desk.mail("111111", to="ann@corp.com")
        await desk.mail("222222", to="ben@other.example")
        token = await desk.token("*@CORP.com")
        assert (await desk.ask(WAIT, headers=token, identifier="Ann@corp.com", timeout=0)).json()["code"] == "111111"
        for identifier in ("ben@other.example", "nobody@other.example"):
            for path in (WAIT, "/api/v1/codes"):
                answer = await desk.ask(path, headers=token, identifier=identifier)
                assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
        listed = (await desk.ask("/api/v1/codes", headers=token)).json()["codes"]
        assert [one["code"] for one in listed] == ["111111"]
        await desk.code("ben@other.example", task_id="tsk_1")
        assert (await desk.ask("/api/v1/waiting", headers=token)).json() == {"waiting": []}
        assert [one["identifier"] for one in (await desk.ask("/api/v1/given", headers=token)).json()["given"]] == ["ann@corp.com"]

    at_desk(tmp_path, work)


def test_without_a_good_token_there_is_401_and_nothing_else(tmp_path: Path) -> None:
    """No token, an unknown, an expired or a removed one, another scheme: all alike, on every route."""

    async def work(desk: Desk) -> None:
        await desk.mail("482913")
        expired = await desk.token("*", expires_at=desk.clock.now() - timedelta(seconds=1), name="old")
        removed = await desk.token("*", name="removed")
        await desk.store.entries.remove_token((await desk.store.entries.tokens())[-1].id)
        bodies = set()
        for path in (WAIT, "/api/v1/codes", "/api/v1/waiting", "/api/v1/given", "/api/v1/events"):
            for headers in ({}, expired, removed, {"Authorization": "Basic YTpi"}, {"Authorization": "Bearer mbt_unknown"}):
                answer = await desk.ask(path, headers=headers, identifier="ann@corp.com")
                assert answer.status_code == 401
                assert answer.headers["www-authenticate"].startswith("Bearer")
                bodies.add(answer.text)
        assert len(bodies) == 1

    at_desk(tmp_path, work)


def test_no_answer_of_the_api_is_kept_on_the_way(tmp_path: Path) -> None:
    """A code, a list, a refusal, a bad request, a poll's answer: all of them say that no cache may store them."""

    async def work(desk: Desk) -> None:
        await desk.mail("482913")
        answers = [await desk.poll(run="1"), await desk.client.post("/skyvern/totp/ann@corp.com")]
        for path in (WAIT, "/api/v1/codes", "/api/v1/waiting", "/api/v1/given", "/api/v1/nothing"):
            answers.append(await desk.ask(path, identifier="ann@corp.com"))
            answers.append(await desk.ask(path, identifier="ann@corp.com", headers={}))
        answers.append(await desk.ask("/api/v1/codes", identifier=" "))
        assert {answer.status_code for answer in answers} >= {200, 400, 401, 404}
        assert [str(one.url) for one in answers if one.headers.get("cache-control") != "no-store"] == []

    at_desk(tmp_path, work)


def test_guessing_tokens_is_slowed_down(tmp_path: Path) -> None:
    """After many 401s a client is told to come back later, and who has a token still gets through."""

    async def work(desk: Desk) -> None:
        statuses = [(await desk.ask("/api/v1/codes", headers={})).status_code for _ in range(40)]
        assert statuses[0] == 401
        assert statuses[-1] == 429
        assert (await desk.ask("/api/v1/codes")).status_code == 200

    at_desk(tmp_path, work)


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "identifier"),
    ({"identifier": " "}, "identifier"),
    ({"identifier": "a", "timeout": "61"}, "timeout"),
    ({"identifier": "a", "timeout": "nan"}, "timeout"),
    ({"identifier": "a", "since": "yesterday"}, "since"),
    ({"identifier": "a", "since": "2026-01-01T00:00:00"}, "since"),
    ({"identifier": "a", "kind": "body"}, "kind"),
    ({"identifier": "a", "consume": "1"}, "consume"),
    ({"identifier": "a", "consumed": "true"}, "consumed"),
    ({"identifier": ["a", "b"]}, "identifier"),
]


def test_a_bad_parameter_is_named(tmp_path: Path) -> None:
    """400 as problem+json, with the parameter's name."""

    async def work(desk: Desk) -> None:
        for params, name in BAD:
            answer = await desk.ask(WAIT, **params)
            assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json"), params
            assert answer.json()["title"].startswith(f"{name}: ")

    at_desk(tmp_path, work)


def test_an_identifier_for_which_nothing_can_come_is_told(tmp_path: Path) -> None:
    """404 to who holds a token, rather than a wait in vain; a poll of Skyvern for it is shown as unknown."""

    async def work(desk: Desk) -> None:
        answer = await desk.ask(WAIT, identifier="bob@corp.com")
        assert answer.status_code == 404
        assert "[identity] known" in answer.json()["title"]
        assert (await desk.ask(WAIT, headers={}, identifier="bob@corp.com")).status_code == 401
        assert await desk.code("bob@corp.com") == ""
        (wait,) = (await desk.ask("/api/v1/waiting")).json()["waiting"]
        assert (wait["identifier"], wait["is_known"]) == ("bob@corp.com", False)

    at_desk(tmp_path, work, is_known=lambda identifier: identifier == "ann@corp.com")


def test_a_code_may_be_expected(tmp_path: Path) -> None:
    """Whoever says so counts as waiting until then, once however often it is said; only for identifiers of one's own that are known."""

    async def expect(desk: Desk, headers: dict[str, str], **params: Any) -> httpx.Response:
        return await desk.client.post("/api/v1/expect", params=params, headers=headers)

    async def work(desk: Desk) -> None:
        token = await desk.token("*@corp.com")
        for seconds in (300, 5):
            before = stamp(desk.clock.now())
            answer = await expect(desk, token, identifier="ann@corp.com", seconds=seconds)
            assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
        (wait,) = desk.waiting.everybody()
        assert wait.until > desk.clock.now() + timedelta(seconds=290)
        assert answer.json() == {"identifier": "ann@corp.com", "since": answer.json()["since"], "until": stamp(wait.until)}
        assert before <= answer.json()["since"] <= stamp(desk.clock.now())
        assert desk.waiting.is_anyone()
        for headers, params, status in (
            ({}, {"identifier": "ann@corp.com"}, 401),
            (token, {"identifier": "ben@other.example"}, 403),
            (token, {"identifier": "ann@corp.com", "seconds": 601}, 400),
            (token, {"seconds": 5}, 400),
            (token, {"identifier": "bob@corp.com"}, 404),
        ):
            assert (await expect(desk, headers, **params)).status_code == status, params
        assert (await desk.ask("/api/v1/expect", identifier="ann@corp.com")).status_code == 405
        assert desk.waiting.count == 1

    at_desk(tmp_path, work, is_known=lambda identifier: identifier == "ann@corp.com")


def test_an_authenticator_answers_for_its_identifier(tmp_path: Path) -> None:
    """Its fresh code, unless a link or a certain sender is asked for; an unbound identifier has none."""
    (one,) = read_secrets("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")

    async def work(desk: Desk) -> None:
        await desk.store.vault.add_totp("acme", one, identifier="ann@corp.com")
        await desk.mail("111111")
        answer = await desk.wait(timeout=10)
        assert (answer["code"], answer["kind"]) == (one.code(one.counter(time.time())).reveal(), "totp")
        assert (await desk.wait(timeout=0, from_="github.com"))["code"] == "111111"
        assert (await desk.wait(timeout=0, kind="link"))["code"] is None
        assert (await desk.ask(WAIT, identifier="ben@corp.com", kind="totp")).status_code == 404

    at_desk(tmp_path, work)


def test_two_never_consume_one_code_of_an_authenticator(tmp_path: Path) -> None:
    """Whoever comes second in a period gets the code of the next."""
    (one,) = read_secrets("otpauth://totp/x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&period=1")

    async def work(desk: Desk) -> None:
        await desk.store.vault.add_totp("acme", one, identifier="ann@corp.com")
        answers = await asyncio.gather(*(desk.wait(timeout=20, consume="true") for _ in range(3)))
        assert len({answer["code"] for answer in answers}) == 3

    at_desk(tmp_path, work)


def test_a_stop_wakes_whoever_waits(tmp_path: Path) -> None:
    """An open long poll is answered with no code when the daemon stops, at once."""

    async def work(desk: Desk) -> None:
        waiting = asyncio.create_task(desk.wait(timeout=60))
        await desk.until_waiting()
        desk.waiting.close()
        assert (await asyncio.wait_for(waiting, 5))["code"] is None
        assert (await desk.wait(timeout=60))["code"] is None

    at_desk(tmp_path, work)


def test_events_come_as_they_happen_and_after_an_id(tmp_path: Path) -> None:
    """A stream tells of a mail when it is stored, of nobody else's, never the code, and goes on after Last-Event-ID."""

    async def read(desk: Desk, headers: dict[str, str], until_event: str, begun: asyncio.Event) -> list[str]:
        lines: list[str] = []
        async with desk.client.stream("GET", "/api/v1/events", headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for line in answer.aiter_lines():
                lines.append(line)
                begun.set()
                if len(lines) > 1 and lines[-2] == f"event: {until_event}":
                    return lines
        return lines

    async def work(desk: Desk) -> None:
        token = await desk.token("ann@corp.com")
        begun = asyncio.Event()
        following = asyncio.create_task(read(desk, token, "consumed", begun))
        await begun.wait()
        await desk.mail("111111", to="ben@corp.com")
        await desk.mail("482913")
        await desk.wait(timeout=0, consume="true")
        lines = await asyncio.wait_for(following, 10)
        assert [line for line in lines if line.startswith("event: ")] == ["event: stored", "event: consumed"]
        assert "482913" not in "".join(lines)
        first = next(line for line in lines if line.startswith("id: ")).removeprefix("id: ")
        again = await asyncio.wait_for(read(desk, {**token, "Last-Event-ID": first}, "consumed", begun), 10)
        assert [line for line in again if line.startswith("event: ")] == ["event: consumed"]

    at_desk(tmp_path, work)


def test_no_secret_is_on_disk_in_clear(tmp_path: Path) -> None:
    """Neither the code, nor the token, nor the authenticator's secret can be read out of the database's files."""
    (one,) = read_secrets("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")

    async def work(desk: Desk) -> None:
        await desk.mail("4829137")
        token = await desk.token("ann@corp.com", name="canary")
        await desk.store.vault.add_totp("acme", one, identifier=None)
        await desk.wait(timeout=0)
        octets = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        for secret in (b"4829137", token["Authorization"].removeprefix("Bearer ").encode(), b"GEZDGNBV", b"1234567890123"):
            assert secret not in octets
        assert b"canary" in octets

    at_desk(tmp_path, work)
