"""What a file of the migrations cannot do in SQL alone. A step of a release is as frozen as its file: it calls nothing that may change."""

from __future__ import annotations

from typing import Any

import apsw
import msgspec


def senders_and_identifiers(connection: apsw.Connection) -> None:
    """0003: the facts of each mail say who sent it, for whom it is, and whether it is held."""
    rows: list[Any] = connection.execute("SELECT id, facts FROM mail").fetchall()
    for number, octets in rows:
        facts: dict[str, Any] = msgspec.msgpack.decode(octets)
        sender, is_held = str(facts.get("sender", "")).lower(), int(bool(facts.get("held")))
        connection.execute("UPDATE mail SET sender = ?, is_held = ? WHERE id = ?", (sender, is_held, number))
        for identifier in facts.get("identifiers", ()):
            connection.execute("INSERT OR IGNORE INTO mail_identifier VALUES (?, ?)", (str(identifier).casefold(), number))
