"""The database itself refuses what the state machine does not have, and other nonsense."""

from __future__ import annotations

from itertools import product

import apsw
import pytest

from mailbridge.core.delivery import State
from mailbridge.core.queue import TRANSITIONS
from mailbridge.store.sqlite import migrations


def insert(connection: apsw.Connection, state: State, number: int) -> None:
    """A delivery in a line of its own."""
    token, final = (1, None) if state is State.IN_FLIGHT else (0, None) if state is State.PENDING else (0, 9)
    connection.execute(
        "INSERT INTO delivery (id, mail_id, target, line, identifier, sender, kind, content, lifetime, state, received_at, deadline,"
        " token, final_at) VALUES (?, 1, 'skyvern', ?, 'x', 's', 'code', 'c', 1, ?, 1, 2, ?, ?)",
        (number, str(number), str(state), token, final),
    )


@pytest.fixture
def schema() -> apsw.Connection:
    """An empty database in memory, with one mail."""
    connection = apsw.Connection(":memory:")
    migrations.apply(connection)
    connection.execute(
        "INSERT INTO mail (id, fingerprint, received_at, ingress, verdict, size, facts) VALUES (1, 'f', 1, 'smtp', 'code', 1, 'f')"
    )
    return connection


@pytest.mark.parametrize(("before", "after"), list(product(State, State)))
def test_the_database_refuses_what_the_table_does_not_have(schema: apsw.Connection, before: State, after: State) -> None:
    """Of all pairs of states exactly those of `TRANSITIONS` can be written, and a state can be kept."""
    schema.execute("DROP TRIGGER delivery_first")
    insert(schema, before, 1)
    is_open = after in (State.PENDING, State.IN_FLIGHT)
    statement = "UPDATE delivery SET state = ?, token = 1, final_at = ? WHERE id = 1"
    values = (str(after), None if is_open else 9)
    if before is after or any(pair == (before, after) for pair in ((one, two) for (one, _), two in TRANSITIONS.items())):
        schema.execute(statement, values)
    else:
        with pytest.raises(apsw.ConstraintError, match="no such transition"):
            schema.execute(statement, values)


@pytest.mark.parametrize("state", [State.DELIVERED, State.DEAD])
def test_no_delivery_begins_at_its_end(schema: apsw.Connection, state: State) -> None:
    """A new row cannot be delivered or dead: that takes an attempt."""
    with pytest.raises(apsw.ConstraintError, match="no state for a new delivery"):
        insert(schema, state, 1)


def test_one_line_has_one_in_flight(schema: apsw.Connection) -> None:
    """A second one of a target and identifier cannot be claimed."""
    insert(schema, State.IN_FLIGHT, 1)
    insert(schema, State.PENDING, 2)
    schema.execute("UPDATE delivery SET line = '1' WHERE id = 2")
    with pytest.raises(apsw.ConstraintError, match="UNIQUE"):
        schema.execute("UPDATE delivery SET state = 'in_flight', token = 1 WHERE id = 2")


@pytest.mark.parametrize(
    "nonsense",
    [
        "content = NULL",
        "state = 'lost'",
        "kind = 'fax'",
        "attempts = -1",
        "final_at = 3",
        "mail_id = 2",
        "is_doubtful = 2",
        "lifetime = -1",
    ],
)
def test_the_database_refuses_nonsense(schema: apsw.Connection, nonsense: str) -> None:
    """A waiting delivery without its code, an unknown state or kind, numbers below zero, a mail that is not there."""
    schema.execute("PRAGMA foreign_keys = on")
    insert(schema, State.PENDING, 1)
    with pytest.raises(apsw.ConstraintError):
        schema.execute(f"UPDATE delivery SET {nonsense} WHERE id = 1")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO mail (fingerprint, received_at, ingress, verdict, size, facts) VALUES ('g', 1, 'smtp', 'code', 1, 'f')",
        (
            "INSERT INTO delivery (mail_id, target, line, identifier, sender, kind, content, lifetime, state, received_at, deadline)"
            " VALUES (1, 'skyvern', '2', 'x', 's', 'code', 'c', 1, 'pending', 1, 2)"
        ),
        "UPDATE delivery SET state = 'delivered', standing = 2, kind = 'code', final_at = 9, due_at = NULL WHERE id = 1",
        "INSERT INTO journal (at, event, mail_id) VALUES (1, 'stored', 1)",
    ],
)
def test_no_check_makes_a_table_of_its_list(schema: apsw.Connection, statement: str) -> None:
    """What is written for each mail is checked by comparisons: SQLite would fill a table in memory with a longer list, for each row."""
    steps = [step[1] for step in schema.execute(f"EXPLAIN {statement}")]
    assert "OpenWrite" in steps or "OpenRead" in steps
    assert "OpenEphemeral" not in steps
