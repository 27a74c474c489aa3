"""The dispatcher over a real store: order, retries, doubt, alarms, and an end that loses nothing."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from contextlib import AsyncExitStack
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from mailbridge.app.parts import skyvern
from mailbridge.clock import SteadyClock
from mailbridge.config.settings import TargetSettings
from mailbridge.core.delivery import Accepted, Claim, Deferred, Doubtful, Outcome, Refused, State
from mailbridge.core.secret import Secret
from mailbridge.dispatch.dispatcher import EXPECT_EVERY, ROOM
from mailbridge.metrics import Metrics
from mailbridge.practice.receiver import Practice, practice_app
from mailbridge.sinks.skyvern import SkyvernSink
from mailbridge.web.server import serve_app
from tests.dispatch.scripted import GRACE, ScriptedSink, post
from tests.loop import looped, until
from tests.peers.faulty import FaultyReceiver, Temper
from tests.store.mails import arrival, draft
from tests.store.test_sqlite_contract import held_by_another_process

BUSY = Deferred(reason="Skyvern answered 503")
NO_ANSWER = Doubtful(reason="no answer")
MILLISECOND = timedelta(milliseconds=1)


SENDERS = 12


class Gate:
    """An act of the sink that waits until it is opened."""

    def __init__(self, outcome: Outcome | None = None) -> None:
        self._open = asyncio.Event()
        self._outcome = outcome or Accepted()

    async def __call__(self, _: Claim) -> Outcome:
        await self._open.wait()
        return self._outcome

    def open(self) -> None:
        """Let through who waits."""
        self._open.set()


@looped
async def test_coming_mail_prepares_the_targets(tmp_path: Path) -> None:
    """However often a mail is announced, a target is told once a second; one that stops is told nothing."""
    sink = ScriptedSink(SteadyClock().now)
    async with post(tmp_path, lambda clock: sink) as here:
        for _ in range(3):
            here.dispatcher.prewarm()
        await until(lambda: sink.prepared)
        assert sink.prepared == 1
        await asyncio.sleep(EXPECT_EVERY)
        here.dispatcher.prewarm()
        await until(lambda: sink.prepared == 2)
        await here.dispatcher.drain(MILLISECOND)
        await asyncio.sleep(EXPECT_EVERY)
        here.dispatcher.prewarm()
        await asyncio.sleep(0)
        assert sink.prepared == 2


@looped
async def test_a_code_goes_out_at_once(tmp_path: Path) -> None:
    """What is offered is pushed and settled without a look into the store."""
    sink = ScriptedSink(SteadyClock().now)
    async with post(tmp_path, lambda clock: sink) as here:
        await here.take(draft())
        await here.until_states(State.DELIVERED)
        assert sink.codes == ["482913"]
        await until(lambda: b'mailbridge_deliveries_total{outcome="accepted",sink="skyvern"} 1.0' in here.metrics.render())


@looped
async def test_codes_of_one_identifier_go_in_order(tmp_path: Path) -> None:
    """One at a time and in the order of their arrival, through failures, while others go on."""
    sink = ScriptedSink(SteadyClock().now)
    gate = Gate(BUSY)
    sink.script["000001"].append(gate)
    async with post(tmp_path, lambda clock: sink, senders=4) as here:
        for number in range(1, 6):
            await here.take(draft(f"{number:06d}", sender=f"s{number}@x.example"))
        await here.take(draft("900000", identifier="bob@example.com"))
        await until(lambda: "900000" in sink.codes)
        assert sink.codes == ["000001", "900000"]
        gate.open()
        await here.until_states(*[State.DELIVERED] * 6)
    mine = [code for code in sink.codes if code != "900000"]
    assert mine == ["000001", "000001", "000002", "000003", "000004", "000005"]


@looped
async def test_a_newer_code_takes_the_place_of_one_that_failed(tmp_path: Path) -> None:
    """An older code of the sender that waits for its next try is never sent again."""
    sink = ScriptedSink(SteadyClock().now)
    sink.script["111111"].append(Deferred(reason="429", retry_after=timedelta(seconds=60)))
    async with post(tmp_path, lambda clock: sink) as here:
        await here.take(draft("111111"))
        await here.until_states(State.PENDING)
        await here.take(draft("222222"))
        await here.until_states(State.SUPERSEDED, State.DELIVERED)
    assert sink.codes == ["111111", "222222"]


@looped
async def test_retries_begin_below_a_second_and_end_at_the_deadline(tmp_path: Path) -> None:
    """Waits double from a quarter of a second; at the deadline the delivery is expired, and nothing was sent after it."""
    sink = ScriptedSink(SteadyClock().now)
    sink.script["482913"].extend([BUSY] * 50)
    async with post(tmp_path, lambda clock: sink) as here:
        await here.take(draft(lifetime=timedelta(seconds=1.5)))
        await here.until_states(State.EXPIRED)
        (delivery,) = await here.deliveries()
    gaps = [later.at - sooner.at for sooner, later in pairwise(sink.pushed)]
    assert 1 <= len(gaps) <= 2
    assert timedelta(seconds=0.25) <= gaps[0] < timedelta(seconds=1)
    assert all(gap >= timedelta(seconds=0.5) for gap in gaps[1:])
    assert sink.pushed[-1].at < delivery.deadline
    assert delivery.attempts == len(sink.pushed)


@looped
async def test_the_jitter_is_full(tmp_path: Path) -> None:
    """With no jitter drawn the next try is due at once: the whole wait is left to chance."""
    sink = ScriptedSink(SteadyClock().now)
    sink.script["482913"].extend([BUSY] * 5)
    async with post(tmp_path, lambda clock: sink, jitter=0.0) as here:
        await here.take(draft())
        await here.until_states(State.DELIVERED)
    assert len(sink.pushed) == 6


@looped
async def test_a_doubt_is_settled_by_asking(tmp_path: Path) -> None:
    """After an attempt without an answer the grace is waited out, then the target is asked, and what it has is not sent again."""
    sink = ScriptedSink(SteadyClock().now, answers=deque([True]))
    sink.script["482913"].append(NO_ANSWER)
    async with post(tmp_path, lambda clock: sink) as here:
        began = here.clock.now()
        await here.take(draft())
        await here.until_states(State.DELIVERED)
        assert here.clock.now() - began >= GRACE
    assert (sink.codes, sink.asked) == (["482913"], ["482913"])


@looped
async def test_what_the_target_does_not_have_is_sent_again(tmp_path: Path) -> None:
    """While it cannot be asked nothing is sent; when it says no, the code is."""
    sink = ScriptedSink(SteadyClock().now, answers=deque([None, None, False]))
    sink.script["482913"].append(NO_ANSWER)
    async with post(tmp_path, lambda clock: sink, jitter=0.1) as here:
        await here.take(draft())
        await here.until_states(State.DELIVERED)
    assert (len(sink.pushed), len(sink.asked)) == (2, 3)


@looped
async def test_a_doubt_blocks_a_newer_code_for_the_grace(tmp_path: Path) -> None:
    """A newer code of the identifier is not sent while the older request may still arrive."""
    sink = ScriptedSink(SteadyClock().now)
    sink.script["111111"].append(NO_ANSWER)
    async with post(tmp_path, lambda clock: sink) as here:
        await here.take(draft("111111"))
        await here.until_states(State.PENDING)
        await here.take(draft("222222"))
        await here.until_states(State.SUPERSEDED, State.DELIVERED)
    assert sink.codes == ["111111", "222222"]
    assert sink.pushed[1].at - sink.pushed[0].at >= GRACE


@looped
async def test_nothing_is_sent_after_a_long_question(tmp_path: Path) -> None:
    """Where the target's answer to the question comes after the deadline, the code is expired and not sent."""

    async def slowly() -> bool:
        await asyncio.sleep(1.2)
        return False

    sink = ScriptedSink(SteadyClock().now, answers=deque([slowly]))
    sink.script["482913"].append(NO_ANSWER)
    async with post(tmp_path, lambda clock: sink, grace=100 * MILLISECOND) as here:
        await here.take(draft(lifetime=timedelta(seconds=1)))
        await here.until_states(State.EXPIRED)
        await until(lambda: b'outcome="expired",sink="skyvern"} 1.0' in here.metrics.render())
    assert sink.codes == ["482913"]


@looped
async def test_the_deadline_cuts_an_attempt(tmp_path: Path) -> None:
    """An attempt that hangs is given up at the deadline, in doubt: its line is blocked for the grace beyond it."""
    sink = ScriptedSink(SteadyClock().now)
    sink.script["111111"].append(Gate())
    async with post(tmp_path, lambda clock: sink) as here:
        await here.take(draft("111111", lifetime=timedelta(seconds=1), sender="a@x.example"))
        await here.take(draft("222222", sender="b@x.example"))
        await here.until_states(State.EXPIRED, State.DELIVERED)
    assert sink.pushed[1].at - sink.pushed[0].at >= timedelta(milliseconds=800) + GRACE


@looped
async def test_a_refused_key_raises_an_alarm_and_keeps_the_code(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """401: once in the log, in the metric and in `alarms`; the code is tried again, and the first success ends the alarm."""
    sink = ScriptedSink(SteadyClock().now)
    gate = Gate()
    sink.script["482913"].extend([Deferred(reason="Skyvern refuses the API key (401)", is_alarm=True)] * 2)
    sink.script["482913"].append(gate)
    with caplog.at_level(logging.INFO, "mailbridge.dispatch"):
        async with post(tmp_path, lambda clock: sink, jitter=0.1) as here:
            await here.take(draft())
            await until(lambda: len(sink.pushed) == 3)
            assert here.dispatcher.alarms == {"skyvern": "Skyvern refuses the API key (401)"}
            assert 'mailbridge_alarm{kind="target",name="skyvern"} 1.0' in here.metrics.render().decode()
            gate.open()
            await here.until_states(State.DELIVERED)
            assert here.dispatcher.alarms == {}
            assert 'mailbridge_alarm{kind="target",name="skyvern"} 0.0' in here.metrics.render().decode()
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        "alarm: Skyvern refuses the API key (401)"
    ]
    assert "482913" not in caplog.text


@looped
async def test_a_refused_key_until_the_deadline(tmp_path: Path) -> None:
    """Where nobody fixes the key the code stays until its deadline, and is then expired, not dead."""
    sink = ScriptedSink(SteadyClock().now)
    sink.script["482913"].extend([Deferred(reason="401", is_alarm=True)] * 20)
    async with post(tmp_path, lambda clock: sink, jitter=0.5) as here:
        await here.take(draft(lifetime=timedelta(seconds=0.8)))
        await here.until_states(State.EXPIRED)
        assert here.dispatcher.alarms == {"skyvern": "401"}


@looped
async def test_a_target_that_is_down_is_told(tmp_path: Path) -> None:
    """`failing` has the reason of the last failure until something succeeds."""
    sink = ScriptedSink(SteadyClock().now)
    gate = Gate()
    sink.script["482913"].extend([BUSY, gate])
    async with post(tmp_path, lambda clock: sink, jitter=0.1) as here:
        await here.take(draft())
        await until(lambda: len(sink.pushed) == 2)
        assert here.dispatcher.failing == {"skyvern": "Skyvern answered 503"}
        gate.open()
        await here.until_states(State.DELIVERED)
        assert here.dispatcher.failing == {}


@looped
async def test_a_stale_run_is_pushed_once_more_without_it(tmp_path: Path) -> None:
    """The second attempt goes without the ids, at once; a second refusal makes it a dead letter."""
    sink = ScriptedSink(SteadyClock().now)
    stale = Refused(reason="no such run", is_stale_run=True)
    sink.script["111111"].append(stale)
    sink.script["222222"].extend([stale, stale])
    async with post(tmp_path, lambda clock: sink) as here:
        await here.take(draft("111111", run="wr_1"))
        await here.take(draft("222222", run="wr_2", identifier="bob@example.com"))
        await here.until_states(State.DELIVERED, State.DEAD)
    assert sorted((one.code, one.without_run) for one in sink.pushed) == [
        ("111111", False),
        ("111111", True),
        ("222222", False),
        ("222222", True),
    ]


@looped
async def test_a_dead_letter_does_not_hold_up_the_next(tmp_path: Path) -> None:
    """After a refusal the next code of the identifier goes at once."""
    sink = ScriptedSink(SteadyClock().now)
    sink.script["111111"].append(Refused(reason="Skyvern answered 422"))
    async with post(tmp_path, lambda clock: sink) as here:
        await here.take(draft("111111"), draft("333333", identifier="bob@example.com"))
        await here.take(draft("222222"))
        await here.until_states(State.DEAD, State.DELIVERED, State.DELIVERED)
        assert (await here.deliveries())[0].reason == "Skyvern answered 422"


@looped
async def test_a_dead_delivery_that_is_made_due_is_found(tmp_path: Path) -> None:
    """Also where nobody rings: it is found by looking."""
    sink = ScriptedSink(SteadyClock().now)
    sink.script["482913"].append(Refused(reason="Skyvern answered 422"))
    async with post(tmp_path, lambda clock: sink) as here:
        await here.take(draft())
        await here.until_states(State.DEAD)
        assert await here.store.outbox.retry(1)
        await here.until_states(State.DELIVERED)


@looped
async def test_a_target_that_is_configured_no_more(tmp_path: Path) -> None:
    """What was meant for it becomes a dead letter that names it; everybody else's codes go on."""
    sink = ScriptedSink(SteadyClock().now)
    async with post(tmp_path, lambda clock: sink) as here:
        await here.take(draft(target="gone-org"), draft("111111"))
        await here.until_states(State.DEAD, State.DELIVERED)
        assert (await here.deliveries())[0].reason == "no target named 'gone-org' is configured any more"


@looped
async def test_what_waited_in_the_store_goes_when_it_starts(tmp_path: Path) -> None:
    """NoEvents offers anything: what a run before left is found by looking."""
    sink = ScriptedSink(SteadyClock().now)
    async with post(tmp_path, lambda clock: sink) as here:
        receipt = await here.store.put(arrival(draft(), at=here.clock.now()))
        await here.store.outbox.release(receipt.claims)
        here.dispatcher.ring()
        await here.until_states(State.DELIVERED)


@looped
async def test_memory_is_bounded_and_order_is_kept_when_the_target_is_slow(tmp_path: Path) -> None:
    """No more claims wait here than there is room for; the rest waits in the store, and who came first goes first."""
    sink = ScriptedSink(SteadyClock().now)
    gate = Gate()
    total = ROOM + 700
    for number in range(2):
        sink.script[f"{number:06d}"].append(gate)
    async with post(tmp_path, lambda clock: sink) as here:
        for first in range(0, total, 100):
            await asyncio.gather(*(here.take(draft(f"{n:06d}", identifier=f"u{n}@x.example")) for n in range(first, first + 100)))
        await until(lambda: here.dispatcher.backlog <= ROOM)
        counts = await here.store.outbox.counts()
        assert counts[State.PENDING] + counts[State.IN_FLIGHT] == total
        assert here.dispatcher.backlog <= ROOM
        gate.open()
        await here.until_states(*[State.DELIVERED] * total)
    assert len(sink.codes) == total
    displaced = max(abs(place - int(code)) for place, code in enumerate(sink.codes))
    assert displaced <= 200


@looped
async def test_a_store_that_is_away_holds_the_line(tmp_path: Path) -> None:
    """What was delivered is settled when the store is back; until then nothing else of the identifier goes, and nothing twice."""
    sink = ScriptedSink(SteadyClock().now)
    gate = Gate()
    sink.script["111111"].append(gate)
    async with post(tmp_path, lambda clock: sink) as here:
        await here.take(draft("111111", sender="a@x.example"))
        await here.take(draft("222222", sender="b@x.example"))
        with held_by_another_process(tmp_path / "mailbridge.db"):
            gate.open()
            await until(lambda: here.store.trouble == "locked")
            assert sink.codes == ["111111"]
        await here.until_states(State.DELIVERED, State.DELIVERED)
    assert sink.codes == ["111111", "222222"]


@looped
async def test_a_stop_sends_what_is_in_hand(tmp_path: Path) -> None:
    """`drain` ends when queue and attempts are through, those of the lines behind them too."""
    sink = ScriptedSink(SteadyClock().now)
    async with post(tmp_path, lambda clock: sink) as here:
        for number in range(30):
            await here.take(draft(f"{number:06d}", identifier=f"u{number % 3}@x.example", sender=f"s{number}@x.example"))
        await here.dispatcher.drain(timedelta(seconds=10))
        assert await here.states() == [State.DELIVERED] * 30


@looped
async def test_a_stop_gives_the_rest_back(tmp_path: Path) -> None:
    """What cannot be sent in time is pending again, uncounted; what was being sent is found in flight by the next start."""
    sink = ScriptedSink(SteadyClock().now)
    for code in ("111111", "222222"):
        sink.script[code].append(Gate())
    async with post(tmp_path, lambda clock: sink) as here:
        for code in ("111111", "222222", "333333"):
            await here.take(draft(code, identifier=f"{code}@x.example"))
        await until(lambda: len(sink.pushed) == 2)
        await here.dispatcher.drain(timedelta(milliseconds=100))
        assert await here.states() == [State.IN_FLIGHT, State.IN_FLIGHT, State.PENDING]
        assert (await here.deliveries())[2].attempts == 0


# over HTTP


@looped
async def test_many_codes_at_once_share_the_senders(tmp_path: Path) -> None:
    """Of 20 codes to a target that takes its time as many are under way at once as there are senders by default: 12."""
    practice = Practice()
    app, now, most = practice_app(practice), 0, 0
    is_full = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal now, most
        is_push = scope["type"] == "http" and scope["method"] == "POST"
        now += is_push
        most = max(most, now)
        if now == SENDERS:  # one more has time to come, if there is one
            asyncio.get_running_loop().call_later(0.1, is_full.set)
        if is_push:
            await is_full.wait()
        await app(scope, receive, send)
        now -= is_push

    async with serve_app(slow, listen="127.0.0.1:0") as bound, AsyncExitStack() as stack:
        settings = TargetSettings(name="skyvern", base_url=f"http://{bound.address}", api_key=Secret(practice.api_key))
        sink = skyvern(settings, Metrics().response)
        stack.push_async_callback(sink.aclose)
        async with post(tmp_path, lambda clock: sink, senders=settings.senders) as here:
            for number in range(20):
                await here.take(draft(f"{number:06d}", identifier=f"u{number}@x.example"))
            await here.until_states(*[State.DELIVERED] * 20)
    assert len(practice.rows()) == 20
    assert most == settings.senders == SENDERS


@looped
async def test_a_lost_answer_makes_no_second_row(tmp_path: Path) -> None:
    """The receiver took the code and its answer was lost: it is asked after the grace, and holds one row."""
    receiver = FaultyReceiver(temper=Temper(loses=1.0))
    async with await receiver.listen():
        sink = SkyvernSink(base_url=receiver.base_url, api_key=Secret("key"))
        async with post(tmp_path, lambda clock: sink) as here:
            await here.take(draft())
            await here.until_states(State.DELIVERED)
            assert (await here.deliveries())[0].is_doubtful is False
        await sink.aclose()
    assert receiver.codes("ann@example.com") == ["482913"]


@looped
async def test_an_outage_is_retried_in_order(tmp_path: Path) -> None:
    """Codes of two senders wait through an outage of the practice receiver, and are then there in order, each once."""
    practice = Practice()
    async with serve_app(practice_app(practice), listen="127.0.0.1:0") as bound:
        sink = SkyvernSink(base_url=f"http://{bound.address}", api_key=Secret(practice.api_key))
        async with post(tmp_path, lambda clock: sink, jitter=0.2) as here:
            practice.fault(status=503)
            await here.take(draft("111111", sender="a@x.example"))
            await here.take(draft("222222", sender="b@x.example"))
            await until(lambda: here.dispatcher.failing)
            practice.fault()
            await here.until_states(State.DELIVERED, State.DELIVERED)
        await sink.aclose()
    assert [row.code for row in practice.rows("ann@example.com")] == ["222222", "111111"]


@looped
async def test_a_log_line_of_a_delivery_holds_no_code(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Attempts are logged with number, target, state and reason, and with nothing that is secret."""
    sink = ScriptedSink(SteadyClock().now)
    sink.script["482913"].append(BUSY)
    with caplog.at_level(logging.DEBUG):
        async with post(tmp_path, lambda clock: sink, jitter=0.1) as here:
            await here.take(draft())
            await here.until_states(State.DELIVERED)
    told = json.dumps([{name: str(value) for name, value in vars(record).items()} for record in caplog.records])
    assert '"outcome": "pending"' in told
    assert "482913" not in told
