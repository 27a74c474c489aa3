"""What is wrong with a request is told in plain words, with its place, and without its value."""

from __future__ import annotations

from typing import Any

import pytest

from mailbridge.core.complaints import plainly
from mailbridge.operator.asks import Ask, asked
from mailbridge.operator.deliveries import DeliveryList, OneDelivery, Retry
from mailbridge.operator.inboxes import CreateInbox
from mailbridge.operator.sessions import Invite

SECRET = "hunter2"


@pytest.mark.parametrize(
    ("kind", "values", "wanted"),
    [
        (CreateInbox, {"lifetime": SECRET}, "lifetime: must be a duration such as 90s, 10m or 2h"),
        (CreateInbox, {"push": SECRET}, "push: must be true or false"),
        (Invite, {"role": SECRET}, "role: not one of the words that it may be"),
        (OneDelivery, {}, "id is missing"),
        (OneDelivery, {"id": SECRET}, "id: must be a whole number"),
        (OneDelivery, {"id": 0}, "id: must be a number, 1 or more"),
        (OneDelivery, {"id": 1, SECRET: 2}, f"{SECRET} is not known here"),
        (DeliveryList, {"limit": 5000}, "limit: must be a number, 1000 at most"),
        (DeliveryList, {"identifier": 7}, "identifier: must be a text"),
        (DeliveryList, {"identifier": "x" * 2000}, "identifier: must be a text of at most 1000 characters"),
        (DeliveryList, {"since": SECRET}, "since: must be a moment such as 2026-01-31T12:00:00Z"),
        (Retry, {"ids": 3}, "ids: must be a list"),
    ],
)
def test_a_mistake_says_what_to_write(kind: type[Ask], values: dict[str, Any], wanted: str) -> None:
    """The place first; no pattern, no type of a language, and no value."""
    with pytest.raises(ValueError) as caught:
        asked(kind, values, is_text=False)
    assert plainly(caught.value) == wanted
