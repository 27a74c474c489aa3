"""An attempt ends with the right to it: where another process may take over the claim, nothing more is sent by this one."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from mailbridge.clock import SteadyClock
from mailbridge.core.delivery import Claim, Doubtful, Outcome, State
from tests.dispatch.scripted import ScriptedSink, post
from tests.dispatch.test_dispatcher import Gate
from tests.loop import looped, until
from tests.store.mails import draft


class Touch:
    """Whether this process is in touch with the database."""

    def __init__(self) -> None:
        self.is_there = True

    def __call__(self) -> bool:
        return self.is_there


@looped
async def test_an_attempt_under_way_is_given_up(tmp_path: Path) -> None:
    """A push that takes its time ends in doubt when touch is lost; once that is back it is asked for, and sent again."""
    sink, touch, gate = ScriptedSink(SteadyClock().now), Touch(), Gate()
    sink.script["482913"].append(gate)
    sink.answers = deque([False])
    async with post(tmp_path, lambda clock: sink, may_attempt=touch) as here:
        await here.take(draft())
        await until(lambda: sink.at_once == 1)
        touch.is_there = False
        await until(lambda: sink.at_once == 0)
        await here.until_states(State.PENDING)
        (delivery,) = await here.deliveries()
        assert delivery.is_doubtful
        assert "lost touch" in delivery.reason
        assert sink.codes == ["482913"]
        touch.is_there = True
        await here.until_states(State.DELIVERED)
        assert (sink.asked, sink.codes) == (["482913"], ["482913", "482913"])


@looped
async def test_a_long_question_gives_no_right_to_send(tmp_path: Path) -> None:
    """Touch is lost while the target is asked whether it has the code: nothing is sent before it is back."""
    sink, touch = ScriptedSink(SteadyClock().now), Touch()

    async def lose() -> bool:
        touch.is_there = False
        return False

    async def no_answer(_: Claim) -> Outcome:
        return Doubtful(reason="no answer")

    sink.script["482913"].append(no_answer)
    sink.answers = deque([lose, False])
    async with post(tmp_path, lambda clock: sink, may_attempt=touch) as here:
        await here.take(draft())
        await until(lambda: not touch.is_there)
        await here.until_states(State.PENDING)
        assert sink.codes == ["482913"]
        touch.is_there = True
        await here.until_states(State.DELIVERED)
        assert sink.codes == ["482913", "482913"]
