"""Pauses after faults, and the health that a mailbox shows."""

from __future__ import annotations

from datetime import timedelta

import pytest

from mailbridge.ingress.imap.backoff import HOUR, Backoff
from mailbridge.ingress.imap.faults import Kind, MailboxFault, goodbye, hint_of, is_busy, refusal, shown
from mailbridge.ingress.imap.mailbox_status import MailboxStatus
from mailbridge.ingress.imap.modes import Event


def pauses(kind: Kind, count: int, *, was_watching: bool = False, dice: float = 1.0) -> list[float]:
    """The pauses after so many faults of a kind, with loaded dice, in seconds."""
    patience = Backoff(lambda: dice)
    return [patience.after(MailboxFault(kind, "x"), was_watching=was_watching).total_seconds() for _ in range(count)]


def test_an_unreachable_server_is_tried_again_soon_and_then_less_often() -> None:
    """Full jitter under a ceiling that doubles from 0.4 s to 50 s, so that a server that is back is found within a minute."""
    assert pauses(Kind.NETWORK, 9) == [0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 50.0, 50.0]
    assert pauses(Kind.NETWORK, 12, dice=0.0) == [0.0] * 12


def test_sessions_that_end_over_a_mail_are_replaced_at_once_a_few_times() -> None:
    """Two mails with three tries each; then they count as broken connections, until the server gives a mail."""
    patience = Backoff(lambda: 1.0)
    told = [patience.after(MailboxFault(Kind.MAIL, "x"), was_watching=True).total_seconds() for _ in range(8)]
    assert told == [0.2] * 7 + [0.4]
    patience.gave()
    assert patience.after(MailboxFault(Kind.MAIL, "x"), was_watching=True).total_seconds() == 0.2


def test_broken_sessions_are_replaced_quickly_only_a_few_times() -> None:
    """Five within a second each; then never sooner than 5 s, whatever the dice, and never later than 50 s."""
    assert pauses(Kind.NETWORK, 5, was_watching=True) == [0.2, 0.4, 0.8, 1.0, 1.0]
    assert pauses(Kind.NETWORK, 8, was_watching=True, dice=0.0)[5:] == [5.0, 5.0, 5.0]
    assert max(pauses(Kind.NETWORK, 40, was_watching=True)) == 50.0


def test_a_session_that_lasted_forgives_everything() -> None:
    """A minute in IDLE, and the next fault is the first again; ten seconds forgive nothing."""
    patience = Backoff(lambda: 0.0)
    for _ in range(6):
        patience.after(MailboxFault(Kind.NETWORK, "x"), was_watching=True)
    patience.lasted(timedelta(seconds=10))
    assert patience.after(MailboxFault(Kind.NETWORK, "x"), was_watching=True) == timedelta(seconds=5)
    patience.lasted(timedelta(seconds=61))
    assert patience.after(MailboxFault(Kind.NETWORK, "x"), was_watching=True) == timedelta()


@pytest.mark.parametrize(
    ("kind", "first", "then", "after_an_hour"),
    [(Kind.REFUSED, 3.0, 50.0, 900.0), (Kind.BUSY, 30.0, 50.0, 50.0), (Kind.SETTING, 50.0, 50.0, 300.0)],
)
def test_what_needs_a_person_or_time_is_tried_seldom(kind: Kind, first: float, then: float, after_an_hour: float) -> None:
    """Within a minute of its end for an hour, never below half of the ceiling: no login storm; and after an hour rarely."""
    assert pauses(kind, 20)[0] == first
    assert pauses(kind, 20)[-1] == then
    assert pauses(kind, 20, dice=0.0)[-1] == then / 2
    assert sum(pauses(kind, HOUR - 1, dice=0.5)) > 0.85 * 3600
    assert pauses(kind, HOUR)[-1] == after_an_hour


@pytest.mark.parametrize("kind", [one for one in Kind if one is not Kind.CONSENT])
@pytest.mark.parametrize("was_watching", [False, True])
def test_a_fault_that_is_over_is_found_within_a_minute(kind: Kind, was_watching: bool) -> None:
    """Whatever it is, whatever the dice, for an hour; only a permission that was withdrawn has to be given anew."""
    assert max(pauses(kind, HOUR - 1, was_watching=was_watching)) <= 50.0


def test_a_server_that_shuts_us_out_after_refused_logins_is_left_alone() -> None:
    """It takes no connection any more after the third: from then on at most four logins that are refused in ten minutes; a login ends it."""
    patience = Backoff(lambda: 0.0)
    refused, gone = MailboxFault(Kind.REFUSED, "x"), MailboxFault(Kind.NETWORK, "x")
    for _ in range(3):
        patience.after(refused, was_watching=False)
    patience.after(gone, was_watching=False)
    assert patience.after(refused, was_watching=False) == timedelta(seconds=150)
    patience.lasted(timedelta(seconds=1))
    assert patience.after(refused, was_watching=False) == timedelta(seconds=1.5)
    patience.after(gone, was_watching=False)
    patience.after(refused, was_watching=False)
    assert patience.after(refused, was_watching=False) == timedelta(seconds=25), "one refusal is no reason to shut us out"


def test_a_session_that_ends_as_unavailable_is_replaced_at_once() -> None:
    """A server that is restarted says so, and is back soon; the second time within a minute it is left alone, and after a limit at once."""
    patience, ended = Backoff(lambda: 1.0), goodbye("[UNAVAILABLE] Server has closed the connection.")
    assert patience.after(ended, was_watching=True) == timedelta(seconds=0.2)
    assert patience.after(ended, was_watching=True) == timedelta(seconds=30)
    patience.lasted(timedelta(seconds=61))
    assert patience.after(ended, was_watching=True) == timedelta(seconds=0.2)
    patience.lasted(timedelta(seconds=61))
    assert patience.after(goodbye("[LIMIT] Too many connections"), was_watching=True) == timedelta(seconds=30)
    assert Backoff(lambda: 1.0).after(ended, was_watching=False) == timedelta(seconds=30)


def test_a_quota_is_waited_for() -> None:
    """It fills again within hours: up to 15 minutes between two tries."""
    patience = Backoff(lambda: 1.0)
    fault = refusal("login", "[OVERQUOTA] Account exceeded command or bandwidth limits.")
    assert max(patience.after(fault, was_watching=False).total_seconds() for _ in range(9)) == 900.0


def test_a_servers_hint_is_a_floor() -> None:
    """At least what it asks for, at most 15 minutes and a tenth."""
    text = "BAD Request is throttled. Suggested Backoff Time: 92415 milliseconds"
    assert hint_of(text) == timedelta(seconds=92.415)
    assert hint_of("Suggested Backoff Time: 99999999 milliseconds") == timedelta(minutes=15)
    fault = refusal("folder", text)
    assert fault.kind is Kind.BUSY
    assert Backoff(lambda: 0.0).after(fault, was_watching=False) == timedelta(seconds=92.415)


@pytest.mark.parametrize(
    "text",
    [
        "[UNAVAILABLE] Temporary authentication failure",
        "[LIMIT] Too many connections",
        "[INUSE] mailbox locked",
        "[ALERT] Too many simultaneous connections. (Failure)",
        "User is authenticated but not connected.",
        "[ALERT] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=1)",
    ],
)
def test_not_now_is_not_not_you(text: str) -> None:
    """These ask for patience, and park no account."""
    assert is_busy(text)
    assert goodbye(text).kind is Kind.BUSY


@pytest.mark.parametrize(
    "text", ["[AUTHENTICATIONFAILED] Invalid credentials (Failure)", "LOGIN failed.", "Server shutting down."]
)
def test_a_refusal_is_a_refusal(text: str) -> None:
    """And these do not."""
    assert not is_busy(text)


def test_a_servers_words_fit_into_one_line() -> None:
    """No control characters, no more than 200 characters."""
    assert shown(b"a\r\nb\x1b[31m\x00c") == "a b [31m c"
    assert len(shown(b"x" * 1000)) == 200


def test_health_turns_red_by_itself() -> None:
    """One renewal without an answer, and a mailbox is not well, whoever forgot to say so; one answer, and it is again."""
    now = 0.0
    status = MailboxStatus("box/INBOX", renew=55, now=lambda: now)
    status.happened(Event.IDLES)
    status.round_trip()
    now = 58.0
    assert status.read().is_well
    now = 60.0
    assert not status.read().is_well
    assert "60 s" in status.read().reason
    status.round_trip()
    assert status.read().is_well


def test_a_mailbox_is_red_until_it_is_watched() -> None:
    """A round trip is not enough; how long there was none stays visible."""
    now = 0.0
    status = MailboxStatus("box/INBOX", renew=55, now=lambda: now)
    assert not status.read().is_well
    now = 200.0
    health = status.read()
    assert not health.is_well and "not watched yet" in health.reason
    assert (health.last_roundtrip, health.age) == (None, 200.0)
    status.round_trip()
    assert not status.read().is_well
    status.happened(Event.IDLES)
    assert status.read().is_well


def test_a_mailbox_that_is_connected_anew_is_red_after_a_while() -> None:
    """Twenty seconds without a session are no hiccup, whatever is answered meanwhile; the reason says why there is none."""
    now = 0.0
    status = MailboxStatus("box/INBOX", renew=55, now=lambda: now)
    status.happened(Event.IDLES)
    status.reason = "the server closed the connection"
    status.happened(Event.FAULT)
    now = 19.0
    status.happened(Event.CONNECT)
    status.round_trip()
    assert status.read().is_well
    now = 21.0
    health = status.read()
    assert not health.is_well and "not watched for 21 s: the server closed the connection" in health.reason
    status.happened(Event.POLLS)
    assert status.read().is_well


def test_a_mail_that_cannot_be_had_makes_the_mailbox_red() -> None:
    """Although everything else is well; and green without it."""
    status = MailboxStatus("box/INBOX", renew=55)
    status.happened(Event.IDLES)
    status.round_trip()
    status.unfetched = "1 mail cannot be fetched (UID 7)"
    assert (status.read().is_well, status.read().reason) == (False, "1 mail cannot be fetched (UID 7)")
    status.unfetched = ""
    assert (status.read().is_well, status.read().reason) == (True, "")


def test_a_mailbox_that_was_well_is_not_red_while_it_is_watched_anew() -> None:
    """An account was added, say; unless that takes longer than twenty seconds, or something is wrong."""
    now = 0.0
    status = MailboxStatus("box/INBOX", renew=55, now=lambda: now)
    status.carry_on()
    assert status.read().is_well
    now = 19.0
    assert status.read().is_well
    now = 21.0
    assert not status.read().is_well


@pytest.mark.parametrize("event", [Event.PERSON, Event.REFUSED])
def test_parked_and_held_are_red_at_once(event: Event) -> None:
    """With their own reason."""
    status = MailboxStatus("box/INBOX", renew=55)
    status.happened(Event.IDLES)
    status.round_trip()
    status.reason = "why"
    status.happened(event)
    assert not status.read().is_well
    assert status.read().reason == "why"
