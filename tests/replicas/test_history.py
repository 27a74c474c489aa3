"""The judge of histories finds a planted fault of each kind, names no other kind, and has nothing to say of a good run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace

import pytest

from tests.replicas.history import History, Line, Push, Row, Seen, Sent, judge

ANN, BOB, LARCH = "ann@corp.example", "bob@corp.example", "no-reply@larch.example"


def sent(code: str, at: float, identifier: str = ANN) -> Sent:
    """A mail that was acknowledged at once."""
    return Sent(identifier=identifier, sender=LARCH, code=code, began=at, acknowledged=at + 0.1)


def row(number: int, code: str, at: float, state: str = "delivered", *, reason: str = "", identifier: str = ANN) -> Row:
    """A delivery that ended then."""
    return Row(
        id=number,
        identifier=identifier,
        sender=LARCH,
        code=code,
        state=state,
        reason=reason,
        deadline=at + 600,
        final_at=at,
    )


def push(code: str, at: float, *, identifier: str = ANN, is_answered: bool = True) -> Push:
    """A code that the receiver took in then."""
    return Push(identifier=identifier, code=code, began=at, taken=at + 0.01, is_answered=is_answered)


GOOD = History(
    sent=[sent("1", 1.0), sent("2", 2.0), sent("3", 3.0), sent("9", 1.5, BOB), replace(sent("4", 4.0), acknowledged=None)],
    rows=[
        row(1, "1", 1.3),
        row(2, "9", 1.9, identifier=BOB),
        row(3, "2", 3.1, "superseded", reason="a newer code of this sender came"),
        row(4, "3", 7.3),
    ],
    pushes=[push("1", 1.2), push("9", 1.6, identifier=BOB), push("3", 3.2, is_answered=False), push("3", 7.2)],
    journal=[
        Line(id=1, event="stored", delivery=None),
        Line(id=2, event="delivered", delivery=1),
        Line(id=3, event="stored", delivery=None),
        Line(id=5, event="delivered", delivery=2),
        Line(id=6, event="superseded", delivery=3),
        Line(id=9, event="delivered", delivery=4),
    ],
    readers={"from the beginning": Seen(after=0, ids=[1, 2, 3, 5, 6, 9]), "later": Seen(after=3, ids=[5, 6, 9])},
    disturbed=[(3.0, 4.0)],
)


def without(at: int, **changes: object) -> Callable[[History], History]:
    """One delivery is otherwise, and the journal says of it what it is."""

    def change(good: History) -> History:
        rows = list(good.rows)
        rows[at] = replace(rows[at], **changes)  # type: ignore[arg-type]
        state = rows[at].state
        journal = [replace(line, event=state) if line.delivery == rows[at].id else line for line in good.journal]
        return replace(good, rows=rows, journal=journal)

    return change


def read(*ids: int) -> Callable[[History], History]:
    """A reader from the beginning saw these."""
    return lambda good: replace(good, readers={"one": Seen(after=0, ids=ids)})


def pushed(*pushes: Push) -> Callable[[History], History]:
    """The receiver took in these."""
    return lambda good: replace(good, pushes=pushes)


BOBS = push("9", 1.6, identifier=BOB)
PLANTED: dict[str, tuple[str, Callable[[History], History]]] = {
    "acknowledged and not stored": ("lost", lambda good: replace(good, sent=[*good.sent, sent("7", 5.0)])),
    "still waiting": ("lost", without(0, state="pending", final_at=None)),
    "still in flight": ("lost", without(0, state="in_flight", final_at=None)),
    "delivered and never pushed": ("lost", pushed(BOBS, push("3", 3.2))),
    "ended without a reason": ("lost", without(2, reason="")),
    "dead without a reason": ("lost", without(2, state="dead", reason="")),
    "superseded by nothing": ("lost", without(3, state="superseded", reason="a newer code of this sender came")),
    "older after newer": ("inversions", pushed(BOBS, push("3", 1.2), push("1", 1.25))),
    "older after newer by a late duplicate": (
        "inversions",
        pushed(push("1", 1.2, is_answered=False), BOBS, push("3", 1.25), push("1", 1.28)),
    ),
    "stored in another order than sent": (
        "inversions",
        lambda good: replace(
            good,
            rows=[row(1, "3", 7.3), row(2, "9", 1.9, identifier=BOB), row(3, "2", 3.1), row(4, "1", 7.3)],
            pushes=[push("3", 3.2), BOBS, push("2", 3.0), push("1", 4.2)],
            journal=[*good.journal[:4], Line(id=6, event="delivered", delivery=3), good.journal[5]],
        ),
    ),
    "pushed twice for nothing": ("doubles", pushed(push("1", 1.2), push("1", 1.25), BOBS, push("3", 3.2))),
    "pushed twice long after what was broken": (
        "doubles",
        lambda good: replace(good, pushes=[push("1", 1.2), push("1", 1.25), BOBS, push("3", 3.2)], disturbed=[(0.1, 0.9)]),
    ),
    "pushed and not stored": ("phantoms", lambda good: replace(good, pushes=[*good.pushes, push("8", 9.0)])),
    "pushed for another identifier": (
        "phantoms",
        lambda good: replace(good, pushes=[*good.pushes, push("1", 9.0, identifier=BOB)]),
    ),
    "pushed after it was superseded": ("after_final", pushed(push("1", 1.2), BOBS, push("2", 6.0), push("3", 7.2))),
    "pushed again after it was delivered": (
        "after_final",
        lambda good: replace(good, pushes=[push("1", 1.2, is_answered=False), BOBS, push("1", 2.0), push("3", 3.2)]),
    ),
    "pushed after its deadline": ("after_final", without(3, deadline=5.0)),
    "an end that is not told": ("untold", lambda good: replace(good, journal=good.journal[:-1], readers={})),
    "an end that is told twice": (
        "untold",
        lambda good: replace(good, journal=[*good.journal, Line(id=10, event="delivered", delivery=4)], readers={}),
    ),
    "a line that a reader skipped": ("skipped", read(1, 2, 3, 6, 9)),
    "the last line did not come": ("skipped", read(1, 2, 3, 5, 6)),
    "a line twice": ("skipped", read(1, 2, 2, 3, 5, 6, 9)),
    "lines in another order": ("skipped", read(1, 3, 2, 5, 6, 9)),
    "a line that was rolled back": ("skipped", read(1, 2, 3, 4, 5, 6, 9)),
}


def test_a_good_run_has_no_fault() -> None:
    """Duplicates that are explained are counted, a superseded code has its reason, a mail without a yes may be missing."""
    verdict = judge(GOOD)
    assert verdict.faults == {}
    assert verdict.counts == {
        "acknowledged": 4,
        "pushes": 4,
        "duplicates": 1,
        "superseded": 1,
        "failed": 0,
        "lines": 6,
    }


def test_what_a_slow_replica_delivered_is_no_fault() -> None:
    """It wrote the end by a clock that is half a second behind the receiver's."""
    assert judge(pushed(push("1", 1.8), BOBS, push("3", 3.2, is_answered=False), push("3", 7.2))(GOOD)).faults == {}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_found(name: str) -> None:
    """Of each kind, under its own name and no other one."""
    kind, plant = PLANTED[name]
    assert list(judge(plant(GOOD)).faults) == [kind]


def test_every_kind_is_planted() -> None:
    """A kind of fault that is judged, and that no test plants, may not be found at all."""
    kinds = {name for name, value in asdict(judge(GOOD)).items() if isinstance(value, list)}
    assert {kind for kind, _ in PLANTED.values()} == kinds
