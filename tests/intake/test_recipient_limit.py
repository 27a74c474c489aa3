"""The limit of one recipient: a bomb waits behind itself, and nobody else does."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime

from mailbridge.core.mail import Envelope
from mailbridge.intake.recipient_limit import RecipientLimit
from tests.loop import looped, until


def envelope(recipient: str) -> Envelope:
    """A mail for somebody; nobody where that is empty."""
    rcpt_to = (f"{recipient}@b.example",) if recipient else ()
    return Envelope(mail_from="", rcpt_to=rcpt_to, content=b"", received_at=datetime.now(UTC), ingress="smtp")


class Desk:
    """Mails in hand, each until it is let go."""

    def __init__(self, at_once: int) -> None:
        self.limit = RecipientLimit(at_once)
        self.let_go = asyncio.Event()
        self.in_hand: Counter[str] = Counter()
        self.served: list[int] = []

    def hold(self, recipient: str, number: int = 0) -> asyncio.Task[None]:
        """A mail that has come, and is in hand as soon as there is room."""
        return asyncio.ensure_future(self._hold(recipient, number))

    async def _hold(self, recipient: str, number: int) -> None:
        async with self.limit.of(envelope(recipient)):
            self.served.append(number)
            self.in_hand[recipient] += 1
            try:
                await self.let_go.wait()
                if number == 3:
                    raise ValueError
            finally:
                self.in_hand[recipient] -= 1


@looped
async def test_a_bomb_waits_behind_itself() -> None:
    """Of fifty mails for one recipient two are in hand, and another's single mail is in hand at once."""
    desk = Desk(at_once=2)
    mails = [desk.hold("a") for _ in range(50)]
    await until(lambda: desk.in_hand["a"] == 2)
    mails.append(desk.hold("b"))
    await until(lambda: desk.in_hand["b"] == 1)
    assert desk.in_hand["a"] == 2
    assert desk.limit.recipients == 2
    desk.let_go.set()
    await asyncio.gather(*mails)
    assert desk.limit.recipients == 0


@looped
async def test_mails_of_one_recipient_come_in_order() -> None:
    """First come, first served, however the recipient is spelled, and whatever became of those before; then nothing is left of them."""
    desk = Desk(at_once=1)
    mails = [desk.hold("A" if number % 2 else "a", number) for number in range(8)]
    await until(lambda: desk.served == [0])
    mails[5].cancel()
    desk.let_go.set()
    ends = await asyncio.gather(*mails, return_exceptions=True)
    assert desk.served == [0, 1, 2, 3, 4, 6, 7]
    assert [type(end) for end in ends if end is not None] == [ValueError, asyncio.CancelledError]
    assert desk.limit.recipients == 0


@looped
async def test_who_gives_up_in_its_turn_gives_it_on() -> None:
    """A mail that is cancelled while it waits, or in the moment in which it has room, keeps nobody waiting."""
    desk = Desk(at_once=1)
    first, second, third = (desk.hold("a", number) for number in range(3))
    await until(lambda: desk.served == [0])
    first.cancel()
    await asyncio.wait([first])  # the room is the second's now, which has not run yet
    second.cancel()
    await until(lambda: desk.served[-1] == 2)
    desk.let_go.set()
    await asyncio.wait([second, third])
    assert desk.limit.recipients == 0
