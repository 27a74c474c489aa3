"""The pull endpoint keeps Skyvern's contract, gives each run the right code, and nothing to who has no key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mailbridge.app.targets import main_target, pull_keys
from mailbridge.config.settings import PullSettings, Settings, SkyvernSettings, TargetSettings
from mailbridge.core.otpauth import read_secrets
from mailbridge.core.secret import Secret
from mailbridge.web.limits import MOST_BODY, RateLimit
from mailbridge.web.pull import PullKey
from tests.web.desk import KEY, Desk, at_desk

CODE = "482913"


def test_a_signed_poll_is_answered_with_the_code_as_a_string(tmp_path: Path) -> None:
    """200, JSON, not to be stored, the request's own task_id, and the code exactly as the mail showed it."""

    async def work(desk: Desk) -> None:
        await desk.mail("012345")
        answer = await desk.poll(task_id="tsk_1", workflow_run_id="wr_1", workflow_permanent_id="wpid_1")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json() == {"task_id": "tsk_1", "verification_code": "012345"}

    at_desk(tmp_path, work)


def test_while_there_is_no_code_the_answer_is_an_empty_string(tmp_path: Path) -> None:
    """Also for an identifier that nobody knows, and for a body that has no ids or is no JSON: 200 whenever it is signed."""

    async def work(desk: Desk) -> None:
        for body in (b"{}", b"", b"[1]", b"not JSON", b"\xff\xfe", b'{"task_id":7}', b"[" * 60_000):
            answer = await desk.poll("nobody@corp.com", body)
            assert (answer.status_code, answer.json()) == (200, {"task_id": None, "verification_code": ""})

    at_desk(tmp_path, work)


UNSIGNED: list[dict[str, str | bytes]] = [
    {},
    {"x-skyvern-signature": ""},
    {"x-skyvern-signature": "0" * 64},
    {"x-skyvern-signature": "0" * 63},
    {"x-skyvern-signature": "é" * 64},
    {"x-skyvern-signature": "\u0663".encode() * 32},
    {"x-skyvern-signature": hmac.new(b"another key", b"{}", hashlib.sha256).hexdigest()},
    {"x-skyvern-signature": hmac.new(KEY.encode(), b"{ }", hashlib.sha256).hexdigest()},
    {"x-api-key": KEY},
]


def test_without_a_valid_signature_there_is_401_and_nothing_else(tmp_path: Path) -> None:
    """Missing, malformed, non-ASCII, of another key or another body: the same 401, whether a code is there or not."""

    async def work(desk: Desk) -> None:
        await desk.mail(CODE)
        bodies = set()
        for headers in UNSIGNED:
            raw = [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers.items()]
            for who in ("ann@corp.com", "nobody@corp.com"):
                answer = await desk.client.post(f"/skyvern/totp/{who}", content=b"{}", headers=raw)
                assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json"), headers
                bodies.add(answer.text)
        assert len(bodies) == 1
        assert CODE not in bodies.pop()

    at_desk(tmp_path, work)


def test_two_signatures_are_none(tmp_path: Path) -> None:
    """A second signature header beside a valid one makes the request unsigned."""

    async def work(desk: Desk) -> None:
        good = hmac.new(KEY.encode(), b"{}", hashlib.sha256).hexdigest()
        headers = [("x-skyvern-signature", good), ("x-skyvern-signature", "0" * 64)]
        assert (await desk.client.post("/skyvern/totp/a@b.c", content=b"{}", headers=headers)).status_code == 401

    at_desk(tmp_path, work)


@pytest.mark.parametrize("more", [{"run_id": "tsk_1"}, {"status": "completed"}, {"run_type": "task_v2", "output": None}])
def test_a_webhook_that_skyvern_has_signed_is_no_poll(tmp_path: Path, more: dict[str, object]) -> None:
    """Its receiver has a good signature over it by the same key, and gets no code for it."""

    async def work(desk: Desk) -> None:
        await desk.mail(CODE)
        for given, status in (({"task_id": "tsk_1", "workflow_run_id": "wr_1"}, 200), ({"task_id": "tsk_1", **more}, 401)):
            body = json.dumps(given).encode()
            headers = {"x-skyvern-signature": hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest()}
            answer = await desk.client.post("/skyvern/totp/ann@corp.com", content=body, headers=headers)
            assert answer.status_code == status
            assert (CODE in answer.text) is (status == 200)

    at_desk(tmp_path, work)


def test_the_timestamp_is_never_a_reason_to_refuse(tmp_path: Path) -> None:
    """A timestamp hours off, no number, or none at all is answered like any other."""

    async def work(desk: Desk) -> None:
        good = hmac.new(KEY.encode(), b"{}", hashlib.sha256).hexdigest()
        for more in ({}, {"x-skyvern-timestamp": str(int(time.time()) + 18_000)}, {"x-skyvern-timestamp": "soon"}):
            headers = {"x-skyvern-signature": good, **more}
            assert (await desk.client.post("/skyvern/totp/a@b.c", content=b"{}", headers=headers)).status_code == 200

    at_desk(tmp_path, work)


def test_any_of_several_keys_signs_for_the_identifiers_that_it_serves(tmp_path: Path) -> None:
    """Old and new key during a rotation both work; the key of another organization does not open our identifiers."""

    async def work(desk: Desk) -> None:
        await desk.mail(CODE)
        await desk.mail("777777", to="x@other.example")
        other = PullKey(secret=Secret("key-of-other"), serves=lambda one: one.endswith("@other.example"))
        keys = (*desk.pulling.now.keys, PullKey(secret=Secret("newest"), serves=lambda _: True), other)
        desk.pulling.now = replace(desk.pulling.now, keys=keys)
        assert (await desk.poll(key=KEY, task_id="tsk_1")).json()["verification_code"] == CODE
        assert (await desk.poll(key="newest", task_id="tsk_2")).json()["verification_code"] == CODE
        assert (await desk.poll(key="key-of-other")).status_code == 401
        assert (await desk.poll("x@other.example", key="key-of-other")).json()["verification_code"] == "777777"

    at_desk(tmp_path, work)


def test_a_body_above_64_kib_is_not_read(tmp_path: Path) -> None:
    """413 by its length, and by what comes in where it does not say its length."""

    async def work(desk: Desk) -> None:
        assert (await desk.poll(body=b" " * MOST_BODY)).status_code == 200
        assert (await desk.poll(body=b" " * (MOST_BODY + 1))).status_code == 413

        async def parts() -> AsyncIterator[bytes]:
            for _ in range(10):
                yield b" " * 10_000

        answer = await desk.client.post("/skyvern/totp/a@b.c", content=parts(), headers={"x-skyvern-signature": "0" * 64})
        assert answer.status_code == 413

    at_desk(tmp_path, work)


def test_one_client_cannot_ask_without_end(tmp_path: Path) -> None:
    """After a burst the answer is 429 with Retry-After."""

    async def work(desk: Desk) -> None:
        statuses = [(await desk.client.post("/skyvern/totp/a@b.c", content=b"{}")) for _ in range(260)]
        limited = [answer for answer in statuses if answer.status_code == 429]
        assert statuses[0].status_code == 401
        assert limited
        assert int(limited[0].headers["retry-after"]) >= 1

    at_desk(tmp_path, work)


def test_unsigned_requests_take_nothing_from_signed_ones(tmp_path: Path) -> None:
    """However many came before from the same client, without a signature, with a wrong one or with another's key: 200 and the code."""

    async def work(desk: Desk) -> None:
        await desk.mail(CODE)
        wrong = {"x-skyvern-signature": hmac.new(b"another key", b"{}", hashlib.sha256).hexdigest()}
        statuses = set()
        for number in range(300):
            headers = wrong if number % 2 else {}
            statuses.add((await desk.client.post("/skyvern/totp/ann@corp.com", content=b"{}", headers=headers)).status_code)
        assert statuses == {401, 429}
        for run in range(100):
            assert await desk.code(task_id=f"tsk_{run}") == CODE
        assert (await desk.client.post("/skyvern/totp/ann@corp.com", content=b"{}")).status_code in (401, 429)

    at_desk(tmp_path, work)


def test_signed_polls_are_counted_by_themselves(tmp_path: Path) -> None:
    """One client cannot poll without end either, and what it does so costs unsigned requests nothing."""

    async def work(desk: Desk) -> None:
        assert [(await desk.poll()).status_code for _ in range(5)] == [200, 200, 200, 429, 429]
        assert (await desk.client.post("/skyvern/totp/ann@corp.com", content=b"{}")).status_code == 401

    at_desk(tmp_path, work, polls=RateLimit(rate=0.001, burst=3, now=time.monotonic))


def test_only_the_keys_of_skyverns_sign_polls() -> None:
    """The key of [skyvern] and those of further Skyverns, each for its identifiers; the secret of another kind of target never, and
    with keys in [pull] those alone."""
    further = TargetSettings(name="other", identifiers=("*@other.example",), api_key=Secret("key-of-other"))
    hook = msgspec.structs.replace(TargetSettings(name="hook", api_key=Secret("secret-of-hook")), kind="webhook")
    nobody = TargetSettings(name="none")
    settings = Settings(skyvern=SkyvernSettings(api_key=Secret("key-of-main")), target=(further, hook, nobody))
    found = {key.secret.reveal(): key.serves for key in pull_keys(settings, (main_target(settings, None), *settings.target))}
    assert set(found) == {"key-of-main", "key-of-other"}
    assert found["key-of-other"]("x@other.example")
    assert not found["key-of-other"]("ann@corp.example")
    listed = msgspec.structs.replace(settings, pull=PullSettings(keys=(Secret("listed"),)))
    assert [key.secret.reveal() for key in pull_keys(listed, (main_target(listed, None), *listed.target))] == ["listed"]


def test_it_never_redirects(tmp_path: Path) -> None:
    """A slash too many is part of the identifier, and other methods and paths are 405 and 404."""

    async def work(desk: Desk) -> None:
        assert (await desk.poll("ann@corp.com/")).status_code == 200
        assert (await desk.client.get("/skyvern/totp/ann@corp.com")).status_code == 405
        assert (await desk.client.post("/skyvern/totp")).status_code == 404
        assert (await desk.client.get("/healthz/")).status_code == 404

    at_desk(tmp_path, work)


def test_a_code_received_within_the_grace_is_given_and_an_older_one_never(tmp_path: Path) -> None:
    """119 s before a run's first poll will do, 121 s are the code of an earlier login, although both still live."""

    async def work(desk: Desk) -> None:
        await desk.mail("111111", ago=121)
        assert await desk.code(workflow_run_id="wr_1") == ""
        await desk.mail("222222", to="ben@corp.com", ago=119)
        assert await desk.code("ben@corp.com", workflow_run_id="wr_1") == "222222"

    at_desk(tmp_path, work)


def test_the_grace_counts_from_the_first_poll_of_the_run(tmp_path: Path) -> None:
    """What came after the first poll is given however long ago that is; without a grace what came before it is not."""

    async def work(desk: Desk) -> None:
        desk.pulling.now = replace(desk.pulling.now, grace=timedelta())
        await desk.mail("111111")
        assert await desk.code(task_id="tsk_1") == ""
        await desk.mail("222222")
        assert await desk.code(task_id="tsk_1") == "222222"
        assert await desk.code(task_id="tsk_2") == ""

    at_desk(tmp_path, work)


def test_the_same_code_is_given_again_until_a_newer_one_comes(tmp_path: Path) -> None:
    """Answers get lost, so a repeated poll is no new wish; a resend is."""

    async def work(desk: Desk) -> None:
        await desk.mail("111111")
        assert [await desk.code(task_id="tsk_1") for _ in range(3)] == ["111111"] * 3
        await desk.mail("222222")
        assert await desk.code(task_id="tsk_1") == "222222"

    at_desk(tmp_path, work)


def test_several_runs_wait_on_one_identifier(tmp_path: Path) -> None:
    """Each is given the code, and what each was given, and when, is recorded."""

    async def work(desk: Desk) -> None:
        for run in ("wr_1", "wr_2"):
            assert await desk.code(workflow_run_id=run) == ""
        number = await desk.mail(CODE)
        for run in ("wr_1", "wr_2", "wr_2"):
            assert await desk.code(workflow_run_id=run) == CODE
        given = {one.reader: (one.what, one.times) for one in await desk.store.codes.given()}
        assert given == {"wr_1": (f"mail {number}", 1), "wr_2": (f"mail {number}", 2)}
        told = (await desk.ask("/api/v1/waiting")).json()["waiting"]
        assert [(one["who"], one["asked"], len(one["given"])) for one in told] == [("wr_1", 2, 1), ("wr_2", 3, 1)]
        assert CODE not in str(told)

    at_desk(tmp_path, work)


BOUND: list[tuple[dict[str, Any], dict[str, str], bool]] = [
    ({"workflow_run_id": "wr_7"}, {"workflow_run_id": "wr_7"}, True),
    ({"workflow_run_id": "wr_7"}, {"workflow_run_id": "wr_8"}, False),
    ({"workflow_run_id": "wr_7"}, {}, False),
    ({"task_id": "tsk_7"}, {"task_id": "tsk_7", "workflow_run_id": "wr_1"}, True),
    ({"task_id": "tsk_7"}, {"task_id": "tsk_8"}, False),
    ({"workflow_id": "w_7"}, {"workflow_run_id": "wr_7"}, False),
]


def test_a_code_that_is_bound_to_a_run_is_only_for_that_run(tmp_path: Path) -> None:
    """A run tag in the recipient address binds the code; everybody else goes on waiting."""

    async def work(desk: Desk) -> None:
        for number, (tag, ids, is_given) in enumerate(BOUND):
            await desk.mail(CODE, to=f"{number}@corp.com", **tag)
            assert await desk.code(f"{number}@corp.com", **ids) == (CODE if is_given else ""), (tag, ids)

    at_desk(tmp_path, work)


def test_a_bound_code_does_not_hide_an_older_free_one(tmp_path: Path) -> None:
    """Of a newer code for another run and an older free one, a run gets the free one."""

    async def work(desk: Desk) -> None:
        await desk.mail("111111", ago=5)
        await desk.mail("222222", workflow_run_id="wr_7")
        assert await desk.code(workflow_run_id="wr_1") == "111111"
        assert await desk.code(workflow_run_id="wr_7") == "222222"

    at_desk(tmp_path, work)


def test_only_live_codes_that_fit_are_given(tmp_path: Path) -> None:
    """Not what is over its time, no link, and nothing above the ten characters that Skyvern takes as they are."""

    async def work(desk: Desk) -> None:
        await desk.mail("111111", ago=60, lifetime=59)
        await desk.mail("https://corp.com/in?t=1", kind="link")
        await desk.mail("12345678901", to="ben@corp.com")
        await desk.mail(" 1234567890\n", to="eve@corp.com")
        assert [await desk.code(who) for who in ("ann@corp.com", "ben@corp.com", "eve@corp.com")] == ["", "", "1234567890"]

    at_desk(tmp_path, work)


def test_polls_without_ids_are_a_new_run_after_a_silence(tmp_path: Path) -> None:
    """`{}` names no run: while it polls on it is one, and later it is another, which is not given the old code."""

    async def work(desk: Desk) -> None:
        desk.pulling.now = replace(desk.pulling.now, grace=timedelta())
        assert await desk.code() == ""
        await desk.mail("111111")
        assert await desk.code() == "111111"
        for wait in desk.waiting.everybody():
            desk.waiting.end(wait)
        assert await desk.code() == ""

    at_desk(tmp_path, work)


def test_identifiers_are_the_same_in_any_case_and_may_hold_anything(tmp_path: Path) -> None:
    """Case is folded; slashes, blanks and letters of any script come through the URL."""

    async def work(desk: Desk) -> None:
        await desk.mail(CODE, to="Ann@Corp.com")
        assert await desk.code("aNN@corp.COM") == CODE
        for number, identifier in enumerate(("a/b c", "+14155557788", "ürsula@exämple.de", "100%")):
            await desk.mail(f"00000{number}", to=identifier)
            assert await desk.code(identifier.replace("%", "%25")) == f"00000{number}"

    at_desk(tmp_path, work)


def test_a_hidden_name_stands_for_the_identifier(tmp_path: Path) -> None:
    """The name is always the same for one identifier, shows nothing of it, and a changed letter makes it nobody's."""

    async def work(desk: Desk) -> None:
        await desk.mail(CODE)
        name = desk.store.names.name("ann@corp.com")
        assert name == desk.store.names.name("ann@corp.com")
        assert b"ann" not in base64.urlsafe_b64decode(name[2:] + "==")
        assert await desk.code(name) == CODE
        other = name[:-2] + ("A" if name[-2] != "A" else "B") + name[-1]
        assert await desk.code(other) == ""
        assert desk.store.names.identifier("t-\u00e9") is None

    at_desk(tmp_path, work)


def test_a_bound_identifier_is_answered_by_its_authenticator(tmp_path: Path) -> None:
    """The code is that of the secret at this moment, with at least three seconds left, and mails do not matter."""
    (one,) = read_secrets("otpauth://totp/x?secret=JBSWY3DPEHPK3PXP&period=7")

    async def work(desk: Desk) -> None:
        await desk.store.vault.add_totp("acme", one, identifier="Ann@corp.com")
        await desk.mail("111111")
        code = await desk.code()
        at = time.time()
        assert code == one.code(one.counter(at)).reveal()
        assert one.remaining(at) >= 2.9
        assert (await desk.store.codes.given())[0].what.startswith("totp acme ")

    at_desk(tmp_path, work)


def test_whoever_polls_is_known_to_wait_for_a_while(tmp_path: Path) -> None:
    """A poll counts as waiting until it is overdue, and tells whoever subscribed."""

    async def work(desk: Desk) -> None:
        told: list[str] = []
        desk.waiting.subscribe(told.append)
        await desk.code(task_id="tsk_1")
        (wait,) = desk.waiting.everybody()
        assert desk.waiting.waits_for("ANN@corp.com")
        assert wait.until - desk.clock.now() > timedelta(seconds=30)
        assert told == ["ann@corp.com"]

    at_desk(tmp_path, work)
