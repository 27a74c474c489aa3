"""What is kept about a mailbox and its server, as tables: missing mails, times, IDLE, clocks; and what is stored of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from mailbridge.ingress.imap import missing as schedule
from mailbridge.ingress.imap.ages import Ages
from mailbridge.ingress.imap.arrivals import Arrivals, own_dates
from mailbridge.ingress.imap.habits import Habits
from mailbridge.ingress.imap.hearing import CERTAIN, IDLE_AGAIN, REFUSED_AGAIN, TRIAL, Hearing
from mailbridge.ingress.imap.mailbox_status import MailboxStatus
from mailbridge.ingress.imap.memory import Memory
from mailbridge.ingress.imap.missing import Missing
from mailbridge.ingress.imap.mute import ENOUGH, Mute
from mailbridge.ingress.imap.pace import POLL, Openings
from mailbridge.ingress.imap.responses import Fetched
from mailbridge.ingress.imap.tempo import AGAIN, QUICK, Tempo
from mailbridge.ingress.imap.top import Top
from mailbridge.intake.answer import Answer, Full
from mailbridge.store import StoreUnavailable
from tests.moved_time import MovedTime


class Notes:
    """A door that only keeps notes."""

    def __init__(self, notes: str = "{}") -> None:
        self.kept = notes
        self.writes = 0
        self.is_away = False

    def notes(self, mailbox: str) -> str:
        if self.is_away:
            raise StoreUnavailable("locked", "")
        return self.kept

    def note(self, mailbox: str, notes: str) -> None:
        self.kept = notes
        self.writes += 1

    def accept(self, envelope: object) -> Answer:
        return Full()

    def cursor(self, mailbox: str) -> str | None:
        return None

    def advance(self, cursor: str) -> None: ...

    def rewind(self, cursor: str) -> None: ...

    def pending_actions(self, mailbox: str) -> tuple[str, ...]:
        return ()

    def actions_done(self, cursors: Sequence[str]) -> None: ...


def remembered(door: Notes, *, validity: int = 7) -> Memory:
    """What a new daemon knows."""
    memory = Memory("box", door, Habits())
    memory.load(1000.0)
    memory.belongs_to(validity)
    return memory


def test_a_refused_mail_is_tried_three_times_and_then_more_and_more_seldom() -> None:
    """The times between its tries, each with whether that sets it aside; after a day it is left alone."""
    missing, now = Missing(), 0.0
    told = []
    for _ in range(8):
        is_aside = missing.refused(5, "NO", now=now)
        told.append((is_aside, round(missing.next_due() - now, 3)))
        now = missing.next_due()
    assert told == [
        (False, 0.5),
        (False, 1.5),
        (True, 5.0),
        (False, 15.0),
        (False, 60.0),
        (False, 60.0),
        (False, 60.0),
        (False, 60.0),
    ]
    now = schedule.HOUR + 1
    missing.refused(5, "NO", now=now)
    assert missing.next_due() - now == schedule.RARELY
    assert missing.forget_old(schedule.WANTED) == []
    assert [gap.low for gap in missing.forget_old(schedule.WANTED + 1)] == [5]
    assert missing.next_due() == float("inf")


def test_a_mail_that_hangs_is_tried_twice_and_then_rarely() -> None:
    """Everything else has to wait for it."""
    missing = Missing()
    assert not missing.refused(5, "silence", now=0.0, is_slow=True)
    assert missing.refused(5, "silence", now=10.0, is_slow=True)
    assert missing.next_due() == 10.0 + schedule.SLOWLY


def spans(missing: Missing, now: float) -> list[tuple[int, int]]:
    """What is to be looked for now."""
    return [(gap.low, gap.high) for gap in missing.due(now)]


def test_a_hole_is_looked_for_while_a_code_lives() -> None:
    """At least once in 65 s during the first minutes, and for about ten minutes in all."""
    missing, now = Missing(), 0.0
    times: list[float] = []
    missing.left_out(5, 7, now=now)
    while (due := missing.next_due()) != float("inf") and len(times) < 50:
        now = due
        times.append(now)
        assert spans(missing, now) == [(5, 7)]
        missing.forget_old(now)
    assert max(after - before for before, after in zip([0.0, *times], times, strict=False) if after < 200) <= 65
    assert 500 < times[-1] < 700


@pytest.mark.parametrize(("uid", "left"), [(5, [(6, 7)]), (6, [(5, 5), (7, 7)]), (7, [(5, 6)]), (9, [(5, 7)])])
def test_what_is_given_is_no_hole_any_more(uid: int, left: list[tuple[int, int]]) -> None:
    """The others of its range stay."""
    missing = Missing()
    missing.left_out(5, 7, now=0.0)
    assert missing.given(uid) == (uid != 9)
    assert spans(missing, 100.0) == left


def test_the_oldest_hole_makes_room() -> None:
    """Never a mail that the server refuses."""
    missing = Missing()
    missing.refused(1, "NO", now=0.0)
    for number in range(2 * schedule.MOST):
        missing.left_out(10 * number + 10, 10 * number + 12, now=float(number))
    assert len(missing.told()) == schedule.MOST
    assert missing.is_refused(1) and not missing.given(10) and missing.given(10 * (2 * schedule.MOST - 1) + 10)


def test_a_kind_that_took_longer_gets_more_time_until_it_is_quick_again() -> None:
    """EXAMINE and SELECT are one kind; the others stay as they were; there is a limit, and a login begins with more."""
    tempo = Tempo(first=10.0, most=60.0)
    assert [tempo.silent("EXAMINE") for _ in range(4)] == [20.0, 40.0, 60.0, 60.0]
    assert (tempo.of("SELECT"), tempo.of("FETCH"), tempo.of("login")) == (60.0, 10.0, 30.0)
    for _ in range(QUICK - 1):
        tempo.answered("SELECT", 1.0)
    tempo.answered("SELECT", 12.0)
    for _ in range(QUICK - 1):
        tempo.answered("SELECT", 1.0)
    assert tempo.of("SELECT") == 60.0
    tempo.answered("SELECT", 1.0)
    assert tempo.of("SELECT") == 10.0
    assert (tempo.silent(AGAIN), tempo.of(AGAIN)) == (10.0, 10.0)


def test_idle_is_tried_again_after_a_while() -> None:
    """Deaf is deaf over sessions; half an hour later it is tried for ten minutes, and one mail that it tells of ends it."""
    now = 0.0
    memory = Memory("box", Notes(), Habits())
    hearing = Hearing(memory, now=lambda: now)
    hearing.begin(is_offered=True)
    assert not hearing.is_useless
    hearing.missed(is_blind=False)
    hearing.begin(is_offered=True)
    assert hearing.is_useless and not hearing.is_trial_to_change()
    now = IDLE_AGAIN
    assert hearing.is_trial_to_change() and hearing.is_on_trial and not hearing.is_useless
    now += TRIAL
    assert hearing.is_trial_to_change() and hearing.is_useless
    now += IDLE_AGAIN
    assert hearing.is_trial_to_change()
    assert not hearing.told(age=0.5, meanwhile=30.0)
    assert not hearing.is_useless and not memory.is_deaf and not hearing.is_on_trial
    hearing.begin(is_offered=False)
    assert hearing.is_useless and not hearing.is_bad


def test_an_idle_that_is_not_answered_is_tried_more_and_more_seldom() -> None:
    """An hour after it was given up, two hours after that, once a day at last; by one folder each time; an answer ends it."""
    now = 0.0
    mute = Mute(lambda: now)
    for _ in range(ENOUGH):
        assert not mute.is_given_up and not mute.is_due()
        mute.unanswered()
    waits = []
    for _ in range(7):
        assert mute.is_given_up and not mute.is_due()
        waits.append(mute.wait / 3600)
        now += mute.wait
        assert mute.is_due() and not mute.is_due()
        mute.unanswered()
    assert waits == [1, 2, 4, 8, 16, 24, 24]
    mute.answered()
    assert not mute.is_given_up and not mute.is_due()


def test_an_idle_that_was_refused_is_offered_again_in_the_same_session() -> None:
    """After an hour, then after two; where the server has none, never."""
    now = 0.0
    hearing = Hearing(Memory("box", Notes(), Habits()), now=lambda: now)
    hearing.begin(is_offered=True)
    for wait in (REFUSED_AGAIN, 2 * REFUSED_AGAIN):
        hearing.refused()
        now += wait - 1
        assert hearing.is_useless and not hearing.is_offered_again()
        now += 1
        assert hearing.is_offered_again() and not hearing.is_useless
    hearing.begin(is_offered=False)
    now += 100 * REFUSED_AGAIN
    assert not hearing.is_offered_again() and hearing.is_useless


def test_a_server_that_tells_late_is_asked() -> None:
    """One mail that it has had for half a minute is enough, or two in a row that it has had for twelve seconds. One that was moved in, or
    had been left out, is no such mail."""
    hearing = Hearing(Memory("box", Notes(), Habits()))
    hearing.begin(is_offered=True)
    assert hearing.told(age=CERTAIN + 1.0, meanwhile=30.0)
    memory = Memory("box", Notes(), Habits())
    hearing = Hearing(memory)
    hearing.begin(is_offered=True)
    assert not hearing.told(age=3000.0, meanwhile=20.0) and not hearing.told(age=1.0, meanwhile=20.0)
    assert not hearing.told(age=12.0, meanwhile=20.0) and not hearing.told(age=1.0, meanwhile=20.0)
    assert not hearing.told(age=12.0, meanwhile=20.0) and not hearing.told(age=3000.0, meanwhile=20.0)
    assert hearing.told(age=12.0, meanwhile=20.0)
    assert hearing.is_useless and hearing.is_only_late
    hearing.polled(age=4.0, meanwhile=5.1)
    assert hearing.is_useless


@pytest.mark.parametrize("lag", [6.0, 15.0, 60.0])
def test_mails_that_look_older_than_they_are_make_no_server_late(lag: float) -> None:
    """A clock that is behind, or a filter that takes its time: found out while the server is asked, and remembered."""
    memory = Memory("box", Notes(), Habits())
    hearing = Hearing(memory)
    hearing.begin(is_offered=True)
    for _ in range(2):
        hearing.told(age=lag + 0.5, meanwhile=100.0)
    for delay in (4.0, 2.0, 0.2):
        if hearing.is_useless:
            hearing.polled(age=lag + delay, meanwhile=5.0)
    assert not hearing.is_useless
    assert not hearing.told(age=lag + 0.5, meanwhile=100.0)
    assert hearing.told(age=lag + CERTAIN + 1.0, meanwhile=100.0)


@pytest.mark.parametrize(
    ("openings", "messages", "age"),
    [((2.0,), 10, 9.0), ((0.003,), 100_000, 8.5), ((12.0, 0.1), 10, 20.0), ((0.003,), 10, 3.9)],
    ids=["slow to open", "a hundred thousand mails", "slow a while ago", "neither"],
)
def test_a_slow_server_is_not_late(openings: tuple[float, ...], messages: int, age: float) -> None:
    """A server that needs long for everything, or reads a large folder anew for each mail, is not polled for it, and less often if it is."""
    pace = Openings()
    for seconds in openings:
        pace.took(seconds, messages)
    hearing = Hearing(Memory("box", Notes(), Habits()))
    hearing.begin(is_offered=True)
    hearing.slack = pace.slack
    assert not any(hearing.told(age=age, meanwhile=100.0) for _ in range(4))
    hearing.told(age=age + 2 * pace.slack + 1.0, meanwhile=100.0)
    assert hearing.told(age=age + 2 * pace.slack + 1.0, meanwhile=100.0)
    assert pace.poll == max(POLL, 2 * max(openings[0] / len(openings), openings[-1]))


def test_what_was_learned_is_there_after_a_restart() -> None:
    """Missing mails of the same UIDVALIDITY, and everything about the server; it is written only where it has changed."""
    door = Notes()
    memory = remembered(door)
    memory.save()
    writes = door.writes
    memory.save()
    assert door.writes == writes
    memory.missing.refused(5, "NO", now=1.0)
    memory.is_deaf, memory.drift, memory.top = True, -1200.4, Top(5, 1_700_000_000, 300, 7)
    memory.is_late, memory.lag = True, 7.2
    memory.habits.misses, memory.habits.needs_select, memory.habits.refuses_plain = 2, True, True
    memory.habits.tempo.silent("FETCH")
    memory.save()
    again = remembered(door)
    assert again.missing.is_refused(5) and again.is_deaf and not again.is_blind
    assert again.is_late and again.lag == 7.0
    assert (again.drift, again.top) == (-1200.0, Top(5, 1_700_000_000, 300, 7))
    assert not again.habits.is_pipelined and again.habits.needs_select and again.habits.refuses_plain
    assert again.habits.tempo.of("FETCH") == 20.0
    assert not remembered(door, validity=8).missing.is_refused(5)


@pytest.mark.parametrize(
    "notes",
    ["", "[]", "nonsense", '{"missing": 5, "habits": [], "drift": "x"}', '{"missing": [{"low": 1}, 3], "habits": {"tempo": 3}}'],
)
def test_notes_that_cannot_be_read_are_none(notes: str) -> None:
    """A mailbox is watched whatever stands there."""
    memory = remembered(Notes(notes))
    assert (memory.is_deaf, memory.drift, memory.missing.told()) == (False, 0.0, [])


def test_nothing_is_written_before_it_was_read() -> None:
    """A store that could not be read does not lose what stands there."""
    door = Notes('{"is_deaf": true}')
    memory = Memory("box", door, Habits())
    memory.save()
    assert door.kept == '{"is_deaf": true}'


def test_one_canary_tells_the_servers_clock() -> None:
    """It was sent a moment ago, whatever its date says; the next one may tell that the clock is right again."""
    time = MovedTime()
    clock = time.clock()
    status = MailboxStatus("box/INBOX", renew=55)
    ages = Ages(now=clock.now, counted=lambda: time.since_boot)
    arrivals = Arrivals(ages, status)
    arrivals.canary(clock.now() - timedelta(minutes=17), under_way=timedelta(seconds=3))
    assert status.drift is not None and round(status.drift / 60) == -17
    mail = Fetched(uid=1, at=clock.now() - timedelta(minutes=17), content=b"Subject: x\r\n\r\nx")
    assert clock.now() - arrivals.at(mail, seen=None) < timedelta(seconds=5)
    arrivals.canary(clock.now() - timedelta(minutes=4), under_way=timedelta(minutes=5))
    assert status.drift is None and status.read().notes == ()


@pytest.mark.parametrize(
    ("head", "told"),
    [
        (
            b"Received: by a;\r\n Sun, 29 Nov 2026 10:00:00 +0000\r\nReceived: by b; Sun, 29 Nov 2026 09:00:00 +0000\r\n",
            (None, 10),
        ),
        (b"Date: Sun, 29 Nov 2026 11:00:00 +0000 (UTC)\nDate: Sun, 29 Nov 2026 12:00:00 +0000\n", (11, None)),
        (
            b"DATE:Sun, 29 Nov 2026 13:00:00 +0200\r\nreceived: from x (y; z) by a id 1;\r\n\t29 Nov 2026 07:00:00 -0500\r\n",
            (11, 12),
        ),
        (b"Date: yesterday\r\nReceived: by a\r\n", (None, None)),
        (b"\r\nDate: Sun, 29 Nov 2026 11:00:00 +0000\r\n", (None, None)),
        (b"", (None, None)),
    ],
)
def test_a_mails_own_dates(head: bytes, told: tuple[int | None, int | None]) -> None:
    """The first Date, and the end of the topmost Received; a body is no header."""
    expected = tuple(None if hour is None else datetime(2026, 11, 29, hour, tzinfo=UTC) for hour in told)
    assert own_dates(head + b"\r\nDate: Sun, 29 Nov 2026 23:00:00 +0000\r\n") == expected
