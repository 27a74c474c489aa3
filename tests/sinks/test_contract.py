"""Every sink passes the contract of a sink."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from mailbridge.core.delivery import Claim
from mailbridge.core.secret import Secret
from mailbridge.net.guard import Reach as NetReach
from mailbridge.sinks.http import HttpSink, Shape
from mailbridge.sinks.posting import Address, Poster
from mailbridge.sinks.signing import key_of
from mailbridge.sinks.skyvern import Reach, SkyvernSink
from mailbridge.sinks.webhook import WebhookSink
from tests.peers.scripted import Heard, answer
from tests.sinks.contract import SinkContract


@dataclass(frozen=True, slots=True)
class SkyvernPlace:
    """Skyvern, as far as a push needs it. Implements `tests.sinks.contract.Place`."""

    secret: str = "eyJhbGciOi-key-in-these-tests"

    def sink(self, base_url: str, *, timeout: timedelta, wall: Callable[[], datetime]) -> SkyvernSink:
        """See `Place.sink`."""
        return SkyvernSink(base_url=base_url, api_key=Secret(self.secret), reach=Reach(timeout=timeout, connections=8), wall=wall)

    def taken(self, one: Claim) -> bytes:
        """The row that was made."""
        code = one.delivery.draft.content.reveal()
        return answer(200, {"totp_code_id": "totp_1", "code": code, "content": code, "otp_type": "totp"})

    def expiry(self, heard: Heard) -> datetime | None:
        """``expired_at``."""
        return datetime.fromisoformat(str(heard.json()["expired_at"]))

    def sameness(self, heard: Heard) -> object:
        """The row that it asks for: Skyvern itself cannot tell, so it is asked for its newest row before a second attempt."""
        return heard.json()


WHSEC = Secret("whsec_" + base64.b64encode(b"k" * 32).decode())


@dataclass(frozen=True, slots=True)
class WebhookPlace:
    """A receiver of Standard Webhooks. Implements `tests.sinks.contract.Place`."""

    secret: str = WHSEC.reveal()

    def sink(self, base_url: str, *, timeout: timedelta, wall: Callable[[], datetime]) -> WebhookSink:
        """See `Place.sink`."""
        address = Address(
            url=Secret(f"{base_url}/hook"), reach=NetReach(is_inside_allowed=True, is_inside_only=True), timeout=timeout
        )
        return WebhookSink(Poster(address, wall=wall), keys=[key_of(WHSEC)], include_code=True)

    def taken(self, one: Claim) -> bytes:
        """Nothing to say."""
        return answer(204)

    def expiry(self, heard: Heard) -> datetime | None:
        """``data.expires_at``."""
        data = heard.json()["data"]
        assert isinstance(data, dict)
        return datetime.fromisoformat(data["expires_at"])

    def sameness(self, heard: Heard) -> object:
        """The id of the event."""
        return heard.headers["webhook-id"]


@dataclass(frozen=True, slots=True)
class HttpPlace:
    """An HTTP API that takes what a template makes. Implements `tests.sinks.contract.Place`."""

    secret: str = "a-key-of-an-api-in-these-tests"

    def sink(self, base_url: str, *, timeout: timedelta, wall: Callable[[], datetime]) -> HttpSink:
        """See `Place.sink`."""
        shape = Shape(
            headers=[("x-api-key", self.secret)],
            json={"for": "{identifier}", "content": "{content}", "until": "{expires_at}", "id": "{event_id}"},
        )
        address = Address(url=Secret(f"{base_url}/codes"), reach=NetReach(is_inside_allowed=True), timeout=timeout)
        return HttpSink(Poster(address, wall=wall), shape)

    def taken(self, one: Claim) -> bytes:
        """Nothing to say."""
        return answer(201)

    def expiry(self, heard: Heard) -> datetime | None:
        """What the template calls ``until``."""
        return datetime.fromisoformat(str(heard.json()["until"]))

    def sameness(self, heard: Heard) -> object:
        """What the template calls ``id``."""
        return heard.json()["id"]


class TestWebhook(SinkContract):
    """Over a scripted server."""

    @pytest.fixture
    def place(self) -> WebhookPlace:
        """A webhook."""
        return WebhookPlace()


class TestHttp(SinkContract):
    """Over a scripted server."""

    @pytest.fixture
    def place(self) -> HttpPlace:
        """An HTTP target."""
        return HttpPlace()


class TestSkyvern(SinkContract):
    """Over a scripted server."""

    @pytest.fixture
    def place(self) -> SkyvernPlace:
        """Skyvern."""
        return SkyvernPlace()
