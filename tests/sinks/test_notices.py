"""Notices: what each service is sent, and that no text of a mail's becomes markup, a mention or a secret there."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mailbridge.config.settings import NotifyKind, NotifySettings
from mailbridge.core.delivery import Accepted, Deferred, Refused
from mailbridge.core.happening import Event
from mailbridge.core.secret import Secret
from mailbridge.net.guard import Reach
from mailbridge.sinks.apprise import AppriseSink
from mailbridge.sinks.http import HttpSink
from mailbridge.sinks.notices import NTFY, TELEGRAM, notice_of
from mailbridge.sinks.posting import Address, Poster
from tests.loop import looped
from tests.peers.scripted import Heard, answer, scripted

PAGE = "https://bridge.example"
DOWN = Event(
    id="evt_1", type="mailbox.down", at=datetime(2026, 5, 1, tzinfo=UTC), data={"mailbox": "gmail", "reason": "no answer"}
)
HOSTILE = "@everyone @here <!channel> <@U123> *x* _y_ [a](https://evil.example) `z` \r\nX-Evil: 1\r\n\u202e {code} &amp; <b>"
"""What a mail server, a mail or an identifier might say."""


async def told(settings: NotifySettings, event: Event = DOWN) -> Heard:
    """What the service of a notice hears, its own address replaced by that of a test's server."""
    async with scripted(answer(200, {"ok": True})) as server:
        if settings.kind in ("ntfy", "telegram", "gotify"):
            settings = msgspec.structs.replace(settings, url=Secret(server.base_url))
        else:
            settings = msgspec.structs.replace(settings, url=Secret(f"{server.base_url}/services/a-secret"))
        notice = notice_of(settings, page=PAGE)
        poster = Poster(Address(url=notice.url, reach=Reach(is_inside_allowed=True), timeout=timedelta(seconds=5)))
        sink = HttpSink(poster, notice.shape)
        assert isinstance(await sink.tell(event), Accepted)
        await sink.aclose()
    (heard,) = server.heard
    return heard


def settings(kind: NotifyKind, **more: Any) -> NotifySettings:
    """A notice of a kind."""
    return NotifySettings(name="desk", kind=kind, **more)


TITLE, MESSAGE = "The mailbox gmail is not read any more", "no answer; `mailbridge imap status`"


@looped
async def test_each_service_gets_what_its_documentation_asks_for() -> None:
    """Path, headers and body of every kind; the page is linked where there is a place for it."""
    heard = await told(settings("ntfy", topic=Secret("a{topic}"), token=Secret("tk_1"), priority=4))
    assert (heard.target, heard.headers["authorization"]) == ("/", ["Bearer tk_1"])
    assert heard.json() == {"topic": "a{topic}", "title": TITLE, "message": MESSAGE, "click": PAGE, "priority": 4}
    heard = await told(settings("slack"))
    assert (heard.target, heard.json()) == ("/services/a-secret", {"text": f"*{TITLE}*\n{MESSAGE}"})
    heard = await told(settings("discord"))
    assert heard.json()["allowed_mentions"] == {"parse": []}
    assert str(heard.json()["content"]).startswith(f"**{TITLE}**\n")
    heard = await told(settings("telegram", token=Secret("12:ab"), chat="-100"))
    assert heard.target == "/bot12:ab/sendMessage"
    assert heard.json() == {"chat_id": "-100", "text": f"{TITLE}\n{MESSAGE}"}
    heard = await told(settings("gotify", token=Secret("Ak{1}"), priority=8))
    assert (heard.target, heard.headers["x-gotify-key"]) == ("/message", ["Ak{1}"])
    assert heard.json() == {"title": TITLE, "message": MESSAGE, "priority": 8}
    heard = await told(settings("http"))
    assert heard.json() == {"type": "mailbox.down", "title": TITLE, "message": MESSAGE, "page": PAGE}
    heard = await told(settings("http", form={"t": "{title}"}, headers=(Secret("X-Key: k"),)))
    assert (heard.body, heard.headers["x-key"]) == (b"t=The+mailbox+gmail+is+not+read+any+more", ["k"])


def test_services_of_their_own_have_their_usual_address() -> None:
    """ntfy.sh and Telegram; a server of one's own takes its place."""
    assert notice_of(settings("ntfy", topic=Secret("t")), page="").url.reveal() == f"{NTFY}/"
    telegram = notice_of(settings("telegram", token=Secret("1:a"), chat="2"), page="")
    assert telegram.url.reveal() == f"{TELEGRAM}/bot1:a/sendMessage"
    assert "1:a" not in repr(telegram)


@pytest.mark.parametrize("kind", ["ntfy", "slack", "discord", "telegram", "gotify", "http"])
@looped
async def test_no_text_becomes_more_than_text(kind: NotifyKind) -> None:
    """No mention, no markup, no header, no line of its own; the same keys as ever."""
    every: dict[str, dict[str, Any]] = {
        "ntfy": {"topic": Secret("t")},
        "telegram": {"token": Secret("1:a"), "chat": "2"},
        "gotify": {"token": Secret("a")},
    }
    fields = every.get(kind, {})
    plain = await told(settings(kind, **fields))
    event = replace(DOWN, data={"mailbox": HOSTILE, "reason": HOSTILE})
    heard = await told(settings(kind, **fields), event)
    assert heard.json().keys() == plain.json().keys()
    assert "x-evil" not in heard.headers
    text = json.dumps(heard.json(), ensure_ascii=False)
    assert "\\r" not in text
    assert "\u202e" not in text
    assert text.count("\\n") == json.dumps(plain.json()).count("\\n")
    if kind == "slack":
        assert "<" not in text
        assert "&lt;!channel&gt;" in text
    if kind == "discord":
        assert "@everyone" not in text
        assert heard.json()["allowed_mentions"] == {"parse": []}
        assert "[a]" not in text


class TestApprise:
    """In a process of its own."""

    @looped
    async def test_it_sends_by_the_library(self) -> None:
        """To a service that a test plays: one request, with title and text, and the page below it."""
        async with scripted(answer(200)) as server:
            sink = AppriseSink([Secret(f"json://{server.address}/in")], timeout=timedelta(seconds=60), page=PAGE)
            sent = await sink.tried(DOWN)
            assert isinstance(sent.outcome, Accepted), sent
            await sink.aclose()
        (heard,) = server.heard
        assert (heard.json()["title"], heard.json()["message"]) == (TITLE, f"{MESSAGE}\n{PAGE}")

    @looped
    async def test_what_it_cannot_send_is_put_off_without_an_address(self) -> None:
        """A service that refuses, and a URL that is none of Apprise's: the secret part is in neither answer."""
        async with scripted(answer(500)) as server:
            sink = AppriseSink([Secret(f"json://{server.address}/a-secret-path")], timeout=timedelta(seconds=60))
            sent = await sink.tried(DOWN)
        assert isinstance(sent.outcome, Deferred)
        assert "a-secret-path" not in repr(sent)
        sent = await AppriseSink([Secret("nonsense://a-secret-path")], timeout=timedelta(seconds=60)).tried(DOWN)
        assert isinstance(sent.outcome, Deferred)
        assert "a-secret-path" not in repr(sent)

    @looped
    async def test_without_the_library_it_says_what_to_install(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A process that cannot import it ends with a word of its own."""
        (tmp_path / "apprise.py").write_text("raise ImportError('not here')\n", encoding="utf-8")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        sent = await AppriseSink([Secret("json://127.0.0.1:1/")], timeout=timedelta(seconds=60)).tried(DOWN)
        assert isinstance(sent.outcome, Refused)
        assert "pip install" in sent.outcome.reason
