"""The lines of the journal, as the writer's transactions write them."""

from __future__ import annotations

import apsw


def journal(
    connection: apsw.Connection, at: int, event: str, mail_id: int, delivery_id: int | None = None, detail: str = ""
) -> None:
    """Write one line of what happened."""
    connection.execute(
        "INSERT INTO journal (at, event, mail_id, delivery_id, detail) VALUES (?, ?, ?, ?, ?)",
        (at, event, mail_id, delivery_id, detail),
    )
