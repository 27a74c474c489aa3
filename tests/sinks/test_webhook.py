"""Webhooks by the letter of Standard Webhooks 1.0: the reference library accepts every attempt, and nothing is told that was not asked for."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from mailbridge.core.delivery import Accepted, Deferred, Doubtful, Refused
from mailbridge.core.happening import RECEIVED, Event
from mailbridge.core.secret import Secret
from mailbridge.net.guard import Reach
from mailbridge.sinks.posting import Address, Poster, shown_address, web_address
from mailbridge.sinks.signing import key_of, new_secret, signed
from mailbridge.sinks.webhook import WebhookSink
from tests.loop import looped
from tests.peers.scripted import Heard, Scripted, answer, scripted
from tests.sinks.contract import CODE, NOW, claim

INSIDE = Reach(is_inside_allowed=True, is_inside_only=True)


def headers_of(heard: Heard) -> dict[str, str]:
    """The headers as the reference library wants them."""
    return {name: values[0] for name, values in heard.headers.items()}


def at(server: Scripted, *secrets: Secret, include_code: bool = False) -> WebhookSink:
    """A webhook at a scripted server, signed with these secrets."""
    poster = Poster(Address(url=Secret(f"{server.base_url}/hook"), reach=INSIDE, timeout=timedelta(seconds=5)))
    return WebhookSink(poster, keys=[key_of(one) for one in secrets], include_code=include_code)


@looped
async def test_the_reference_library_accepts_every_attempt() -> None:
    """Each attempt is signed anew over the octets that are sent; the id stays, and stays another delivery's."""
    secret = new_secret()
    verifier = Webhook(secret.reveal())
    async with scripted(answer(500), answer(204)) as server:
        sink = at(server, secret, include_code=True)
        assert isinstance(await sink.push(claim()), Deferred)
        assert isinstance(await sink.push(claim()), Accepted)
        assert isinstance(await sink.push(claim("111111", number=2)), Accepted)
        await sink.aclose()
    told = [verifier.verify(heard.body, headers_of(heard)) for heard in server.heard]
    assert [one["data"]["code"] for one in told] == [CODE, CODE, "111111"]
    ids = [heard.headers["webhook-id"][0] for heard in server.heard]
    assert ids[0] == ids[1] != ids[2]
    assert all("." not in one for one in ids)
    assert told[0]["type"] == RECEIVED
    assert datetime.fromisoformat(told[0]["timestamp"]) == NOW
    with pytest.raises(WebhookVerificationError):
        verifier.verify(server.heard[0].body + b" ", headers_of(server.heard[0]))


def test_the_timestamp_is_that_of_the_attempt() -> None:
    """The same event a minute later: another timestamp, another signature, and both verify where the clock is right."""
    key, body = key_of(new_secret()), b"{}"
    first, later = (signed([key], "evt_1", NOW + timedelta(seconds=after), body) for after in (0, 60))
    assert first[0] == later[0]
    assert int(later[1][1]) - int(first[1][1]) == 60
    assert first[2] != later[2]


@looped
async def test_both_secrets_sign_while_one_is_changed() -> None:
    """A receiver that knows the old or the new one takes it; a third takes nothing."""
    new, old, other = new_secret(), new_secret(), new_secret()
    async with scripted(answer(204)) as server:
        sink = at(server, new, old)
        await sink.push(claim())
        await sink.aclose()
    (heard,) = server.heard
    for secret in (new, old):
        Webhook(secret.reveal()).verify(heard.body, headers_of(heard))
    with pytest.raises(WebhookVerificationError):
        Webhook(other.reveal()).verify(heard.body, headers_of(heard))


@looped
async def test_a_code_is_told_only_where_that_was_asked_for() -> None:
    """Without it neither the code nor the subject is there; the identifier, the times and the numbers are."""
    async with scripted(answer(204)) as server:
        sink = at(server, new_secret())
        await sink.push(claim())
        await sink.aclose()
    (heard,) = server.heard
    assert CODE.encode() not in heard.body
    data = json.loads(heard.body)["data"]
    assert set(data) == {"identifier", "kind", "from", "received_at", "expires_at", "delivery", "target"}


@pytest.mark.parametrize(
    ("scene", "kind", "alarm"),
    [
        (answer(200, b"x" * 65_536), Accepted, False),
        (answer(204), Accepted, False),
        (answer(299), Accepted, False),
        (answer(302, Location="http://127.0.0.1:9/"), Refused, True),
        (answer(410), Refused, True),
        (answer(404), Refused, True),
        (answer(422), Refused, False),
        (answer(425), Deferred, False),
        (answer(507), Deferred, False),
        (answer(401), Deferred, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", Doubtful, False),
    ],
)
@looped
async def test_every_answer_has_one_meaning(scene: bytes, kind: type, alarm: bool) -> None:
    """2xx is success and nothing else is; an answer of 64 KiB is read and forgotten."""
    async with scripted(scene) as server:
        poster = Poster(Address(url=Secret(server.base_url), reach=INSIDE, timeout=timedelta(milliseconds=500)))
        sent = await poster.send(b"{}", [])
        await poster.aclose()
    assert isinstance(sent.outcome, kind)
    assert getattr(sent.outcome, "is_alarm", False) is alarm
    assert len(sent.text) <= 2_000
    assert getattr(sent.outcome, "is_gone", False) is (sent.status == 410)


@looped
async def test_other_events_are_told_as_they_are() -> None:
    """The id is that of the event, the data what it says; a second attempt says the same."""
    secret = new_secret()
    event = Event(id="evt_7", type="mail.held", at=datetime.now(UTC), data={"reason": "no proof", "mail": 7})
    async with scripted(answer(503), answer(200)) as server:
        sink = at(server, secret)
        assert isinstance(await sink.tell(event), Deferred)
        assert isinstance(await sink.tell(event), Accepted)
        await sink.aclose()
    first, second = server.heard
    assert first.body == second.body
    assert Webhook(secret.reveal()).verify(second.body, headers_of(second))["data"] == {"reason": "no proof", "mail": 7}
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == ["evt_7"]


@looped
async def test_a_wish_to_wait_is_read_where_chat_services_say_it() -> None:
    """Discord: seconds in the body. Telegram: in its parameters. Whatever is no number is no wish."""
    for body, wish in (
        ({"retry_after": 1.5}, timedelta(seconds=1.5)),
        ({"ok": False, "parameters": {"retry_after": 7}}, timedelta(seconds=7)),
        ({"retry_after": "soon"}, None),
        ([], None),
        ("no JSON", None),
    ):
        async with scripted(answer(429, body)) as server:  # type: ignore[arg-type]
            poster = Poster(Address(url=Secret(server.base_url), reach=INSIDE, timeout=timedelta(seconds=5)))
            sent = await poster.send(b"", [])
            await poster.aclose()
        assert isinstance(sent.outcome, Deferred)
        assert sent.outcome.retry_after == wish


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "whsec_AAAA",
        base64.b64encode(b"k" * 32).decode(),
        "whsec_" + base64.b64encode(b"k" * 65).decode(),
        "whsec_" + base64.b64encode(b"k" * 32).decode() + "!",
        "whsk_" + base64.b64encode(b"k" * 32).decode(),
    ],
)
def test_what_is_no_secret_is_told_without_it(text: str) -> None:
    """Prefix, Base64, 24 to 64 octets."""
    with pytest.raises(ValueError, match="whsec_") as fault:
        key_of(Secret(text))
    assert len(text) < 8 or text not in str(fault.value)


@pytest.mark.parametrize(
    "url", ["", "ftp://x.example/", "https://", "https://u:p@x.example/", "https://x.example/#part", "//x.example"]
)
def test_what_is_no_address_is_told_without_it(url: str) -> None:
    """A path is often what authorizes a request, so a message never holds it."""
    with pytest.raises(ValueError, match=r"must|is no address"):
        web_address(Secret(url))
    assert shown_address(Secret("https://x.example:8443/services/T0/secret?k=v")) == "https://x.example:8443"


@looped
async def test_who_wrote_the_mail_cannot_speak_in_headers_or_numbers() -> None:
    """A hostile sender and identifier stay inside their JSON strings."""
    secret = new_secret()
    one = claim(identifier='x"}\r\nwebhook-id: forged\r\n\r\n@corp.example')
    one = replace(one, delivery=replace(one.delivery, rule='"\\\ud800'))
    async with scripted(answer(204)) as server:
        sink = at(server, secret)
        assert isinstance(await sink.push(one), Accepted)
        await sink.aclose()
    (heard,) = server.heard
    data = Webhook(secret.reveal()).verify(heard.body, headers_of(heard))["data"]
    assert data["identifier"] == one.delivery.draft.identifier
    assert heard.headers["webhook-id"] != ["forged"]
