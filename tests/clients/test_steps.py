"""When the client asks again and when it gives up: the plans against a scripted daemon, with a clock of their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest

from mailbridge_client import CodeTimeout, NotAllowed, UnknownIdentifier, Unreachable
from mailbridge_client.calls import Answer, Call, Wish
from mailbridge_client.steps import Failure, Got, Pause, Plan, Planner

T = TypeVar("T")
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
NOTHING = {"identifier": "ann@corp.com", "code": None}
CODE = {
    "identifier": "ann@corp.com",
    "code": "482913",
    "kind": "code",
    "from": "no-reply@github.com",
    "rule": "github",
    "received_at": "2026-01-31T12:00:07.500Z",
    "expires_at": "2026-01-31T12:10:07.500Z",
    "run": None,
    "mail": 7,
    "is_consumed": False,
}
EXPECTED = {"identifier": "ann@corp.com", "since": "2026-01-31T12:00:00.250Z", "until": "2026-01-31T12:00:00.250Z"}
WHY = {
    "identifier": "ann@corp.com",
    "since": "2026-01-31T12:00:00.000Z",
    "is_waited_for": False,
    "causes": [
        {
            "kind": "no-mail",
            "certainty": "possible",
            "text": "no mail came",
            "hint": "look there",
            "mail": None,
            "delivery": None,
            "facts": {},
        }
    ],
}
WISH = Wish(identifier="ann@corp.com", kind="code", timeout=180)
SINCE = Wish(identifier="ann@corp.com", kind="code", timeout=180, since=NOW)


def ok(row: object) -> Answer:
    """A success."""
    return Answer(status=200, content=json.dumps(row).encode())


def problem(status: int, title: str = "no", retry_after: str = "") -> Answer:
    """A fault."""
    return Answer(status=status, content=json.dumps({"title": title, "status": status}).encode(), retry_after=retry_after)


class Daemon:
    """Answers calls from a script, and lets time pass. A wait without a code takes as long as it was asked to."""

    def __init__(self, script: Iterable[Got | dict[str, Any]], *, takes: float | None = None) -> None:
        self.script = list(script)
        self.takes = takes
        self.now = 1_000.0
        self.calls: list[Call] = []
        self.pauses: list[float] = []

    def planner(self, *, patience: float = 30.0, dice: Callable[[], float] = lambda: 0.5) -> Planner:
        """A planner by this clock."""
        return Planner(patience=patience, clock=lambda: self.now, dice=dice)

    def run(self, plan: Plan[T]) -> T:
        """Carry out a plan to its end."""
        got: Got = None
        while True:
            try:
                step = plan.send(got)
            except StopIteration as end:
                done: T = end.value
                return done
            if isinstance(step, Pause):
                self.pauses.append(step.seconds)
                self.now += step.seconds
                got = None
            else:
                got = self.answer(step)

    def answer(self, call: Call) -> Got:
        """The next of the script; its last one over and over."""
        self.calls.append(call)
        told = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if told == NOTHING:
            self.now += float(call.query["timeout"]) if self.takes is None else self.takes
        return ok(told) if isinstance(told, dict) else told


def test_a_wait_is_as_many_polls_as_it_takes() -> None:
    """Each of at most 60 seconds, together as long as was asked for, and all from the same moment."""
    daemon = Daemon([EXPECTED, *[NOTHING] * 4, problem(403)])
    with pytest.raises(CodeTimeout):
        daemon.run(daemon.planner().wait(WISH))
    polls = [call for call in daemon.calls if call.path == "/api/v1/codes/wait"]
    assert [float(call.query["timeout"]) for call in polls] == [50, 50, 50, 30]
    assert {call.query["since"] for call in polls} == {"2026-01-31T12:00:00.250000+00:00"}
    assert all(call.seconds > float(call.query["timeout"]) for call in polls)
    assert daemon.now == 1_180


def test_a_wait_of_no_time_asks_once() -> None:
    """It says what is there."""
    daemon = Daemon([EXPECTED, CODE])
    assert daemon.run(daemon.planner().wait(Wish(identifier="ann@corp.com", kind="code", timeout=0))).value == "482913"


@pytest.mark.parametrize(
    ("why", "words"),
    [
        (WHY, "no code for ann@corp.com within 180 s: no mail came (look there)"),
        (problem(403), "no code for ann@corp.com within 180 s"),
        (Failure(text="gone"), "no code for ann@corp.com within 180 s"),
        (problem(503), "no code for ann@corp.com within 180 s"),
        (Answer(status=200, content=b"<html>"), "no code for ann@corp.com within 180 s"),
    ],
)
def test_a_timeout_says_why_where_it_is_told(why: Any, words: str) -> None:
    """And is one all the same where that is refused, or nobody answers; it is asked once."""
    daemon = Daemon([NOTHING, NOTHING, NOTHING, NOTHING, why])
    with pytest.raises(CodeTimeout) as found:
        daemon.run(daemon.planner().wait(SINCE))
    assert str(found.value) == words
    assert (found.value.why is not None) == (why is WHY)
    assert len(daemon.calls) == 5


@pytest.mark.parametrize(
    "trouble", [Failure(text="refused"), problem(429), problem(502), problem(503), problem(504)], ids=lambda one: str(one)[:20]
)
def test_what_fails_for_now_is_asked_again(trouble: Got) -> None:
    """With pauses that grow, and the same question each time."""
    daemon = Daemon([*[trouble] * 6, CODE])
    assert daemon.run(daemon.planner(dice=lambda: 1.0).wait(SINCE)).value == "482913"
    assert daemon.pauses == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.0, 3.0])
    assert len({call.query["since"] for call in daemon.calls}) == 1


def test_pauses_are_random_and_never_nothing() -> None:
    """So that many clients do not come back at once, and none in a tight loop."""
    for dice, least, most in ((0.0, 0.02, 0.021), (1.0, 0.2, 0.201)):
        daemon = Daemon([Failure(text="refused"), CODE])
        daemon.run(daemon.planner(dice=lambda value=dice: value).wait(SINCE))  # type: ignore[misc]
        assert least <= daemon.pauses[0] <= most


@pytest.mark.parametrize(("header", "least"), [("7", 7.0), ("0", 0.0), ("soon", 0.1), ("", 0.1), ("99999999999999999999", 0.1)])
def test_retry_after_is_heard(header: str, least: float) -> None:
    """As seconds; what is no number counts as none."""
    daemon = Daemon([problem(429, retry_after=header), CODE])
    daemon.run(daemon.planner().wait(SINCE))
    assert least <= daemon.pauses[0] <= least + 0.2


def test_retry_after_may_be_a_date() -> None:
    """RFC 9110 10.2.3: one that has passed is no pause."""
    daemon = Daemon([problem(503, retry_after="Fri, 31 Jan 2020 12:00:00 GMT"), CODE])
    daemon.run(daemon.planner().wait(SINCE))
    assert daemon.pauses[0] <= 0.2


@pytest.mark.parametrize(
    "trouble", [Failure(text="refused"), problem(503, "the store is full"), problem(429, retry_after="3600")]
)
def test_nobody_waits_beyond_the_end(trouble: Got) -> None:
    """A daemon that cannot be used to the end of the wait is told from a mail that did not come."""
    daemon = Daemon([trouble])
    with pytest.raises(Unreachable):
        daemon.run(daemon.planner().wait(SINCE))
    assert daemon.now <= 1_180
    daemon = Daemon([trouble])
    with pytest.raises(Unreachable):
        daemon.run(daemon.planner(patience=10).why("ann@corp.com", None))
    assert daemon.now <= 1_010


@pytest.mark.parametrize(
    ("status", "fault"), [(401, NotAllowed), (403, NotAllowed), (404, UnknownIdentifier), (400, Exception), (302, Exception)]
)
def test_what_is_refused_is_not_asked_again(status: int, fault: type[Exception]) -> None:
    """The title of the problem is the message."""
    daemon = Daemon([problem(status, "because of that")])
    with pytest.raises(fault, match="because of that" if status != 302 else "a redirect, which is not followed"):
        daemon.run(daemon.planner().wait(SINCE))
    assert len(daemon.calls) == 1


def test_a_daemon_that_stops_is_not_asked_in_a_tight_loop() -> None:
    """It ends every wait at once while it goes down: then there is a pause before the next."""
    daemon = Daemon([*[NOTHING] * 4, CODE], takes=0.0)
    daemon.run(daemon.planner().wait(SINCE))
    assert len(daemon.pauses) == 4
    assert min(daemon.pauses) > 0.1


def test_a_code_is_given_once() -> None:
    """The next wait begins after the one that was given, even if the daemon's clock says that it came since."""
    daemon = Daemon([EXPECTED, CODE, EXPECTED, CODE])
    planner = daemon.planner()
    daemon.run(planner.wait(WISH))
    daemon.run(planner.wait(WISH))
    assert daemon.calls[-1].query["since"] == "2026-01-31T12:00:07.501000+00:00"


def test_a_wait_counts_from_what_was_expected() -> None:
    """Once, while it is in force; a code that came between the two is not missed."""
    expected = {**EXPECTED, "since": "2026-01-31T11:59:30Z"}
    daemon = Daemon([expected, CODE, EXPECTED, CODE])
    planner = daemon.planner()
    daemon.run(planner.expect("Ann@corp.com", seconds=120, sender=None))
    daemon.now += 119
    daemon.run(planner.wait(WISH))
    assert [call.path for call in daemon.calls] == ["/api/v1/expect", "/api/v1/codes/wait"]
    assert daemon.calls[-1].query["since"] == "2026-01-31T11:59:30+00:00"
    daemon.run(planner.wait(WISH))
    assert daemon.calls[-2].path == "/api/v1/expect"


def test_what_was_expected_lapses() -> None:
    """A wait that begins later counts from itself."""
    daemon = Daemon([EXPECTED, EXPECTED, CODE])
    planner = daemon.planner()
    daemon.run(planner.expect("ann@corp.com", seconds=120, sender=None))
    daemon.now += 121
    daemon.run(planner.wait(WISH))
    assert [call.path for call in daemon.calls] == ["/api/v1/expect", "/api/v1/expect", "/api/v1/codes/wait"]


def test_a_moment_without_a_zone_is_refused() -> None:
    """Nobody can say when that was."""
    with pytest.raises(ValueError, match="needs a time zone"):
        daemon = Daemon([CODE])
        naive = (NOW + timedelta()).replace(tzinfo=None)
        daemon.run(daemon.planner().wait(Wish(identifier="ann@corp.com", kind="code", timeout=1, since=naive)))


def test_a_link_and_a_code_of_one_mail_are_both_given() -> None:
    """What was given of one kind says nothing of the other."""
    made = {"id": "1", "identifier": "ann@corp.com", "address": "a@b.example", "from": [], "expires_at": "2026-01-31T13:00:00Z"}
    daemon = Daemon([made, CODE, {**CODE, "kind": "link"}, NOTHING])
    planner = daemon.planner()
    daemon.run(planner.create_inbox(None, None))
    daemon.run(planner.wait(WISH))
    daemon.run(planner.wait(Wish(identifier="ann@corp.com", kind="link", timeout=5)))
    assert [call.query["since"] for call in daemon.calls[1:]] == ["0.000", "0.000"]
