"""The peer itself: what it says of Skyvern is what Skyvern does."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from typing import Any

import httpx
import pytest

from tests.peers.scripted import Scripted, answer, scripted
from tests.peers.skyvern import Skyvern

pytestmark = pytest.mark.e2e


def polled(skyvern: Skyvern, scene: bytes, task_id: str = "") -> tuple[dict[str, Any], Scripted]:
    """What a poll makes of an endpoint that plays a scene, and what that endpoint heard."""

    async def main() -> tuple[dict[str, Any], Scripted]:
        async with scripted(scene) as server:
            return await asyncio.to_thread(lambda: skyvern.poll(f"{server.base_url}/skyvern/totp/ann", task_id=task_id)), server

    return asyncio.run(main())


def test_a_poll_is_skyverns_own_signed_request(skyvern: Skyvern) -> None:
    """One POST with the ids that are set, signed with the API key; the answer is what its code is."""
    found, server = polled(
        skyvern, answer(200, {"verification_code": "482913"}, Content_Type="application/json"), task_id="tsk_1"
    )
    assert (found["value"], found["kind"], found["is_conforming"]) == ("482913", "totp", True)
    (heard,) = server.heard
    assert (heard.method, heard.target, heard.json()) == ("POST", "/skyvern/totp/ann", {"task_id": "tsk_1"})
    signed = hmac.new(skyvern.api_key.encode(), heard.body, hashlib.sha256).hexdigest()
    assert heard.headers["x-skyvern-signature"] == [signed]


@pytest.mark.parametrize(
    ("scene", "is_conforming"),
    [(answer(200, {"verification_code": ""}, Content_Type="application/json"), True), (answer(404, {}), False)],
)
def test_a_poll_without_a_code_finds_nothing(skyvern: Skyvern, scene: bytes, is_conforming: bool) -> None:
    """An empty code is an answer as it should be, another status is none."""
    found, _ = polled(skyvern, scene)
    assert (found["value"], found["is_conforming"]) == (None, is_conforming)


def test_a_started_run_does_not_see_what_is_older(skyvern: Skyvern) -> None:
    """A run that began after a code came does not use it; one that has not begun does."""
    identifier = "started@example.com"
    body = {"totp_identifier": identifier, "content": "482913"}
    url = f"{skyvern.base_url}/v1/credentials/totp"
    httpx.post(url, json=body, headers={"x-api-key": skyvern.api_key}, trust_env=False).raise_for_status()
    assert skyvern.resolve(identifier, workflow_run_id=skyvern.make_run()).value == "482913"
    assert skyvern.resolve(identifier, workflow_run_id=skyvern.make_run(is_started=True)).value is None
