"""The routes below /ingest: 2xx only behind the commit, every refusal with what to change, a proof once, memory bounded."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Route

from mailbridge.core.mail import Envelope
from mailbridge.core.secret import Secret
from mailbridge.ingress.http.service import Ingest, Lobby
from mailbridge.intake.admission import Admission, Rates
from mailbridge.intake.answer import Answer, Deferred, Full, Stored
from mailbridge.intake.doorway import Doorway
from mailbridge.intake.events import NoEvents
from mailbridge.store import Receipt
from mailbridge.store.entries import Token
from tests.ingress.http import posts
from tests.ingress.http.posts import MAIL, NOW, PROVIDERS, RCPT, Provider

WHSEC = "whsec_" + base64.b64encode(b"a secret of 24 octets...").decode()


@dataclass
class Desk:
    """A door that stores in a list and answers what it is told, and the callers that are known."""

    answer: Answer = field(default_factory=lambda: Stored(receipt=Receipt(mail_id=1)))
    stored: list[Envelope] = field(default_factory=list)
    spent: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)
    told: list[tuple[str, int]] = field(default_factory=list)
    admission: Admission = field(default_factory=lambda: Admission(is_ours=lambda rcpt: rcpt == RCPT, memory=1 << 20))
    webhook_secrets: tuple[Secret, ...] = (Secret(WHSEC),)

    async def accept(self, envelope: Envelope) -> Answer:
        if isinstance(self.answer, Stored):
            self.stored.append(envelope)
        return self.answer

    async def bearer(self, request: Request) -> Token | None:
        text = request.headers.get("authorization")
        if text is None:
            return None
        if text != "Bearer good":
            raise HTTPException(401, "unknown token")
        return Token(id=1, name="worker", identifiers=(), created_at=NOW, role="ingest")

    async def key(self, request: Request) -> Token:
        raise HTTPException(401, "no token")

    async def ask(self, envelope: Envelope, text: str, link: Secret) -> Answer:
        self.asked.append((text, link.reveal()))
        return self.answer

    async def has(self, proof: str) -> bool:
        return proof in self.spent

    async def spend(self, proof: str) -> None:
        self.spent.add(proof)


def _run(
    desk: Desk,
    work: Callable[[httpx.AsyncClient], Awaitable[Any]],
    *,
    largest: int = 100_000,
    providers: Sequence[Provider] = PROVIDERS,
) -> Any:
    """Run a dialogue with the routes."""
    doorway = Doorway(accept=desk.accept, admission=desk.admission, events=NoEvents(), now=lambda: NOW)
    lobby = Lobby(doorway=doorway, callers=desk, largest=largest, on_answer=lambda *told: desk.told.append(told))
    ingest = Ingest(lobby, adapters=lambda: [one.adapter for one in providers], spent=desk, ask=desk.ask)
    routes = [
        Route("/ingest/mime", ingest.mime, methods=["POST"]),
        Route("/ingest/{name}", ingest.provider, methods=["POST", "HEAD"]),
    ]

    async def main() -> Any:
        transport = httpx.ASGITransport(app=Starlette(routes=routes))
        async with httpx.AsyncClient(transport=transport, base_url="http://bridge") as client:
            return await work(client)

    return asyncio.run(main())


def _post(desk: Desk, provider: Provider, mail: bytes = MAIL, **options: Any) -> httpx.Response:
    posted = provider.post(mail, NOW)

    async def work(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post(f"/ingest/{provider.name}", content=posted.body, headers=dict(posted.headers))

    answer: httpx.Response = _run(desk, work, **options)
    return answer


def _mime(desk: Desk, *, headers: dict[str, str] | None = None, query: str = f"rcpt={RCPT}", **options: Any) -> httpx.Response:
    given = {"authorization": "Bearer good", "content-type": "message/rfc822"} if headers is None else headers

    async def work(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post(f"/ingest/mime?{query}", content=MAIL, headers=given)

    answer: httpx.Response = _run(desk, work, **options)
    return answer


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda one: one.name)
def test_what_is_stored_is_answered_with_success(provider: Provider) -> None:
    """The mail goes through the door with the provider as its peer, and nothing of it stays reserved."""
    desk = Desk()
    assert _post(desk, provider).status_code == 200
    (envelope,) = desk.stored
    assert (envelope.content, envelope.rcpt_to, envelope.ingress, envelope.peer) == (MAIL, (RCPT,), "http", provider.name)
    assert desk.admission.reserved == 0


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda one: one.name)
@pytest.mark.parametrize("answer", [Deferred(why="gone"), Full(), Deferred(why="proof")], ids=["gone", "full", "proof"])
def test_what_is_not_stored_is_to_come_again(provider: Provider, answer: Answer) -> None:
    """503 with Retry-After, and the proof is not spent: the same post is taken later."""
    desk = Desk(answer=answer)
    refused = _post(desk, provider)
    assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
    desk.answer = Stored(receipt=Receipt(mail_id=1))
    assert _post(desk, provider).status_code == 200


def test_a_proof_counts_once() -> None:
    """Mailgun's proof does not cover the mail: whoever saw one post cannot bring another mail with it."""
    desk = Desk()
    (mailgun,) = (one for one in PROVIDERS if one.name == "mailgun")
    assert _post(desk, mailgun).status_code == 200
    assert _post(desk, mailgun, MAIL.replace(b"482913", b"666666")).status_code == 401
    assert len(desk.stored) == 1


def test_a_proof_that_is_on_its_way_cannot_be_used_beside_it() -> None:
    """Two posts with one proof at once: one is stored."""
    desk, release = Desk(), asyncio.Event()
    (mailgun,) = (one for one in PROVIDERS if one.name == "mailgun")
    posted = mailgun.post(MAIL, NOW)
    stored = desk.accept

    async def slowly(envelope: Envelope) -> Answer:
        await release.wait()
        return await stored(envelope)

    desk.accept = slowly  # type: ignore[method-assign]

    async def work(client: httpx.AsyncClient) -> list[int]:
        tasks = [
            asyncio.create_task(client.post("/ingest/mailgun", content=posted.body, headers=dict(posted.headers)))
            for _ in range(2)
        ]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=30)
        assert len(done) == 1
        release.set()
        return sorted([(await task).status_code for task in tasks])

    assert _run(desk, work) == [200, 503]
    assert len(desk.stored) == 1


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda one: one.name)
def test_an_unknown_recipient_is_answered_as_the_provider_wants_it(provider: Provider) -> None:
    """With a status that it does not try again: nothing is stored."""
    desk = Desk(admission=Admission(is_ours=lambda _: False, memory=1 << 20))
    assert _post(desk, provider).status_code == provider.adapter.unknown_recipient
    assert desk.stored == []


@pytest.mark.parametrize(
    ("options", "status", "says"),
    [
        ({}, 204, ""),
        ({"headers": {"content-type": "message/rfc822"}}, 401, "token"),
        ({"headers": {"content-type": "text/plain", "authorization": "Bearer good"}}, 415, "message/rfc822"),
        ({"query": "rcpt=nobody@bridge.example"}, 404, "address list"),
        ({"query": ""}, 400, "rcpt"),
        ({"largest": 10}, 413, "max_size"),
    ],
)
def test_a_raw_mail_is_answered_with_what_to_change(options: dict[str, Any], status: int, says: str) -> None:
    """204 when stored; problem+json with a hint else."""
    answer = _mime(Desk(), **options)
    assert answer.status_code == status
    assert says in answer.text
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_raw_mail_may_be_signed_instead() -> None:
    """Standard Webhooks 1.0: over id, timestamp and octets; another octet, another id or an old stamp is refused, and each id counts once."""
    desk = Desk()

    def signed(body: bytes, *, number: str = "msg_1", at: int = int(NOW.timestamp())) -> dict[str, str]:
        mac = hmac.new(base64.b64decode(WHSEC[6:]), f"{number}.{at}.".encode() + body, hashlib.sha256).digest()
        made = f"v1,{base64.b64encode(mac).decode()}"
        return {
            "content-type": "message/rfc822",
            "webhook-id": number,
            "webhook-timestamp": str(at),
            "webhook-signature": f"v1a,x {made}",
        }

    assert _mime(desk, headers=signed(MAIL)).status_code == 204
    assert _mime(desk, headers=signed(MAIL)).status_code == 401
    assert _mime(desk, headers=signed(MAIL + b" ", number="msg_2")).status_code == 401
    assert _mime(desk, headers=signed(MAIL, number="msg_3", at=int(NOW.timestamp()) - 301)).status_code == 401
    assert _mime(desk, headers=signed(MAIL, number="msg_4", at=int(NOW.timestamp()) - 299)).status_code == 204
    assert len(desk.stored) == 2


def test_a_mail_beyond_the_largest_is_refused_while_it_comes() -> None:
    """413, and nothing stays reserved."""
    desk = Desk(admission=Admission(is_ours=lambda _: True, memory=1 << 30))
    (mailgun,) = (one for one in PROVIDERS if one.name == "mailgun")
    assert _post(desk, mailgun, MAIL + b"x" * (3 << 20)).status_code == 413
    assert desk.admission.reserved == 0


def test_where_memory_is_used_up_a_mail_is_to_come_again() -> None:
    """503 with Retry-After, as SMTP says 452."""
    desk = Desk(admission=Admission(is_ours=lambda _: True, memory=10))
    assert _mime(desk).status_code == 503


def test_floods_are_put_off() -> None:
    """429 with Retry-After once a sender has had its share; the share is the one of SMTP."""
    desk = Desk(admission=Admission(is_ours=lambda _: True, memory=1 << 20, rates=Rates(sender=1)))
    codes = [_mime(desk, query=f"rcpt={RCPT}&from=a@b.example").status_code for _ in range(12)]
    assert codes == [204] * 10 + [429] * 2


def test_a_provider_that_is_not_configured_is_not_there() -> None:
    """404: for a provider with the key that it lacks, for anything else with the providers that there are."""

    async def work(client: httpx.AsyncClient) -> dict[str, tuple[int, str]]:
        names = [*(one.adapter.name for one in PROVIDERS), "nobody"]
        answers = {name: await client.post(f"/ingest/{name}", content=b"x") for name in names}
        return {name: (answer.status_code, answer.json()["detail"]) for name, answer in answers.items()}

    told = _run(Desk(), work, providers=())
    _, hint = told.pop("nobody")
    for name, (status, detail) in told.items():
        assert status == 404
        assert detail.startswith(f"set [ingest] {name}_"), detail
        assert name in hint


def test_a_subscription_of_sns_is_told_and_not_stored(caplog: pytest.LogCaptureFixture) -> None:
    """200, a line for the operator without the link, and the question with its link for a person; 503 where that cannot be kept."""
    posted = posts.sns(
        "x", NOW, kind="SubscriptionConfirmation", SubscribeURL="https://sns.eu-west-1.amazonaws.com/?t=1", Token="t"
    )
    desk = Desk()

    async def work(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/ingest/ses", content=posted.body, headers=dict(posted.headers))

    with caplog.at_level("WARNING"):
        assert _run(desk, work).status_code == 200
    assert "Amazon SNS asks" in caplog.text
    assert "?t=1" not in caplog.text
    assert desk.stored == []
    assert [link for _, link in desk.asked] == ["https://sns.eu-west-1.amazonaws.com/?t=1"]
    desk.answer = Deferred(why="gone")
    assert _run(desk, work).status_code == 503


def test_a_client_that_leaves_changes_nothing() -> None:
    """A mail that is being stored is stored, whether or not somebody waits for the answer."""
    desk, begun, release = Desk(), asyncio.Event(), asyncio.Event()
    stored = desk.accept

    async def slowly(envelope: Envelope) -> Answer:
        begun.set()
        await release.wait()
        return await stored(envelope)

    desk.accept = slowly  # type: ignore[method-assign]

    async def work(client: httpx.AsyncClient) -> None:
        headers = {"authorization": "Bearer good", "content-type": "message/rfc822"}
        task = asyncio.create_task(client.post(f"/ingest/mime?rcpt={RCPT}", content=MAIL, headers=headers))
        await begun.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        release.set()
        async with asyncio.timeout(30):
            while not desk.stored:
                await asyncio.sleep(0)

    _run(desk, work)
    assert len(desk.stored) == 1
