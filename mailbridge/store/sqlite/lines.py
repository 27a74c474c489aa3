"""The lines of the journal, as the writer's transactions write them."""

from __future__ import annotations

import apsw

from mailbridge.store.sql.lines import LINE


def journal(
    connection: apsw.Connection, at: int, event: str, mail_id: int, delivery_id: int | None = None, detail: str = ""
) -> None:
    """Write one line of what happened."""
    connection.execute(LINE, (at, event, mail_id, delivery_id, detail, ""))
