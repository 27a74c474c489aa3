"""Receivers made of their settings: webhooks, HTTP targets, notices and the heartbeat. Nobody is asked here.

Their modules are imported where the first of their kind is made: a daemon without any pays nothing for them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from mailbridge.config.settings import BESIDE, HeartbeatSettings, NotifySettings, Settings, TargetSettings
from mailbridge.core.delivery import Accepted, Refused
from mailbridge.core.happening import TEST, Event
from mailbridge.core.secret import Secret
from mailbridge.masks import Masks

if TYPE_CHECKING:
    from mailbridge.sinks.apprise import AppriseSink
    from mailbridge.sinks.http import HttpSink
    from mailbridge.sinks.posting import Address, Poster, Sent
    from mailbridge.sinks.webhook import WebhookSink

T = TypeVar("T")

Tried: TypeAlias = "WebhookSink | HttpSink | AppriseSink"

Receiver = TargetSettings | NotifySettings


def webhook_of(settings: TargetSettings) -> WebhookSink:
    """A webhook. Raises ValueError, which names the key and holds no secret."""
    from mailbridge.sinks.posting import Poster
    from mailbridge.sinks.webhook import WebhookSink

    headers = [(name.encode(), value.encode()) for name, value in _headers(settings)]
    poster = _said("url", lambda: Poster(_address(settings), headers=headers))
    return WebhookSink(poster, keys=_keys(settings), include_code=settings.include_code)


def http_of(settings: TargetSettings) -> HttpSink:
    """An HTTP target. Raises ValueError, which names the key and holds no secret."""
    from mailbridge.sinks.http import HttpSink, Shape

    shape = Shape(headers=_headers(settings), json=settings.json, form=settings.form, raw=settings.raw)
    return HttpSink(_poster(settings), shape, keys=_keys(settings))


def receiver_of(settings: TargetSettings) -> WebhookSink | HttpSink:
    """The sink of a target that is no Skyvern. Raises ValueError, which names the key and holds no secret."""
    return webhook_of(settings) if settings.kind == "webhook" else http_of(settings)


def notice_of(settings: NotifySettings, *, page: str) -> Tried:
    """A notice; ``page`` is the address of the page, "" where it has none. Raises ValueError, which holds no secret."""
    if settings.kind == "apprise":
        from mailbridge.sinks.apprise import AppriseSink

        return AppriseSink(settings.urls, timeout=settings.timeout, page=page)
    from mailbridge.sinks import notices
    from mailbridge.sinks.http import HttpSink
    from mailbridge.sinks.posting import Poster

    notice = notices.notice_of(settings, page=page)
    address = _address(settings, url=notice.url)
    return HttpSink(_said("url", lambda: Poster(address)), notice.shape)


def heartbeat_of(settings: HeartbeatSettings) -> Poster | None:
    """What asks the address of the heartbeat; None where there is none. Raises ValueError, which holds no secret."""
    if settings.url is None:
        return None
    from mailbridge.net.guard import Reach
    from mailbridge.sinks.posting import Address, Poster

    url = settings.url
    reach = Reach(is_inside_allowed=True)
    return _said("url", lambda: Poster(Address(url=url, method="GET", reach=reach, timeout=settings.timeout)))


def _poster(settings: Receiver) -> Poster:
    from mailbridge.sinks.posting import Poster

    return _said("url", lambda: Poster(_address(settings)))


def _address(settings: Receiver, url: Secret | None = None) -> Address:
    """Where it is, and where that may lead: without TLS to this machine and private networks alone."""
    from mailbridge.net.guard import Reach
    from mailbridge.sinks.posting import Address

    url = url or settings.url or Secret("")
    is_clear = url.reveal().strip().lower().startswith("http://")
    is_inside_allowed = settings.allow_private is not False
    if is_clear and not is_inside_allowed:
        raise ValueError("url: http:// leads to private addresses alone, which needs allow_private = true; else use https://")
    reach = Reach(is_inside_allowed=is_inside_allowed, is_inside_only=is_clear)
    return Address(url=url, method=settings.method, reach=reach, timeout=settings.timeout)


def _headers(settings: Receiver) -> list[tuple[str, str]]:
    from mailbridge.sinks.http import header_of

    return _said("headers", lambda: [header_of(one.reveal()) for one in settings.headers])


def _keys(settings: TargetSettings) -> list[bytes]:
    """The keys that sign, the new one first."""
    from mailbridge.sinks.signing import key_of

    keys = []
    for key, secret in (("secret", settings.secret), ("old_secret", settings.old_secret)):
        if secret is not None:
            keys.append(_said(key, partial(key_of, secret)))
    return keys


def _said(key: str, make: Callable[[], T]) -> T:
    """What is made; a fault says of which key it is."""
    try:
        return make()
    except ValueError as fault:
        text = str(fault)
        raise ValueError(text if text.startswith("url: ") else f"{key}: {text}") from None


class LiveReceivers:
    """Implements `operator.targets.Receivers`: each test is sent by a receiver that is made for it."""

    def __init__(self, settings: Callable[[], Settings], *, masks: Masks, on_taken: Callable[[str], None]) -> None:
        """``on_taken`` is told the name of a target that took a test."""
        self._settings = settings
        self._masks = masks
        self._on_taken = on_taken

    async def test_target(self, name: str) -> Sent:
        """See `Receivers.test_target`."""
        target = {one.name: one for one in self._settings().target if one.kind in BESIDE}[name]
        sent = await self._tried(lambda: receiver_of(target))
        if isinstance(sent.outcome, Accepted):
            self._on_taken(name)
        return sent

    async def test_notice(self, name: str) -> Sent:
        """See `Receivers.test_notice`."""
        settings = self._settings()
        notice = {one.name: one for one in settings.notify}[name]
        return await self._tried(lambda: notice_of(notice, page=settings.http.public_url))

    async def _tried(self, make: Callable[[], Tried]) -> Sent:
        from mailbridge.sinks.posting import Sent

        try:
            sink = make()
        except ValueError as fault:
            return Sent(outcome=Refused(reason=str(fault)))
        try:
            event = Event(id=f"test_{secrets.token_hex(8)}", type=TEST, at=datetime.now(UTC), data={"reason": "this is a test"})
            sent = await sink.tried(event)
        finally:
            await sink.aclose()
        return replace(sent, text=self._masks.masked(sent.text))
