"""Steady time: it passes whatever the wall clock shows, and goes on over restarts on one boot."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from mailbridge import clock
from mailbridge.clock import Anchor, SteadyClock, from_micros, to_micros
from tests.moved_time import MovedTime

DAYS = timedelta(days=3)
MINUTE = timedelta(minutes=1)


def test_it_starts_on_the_wall() -> None:
    """A new clock shows what the wall shows."""
    moved = MovedTime()
    assert moved.clock().now() == moved.now()


@pytest.mark.parametrize("jump", [DAYS, -DAYS], ids=["forward", "back"])
def test_a_jump_of_the_wall_does_not_move_it(jump: timedelta) -> None:
    """It goes on as time passes; `drift` tells how far the wall is ahead, and `on_wall` what it will show."""
    moved = MovedTime()
    steady = moved.clock()
    began = steady.now()
    moved.pass_by(MINUTE)
    moved.jump(jump)
    assert steady.now() == began + MINUTE
    assert steady.drift == jump
    assert steady.on_wall(steady.micros() + to_micros(from_micros(0) + MINUTE)) == moved.now() + MINUTE
    steady.realign()
    assert (steady.now(), steady.drift) == (moved.now(), timedelta())


@pytest.mark.parametrize("jump", [DAYS, -DAYS], ids=["forward", "back"])
def test_a_restart_on_one_boot_goes_on(jump: timedelta) -> None:
    """The old anchor holds, whatever the wall shows."""
    moved = MovedTime()
    first = moved.clock()
    moved.pass_by(MINUTE)
    moved.jump(jump)
    second = moved.clock()
    assert second.resume(first.anchor, newest=to_micros(first.now())) == first.anchor
    assert second.now() == first.now()


def test_a_new_boot_is_never_before_the_newest_mail() -> None:
    """A clock that lost its battery: steady time starts at the newest mail, or on the wall where that is later."""
    moved = MovedTime()
    old = moved.clock()
    newest = to_micros(old.now())
    moved.reboot("boot-2", -DAYS)
    behind = moved.clock()
    behind.resume(old.anchor, newest=newest)
    assert behind.micros() == newest
    moved.jump(2 * DAYS)
    ahead = moved.clock()
    ahead.resume(old.anchor, newest=newest)
    assert ahead.now() == moved.now()


def test_where_the_kernel_names_no_boot_each_start_is_a_new_one() -> None:
    """Two unnamed boots are not taken for the same."""
    moved = MovedTime(boot="")
    old = moved.clock()
    moved.jump(DAYS)
    new = moved.clock()
    new.resume(Anchor(boot="", offset=old.anchor.offset), newest=None)
    assert new.now() == moved.now()


@pytest.mark.parametrize("jump", [DAYS, -DAYS, 5 * MINUTE, -5 * MINUTE], ids=str)
def test_a_moment_that_was_told_before_it_was_put_right_is_understood(jump: timedelta) -> None:
    """For ten minutes, by whoever was told it shortly before; a moment of now is taken as it is."""
    moved = MovedTime()
    steady = moved.clock()
    told = steady.micros()
    moved.pass_by(MINUTE)
    moved.jump(jump)
    assert steady.as_now(told) == told
    assert steady.realign() == jump // timedelta(microseconds=1)
    assert from_micros(steady.as_now(told)) == steady.now() - MINUTE
    assert steady.as_now(steady.micros()) == steady.micros()
    moved.pass_by(11 * MINUTE)
    assert steady.as_now(told) == told


def test_the_machines_own_clocks() -> None:
    """Without arguments it is UTC now, within a second, and the boot has a name on Linux that stays."""
    steady = SteadyClock()
    before, now, after = datetime.now(UTC), steady.now(), datetime.now(UTC)
    assert before - timedelta(seconds=1) < now < after + timedelta(seconds=1)
    assert steady.now() <= steady.now()
    assert clock.boot_id() == clock.boot_id()
    seconds = int(time.monotonic())
    assert clock.since_boot() // 1_000_000 >= seconds


def test_microseconds_are_exact() -> None:
    """To and fro nothing is lost, before 1970 too, and in other zones."""
    for text in ("2026-11-25T12:00:00.123456+00:00", "1969-12-31T23:59:59.999999+00:00", "2038-01-19T03:14:08+05:30"):
        at = datetime.fromisoformat(text)
        assert from_micros(to_micros(at)) == at
