"""Addresses of tests: of one process, and of several that share a store and take each other's mail."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from mailbridge.core.mail import Envelope
from mailbridge.intake.onetime import LIFETIME, OneTime, Together
from tests.loop import looped

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ANN = "ann@corp.example"


class Kept:
    """Addresses in memory, for all who are given it."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[str, str]] = {}
        self.asked: list[str] = []

    async def keep(self, address: str, *, identifier: str, by: str, lives: timedelta) -> None:
        """See `OneTimeAddresses.keep`."""
        assert lives == LIFETIME
        self.rows[address] = (identifier, by)

    async def find(self, address: str) -> tuple[str, str] | None:
        """See `OneTimeAddresses.find`."""
        self.asked.append(address)
        return self.rows.get(address)

    async def spend(self, address: str) -> None:
        """See `OneTimeAddresses.spend`."""
        self.rows.pop(address, None)


class Clock:
    """A clock that can be put on."""

    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> datetime:
        return self.at


def pair(kept: Kept, clock: Clock, keys: tuple[bytes, bytes] = (b"k", b"k")) -> tuple[OneTime, OneTime]:
    """Two processes on one store."""
    first, second = (
        OneTime(now=lambda: clock.at.timestamp(), dice=os.urandom, together=Together(kept=kept, key=key, now=clock))
        for key in keys
    )
    return first, second


def envelope(rcpt: str, *, content: bytes = b"Subject: x\r\n\r\n", is_fetched: bool = False) -> Envelope:
    """A mail to an address."""
    return Envelope(mail_from="", rcpt_to=(rcpt,), content=content, received_at=NOW, ingress="smtp", is_fetched=is_fetched)


@looped
async def test_a_test_of_one_process_is_taken_by_another() -> None:
    """By its recipient, or by what a fetched mail is written to; once."""
    kept, clock = Kept(), Clock()
    first, second = pair(kept, clock)
    test = await first.make(ANN, domain="Bridge.example", by="ann")
    assert second.is_live(test.rcpt) and second.is_live(test.rcpt.upper())
    for mail in (
        envelope(test.rcpt),
        envelope("ann@box.example", content=f"To: <{test.rcpt}>\r\n\r\nx".encode(), is_fetched=True),
    ):
        found = await second.of(mail)
        assert found is not None and (found.identifier, found.by) == (ANN, "ann")
    await second.spend(test)
    assert await second.of(envelope(test.rcpt)) is None
    assert await second.of(envelope("ann@corp.example")) is None


@looped
async def test_only_an_address_that_one_of_us_made_is_looked_for() -> None:
    """One that is changed, of another domain, of another key, or too old is nobody's, and the store is not asked."""
    kept, clock = Kept(), Clock()
    first, second = pair(kept, clock)
    _, stranger = pair(kept, clock, (b"k", b"other"))
    rcpt = (await first.make(ANN, domain="bridge.example", by="ann")).rcpt
    letter = "2" if rcpt[-len("@bridge.example") - 1] != "2" else "3"
    changed = rcpt.replace("@", f"{letter}@")[: len("test-") + 15] + letter + "@bridge.example"
    for wrong in (changed, rcpt.replace("bridge", "other"), rcpt.replace("test-", ""), "test-@bridge.example", "@"):
        assert not second.is_live(wrong), wrong
        assert await second.of(envelope(wrong)) is None
    assert not stranger.is_live(rcpt)
    clock.at += LIFETIME * 3
    assert not second.is_live(rcpt) and not first.is_live(rcpt)
    assert await second.of(envelope(rcpt)) is None
    assert kept.asked == []


@looped
async def test_a_process_alone_asks_nobody() -> None:
    """Its addresses are its own affair, and unguessable without a key."""
    alone = OneTime(now=lambda: 0.0, dice=os.urandom)
    test = await alone.make(ANN, domain="bridge.example", by="ann")
    assert alone.is_live(test.rcpt)
    assert await alone.of(envelope(test.rcpt)) == test
    await alone.spend(test)
    assert not alone.is_live(test.rcpt)
