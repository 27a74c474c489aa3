"""Whether a server answers IDLE at all: given up after some sessions in which it did not, and tried again, more and more seldom.

A try that is not answered costs a session and the seconds that are waited for the answer, so there are few of them: an hour later, two
hours after that, and in the end once a day. Meanwhile the folders are polled.
"""

from __future__ import annotations

from collections.abc import Callable

from mailbridge.core.dataclass import dataclass

ENOUGH = 4
"""So many times in a row IDLE was not answered, together with other commands and by itself, and it is given up."""
AGAIN, SELDOM = 3600.0, 86_400.0
"""Seconds from there to the first try, and between two tries at last."""
NEVER = float("inf")


@dataclass(slots=True)
class Mute:
    """Shared by the connections of an account; each value is written and read as one, by any thread. ``first``: seconds to the first try."""

    now: Callable[[], float]
    first: float = AGAIN
    wait: float = 0.0
    """Seconds to the next try from the one before it, or from where IDLE was given up."""
    _unanswered: int = 0
    _again_at: float = NEVER

    @property
    def is_given_up(self) -> bool:
        """Whether IDLE is of no use now, since the server does not answer it."""
        return self._unanswered >= ENOUGH

    def unanswered(self) -> None:
        """The server said nothing to IDLE."""
        self._unanswered += 1
        if self._unanswered == ENOUGH:
            self._wait(self.first)

    def answered(self) -> None:
        """It said something."""
        self._unanswered = 0

    def is_due(self) -> bool:
        """Whether to try IDLE again now. Who is told so tries it; everybody else is told to wait for the next time."""
        if not self.is_given_up or self.now() < self._again_at:
            return False
        self._wait(min(self.wait * 2, max(SELDOM, self.first)))
        return True

    def _wait(self, seconds: float) -> None:
        self.wait, self._again_at = seconds, self.now() + seconds
