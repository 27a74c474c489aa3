"""Codes of every form are found in ten scripts, and their twins are not pushed."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest

from mailbridge.config.rulepack import rule_sources
from mailbridge.config.settings import RuleSettings
from mailbridge.core.rules import load
from tests.extraction.forms import BARS, FORMS, MOST_TWINS, Failure, Row, measure, share, specimens

RULES = load(list(rule_sources(RuleSettings())))
DRAWS = 300
SEED = 11

EACH_SCRIPT = 0.8
"""The share of a form that has to come out right in each script: with thirty draws a rough one."""


@cache
def measured(form: str) -> tuple[Counter[Row], list[Failure]]:
    """What became of the draws of a form."""
    return measure(form, DRAWS, SEED, RULES)


@pytest.mark.parametrize("form", FORMS)
def test_codes_of_the_form_are_found(form: str) -> None:
    """The share of draws that come out right reaches the form's bar."""
    tally, failures = measured(form)
    right, whole = share(tally, form, "right")
    assert right >= BARS[form] * whole, [(one.row, one.expected, one.found) for one in failures if one.expected][:5]


@pytest.mark.parametrize("form", FORMS)
def test_codes_of_the_form_are_found_in_every_script(form: str) -> None:
    """No script is left behind by what the others reach together."""
    tally, _ = measured(form)
    shares = {}
    for script in {row[1] for row in tally}:
        of_script = Counter({row: count for row, count in tally.items() if row[1] == script})
        right, whole = share(of_script, form, "right")
        shares[script] = right / whole
    assert min(shares.values()) >= EACH_SCRIPT, shares


@pytest.mark.parametrize("form", FORMS)
def test_no_wrong_code_of_the_form_is_pushed(form: str) -> None:
    """What is pushed is the code that was drawn: three of a thousand may be another."""
    tally, failures = measured(form)
    wrong, whole = share(tally, form, "wrong")
    assert wrong <= MOST_TWINS * whole, [(one.row, one.expected, one.found) for one in failures if one.expected][:5]


@pytest.mark.parametrize("form", FORMS)
def test_twins_of_the_form_are_held(form: str) -> None:
    """A common word, an order number or nothing in the place of the code is not pushed."""
    tally, failures = measured(form)
    pushed, whole = share(tally, form, "pushed", is_twin=True)
    assert pushed <= MOST_TWINS * whole, [(one.row, one.found) for one in failures if not one.expected][:5]


def test_draws_are_repeatable() -> None:
    """The same seed gives the same mails, and another seed others."""
    first, again, other = (list(specimens("6 digits", 20, seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_every_script_and_place_is_drawn() -> None:
    """Two thousand draws of a form spread evenly over ten scripts, two places and three kinds of twin."""
    drawn = [(one.script, one.place) for one in specimens("6 digits", 2_000, 1)]
    assert {drawn.count(pair) for pair in set(drawn) if not pair[1].startswith("twin")} == {100}
    assert {place for _, place in drawn if place.startswith("twin")} == {"twin: word", "twin: order", "twin: nothing"}
