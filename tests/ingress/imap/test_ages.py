"""The ages of mails while clocks are set."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mailbridge.ingress.imap.ages import Ages
from tests.moved_time import MovedTime

DAY, HOUR, MINUTE, NOTHING = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1), timedelta()


@pytest.mark.parametrize("is_realigned", [False, True], ids=["steady time goes on", "steady time is set too"])
@pytest.mark.parametrize("jump", [DAY, -DAY, HOUR, -HOUR])
def test_a_mail_is_as_old_as_its_servers_clock_says(jump: timedelta, *, is_realigned: bool) -> None:
    """Our clock jumps, the server's does not: a mail of now is of now, one of two days ago is old, once and after weeks."""
    time = MovedTime()
    clock = time.clock()
    ages = Ages(now=clock.now, drift=lambda: clock.drift, counted=lambda: time.since_boot)
    server = clock.now()
    for _ in range(3):
        time.jump(jump)
        if is_realigned:
            clock.realign()
        time.pass_by(MINUTE)
        server += MINUTE
        assert ages.of(server) == NOTHING
        assert ages.of(server - 5 * MINUTE) == 5 * MINUTE
        assert ages.of(server - 10 * DAY) > HOUR
        ages.learn(server)
        time.pass_by(9 * DAY)
        server += 9 * DAY
        assert ages.of(server) == NOTHING


def test_a_clock_that_is_mended_is_believed() -> None:
    """Wrong at the start, then right: a mail of now is of now before steady time follows, and after it."""
    time = MovedTime()
    time.jump(DAY)
    clock = time.clock()
    ages = Ages(now=clock.now, drift=lambda: clock.drift, counted=lambda: time.since_boot)
    time.jump(-DAY)
    assert ages.of(time.now()) == NOTHING
    ages.learn(time.now())
    clock.realign()
    time.jump(-DAY)
    clock.realign()
    assert ages.of(time.now() + DAY) == NOTHING


def test_an_old_mail_teaches_nothing() -> None:
    """What somebody moves into the folder leaves the server's clock where it was known to be."""
    time = MovedTime()
    clock = time.clock()
    ages = Ages(now=clock.now, counted=lambda: time.since_boot)
    ages.learn(clock.now() - HOUR)
    assert ages.of(clock.now()) == NOTHING
    assert ages.of(clock.now() - HOUR) == HOUR
