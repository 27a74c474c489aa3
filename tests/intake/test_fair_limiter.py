"""FairLimiter: a bomb waits behind itself, and nobody else does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from mailbridge.core.mail import Envelope
from mailbridge.intake.fair_limiter import MEMORY, FairLimiter
from tests.loop import looped


class Desk:
    """Mails in hand, in the order in which they came to it, each until it is let go."""

    def __init__(self) -> None:
        self.time = 0.0
        self.turns = FairLimiter(now=lambda: self.time)
        self.in_hand: list[str] = []
        self._let_go = asyncio.Event()
        self._numbers: Iterator[int] = iter(range(1_000))

    @asynccontextmanager
    async def holding(self, *recipients: str) -> AsyncIterator[list[asyncio.Task[None]]]:
        """Mails that came at once for these, and are held in hand or waiting for the length of the block."""
        tasks = [asyncio.ensure_future(self._hold(recipient, self._let_go)) for recipient in recipients]
        await settled()
        yield tasks
        self._let_go.set()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        self._let_go = asyncio.Event()

    async def _hold(self, recipient: str, let_go: asyncio.Event) -> None:
        async with self.turns.of(envelope(recipient)):
            name = f"{recipient}{next(self._numbers)}"
            self.in_hand.append(name)
            try:
                await let_go.wait()
            finally:
                self.in_hand.remove(name)

    def count(self, recipient: str) -> int:
        """How many mails of a recipient are in hand."""
        return sum(name.startswith(recipient) for name in self.in_hand)


def envelope(recipient: str) -> Envelope:
    """A mail for somebody; nobody where that is empty."""
    rcpt_to = (f"{recipient}@b.example",) if recipient else ()
    return Envelope(mail_from="", rcpt_to=rcpt_to, content=b"", received_at=datetime.now(UTC), ingress="smtp")


async def settled() -> None:
    """Until every task that can run has run."""
    for _ in range(5):
        await asyncio.sleep(0)


@looped
async def test_who_is_alone_has_no_limit() -> None:
    """One recipient's fifty mails are in hand together while nobody else gets any, and again when the others are long gone."""
    desk = Desk()
    async with desk.holding(*["a"] * 50):
        assert desk.count("a") == 50
    async with desk.holding("b"):
        pass
    desk.time = MEMORY
    async with desk.holding(*["a"] * 50):
        assert desk.count("a") == 50
    assert not desk.in_hand


@looped
async def test_a_bomb_waits_behind_itself() -> None:
    """While others get mail now and then, two mails of a bomb are in hand at a time; a mail for another is in hand at once."""
    desk = Desk()
    async with desk.holding("b"):
        pass
    desk.time = MEMORY - 1
    async with desk.holding(*["a"] * 50):
        assert desk.in_hand == ["a1", "a2"]
        async with desk.holding("b"):
            assert desk.in_hand == ["a1", "a2", "b3"]
    assert not desk.in_hand


@looped
async def test_two_that_get_much_do_not_hold_each_other_back() -> None:
    """Each has as many in hand as the other has here."""
    desk = Desk()
    async with desk.holding(*["a", "b"] * 20):
        assert (desk.count("a"), desk.count("b")) == (20, 20)
    async with desk.holding(*["a"] * 20, *["b"] * 5):
        assert (desk.count("a"), desk.count("b")) == (5, 5)


@looped
async def test_mails_of_one_recipient_come_in_order() -> None:
    """First come, first served, whatever became of those before; and when all are gone nothing is left of them."""
    desk = Desk()
    served: list[int] = []

    async def serve(number: int) -> None:
        async with desk.turns.of(envelope("A" if number % 2 else "a")):
            served.append(number)
            await asyncio.sleep(0)
            if number == 3:
                raise ValueError

    async with desk.holding("b"):
        waiting = [asyncio.ensure_future(serve(number)) for number in range(8)]
        waiting[5].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert served == [0, 1, 2, 3, 4, 6, 7]
    assert desk.turns.is_idle


@looped
async def test_who_gives_up_in_its_turn_gives_it_on() -> None:
    """A mail that is cancelled while it waits, or in the very moment in which it is its turn, keeps nobody waiting."""
    desk = Desk()
    async with desk.holding("b"):
        pass
    async with desk.holding("a", "a", "a", "a") as (first, _, third, _):
        assert desk.in_hand == ["a1", "a2"]
        first.cancel()
        await asyncio.sleep(0)
        third.cancel()
        await settled()
        assert desk.in_hand == ["a2", "a3"]
