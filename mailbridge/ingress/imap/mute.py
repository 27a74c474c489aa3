"""Whether a server answers IDLE at all. After some sessions without an answer IDLE is given up, and tried again more and more
rarely.

A try without an answer costs a session and the seconds of waiting, so there are few: an hour later, two hours after that, and in
the end once a day. Meanwhile the folders are polled.
"""

from __future__ import annotations

from collections.abc import Callable

from mailbridge.core.dataclass import dataclass

ENOUGH = 4
"""After this many unanswered IDLEs in a row, sent with other commands or alone, IDLE is given up."""
AGAIN, SELDOM = 3600.0, 86_400.0
"""Seconds until the first try after that, and the longest time between two tries."""
NEVER = float("inf")


@dataclass(slots=True)
class Mute:
    """Shared by the connections of an account. Each value is written and read as a whole, by any thread. ``first``: seconds
    until the first try."""

    now: Callable[[], float]
    first: float = AGAIN
    wait: float = 0.0
    """Seconds from the last try, or from giving IDLE up, to the next try."""
    _unanswered: int = 0
    _again_at: float = NEVER

    @property
    def is_given_up(self) -> bool:
        """Whether IDLE is useless now, because the server does not answer it."""
        return self._unanswered >= ENOUGH

    def unanswered(self) -> None:
        """Note that the server did not answer IDLE."""
        self._unanswered += 1
        if self._unanswered == ENOUGH:
            self._wait(self.first)

    def answered(self) -> None:
        """Note that the server answered IDLE."""
        self._unanswered = 0

    def is_due(self) -> bool:
        """Whether to try IDLE again now. A caller that gets True must try it; all others then get False until the next time."""
        if not self.is_given_up or self.now() < self._again_at:
            return False
        self._wait(min(self.wait * 2, max(SELDOM, self.first)))
        return True

    def _wait(self, seconds: float) -> None:
        self.wait, self._again_at = seconds, self.now() + seconds
