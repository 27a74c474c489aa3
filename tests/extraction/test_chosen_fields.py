"""A field that somebody else filled in never has its own value pushed from a genuine code mail."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.extraction.chosen_fields import Filled, tallied
from tests.extraction.chosen_names import own_rules

Found = tuple[Counter[tuple[bool, str]], list[Filled]]


@pytest.fixture(scope="module")
def found() -> Found:
    """What became of the mails."""
    return tallied(own_rules())


def test_no_value_of_a_field_is_pushed(found: Found) -> None:
    """Whatever a device calls itself, the site's code is pushed, or nothing; also where the site names its code nowhere."""
    tally, _ = found
    assert tally[True, "wrong"] == 0
    assert sum(count for (is_strange, _), count in tally.items() if is_strange) >= 400


def test_what_such_fields_really_hold_costs_nothing(found: Found) -> None:
    """The same mails with honest fields are pushed; held is only a code of which no word says what it opens."""
    tally, bad = found
    assert tally[False, "wrong"] == 0
    assert tally[False, "right"] >= 420
    assert [one.title for one in bad if not one.is_strange and not one.title.startswith(("bare:", "field between: on two"))] == []
