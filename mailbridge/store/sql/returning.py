"""A database that is an older copy put back: what has to be true of it before a daemon may go on with it.

Since the copy was made, its codes may have been pushed, taken or superseded, and numbers that it does not know were given out. So no code
in it is live any more, listeners are not told again of what lies before, and the journal goes on behind every number that can have
been given.
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
"""More lines of the journal than a second can have had since the copy was made."""

AT_LEAST = 1_000_000
"""How far the numbers of the journal jump at the least."""

OTHER_NUMBERS = 10_000
"""How far the numbers of everything else jump that is given out by a counter."""


def gap(newest_at: int, now: int) -> int:
    """How far the journal's numbers jump; ``newest_at`` is when its last line was written, both in microseconds since 1970."""
    return max(AT_LEAST, (now - newest_at) // 1_000_000 * LINES_PER_SECOND)


def ending(now: int) -> tuple[tuple[str, Values], ...]:
    """What ends the codes and the sessions of a copy."""
    return (
        (END, (now, REASON)),
        ("UPDATE delivery SET deadline = ? WHERE deadline > ? AND content IS NOT NULL", (now, now)),
        ("DELETE FROM session", ()),
        ("DELETE FROM invitation", ()),
    )


def told(line: int) -> tuple[str, Values]:
    """Listeners go on behind this line of the journal."""
    return "UPDATE told SET line = ?", (line,)
