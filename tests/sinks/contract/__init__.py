"""The contract of a sink as a suite: a sink that speaks HTTP passes it by giving it a `Place` (see tests/sinks/test_contract.py).

Nothing here knows what a target wants to be told. A place says how its target answers when it has taken a code, and what in a request
would be secret; the suite plays targets that are there, in trouble, silent, elsewhere or no HTTP at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Protocol

import pytest

from mailbridge.core.delivery import Accepted, Claim, Deferred, Delivery, Doubtful, Draft, Outcome, Refused, State
from mailbridge.core.secret import Secret
from mailbridge.sinks import Sink
from tests.loop import PATIENCE, looped, until
from tests.peers.scripted import Heard, Play, Scripted, answer, drip, flood, reset, scripted, silence

CODE = "482913"
IDENTIFIER = "Ann+acme@example.com"
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
LIFETIME = timedelta(minutes=10)
QUICK = timedelta(milliseconds=400)
"""The timeout of a sink in this suite."""

AGAIN = (408, 409, 429, 500, 502, 503, 504)
NEVER = (400, 402, 404, 405, 410, 422)
REDIRECTS = (301, 302, 303, 307, 308)
NO_HTTP = (
    b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    b"\x16\x03\x01\x00\x00",
    b"HTTP/1.1 2oo OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
)
BROKEN_OFF = (
    reset(),
    reset(after=b"HTTP/1.1 200 OK\r\nContent-Le"),
    silence(),
    silence(after=b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{"),
    drip(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 500, every=0.02),
    flood(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", b"x" * 65_536),
)


class Place(Protocol):
    """A kind of target. ``secret`` is what it authorizes a push with; it must stand in no outcome, and go to no other address."""

    secret: str

    def sink(self, base_url: str, *, timeout: timedelta, wall: Callable[[], datetime]) -> Sink:
        """A sink for a target at an address, whose wall clock is given."""
        ...

    def taken(self, one: Claim) -> bytes:
        """The whole HTTP answer of a target that has taken a code."""
        ...

    def expiry(self, heard: Heard) -> datetime | None:
        """Until when the target was told that the code lives; None where it is told nothing."""
        ...

    def sameness(self, heard: Heard) -> object:
        """What tells the target that two requests are of one delivery."""
        ...


def claim(content: str = CODE, *, identifier: str = IDENTIFIER, number: int = 1) -> Claim:
    """A delivery that came in at NOW and lives for ten minutes."""
    draft = Draft(
        target="other", identifier=identifier, kind="code", content=Secret(content), sender="a@larch.example", lifetime=LIFETIME
    )
    delivery = Delivery(id=number, draft=draft, state=State.IN_FLIGHT, received_at=NOW, deadline=NOW + LIFETIME, due_at=NOW)
    return Claim(delivery=delivery, fencing_token=1, lease_until=NOW + timedelta(minutes=1), expires_at=NOW + LIFETIME)


class SinkContract:
    """What every sink does. Subclasses provide the fixture ``place``."""

    @asynccontextmanager
    async def _at(self, place: Place, *scenes: bytes | Play) -> AsyncIterator[tuple[Sink, Scripted]]:
        """A sink, and the target that plays these scenes."""
        async with scripted(*scenes) as server:
            sink = place.sink(server.base_url, timeout=QUICK, wall=lambda: NOW)
            try:
                yield sink, server
            finally:
                await sink.aclose()

    async def _pushed(self, place: Place, scene: bytes | Play) -> tuple[Outcome, Scripted]:
        """What a push comes to. It comes in time, once, and in words that hold neither code nor secret."""
        async with self._at(place, scene) as (sink, server), asyncio.timeout(PATIENCE):
            outcome = await sink.push(claim())
        assert len(server.heard) <= 1
        assert CODE not in repr(outcome)
        assert place.secret not in repr(outcome)
        return outcome, server

    @looped
    async def test_a_code_that_is_taken_is_accepted(self, place: Place) -> None:
        """One request with code and identifier; in its address stands neither code nor secret."""
        outcome, server = await self._pushed(place, place.taken(claim()))
        assert isinstance(outcome, Accepted)
        (heard,) = server.heard
        assert CODE.encode() in heard.body
        assert IDENTIFIER.encode() in heard.body
        assert CODE not in heard.target
        assert place.secret not in heard.target

    @pytest.mark.parametrize("status", AGAIN)
    @looped
    async def test_trouble_at_the_target_puts_it_off(self, place: Place, status: int) -> None:
        """The sink itself does not try again: when that is done is decided elsewhere."""
        outcome, server = await self._pushed(place, answer(status, {"detail": f"{CODE} {place.secret}"}))
        assert isinstance(outcome, Deferred)
        assert len(server.heard) == 1

    @pytest.mark.parametrize(
        ("said", "wish"),
        [
            ("7", timedelta(seconds=7)),
            (format_datetime(NOW + timedelta(seconds=90), usegmt=True), timedelta(seconds=90)),
            (format_datetime(NOW - timedelta(seconds=90), usegmt=True), timedelta()),
            ("soon", None),
            ("-5", None),
            ("9" * 400, None),
        ],
    )
    @looped
    async def test_a_wish_to_wait_is_passed_on(self, place: Place, said: str, wish: timedelta | None) -> None:
        """Retry-After in seconds or as a date (RFC 9110 10.2.3), never below zero; one that cannot be read is none."""
        outcome, _ = await self._pushed(place, answer(429, Retry_After=said))
        assert isinstance(outcome, Deferred)
        assert outcome.retry_after == wish

    @pytest.mark.parametrize("status", [401, 403])
    @looped
    async def test_a_refused_secret_is_an_alarm_and_keeps_the_code(self, place: Place, status: int) -> None:
        """A person can fix it while the code lives."""
        outcome, _ = await self._pushed(place, answer(status, {"detail": place.secret}))
        assert isinstance(outcome, Deferred)
        assert outcome.is_alarm

    @pytest.mark.parametrize("status", NEVER)
    @looped
    async def test_a_no_for_good_is_a_refusal(self, place: Place, status: int) -> None:
        """What will not change is not tried again."""
        outcome, _ = await self._pushed(place, answer(status))
        assert isinstance(outcome, Refused)

    @pytest.mark.parametrize("status", REDIRECTS)
    @looped
    async def test_no_redirect_is_followed(self, place: Place, status: int) -> None:
        """Neither code nor secret goes anywhere but to the configured address; it is an alarm, since that address is wrong."""
        async with scripted(place.taken(claim())) as elsewhere:
            outcome, _ = await self._pushed(place, answer(status, Location=f"{elsewhere.base_url}/"))
            assert isinstance(outcome, Refused)
            assert outcome.is_alarm
            assert elsewhere.connections == 0

    @pytest.mark.parametrize("scene", [*NO_HTTP, *BROKEN_OFF])
    @looped
    async def test_what_was_sent_and_not_answered_is_in_doubt(self, place: Place, scene: bytes | Play) -> None:
        """It may have been taken in; the timeout is for the whole of a push, and no answer raises anything."""
        outcome, _ = await self._pushed(place, scene)
        assert isinstance(outcome, Doubtful)

    @looped
    async def test_nobody_there_is_no_doubt(self, place: Place) -> None:
        """Where no connection comes about nothing was sent."""
        async with scripted(place.taken(claim())) as gone:
            base_url = gone.base_url
        sink = place.sink(base_url, timeout=QUICK, wall=lambda: NOW)
        await sink.prepare()
        assert isinstance(await sink.push(claim()), Deferred)
        assert await sink.holds(claim()) in (None, False)
        assert await sink.identifiers() is None
        await sink.aclose()

    @looped
    async def test_the_target_is_told_no_later_an_end_than_the_deadline(self, place: Place) -> None:
        """Where it is told until when a code lives: in UTC, and not beyond the claim's own."""
        _, server = await self._pushed(place, place.taken(claim()))
        told = place.expiry(server.heard[0])
        assert told is None or NOW < told <= claim().expires_at

    @looped
    async def test_an_attempt_that_is_cut_short_sends_nothing_later(self, place: Place) -> None:
        """At the deadline the dispatcher cancels it: it ends at once, and what it had begun comes to the target at most once."""
        async with self._at(place, silence()) as (sink, server):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await sink.push(claim())
            await asyncio.sleep(0.1)
            assert len(server.heard) <= 1

    @looped
    async def test_a_second_attempt_can_be_told_for_the_same(self, place: Place) -> None:
        """Two pushes of one delivery look the same to the target, and two deliveries do not."""
        async with self._at(place, place.taken(claim())) as (sink, server):
            await sink.push(claim())
            await sink.push(claim())
            await sink.push(claim("111111", number=2))
        first, again, other = (place.sameness(heard) for heard in server.heard)
        assert first == again
        assert first != other

    @pytest.mark.parametrize(
        "scene", [answer(500), answer(403), answer(307, Location="http://127.0.0.1:1/"), b"no HTTP", reset(), silence()]
    )
    @looped
    async def test_who_cannot_tell_says_so(self, place: Place, scene: bytes | Play) -> None:
        """A doubt is not ended by guessing: never True, and nothing is raised."""
        async with self._at(place, scene) as (sink, _):
            assert await sink.holds(claim()) in (None, False)
            assert not await sink.identifiers()

    @looped
    async def test_a_connection_is_made_ready_without_a_request(self, place: Place) -> None:
        """`prepare` sends no octet of a code, and the push after it works."""
        async with self._at(place, place.taken(claim())) as (sink, server):
            await sink.prepare()
            assert server.heard == []
            assert isinstance(await sink.push(claim()), Accepted)

    @looped
    async def test_many_go_at_once(self, place: Place) -> None:
        """Eight pushes beside each other, each with its own code."""
        codes = [f"{number:06d}" for number in range(8)]
        async with self._at(place, place.taken(claim())) as (sink, server):
            found: Sequence[Outcome] = await asyncio.gather(
                *(sink.push(claim(code, number=number)) for number, code in enumerate(codes))
            )
            assert all(isinstance(one, (Accepted, Doubtful)) for one in found)
            await until(lambda: len(server.heard) == 8)
        assert all(any(code.encode() in heard.body for heard in server.heard) for code in codes)
