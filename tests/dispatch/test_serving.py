"""Targets that come and go while the dispatcher runs: nothing hangs, nothing goes to one that has gone."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from mailbridge.core.delivery import Accepted, Claim, Deferred, Outcome, State
from mailbridge.dispatch.dispatcher import Target
from tests.dispatch.scripted import GRACE, Post, ScriptedSink, post
from tests.loop import looped, until
from tests.store.mails import draft

NO_SUCH = "no target named 'other' is configured any more"


@dataclass(slots=True)
class Closing(ScriptedSink):
    """A scripted sink that notes when it is closed."""

    is_closed: bool = False
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def aclose(self) -> None:
        """Note it."""
        self.is_closed = True

    async def held_up(self, claim: Claim) -> Outcome:
        """An attempt that takes until the gate opens."""
        await self.gate.wait()
        return Accepted()


def other(here: Post, *, senders: int = 2) -> tuple[Closing, Target]:
    """A target beside the main one."""
    sink = Closing(now=here.clock.now)
    return sink, Target(name="other", sink=sink, senders=senders, grace=GRACE)


async def main_of(here: Post) -> Target:
    """The target that the dispatcher began with."""
    await until(lambda: here.dispatcher.is_running)
    return here.dispatcher._lines["skyvern"].target


@looped
async def test_a_target_that_comes_is_sent_to_and_one_that_goes_ends_its_codes(tmp_path: Path) -> None:
    """Before it is there and after it has gone its codes are dead letters that say so; the main target is not touched."""
    async with post(tmp_path, lambda clock: ScriptedSink(now=clock.now)) as here:
        main = await main_of(here)
        sink, target = other(here)
        await here.take(draft("111111", target="other"))
        await here.until_states(State.DEAD)
        here.dispatcher.serve([main, target])
        await here.take(draft("222222", target="other"))
        await here.until_states(State.DEAD, State.DELIVERED)
        here.dispatcher.serve([main])
        await here.take(draft("333333", target="other"), draft("444444"))
        await here.until_states(State.DEAD, State.DELIVERED, State.DEAD, State.DELIVERED)
        assert [one.reason for one in await here.deliveries() if one.state is State.DEAD] == [NO_SUCH, NO_SUCH]
        assert sink.codes == ["222222"]
        await until(lambda: sink.is_closed)


@looped
async def test_an_attempt_under_way_ends_before_its_target_is_closed(tmp_path: Path) -> None:
    """What was sent is settled; what waited behind it in memory becomes a dead letter, and may be retried when it is there again."""
    async with post(tmp_path, lambda clock: ScriptedSink(now=clock.now)) as here:
        main = await main_of(here)
        sink, target = other(here, senders=1)
        here.dispatcher.serve([main, target])
        sink.script["111111"].append(sink.held_up)
        await here.take(draft("111111", target="other", identifier="a@x.example"))
        await until(lambda: sink.at_once == 1)
        await here.take(draft("222222", target="other", identifier="b@x.example"))
        here.dispatcher.serve([main])
        await here.until_states(State.IN_FLIGHT, State.DEAD)
        assert not sink.is_closed
        sink.gate.set()
        await here.until_states(State.DELIVERED, State.DEAD)
        await until(lambda: sink.is_closed)
        again, target = other(here)
        here.dispatcher.serve([main, target])
        assert await here.store.outbox.retry(2)
        here.dispatcher.ring()
        await here.until_states(State.DELIVERED, State.DELIVERED)
        assert again.codes == ["222222"]


@looped
async def test_what_is_deferred_or_waits_goes_to_the_one_that_takes_its_name(tmp_path: Path) -> None:
    """A target that is made anew (another key) takes over; its predecessor is asked nothing more and is nobody's trouble."""
    async with post(tmp_path, lambda clock: ScriptedSink(now=clock.now)) as here:
        main = await main_of(here)
        sink, target = other(here, senders=1)
        here.dispatcher.serve([main, target])
        sink.script["111111"].append(Deferred(reason="401", is_alarm=True, retry_after=timedelta(milliseconds=500)))
        sink.script["222222"].append(sink.held_up)
        await here.take(draft("111111", target="other", identifier="a@x.example"))
        await until(lambda: "other" in here.dispatcher.alarms)
        await here.take(draft("222222", target="other", identifier="b@x.example"))
        await until(lambda: sink.at_once == 1)
        await here.take(draft("333333", target="other", identifier="c@x.example"))
        after, anew = other(here)
        here.dispatcher.serve([main, anew])
        assert not here.dispatcher.alarms
        sink.gate.set()
        await here.until_states(State.DELIVERED, State.DELIVERED, State.DELIVERED)
        assert sorted(after.codes) == ["111111", "333333"]
        assert sink.codes == ["111111", "222222"]


@looped
async def test_a_failure_of_one_that_has_gone_is_not_shown(tmp_path: Path) -> None:
    """Its last attempt fails after it was removed: the health names no target that is not there."""
    async with post(tmp_path, lambda clock: ScriptedSink(now=clock.now)) as here:
        main = await main_of(here)
        sink, target = other(here)
        here.dispatcher.serve([main, target])

        async def fails(claim: Claim) -> Outcome:
            await sink.gate.wait()
            return Deferred(reason="503")

        sink.script["111111"].append(fails)
        await here.take(draft("111111", target="other"))
        await until(lambda: sink.at_once == 1)
        here.dispatcher.serve([main])
        sink.gate.set()
        await here.until_states(State.DEAD)
        assert not here.dispatcher.failing


@looped
async def test_targets_that_change_all_the_time_lose_and_double_nothing(tmp_path: Path) -> None:
    """200 codes while their target is made anew, again and again, under them: each is pushed once, and every old sink is closed."""
    async with post(tmp_path, lambda clock: ScriptedSink(now=clock.now)) as here:
        main = await main_of(here)
        sinks: list[Closing] = []

        async def takes_a_while(claim: Claim) -> Outcome:
            await asyncio.sleep(0.002)
            return Accepted()

        for number in range(200):
            if number % 10 == 0:
                sink, target = other(here)
                sink.script = defaultdict(lambda: deque([takes_a_while]))
                sinks.append(sink)
                here.dispatcher.serve([main, target])
            await here.take(draft(f"{number:06d}", target="other", identifier=f"u{number}@x.example"))
        await here.until_states(*[State.DELIVERED] * 200)
        assert sorted(code for sink in sinks for code in sink.codes) == [f"{number:06d}" for number in range(200)]
        await until(lambda: all(sink.is_closed for sink in sinks[:-1]))
        assert not sinks[-1].is_closed
