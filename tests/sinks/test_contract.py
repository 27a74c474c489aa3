"""Skyvern's sink passes the contract of a sink."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest

from mailbridge.core.delivery import Claim
from mailbridge.core.secret import Secret
from mailbridge.sinks.skyvern import Reach, SkyvernSink
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


class TestSkyvern(SinkContract):
    """Over a scripted server."""

    @pytest.fixture
    def place(self) -> SkyvernPlace:
        """Skyvern."""
        return SkyvernPlace()
