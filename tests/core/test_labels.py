"""A label belongs to the number that it stands next to, and is spent on it."""

from __future__ import annotations

import pytest

from mailbridge.config.rulepack import rule_sources
from mailbridge.config.settings import RuleSettings
from mailbridge.core.candidates import shapes
from mailbridge.core.labels import labels
from mailbridge.core.naming import heading, namings
from mailbridge.core.rules import load

WORDING = load(list(rule_sources(RuleSettings()))).wording


def called(text: str) -> dict[str, tuple[str | None, str | None]]:
    """What the words before and after each number of a line call it."""
    found = list(shapes(text))
    named = namings(text, found, labels(text, WORDING))
    return {shape.shown: (naming.before, naming.after) for shape, naming in zip(found, named, strict=True)}


@pytest.mark.parametrize(
    ("text", "shown", "expected"),
    [
        ("Your code is 482913", "482913", ("code", None)),
        ("482913 is your code", "482913", (None, "code")),
        ("OTP for order 7712 is 482913", "7712", ("other", None)),
        ("OTP for order 7712 is 482913", "482913", ("code", None)),
        ("Ref: 771204 verification code 482913", "482913", ("code", None)),
        ("Your code (order of today) is 482913", "482913", ("code", None)),
        ("Your code 482913 is not for card 4471", "4471", (None, None)),
        ("482913 is the OTP for your card at Harbour 4471", "4471", (None, None)),
        ("Ihre TAN für den Auftrag bei Ihrer Bank in Hamburg lautet 482913", "482913", ("code", None)),
        ("ticket code 482913", "482913", ("other", None)),
        ("código de reserva 482913", "482913", ("other", None)),
        ("order verification code 482913", "482913", ("code", None)),
        ("in order to sign in type 482913", "482913", (None, None)),
        ("at the border 482913", "482913", (None, None)),
    ],
)
def test_a_number_is_called_by_its_own_label(text: str, shown: str, expected: tuple[str | None, str | None]) -> None:
    """The nearest label that no other number has taken names a number; compounds and idioms are read as one."""
    assert called(text)[shown] == expected


@pytest.mark.parametrize(
    ("text", "is_code"), [("Your code:", True), ("Order number", False), ("Order number: 771204", None), ("Hello", None)]
)
def test_a_line_is_a_heading_if_its_label_is_not_spent(text: str, is_code: bool | None) -> None:
    """A label that names a number of its own line says nothing of the next line."""
    label = heading(text, list(shapes(text)), labels(text, WORDING))
    assert (label.is_code if label else None) is is_code
