"""A name that somebody else chose never has its own value pushed from a genuine code mail, whatever markup it brings."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.extraction.chosen_names import HIDES, SHOWS, TEMPLATES, Greeting, greetings, own_rules, tallied

EVERY = 23
"""One mail of so many is read here; ``python -m tests.extraction.chosen_names`` reads all."""

Found = tuple[Counter[tuple[str, str, str]], list[Greeting]]


@pytest.fixture(scope="module")
def found() -> Found:
    """What became of the mails."""
    return tallied((one for number, one in enumerate(greetings()) if number % EVERY == 0 or not one.value), own_rules())


def test_no_value_of_a_name_is_pushed(found: Found) -> None:
    """Of a mail that greets by a hostile name the site's code is pushed, or nothing."""
    tally, bad = found
    assert [one.title for one in bad if one.value] == []
    seen = {member for group, member, _ in tally if group in ("shows", "hides", "template")}
    assert seen == {*SHOWS, *HIDES, *TEMPLATES}


def test_an_honest_name_costs_nothing(found: Found) -> None:
    """The same mails with names that people have are pushed with the site's code, all of them."""
    tally, bad = found
    assert [one.title for one in bad if not one.value] == []
    assert tally["a twin", "all", "right"] >= 700
