"""Restoring an older copy of a database: what must be true before a daemon may continue with it.

Since the copy was made, its codes may have been pushed, taken or superseded, and numbers that it does not know were assigned. So
none of its codes is live any more, listeners are not told again of earlier events, and the journal continues after every number
that can have been assigned.
"""

from __future__ import annotations

from typing import Final

from mailbridge.store.sql import Values

EVENT = "restored"
REASON = "an older copy of the database was put back: it may have been delivered since, or a newer one"
WAITING = "SELECT count(*) FROM delivery WHERE state IN ('pending', 'in_flight')"
NEWEST_LINE = "SELECT coalesce(max(id), 0), coalesce(max(at), 0) FROM journal"
TELL: Final = "INSERT INTO journal (at, event, mail_id, detail) VALUES (?, ?, 0, ?)"

END: Final = (
    "UPDATE delivery SET state = 'expired', final_at = ?, due_at = NULL, blocked_until = NULL, reason = ?"
    " WHERE state IN ('pending', 'in_flight')"
)

LINES_PER_SECOND = 1_000
"""More journal lines in a second than there can have been since the copy was made."""

AT_LEAST = 1_000_000
"""The smallest jump of the journal's numbers."""

OTHER_NUMBERS = 10_000
"""The jump of all other numbers that a counter assigns."""


def gap(newest_at: int, now: int) -> int:
    """The jump of the journal's numbers. ``newest_at`` is when its last line was written. Both times are in microseconds since
    1970."""
    return max(AT_LEAST, (now - newest_at) // 1_000_000 * LINES_PER_SECOND)


def ending(now: int) -> tuple[tuple[str, Values], ...]:
    """The statements that end the codes and the sessions of a copy."""
    return (
        (END, (now, REASON)),
        ("UPDATE delivery SET deadline = ? WHERE deadline > ? AND content IS NOT NULL", (now, now)),
        ("DELETE FROM session", ()),
        ("DELETE FROM invitation", ()),
    )


def told(line: int) -> tuple[str, Values]:
    """The statement that lets listeners continue after this line of the journal."""
    return "UPDATE told SET line = ?", (line,)
