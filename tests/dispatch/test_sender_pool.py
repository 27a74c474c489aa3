"""Senders of one target: a few while it answers at once, all of them while it takes its time, and never none while a claim waits."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from mailbridge.core.delivery import Claim, Delivery, State
from mailbridge.dispatch.sender_pool import FEW, SLOW, SenderPool
from tests.loop import looped, until
from tests.store.mails import draft

NOW = datetime(2026, 11, 25, tzinfo=UTC)
SENDERS = 8


def claim(number: int) -> Claim:
    """A claim with a number."""
    delivery = Delivery(id=number, draft=draft(), state=State.IN_FLIGHT, received_at=NOW, deadline=NOW + timedelta(minutes=1))
    return Claim(delivery=delivery, fencing_token=1, lease_until=NOW, expires_at=NOW)


class Site:
    """A pool at work: which claims were begun, in their order, and how many were under way at once. Its clock is moved by hand."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.time = 0.0
        self.pool = SenderPool(now=lambda: self.time)
        self.begun: list[int] = []
        self.now = 0
        self.most = 0
        self.is_open = asyncio.Event()
        self.is_open.set()
        self._seconds = seconds

    async def send(self) -> None:
        """As a sender does."""
        while (one := await self.pool.take()) is not None:
            with self.pool.attempt():
                self.begun.append(one.delivery.id)
                self.now += 1
                self.most = max(self.most, self.now)
                await asyncio.sleep(self._seconds())
                await self.is_open.wait()
                self.now -= 1

    def add(self, count: int) -> None:
        """So many claims at once."""
        for number in range(len(self.begun), len(self.begun) + count):
            self.pool.add(claim(number))


@asynccontextmanager
async def site(seconds: Callable[[], float] = lambda: 0.0, *, senders: int = SENDERS) -> AsyncIterator[Site]:
    """Eight senders, of which an attempt takes so long, and until the site is open."""
    one = Site(seconds)
    tasks = [asyncio.create_task(one.send()) for _ in range(senders)]
    await asyncio.sleep(0)
    try:
        yield one
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@looped
async def test_a_few_do_while_the_target_answers_at_once() -> None:
    """However many claims wait: more would only be in each other's way."""
    async with site() as here:
        here.add(200)
        await until(lambda: len(here.begun) == 200)
        assert here.begun == list(range(200))
        assert here.most <= FEW


@looped
async def test_all_help_while_it_takes_its_time() -> None:
    """When an attempt takes longer than that, every sender takes what waits; when one was quick again, a few do again."""
    async with site() as here:
        here.is_open.clear()
        here.add(20)
        await until(lambda: here.now == FEW)
        await asyncio.sleep(4 * SLOW)
        assert here.now == FEW
        here.time += SLOW
        await until(lambda: here.now == SENDERS)
        here.is_open.set()
        await until(lambda: len(here.begun) == 20 and here.now == 0)
        assert here.begun == list(range(20))
        here.add(1)
        await until(lambda: len(here.begun) == 21 and here.now == 0)
        here.most = 0
        here.add(200)
        await until(lambda: len(here.begun) == 221)
        assert here.most <= FEW


@pytest.mark.parametrize("senders", [1, 2, 3, 8])
@looped
async def test_no_claim_is_left_lying(senders: int) -> None:
    """Whatever each attempt takes, and whenever claims come: every one is begun, in the order in which they came."""
    dice = random.Random(senders)

    def seconds() -> float:
        here.time += dice.choice((0.0, 0.0, SLOW / 2, SLOW))
        return dice.choice((0.0, 0.0, SLOW, 3 * SLOW))

    async with site(seconds, senders=senders) as here:
        for number in range(150):
            here.pool.add(claim(number))
            if dice.random() < 0.2:
                await asyncio.sleep(dice.choice((0.0, SLOW, 4 * SLOW)))
        await until(lambda: len(here.begun) == 150 and here.now == 0)
        assert here.begun == list(range(150))
        assert here.most <= senders


@looped
async def test_those_that_hang_keep_nobody() -> None:
    """While two attempts never end the others go on with what comes."""
    hanging = iter([60.0] * FEW)
    async with site(lambda: next(hanging, 0.0)) as here:
        here.add(40)
        await until(lambda: here.now == FEW)
        here.time += SLOW
        await until(lambda: len(here.begun) == 40)
        assert here.begun == list(range(40))
