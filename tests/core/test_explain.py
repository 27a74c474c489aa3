"""A rule tried on a mail tells its match; a rule proposed from a mail holds its own examples."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailbridge.config.rulepack import rule_sources
from mailbridge.config.settings import RuleSettings
from mailbridge.core.explain import proposal, trial
from mailbridge.core.extract import extract
from mailbridge.core.mail import Message
from mailbridge.core.rules import load
from mailbridge.core.text import page_from_plain

RULES = load(list(rule_sources(RuleSettings())))


def message(text: str) -> Message:
    """A mail of one plain part from one sender."""
    return Message(sender="no-reply@acme.example", subject="Sign in", plain=page_from_plain(text))


@pytest.mark.parametrize(
    "text",
    [
        "Your sign-in code for dock 12 is 204-771.\nIt expires in 5 minutes.",
        "Your code\n\n739104\n",
        "Use code: 7K4-91Q (now)",
        "Your login code: Ab3xQ9",
        "Click to sign in: https://acme.example/verify?token=9f8e7d6c5b4a3f2e1d0c9b8a",
        "Click to sign in: https://Login.Acme.example/verify?token=9f8e7d6c5b4a3f2e1d0c9b8a",
        "Click to sign in: https://bücher.example/verify?token=9f8e7d6c5b4a3f2e1d0c9b8a",
    ],
)
def test_a_proposed_rule_loads_and_finds_the_same(text: str) -> None:
    """The rule that is proposed passes its own examples and finds in its mail what was found without it."""
    mail = message(text)
    found = extract(mail, rules=RULES, now=datetime(2026, 1, 1, tzinfo=UTC), default_lifetime=timedelta(minutes=10))
    assert found.value is not None
    proposed = proposal(mail, found)
    assert proposed is not None
    matched = load([("new.toml", proposed)]).match(mail)
    assert matched is not None
    assert matched.value.reveal() == found.value.reveal()


def test_a_mail_with_nothing_proposes_nothing() -> None:
    """No rule is made of a mail in which nothing was found."""
    mail = message("See you at noon.")
    found = extract(mail, rules=RULES, now=datetime(2026, 1, 1, tzinfo=UTC), default_lifetime=timedelta(minutes=10))
    assert proposal(mail, found) is None


def test_a_trial_marks_the_match() -> None:
    """The span of a trial is the value, with the text around it."""
    proposed = """[[rule]]
name = "x"
pattern = 'gate (?P<code>[0-9]{4})'
accepts = [{ text = "gate 4821", value = "4821" }]
"""
    rule = load([("x.toml", proposed)]).rules[0]
    tried = trial(rule, message("the gate 1234 is yours"))
    assert (tried.found, tried.before[-5:], tried.after[:3]) == ("1234", "gate ", " is")
    assert trial(rule, message("nothing here")).found is None
