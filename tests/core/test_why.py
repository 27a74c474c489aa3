"""Why an agent got no code: in each situation the first cause is the right one, and without a record nothing is claimed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mailbridge.core.delivery import State
from mailbridge.core.why import Attempted, Came, Cause, Evidence, Kind, causes
from tests.cli.hints import wrong_commands

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
ANN = "ann@corp.com"
SMTP = (("smtp", NOW - timedelta(hours=3)),)


def _ago(**age: float) -> datetime:
    return NOW - timedelta(**age)


def _mail(number: int = 7, verdict: str = "code", *, minutes: float = 1, **more: Any) -> Came:
    return Came(
        number=number,
        at=_ago(minutes=minutes),
        sender="no-reply@shop.example",
        verdict=verdict,
        **{"identifiers": (ANN,), **more},
    )


def _sent(state: State, *, attempts: int = 1, number: int = 3, **more: Any) -> Attempted:
    return Attempted(number=number, target="skyvern", state=state, attempts=attempts, at=_ago(minutes=1), **more)


@dataclass(frozen=True)
class Situation:
    """What is known, and the kinds of the causes in their order (the first ones)."""

    name: str
    kinds: tuple[Kind, ...]
    known: dict[str, Any] = field(default_factory=dict)


def _with(*states: State, **more: Any) -> Came:
    return _mail(deliveries=tuple(_sent(state, number=3 + place) for place, state in enumerate(states)), **more)


HELD = _mail(8, held=("dkim: no signature ([trust] signers)",), reason="label beside it")
ELSEWHERE = _mail(9, identifiers=("bob@corp.com",), names_it=True)
NOBODY = _mail(9, identifiers=(), names_it=True, reason="several addresses")
SITUATIONS = (
    Situation("nothing at all came, ever", (Kind.NOTHING_CAME,), {"ways": (("smtp", None),)}),
    Situation("nothing came for it, mail for others does", (Kind.NOTHING_CAME,)),
    Situation(
        "nothing came, one mailbox is down", (Kind.MAILBOX, Kind.NOTHING_CAME), {"mailboxes": (("gmail-1", "password refused"),)}
    ),
    Situation("nothing can come in", (Kind.NO_WAY_IN,), {"ways": ()}),
    Situation("held without proof", (Kind.HELD,), {"mails": (HELD,)}),
    Situation("held, and a newsletter came later", (Kind.HELD, Kind.NO_CODE), {"mails": (_mail(9, "none"), HELD)}),
    Situation("held, and a mailbox is down", (Kind.HELD,), {"mails": (HELD,), "mailboxes": (("gmail-1", "down"),)}),
    Situation("ambiguous", (Kind.AMBIGUOUS,), {"mails": (_mail(verdict="ambiguous"),)}),
    Situation("only a newsletter came", (Kind.NO_CODE,), {"mails": (_mail(verdict="none"),)}),
    Situation(
        "a newsletter came, and the mailbox went down after it",
        (Kind.MAILBOX, Kind.NO_CODE),
        {"mails": (_mail(verdict="none"),), "mailboxes": (("gmail-1", "down"),)},
    ),
    Situation("too late", (Kind.TOO_OLD,), {"mails": (_mail(verdict="expired"),)}),
    Situation("unreadable", (Kind.UNREADABLE,), {"mails": (_mail(verdict="unreadable"),)}),
    Situation("a code that no target serves", (Kind.NO_TARGET,), {"mails": (_mail(),)}),
    Situation("refused by the target", (Kind.DEAD,), {"mails": (_with(State.DEAD),)}),
    Situation("refused by one target, taken by the other", (Kind.DEAD,), {"mails": (_with(State.DELIVERED, State.DEAD),)}),
    Situation("the target was down until it was over", (Kind.EXPIRED,), {"mails": (_with(State.EXPIRED),)}),
    Situation("the target is down", (Kind.DEFERRED,), {"mails": (_with(State.PENDING),), "targets": (("skyvern", "refused"),)}),
    Situation("just now under way", (Kind.ON_ITS_WAY,), {"mails": (_mail(deliveries=(_sent(State.PENDING, attempts=0),)),)}),
    Situation("in flight", (Kind.ON_ITS_WAY,), {"mails": (_with(State.IN_FLIGHT),)}),
    Situation(
        "in flight, and the last try got no answer",
        (Kind.DEFERRED,),
        {"mails": (_mail(deliveries=(_sent(State.IN_FLIGHT, attempts=2, reason="no answer"),)),)},
    ),
    Situation(
        "delivered, an hour after it was written",
        (Kind.TOO_OLD, Kind.NOTHING_CAME),
        {"mails": (_mail(deliveries=(_sent(State.DELIVERED, is_old=True),)),)},
    ),
    Situation(
        "delivered, for one run alone",
        (Kind.DELIVERED,),
        {"mails": (_mail(deliveries=(_sent(State.DELIVERED, only_for="the run wr_5"),)),)},
    ),
    Situation(
        "a resend overtook it",
        (Kind.DELIVERED, Kind.SUPERSEDED),
        {"mails": (_with(State.DELIVERED, number=8), _with(State.SUPERSEDED, minutes=2))},
    ),
    Situation("delivered, and the agent asks for another name", (Kind.DELIVERED,), {"mails": (_with(State.DELIVERED),)}),
    Situation(
        "no key: the practice receiver has it", (Kind.PRACTICE,), {"mails": (_with(State.DELIVERED),), "is_practice": True}
    ),
    Situation("it went to bob", (Kind.ELSEWHERE,), {"mails": (ELSEWHERE,)}),
    Situation("it went to nobody", (Kind.ELSEWHERE,), {"mails": (NOBODY,)}),
    Situation("it went to nobody, who is not allowed", (Kind.UNKNOWN_IDENTIFIER,), {"mails": (NOBODY,), "is_known": False}),
    Situation("not allowed, and nothing came", (Kind.UNKNOWN_IDENTIFIER,), {"is_known": False}),
    Situation("it went to bob, and one for ann is held", (Kind.HELD, Kind.ELSEWHERE), {"mails": (ELSEWHERE, HELD)}),
    Situation("Gmail's question was not answered", (Kind.CONFIRMATION,), {"confirmations": ((ANN, 2),)}),
    Situation("that of another account", (Kind.CONFIRMATION, Kind.NOTHING_CAME), {"confirmations": (("bob@corp.com", 2),)}),
    Situation("a target is down", (Kind.TARGET, Kind.NOTHING_CAME), {"targets": (("skyvern", "key refused"),)}),
    Situation("a misspelt address", (Kind.REFUSED_RECIPIENT, Kind.NOTHING_CAME), {"refused": (("otp-x@bridge.example", 3),)}),
    Situation("the disk is full", (Kind.STORE,), {"trouble": ("store", "full")}),
    Situation(
        "the disk is full, and an earlier mail is held", (Kind.STORE, Kind.HELD), {"trouble": ("store", "full"), "mails": (HELD,)}
    ),
    Situation("no daemon runs", (Kind.NO_DAEMON,), {"trouble": ("daemon", "no daemon is running")}),
    Situation("the parser ends", (Kind.PARSER,), {"trouble": ("parser", "no worker process is running")}),
    Situation("a poll was answered", (Kind.GIVEN,), {"given": _ago(minutes=2)}),
    Situation("a poll was answered yesterday", (Kind.NOTHING_CAME,), {"given": _ago(days=1)}),
    Situation(
        "what came before this wait is no answer",
        (Kind.NOTHING_CAME, Kind.DELIVERED),
        {"mails": (_with(State.DELIVERED, minutes=30),), "waits_since": _ago(minutes=3)},
    ),
    Situation(
        "a mail from just before the wait is",
        (Kind.DELIVERED,),
        {"mails": (_with(State.DELIVERED, minutes=4),), "waits_since": _ago(minutes=3)},
    ),
    Situation(
        "a mailbox went down before this wait",
        (Kind.MAILBOX, Kind.NOTHING_CAME, Kind.HELD),
        {"mails": (replace(HELD, at=_ago(minutes=40)),), "waits_since": _ago(minutes=3), "mailboxes": (("gmail-1", "down"),)},
    ),
)


def _causes(situation: Situation) -> tuple[Cause, ...]:
    return causes(Evidence(**{"identifier": ANN, "now": NOW, "since": _ago(hours=1), "ways": SMTP, **situation.known}))


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.name)
def test_the_causes_come_in_the_order_of_likelihood(situation: Situation) -> None:
    """The kinds of the first causes, in their order."""
    assert tuple(cause.kind for cause in _causes(situation))[: len(situation.kinds)] == situation.kinds


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.name)
def test_nothing_is_certain_without_a_record(situation: Situation) -> None:
    """A certain cause names a mail of it, or is a state of the daemon itself; what is only wrong elsewhere is possible."""
    itself = {Kind.NO_DAEMON, Kind.STORE, Kind.PARSER, Kind.NO_WAY_IN, Kind.UNKNOWN_IDENTIFIER, Kind.GIVEN}
    for cause in _causes(situation):
        assert cause.certainty != "certain" or cause.mail is not None or cause.kind in itself


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.name)
def test_each_cause_is_a_sentence_with_a_way_out(situation: Situation) -> None:
    """It ends with a full stop, and says what to do unless there is nothing to do."""
    for cause in _causes(situation):
        assert cause.text.endswith(".")
        assert cause.hint or cause.kind in {Kind.ON_ITS_WAY, Kind.SUPERSEDED}


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.name)
def test_each_command_of_a_hint_can_be_typed(situation: Situation) -> None:
    """With all that it needs, so that it does not end with a missing argument."""
    assert [told for cause in _causes(situation) for told in wrong_commands(cause.hint)] == []


def test_what_limits_a_delivered_code_is_named() -> None:
    """The run that alone sees it; the address whose binding gave it to somebody else."""
    (run,) = causes(_evidence(_mail(deliveries=(_sent(State.DELIVERED, only_for="the run wr_5"),))))
    assert "only for the run wr_5" in run.text
    (bound,) = causes(_evidence(replace(ELSEWHERE, bound_by="otp-1@bridge.example")))
    assert "otp-1@bridge.example is bound to bob@corp.com" in bound.hint


def _evidence(*mails: Came) -> Evidence:
    return Evidence(identifier=ANN, now=NOW, since=_ago(hours=1), ways=SMTP, mails=mails)


def test_every_kind_of_cause_is_staged() -> None:
    """No kind is left without a situation."""
    assert {cause.kind for situation in SITUATIONS for cause in _causes(situation)} == set(Kind)


def test_the_answer_tells_when_mail_last_came() -> None:
    """Without a cause, the last mail by each way is what can be said."""
    (cause,) = causes(
        Evidence(identifier=ANN, now=NOW, since=_ago(hours=1), ways=(("smtp", _ago(minutes=5)), ("imap gmail-1", None)))
    )
    assert "smtp: 5 min ago, imap gmail-1: none yet" in cause.text
    assert cause.facts == {"smtp": "5 min ago", "imap gmail-1": "none yet"}
