"""How long things are kept, and how much is erased at a time, for every database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from mailbridge.store.packing import Facts
from mailbridge.store.rows import span

LONGEST = 400 * 365 * 24 * 3_600 * 1_000_000
"""Microseconds. A longer retention means for ever."""

ERASED_AT_ONCE = 500
"""Secrets of each kind that one sweep erases. That takes about 20 ms, and mail waits for it. The next sweep follows at once."""

PURGED_AT_ONCE = 1_000
"""Rows of each table that one sweep removes, even if they are not secret, so that the sweep ends soon and mail goes on."""

AHEAD = {
    "journal": "UPDATE journal SET at = ? WHERE id IN (SELECT id FROM journal ORDER BY id LIMIT ?) AND at > ?",
    "delivery": (
        "UPDATE delivery SET received_at = ? WHERE id IN (SELECT id FROM delivery ORDER BY id LIMIT ?) AND received_at > ?"
        " AND final_at IS NOT NULL"
    ),
    "mail": "UPDATE mail SET received_at = ? WHERE id IN (SELECT id FROM mail ORDER BY id LIMIT ?) AND received_at > ?",
}
"""Sets the dates of the oldest rows of a table that lie in the future to now. Values: (now, PURGED_AT_ONCE, now). Such rows
were written while a clock was ahead. Rows are removed in the order of their numbers, so one of them would keep all later rows
until its own time is over."""


def kept_for(duration: timedelta) -> int:
    """Microseconds for which something is kept."""
    return min(span(duration), LONGEST)


def identifiers_of(mails: list[Any]) -> list[tuple[str, int]]:
    """The entries of the list by identifier for mails that are removed, from their numbers and facts."""
    facts = ((number, msgspec.msgpack.decode(octets, type=Facts)) for number, octets in mails)
    return [(identifier.casefold(), number) for number, one in facts for identifier in one.identifiers]
