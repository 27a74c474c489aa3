"""The operator API at a desk: roles, faults as problem+json, changes that are done once, and codes that are shown only on demand."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx

from mailbridge.cli.exits import Exit
from mailbridge.core.secret import MASK
from mailbridge.operator.faults import FAULTS, Fault, Kind, fault_of
from mailbridge.operator.verbs import VERBS
from tests.web.desk import ADMIN, Desk, at_desk

ANN = "ann@corp.com"


async def post(desk: Desk, path: str, body: Any = None, *, headers: dict[str, str], key: str = "") -> httpx.Response:
    """A POST with a JSON body, and a key if one is given."""
    more = {"Idempotency-Key": key} if key else {}
    return await desk.client.post(path, json={} if body is None else body, headers={**headers, **more})


def test_every_kind_of_fault_has_one_meaning() -> None:
    """Over HTTP and to a shell, in one table; what travels as problem+json comes back as it was."""
    assert set(FAULTS) == set(Kind)
    for kind, meaning in FAULTS.items():
        assert meaning.exit_code in set(Exit)
        assert 400 <= meaning.status < 600
        fault = Fault(kind=kind, title="why", problems=("a", "b"))
        assert fault_of(meaning.status, fault.as_problem()) == fault
    assert fault_of(502, None).kind is Kind.UPSTREAM
    assert fault_of(401, {"title": "who"}) == Fault(kind=Kind.NO_TOKEN, title="who")


def test_each_role_may_do_what_it_says(tmp_path: Path) -> None:
    """An agent's token opens no verb, a viewer's all that look, an operator's all; [http] token looks."""

    async def work(desk: Desk) -> None:
        await desk.mail("482913")
        agent, viewer = await desk.token(ANN), await desk.token("*", role="viewer")
        operator = await desk.token("*", role="operator")
        for verb in VERBS:
            path = verb.path.replace("{id}", "1")
            for who, headers in (
                ("agent", agent),
                ("viewer", viewer),
                ("operator", operator),
                ("admin", {"Authorization": f"Bearer {ADMIN}"}),
            ):
                answer = await desk.client.request(verb.method, path, headers=headers, json={} if verb.method == "POST" else None)
                may = {
                    "agent": False,
                    "viewer": verb.role == "viewer",
                    "admin": verb.role == "viewer",
                    "operator": not verb.is_local,
                }[who]
                assert (answer.status_code != 403) is may, (verb.name, who, answer.text)
                if not may:
                    problem = answer.json()
                    assert answer.headers["content-type"] == "application/problem+json"
                    assert (problem["kind"], problem["status"]) == ("forbidden", 403)
                    assert "mailbridge token add --role" in problem["title"] or verb.is_local

    at_desk(tmp_path, work)


def test_a_viewer_sees_no_code(tmp_path: Path) -> None:
    """Lists are masked for viewers and operators; a viewer cannot wait for one; an operator asks for it by name, by POST."""

    async def work(desk: Desk) -> None:
        await desk.mail("482913")
        viewer, operator = await desk.token("*", role="viewer"), await desk.token("*", role="operator")
        for headers in (viewer, operator):
            for path in ("/api/v1/codes", "/api/v1/codes/live"):
                codes = (await desk.ask(path, headers=headers)).json()["codes"]
                assert [one["code"] for one in codes] == [MASK], path
        refused = await desk.ask("/api/v1/codes/wait", headers=viewer, identifier=ANN, timeout=0)
        assert refused.status_code == 403
        for path in (verb.path for verb in VERBS if verb.method == "GET"):
            answer = await desk.ask(path.replace("{id}", "1"), headers=viewer)
            assert "482913" not in answer.text, path
        shown = await post(desk, "/api/v1/codes/reveal", headers=operator)
        assert [one["code"] for one in shown.json()["codes"]] == ["482913"]
        assert (await desk.ask("/api/v1/codes/reveal", headers=operator)).status_code == 405
        latest = await post(desk, "/api/v1/codes/latest", {"identifier": ANN}, headers=operator)
        assert (latest.json()["code"], latest.headers["cache-control"]) == ("482913", "no-store")

    at_desk(tmp_path, work)


def test_an_agent_keeps_what_it_had(tmp_path: Path) -> None:
    """Its own codes in clear, and nobody else's."""

    async def work(desk: Desk) -> None:
        await desk.mail("482913")
        agent = await desk.token(ANN)
        codes = (await desk.ask("/api/v1/codes", headers=agent)).json()["codes"]
        assert [one["code"] for one in codes] == ["482913"]
        other = await desk.ask("/api/v1/codes", headers=agent, identifier="ben@corp.com")
        assert other.status_code == 403

    at_desk(tmp_path, work)


def test_a_double_click_is_done_once(tmp_path: Path) -> None:
    """Two requests with one key at the same time: one token is made, and both are answered with it."""

    async def work(desk: Desk) -> None:
        operator = await desk.token("*", role="operator")
        asked = {"role": "agent", "identifiers": [ANN], "name": "twice"}
        clicks = [post(desk, "/api/v1/tokens/add", asked, headers=operator, key="one") for _ in range(5)]
        answers = await asyncio.gather(*clicks)
        assert {one.status_code for one in answers} == {200}
        assert len({one.text for one in answers}) == 1
        assert sorted(one.headers.get("idempotency-replayed", "") for one in answers) == ["", "true", "true", "true", "true"]
        assert [one.name for one in await desk.store.entries.tokens()].count("twice") == 1
        other = await post(desk, "/api/v1/tokens/add", asked, headers=operator, key="two")
        assert other.json()["token"] != answers[0].json()["token"]

    at_desk(tmp_path, work)


def test_a_lost_answer_is_told_again(tmp_path: Path) -> None:
    """A client that hangs up before its answer finds it under its key, also as a fault; another caller's key is another one."""

    async def work(desk: Desk) -> None:
        operator, other = await desk.token("*", role="operator"), await desk.token("*", role="operator", name="other")
        asked = {"content": "U3ViamVjdDogYQoKYg==", "rcpt": "codes@bridge.example"}
        hurried = asyncio.create_task(post(desk, "/api/v1/mail/import", asked, headers=operator, key="k"))
        await asyncio.sleep(0)
        hurried.cancel()
        await asyncio.gather(hurried, return_exceptions=True)
        first = await post(desk, "/api/v1/mail/import", asked, headers=operator, key="k")
        again = await post(desk, "/api/v1/mail/import", asked, headers=operator, key="k")
        assert (first.status_code, again.text, again.headers["idempotency-replayed"]) == (200, first.text, "true")
        theirs = await post(desk, "/api/v1/mail/import", asked, headers=other, key="k")
        assert "idempotency-replayed" not in theirs.headers
        for _ in range(2):
            missing = await post(desk, "/api/v1/mail/999/release", headers=operator, key="m")
            assert (missing.status_code, missing.json()["kind"]) == (404, "not-found")
            assert missing.headers["content-type"] == "application/problem+json"

    at_desk(tmp_path, work)


def test_a_name_that_two_tokens_have_makes_them_no_one_caller(tmp_path: Path) -> None:
    """What one operator's key was answered, a new token in clear, is not told to the holder of another token of the same name."""

    async def work(desk: Desk) -> None:
        asked = {"role": "agent", "identifiers": [ANN], "name": "mine"}
        tokens = [await desk.token(line, role="operator", name="operator") for line in ("*", ANN)]
        mine, theirs = [await post(desk, "/api/v1/tokens/add", asked, headers=one, key="k") for one in tokens]
        assert "idempotency-replayed" not in theirs.headers
        assert mine.json()["token"] != theirs.json()["token"]

    at_desk(tmp_path, work)


def test_a_key_is_for_one_request(tmp_path: Path) -> None:
    """The same key for something else is refused, and nothing is done; one that is no key is a mistake."""

    async def work(desk: Desk) -> None:
        operator = await desk.token("*", role="operator")
        for name, status in (("first", 200), ("second", 409)):
            answer = await post(desk, "/api/v1/tokens/add", {"identifiers": ["*"], "name": name}, headers=operator, key="k")
            assert answer.status_code == status
        assert answer.json()["kind"] == "key-reused"
        assert "second" not in {one.name for one in await desk.store.entries.tokens()}
        for key in ("x" * 256, "with blank"):
            assert (await post(desk, "/api/v1/tokens/add", headers=operator, key=key)).status_code == 400

    at_desk(tmp_path, work)


def test_the_stored_answer_is_sealed(tmp_path: Path) -> None:
    """A token that was answered stands on no page of the database in clear."""

    async def work(desk: Desk) -> None:
        operator = await desk.token("*", role="operator")
        made = await post(desk, "/api/v1/tokens/add", {"identifiers": ["*"]}, headers=operator, key="k")
        text = made.json()["token"].encode()
        for path in tmp_path.iterdir():
            assert text not in path.read_bytes(), path

    at_desk(tmp_path, work)


def test_what_is_asked_wrongly_is_told_without_its_value(tmp_path: Path) -> None:
    """An unknown, doubled, missing or wrong member is 400, with its name; what was sent is not repeated."""

    async def work(desk: Desk) -> None:
        operator = await desk.token("*", role="operator")
        for query, named in (
            ("limit=secretly", "limit"),
            ("limit=0", "limit"),
            ("unknown=secretly", "unknown"),
            ("limit=1&limit=2", "limit"),
            ("since=null", "since"),
            ("state=secretly", "state"),
        ):
            answer = await desk.client.get(f"/api/v1/mail?{query}", headers=operator)
            assert answer.status_code == 400, query
            assert named in answer.json()["title"], query
            assert "secretly" not in answer.text, query
        for body in ('["secretly"]', "secretly", '{"identifier": 7}', "{}", '{"identifier": "a", "more": "secretly"}'):
            answer = await desk.client.post("/api/v1/codes/latest", content=body, headers=operator)
            assert (answer.status_code, "secretly" in answer.text) == (400, False), (body, answer.text)

    at_desk(tmp_path, work)


def test_the_journal_is_followed_by_a_cursor(tmp_path: Path) -> None:
    """From now on, or from a line on; a question that waits is answered when something happens."""

    async def work(desk: Desk) -> None:
        viewer = await desk.token("*", role="viewer")
        start = (await desk.ask("/api/v1/journal", headers=viewer)).json()["next"]
        waiting = asyncio.create_task(desk.ask("/api/v1/journal", headers=viewer, after=start, timeout=10))
        number = await desk.mail("482913")
        tail = (await waiting).json()
        assert [(line["event"], line["mail"]) for line in tail["lines"]] == [("stored", number)]
        assert tail["next"] == tail["lines"][-1]["id"]
        assert (await desk.ask("/api/v1/journal", headers=viewer, after=tail["next"])).json()["lines"] == []

    at_desk(tmp_path, work)
