"""What the soak calls lost: nothing that was superseded, and everything else that did not arrive."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailbridge.core.delivery import Delivery, State
from tests.peers.faulty import Taken
from tests.soak.hour import lost
from tests.store.mails import draft

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANN = "ann@corp.example"
SENT = [(ANN, "100"), (ANN, "200")]


def taken(*codes: str) -> list[Taken]:
    """What arrived at the receiver."""
    return [Taken(identifier=ANN, code=code, at=NOON, began=NOON) for code in codes]


def kept(number: int, code: str, state: State, *, sender: str = "a@larch.example", seconds: int = 0) -> Delivery:
    """A delivery as the store has it, received so many seconds after noon."""
    at = NOON + timedelta(seconds=seconds)
    return Delivery(
        id=number,
        draft=draft(code, identifier=ANN, sender=sender),
        state=state,
        received_at=at,
        deadline=at + timedelta(minutes=3),
        rule="generic",
    )


DELIVERED = kept(2, "200", State.DELIVERED)


@pytest.mark.parametrize(
    ("arrived", "deliveries", "expected"),
    [
        (("100", "200"), (), []),
        (("200",), (), []),
        (("100",), (), ["200"]),
        (("200",), (kept(1, "100", State.SUPERSEDED), DELIVERED), []),
        (("200",), (kept(1, "100", State.EXPIRED), DELIVERED), ["100"]),
        (("200",), (kept(1, "100", State.DEAD), DELIVERED), ["100"]),
        (("200",), (kept(1, "100", State.DELIVERED), DELIVERED), ["100"]),
        (("200",), (kept(1, "100", State.SUPERSEDED, sender="b@larch.example"), DELIVERED), ["100"]),
        (("100",), (kept(1, "200", State.SUPERSEDED), kept(2, "100", State.DELIVERED)), []),
        (("100",), (kept(1, "100", State.DELIVERED, seconds=5), kept(2, "200", State.SUPERSEDED)), []),
        ((), (kept(1, "100", State.SUPERSEDED), kept(2, "200", State.SUPERSEDED)), ["100", "200"]),
    ],
    ids=[
        "all there",
        "erased, a later one came",
        "the last one is missing",
        "superseded",
        "expired behind a later one",
        "refused behind a later one",
        "said to be delivered",
        "superseded by nobody of its sender",
        "an older code that came in later took its place",
        "received before one that was stored before it",
        "superseded by what did not arrive",
    ],
)
def test_what_is_lost(arrived: tuple[str, ...], deliveries: tuple[Delivery, ...], expected: list[str]) -> None:
    """The store tells what became of a code as long as it has it, and a later code excuses nothing but being superseded."""
    assert [code for _, code in lost(SENT, taken(*arrived), deliveries)] == expected
