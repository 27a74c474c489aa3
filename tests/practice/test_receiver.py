"""The practice receiver on its bad days; what it does on good ones is in the contract suite that Skyvern shares."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from mailbridge.practice.receiver import KEPT, LIFESPAN, Practice
from tests.peers.practice import PracticePeer, running_practice

PUSH = "/v1/credentials/totp"
BODY = {"totp_identifier": "ann@example.com", "content": "482913"}


@pytest.fixture(scope="module")
def peer() -> Iterator[PracticePeer]:
    """One receiver on a real socket."""
    with running_practice() as running:
        yield running


@pytest.fixture
def client(peer: PracticePeer) -> Iterator[httpx.Client]:
    """Talks to it with its key; afterwards it behaves again."""
    with httpx.Client(base_url=peer.base_url, headers={"x-api-key": peer.api_key}, trust_env=False) as client:
        yield client
    peer.practice.fault()


@pytest.mark.parametrize("status", [307, 400, 403, 429, 500, 503, 599])
def test_it_answers_any_status_that_it_is_told_to(peer: PracticePeer, client: httpx.Client, status: int) -> None:
    """And keeps nothing then; told nothing, it behaves again."""
    assert client.post("/practice/fault", json={"status": status}).status_code == 200
    before = len(peer.practice.rows(limit=KEPT))
    assert client.post(PUSH, json=BODY).status_code == status
    assert len(peer.practice.rows(limit=KEPT)) == before
    assert client.post("/practice/fault", json={}).status_code == 200
    assert client.post(PUSH, json=BODY).status_code == 200


def test_it_takes_its_time(client: httpx.Client) -> None:
    """Seconds of delay, and then a sound answer."""
    client.post("/practice/fault", json={"latency": 0.2})
    began = time.monotonic()
    assert client.post(PUSH, json=BODY).status_code == 200
    assert time.monotonic() - began >= 0.2


def test_it_loses_its_answer_but_keeps_the_code(peer: PracticePeer, client: httpx.Client) -> None:
    """What a relay must be ready for: taken, and no word about it."""
    client.post("/practice/fault", json={"is_lost": True})
    with pytest.raises(httpx.TransportError):
        client.post(PUSH, json={**BODY, "content": "770011"})
    assert peer.practice.arrival("770011") is not None


def test_it_answers_garbage_but_keeps_the_code(peer: PracticePeer, client: httpx.Client) -> None:
    """200 and no JSON."""
    client.post("/practice/fault", json={"is_garbage": True})
    answer = client.post(PUSH, json={**BODY, "content": "770022"})
    assert answer.status_code == 200
    assert "html" in answer.text
    assert peer.practice.arrival("770022") is not None


@pytest.mark.parametrize("body", [b'{"speed": 1}', b"[]", b"{"])
def test_a_wrong_wish_is_told(client: httpx.Client, body: bytes) -> None:
    """A fault that it does not know is a 422 that names those it does."""
    answer = client.post("/practice/fault", content=body)
    assert answer.status_code == 422
    assert "latency" in answer.text


@pytest.mark.parametrize("moment", ["²²²²", "①", "9" * 5_000, "17640000001764000000", "\0", "later"])
def test_a_time_that_is_none_is_told(client: httpx.Client, moment: str) -> None:
    """Digits that are no number, or one out of all time, are a 422 and not a fault of ours."""
    answer = client.post(PUSH, json={**BODY, "expired_at": moment})
    assert answer.status_code == 422
    assert "expired_at" in answer.text


def test_a_run_can_be_made(client: httpx.Client) -> None:
    """So that a tagged recipient can be tried out."""
    run = client.post("/practice/run").json()["workflow_run_id"]
    assert client.post(PUSH, json={**BODY, "workflow_run_id": run}).json()["workflow_run_id"] == run


def test_it_keeps_a_bounded_number_of_codes() -> None:
    """The oldest go first."""
    practice = Practice()
    for number in range(KEPT + 10):
        practice.put({**BODY, "content": f"{number:06d}"}, at=float(number))
    assert len(practice.rows(limit=2 * KEPT)) == KEPT
    assert practice.arrival("000009") is None
    assert practice.arrival("000010") == 10.0


def test_a_code_lives_by_the_receivers_own_clock() -> None:
    """Ten minutes from when it was taken in."""
    now = [datetime(2026, 5, 1, 12, tzinfo=UTC)]
    practice = Practice(wall=lambda: now[0])
    practice.put(dict(BODY), at=0.0)
    now[0] += LIFESPAN - timedelta(seconds=1)
    assert practice.resolve("ann@example.com") == "482913"
    now[0] += timedelta(seconds=1)
    assert practice.resolve("ann@example.com") is None


def test_an_arrival_can_be_waited_for() -> None:
    """It comes while somebody waits, or not in time."""

    async def main() -> float:
        practice = Practice()
        waiting = asyncio.create_task(practice.wait_for("482913", patience=5))
        await asyncio.sleep(0)
        practice.put({**BODY, "content": "111111"}, at=1.0)
        practice.put(dict(BODY), at=2.0)
        with pytest.raises(TimeoutError):
            await practice.wait_for("000000", patience=0.01)
        return await waiting

    assert asyncio.run(main()) == 2.0


def test_a_code_shows_only_where_it_must() -> None:
    """The repr of a row holds no code."""
    assert "482913" not in repr(Practice().put(dict(BODY), at=0.0))
