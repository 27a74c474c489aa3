"""Who waits is known from any thread, lapses by itself, and is woken without loss."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta

from mailbridge.waiting import Waiting

START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = START

    def __call__(self) -> datetime:
        """The time."""
        return self.at


def test_a_wait_lapses_by_itself() -> None:
    """Whoever does not ask again in time waits no longer, and comes back as somebody new."""
    clock = Clock()
    waiting = Waiting(now=clock)
    assert waiting.expect("Ann@corp.com", START + timedelta(seconds=35), who="wr_1").asked == 1
    clock.at += timedelta(seconds=34)
    assert waiting.expect("ann@CORP.com", clock.at + timedelta(seconds=35), who="wr_1").asked == 2
    assert waiting.waits_for("ANN@corp.com")
    assert not waiting.waits_for("ben@corp.com")
    clock.at += timedelta(seconds=35)
    assert not waiting.is_anyone()
    assert waiting.expect("ann@corp.com", clock.at + timedelta(seconds=35), who="wr_1").asked == 1


def test_requests_under_one_name_wait_each_for_itself() -> None:
    """Two open requests of one token are two waits, and the end of one leaves the other."""
    waiting = Waiting(now=Clock())
    first, second = (waiting.begin("ann@corp.com", who="ci", until=START + timedelta(seconds=60)) for _ in range(2))
    waiting.end(first)
    waiting.end(first)
    assert waiting.everybody() == (second,)
    waiting.end(second)
    assert not waiting.is_anyone()


def test_subscribers_hear_of_every_beginning() -> None:
    """A poll, a request, and a poll again: each is told with its identifier, until the subscription ends."""
    waiting, told = Waiting(now=Clock()), list[str]()
    end = waiting.subscribe(told.append)
    until = START + timedelta(seconds=60)
    waiting.expect("ann@corp.com", until)
    waiting.begin("ben@corp.com", who="ci", until=until)
    waiting.expect("ann@corp.com", until)
    end()
    end()
    waiting.expect("eve@corp.com", until)
    assert told == ["ann@corp.com", "ben@corp.com", "ann@corp.com"]


def test_it_may_be_asked_from_any_thread() -> None:
    """Threads that ask while others begin and end see no torn state."""
    waiting = Waiting(now=lambda: datetime.now(UTC))
    faults: list[Exception] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            try:
                waiting.is_anyone()
                waiting.waits_for("ann@corp.com")
                waiting.everybody()
            except Exception as fault:
                faults.append(fault)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for one in threads:
        one.start()
    for number in range(2_000):
        waiting.end(waiting.begin(f"{number}@corp.com", who="ci", until=datetime.now(UTC) + timedelta(seconds=1)))
    over.set()
    for one in threads:
        one.join()
    assert faults == []
    assert not waiting.is_anyone()


def test_a_bell_rings_for_its_identifier_only() -> None:
    """In any case, for the star always, and after the block no more."""

    async def work() -> None:
        waiting = Waiting(now=Clock())
        with waiting.bell("Ann@corp.com") as ann, waiting.bell("*") as any_one, waiting.bell("ben@corp.com") as ben:
            waiting.wake(["ann@CORP.com"])
            assert await ann.wait(5)
            assert await any_one.wait(5)
            assert not await ben.wait(0.01)
            ann.clear()
            assert not await ann.wait(0.01)
        waiting.wake(["ann@corp.com"])
        with waiting.bell("ann@corp.com") as again:
            assert not await again.wait(0)

    asyncio.run(work())
