"""How long things are kept, and how much of it is erased at once, whatever the database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from mailbridge.store.packing import Facts
from mailbridge.store.rows import span

LONGEST = 400 * 365 * 24 * 3_600 * 1_000_000
"""Microseconds; a retention beyond them is for ever."""

ERASED_AT_ONCE = 500
"""Secrets of each kind that one sweep erases: about 20 ms, for which mail waits; the next sweep follows at once."""

PURGED_AT_ONCE = 1_000
"""Rows of each table of which a sweep forgets even what is no secret, so that it is over soon and mail goes on."""

AHEAD = {
    "journal": "UPDATE journal SET at = ? WHERE id IN (SELECT id FROM journal ORDER BY id LIMIT ?) AND at > ?",
    "delivery": (
        "UPDATE delivery SET received_at = ? WHERE id IN (SELECT id FROM delivery ORDER BY id LIMIT ?) AND received_at > ?"
        " AND final_at IS NOT NULL"
    ),
    "mail": "UPDATE mail SET received_at = ? WHERE id IN (SELECT id FROM mail ORDER BY id LIMIT ?) AND received_at > ?",
}
"""Dates the oldest rows of a table that lie in the future: (now, PURGED_AT_ONCE, now). They were written while a clock was ahead. Rows
are forgotten in the order of their numbers, so one of them would keep all that came after it until its own time is over."""


def kept_for(duration: timedelta) -> int:
    """Microseconds for which something is kept."""
    return min(span(duration), LONGEST)


def identifiers_of(mails: list[Any]) -> list[tuple[str, int]]:
    """What a list by identifier would find of mails that are forgotten, from their numbers and facts."""
    facts = ((number, msgspec.msgpack.decode(octets, type=Facts)) for number, octets in mails)
    return [(identifier.casefold(), number) for number, one in facts for identifier in one.identifiers]
