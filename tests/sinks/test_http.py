"""HTTP targets: what a template makes is sent octet for octet, and a value is never more than a value."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from urllib.parse import parse_qsl
from xml.etree import ElementTree as ET

import pytest
from standardwebhooks.webhooks import Webhook

from mailbridge.config.settings import Method
from mailbridge.core.delivery import Accepted, Deferred
from mailbridge.core.happening import Event
from mailbridge.core.secret import Secret
from mailbridge.core.template import NAMES, filled, filled_header, names_in, place_of, unknown
from mailbridge.net.guard import Reach
from mailbridge.sinks import MailFields
from mailbridge.sinks.http import HttpSink, Shape, header_of
from mailbridge.sinks.posting import Address, Poster
from mailbridge.sinks.signing import key_of, new_secret
from tests.loop import looped
from tests.peers.scripted import Heard, answer, scripted
from tests.sinks.contract import CODE, NOW, claim

HOSTILE = '"},{"x":1}\r\nX-Evil: 1\r\n\r\n<a>&b;{code}{{}}%0d%0a\u2028\x00\ud800=&+ @everyone'


class OneMail:
    """Records of a store with one mail. Implements `mailbridge.sinks.Records`."""

    def __init__(self, mail: MailFields | None) -> None:
        self.mail_fields = mail
        self.asked: list[frozenset[str]] = []

    def event_id(self, kind: str, number: int, at: datetime) -> str:
        """The same for the same."""
        return f"evt_{kind}_{number}_{at:%H%M}"

    async def mail(self, mail_id: int, wanted: frozenset[str]) -> MailFields | None:
        """The one."""
        self.asked.append(wanted)
        return self.mail_fields


async def sent(
    shape: Shape,
    mail: MailFields | None = None,
    *,
    method: Method = "POST",
    keys: Sequence[bytes] = (),
    content: str = CODE,
    sender: str = "a@larch.example",
) -> Heard:
    """What one push with this shape sends."""
    async with scripted(answer(200)) as server:
        reach = Reach(is_inside_allowed=True)
        poster = Poster(
            Address(url=Secret(f"{server.base_url}/v1/codes?k=v"), method=method, reach=reach, timeout=timedelta(seconds=5))
        )
        sink = HttpSink(poster, shape, keys=keys)
        sink.read_from(OneMail(mail or MailFields()))
        one = claim(content)
        one = replace(one, delivery=replace(one.delivery, draft=replace(one.delivery.draft, sender=sender)))
        assert isinstance(await sink.push(one), Accepted)
        await sink.aclose()
    (heard,) = server.heard
    return heard


@looped
async def test_a_zap_that_posts_to_skyvern_is_a_template_octet_for_octet() -> None:
    """Data totp_identifier (Raw To Email), content (Body Plain) and source, headers x-api-key and Content-Type, sent as JSON."""
    shape = Shape(
        headers=[("x-api-key", "a-key"), ("Content-Type", "application/json")],
        json={"totp_identifier": "{raw_to}", "content": "{text}", "source": "email"},
    )
    mail = MailFields(raw_to="Ann+acme@Corp.example", text='Your "code" is\n482913')
    heard = await sent(shape, mail)
    assert heard.method == "POST"
    assert heard.target == "/v1/codes?k=v"
    assert heard.body == b'{"totp_identifier":"Ann+acme@Corp.example","content":"Your \\"code\\" is\\n482913","source":"email"}'
    assert heard.headers["x-api-key"] == ["a-key"]
    assert heard.headers["content-type"] == ["application/json"]
    assert heard.headers["content-length"] == [str(len(heard.body))]


@looped
async def test_what_has_no_value_is_left_out_and_nesting_is_kept() -> None:
    """In JSON and in forms; numbers, booleans and lists stand as they are; a code's place is empty for a link."""
    shape = Shape(json={"a": {"run": "{run}", "id": "{identifier}"}, "l": ["{link}", "{code}", 7], "on": True, "t": "run {run}."})
    assert json.loads((await sent(shape)).body) == {
        "a": {"id": "Ann+acme@example.com"},
        "l": [CODE, 7],
        "on": True,
        "t": "run .",
    }
    form = Shape(form={"who": "{identifier}", "run": "{run}", "note": "{{{kind}}}"})
    heard = await sent(form)
    assert heard.body == b"who=Ann%2Bacme%40example.com&note=%7Bcode%7D"
    assert heard.headers["content-type"] == ["application/x-www-form-urlencoded"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "GET", "DELETE"])
@looped
async def test_every_method_is_sent_as_such(method: Method) -> None:
    """Those without a body have none, and no length."""
    is_empty = method in ("GET", "DELETE")
    shape = Shape(headers=[("X-Code", "{code}")]) if is_empty else Shape(json={"c": "{code}"})
    heard = await sent(shape, method=method)
    assert heard.method == method
    assert heard.body == (b"" if is_empty else b'{"c":"482913"}')
    assert ("content-length" in heard.headers) is not is_empty


@looped
async def test_a_value_is_never_more_than_a_value() -> None:
    """Quotes, braces, line breaks, markup, NUL and halves of characters of a hostile mail stay in their place, whatever that is."""
    mail = MailFields(subject=HOSTILE, sender_name=HOSTILE, raw_to=HOSTILE, text=HOSTILE)
    heard = await sent(Shape(json={"s": "{subject}", "t": "x {text}"}, headers=[("X-From", "<{from_name}>")]), mail)
    found = json.loads(heard.body)
    assert set(found) == {"s", "t"}
    assert found["s"] == HOSTILE.replace("\ud800", "?")
    assert "x-evil" not in heard.headers
    assert len(heard.headers["x-from"]) == 1
    heard = await sent(Shape(form={"s": "{subject}"}), mail)
    assert [name for name, _ in parse_qsl(heard.body.decode(), keep_blank_values=True)] == ["s"]
    xml = Shape(raw='<m a="{subject}">{text}</m>', headers=[("Content-Type", "application/xml; charset=utf-8")])
    root = ET.fromstring((await sent(xml, mail)).body.decode())
    assert list(root) == []
    assert "<a>&b;{code}{{}}" in (root.text or "")
    raw = Shape(raw='{{"s": "{subject}"}}', headers=[("Content-Type", "application/json")])
    assert set(json.loads((await sent(raw, mail)).body)) == {"s"}
    assert "\r" not in filled_header("{subject}", {"subject": HOSTILE})


@looped
async def test_the_mail_is_read_only_where_its_text_is_named() -> None:
    """A template of what stands in the outbox asks for no more than the row; one that cannot be read now puts the push off."""
    records = OneMail(None)
    async with scripted(answer(200)) as server:
        poster = Poster(Address(url=Secret(server.base_url), reach=Reach(is_inside_allowed=True), timeout=timedelta(seconds=5)))
        sink = HttpSink(poster, Shape(json={"c": "{code}", "s": "{subject}"}))
        sink.read_from(records)
        assert isinstance(await sink.push(claim()), Deferred)
        await sink.aclose()
    assert server.heard == []
    assert records.asked == [frozenset({"code", "subject"})]


@looped
async def test_it_signs_where_there_is_a_secret() -> None:
    """As a webhook does, over its own body."""
    secret = new_secret()
    heard = await sent(Shape(json={"c": "{code}"}), keys=[key_of(secret)])
    Webhook(secret.reveal()).verify(heard.body, {name: values[0] for name, values in heard.headers.items()})
    assert heard.headers["webhook-id"] == [f"evt_delivery_1_{NOW:%H%M}"]


@looped
async def test_an_event_has_words_for_a_template_too() -> None:
    """``title``, ``message``, ``reason`` and ``type``."""
    async with scripted(answer(200)) as server:
        poster = Poster(Address(url=Secret(server.base_url), reach=Reach(is_inside_allowed=True), timeout=timedelta(seconds=5)))
        sink = HttpSink(poster, Shape(json={"t": "{type}", "h": "{title}", "m": "{message}", "r": "{reason}", "c": "{code}"}))
        event = Event(id="evt_1", type="mailbox.down", at=NOW, data={"mailbox": "gmail", "reason": "no answer"}, subject="gmail")
        assert isinstance(await sink.tell(event), Accepted)
        await sink.aclose()
    assert server.heard[0].json() == {
        "t": "mailbox.down",
        "h": "The mailbox gmail is not read any more",
        "m": "no answer; `mailbridge imap status`",
        "r": "no answer",
    }


@pytest.mark.parametrize(
    "line",
    [
        "",
        "x",
        ": y",
        "a b: c",
        "Host: evil.example",
        "Content-Length: 3",
        "connection: close",
        "X: ",
        "X: a\r\nY: b",
        "X(: y",
        "ä: b",
    ],
)
def test_what_is_no_header_is_refused_without_its_value(line: str) -> None:
    """Names are tokens (RFC 9110 5.6.2), values one line; what we make ourselves is left to us."""
    with pytest.raises(ValueError, match=r"must|made by") as fault:
        header_of(line)
    assert "evil" not in str(fault.value)


def test_every_name_and_only_those_is_known() -> None:
    """A misspelt name and a brace alone are found wherever they stand."""
    assert list(unknown({"a": ["{code} {cod}", {"b": "x { y"}], "{z}": "}"})) == ["cod", "{", "}"]
    assert list(unknown("".join(f"{{{name}}}" for name in NAMES))) == []
    assert list(names_in("{{code}} {code}")) == ["code"]
    assert filled("{{{code}}}", {"code": "{link}", "link": "no"}) == "{{link}}"


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        ("application/json", "json"),
        ("application/vnd.api+json; charset=utf-8", "json"),
        ("text/xml", "xml"),
        ("application/soap+xml", "xml"),
        ("text/html", "xml"),
        ("application/x-www-form-urlencoded", "form"),
        ("text/plain", "plain"),
        ("", "plain"),
    ],
)
def test_the_type_of_a_raw_body_says_how_values_are_escaped(kind: str, place: str) -> None:
    """By the media type, without its parameters."""
    assert place_of(kind) == place
