"""Whether a server tells of new mail by itself: learned from the first mail that it did not tell of, and tried again later.

*Deaf*: IDLE tells nothing. *Blind*: a session with the folder open does not show new mail, whatever it asks. Both are polled by opening
the folder anew, and both are remembered over restarts. Half an hour later IDLE is tried again, while the polling goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from mailbridge.ingress.imap.memory import Memory

IDLE_AGAIN = 1800.0
"""Seconds after which IDLE is tried again on a server that told nothing by it."""
TRIAL = 600.0
"""Seconds that such a try takes at the most."""
NEVER = float("inf")


class Hearing:
    """What is known of one folder's announcements. ``is_refused``: IDLE is not offered, or refused; that holds for a session only."""

    def __init__(self, memory: Memory, now: Callable[[], float] = time.monotonic) -> None:
        self._memory = memory
        self._now = now
        self._trial_at = NEVER
        self._trial_ends = NEVER
        self.is_refused = False

    def begin(self, *, is_offered: bool) -> None:
        """A session begins."""
        self.is_refused = not is_offered
        self._wait_for_trial()

    @property
    def is_useless(self) -> bool:
        """Whether the server has to be asked, since it does not tell."""
        return self.is_refused or (self.is_bad and not self.is_on_trial)

    @property
    def is_bad(self) -> bool:
        """Whether it was found not to tell."""
        return self._memory.is_deaf or self._memory.is_blind

    @property
    def is_on_trial(self) -> bool:
        """Whether IDLE is tried again now."""
        return self._trial_ends != NEVER

    def is_trial_to_change(self) -> bool:
        """Begin or end a try where it is time for that; whether one was begun or ended."""
        if self._now() >= self._trial_ends:
            self._wait_for_trial()
            return True
        if self.is_bad and not self.is_refused and self._now() >= self._trial_at:
            self._trial_at, self._trial_ends = NEVER, self._now() + TRIAL
            return True
        return False

    def missed(self, *, is_blind: bool) -> None:
        """A mail was found that the server had not told of, although it had been there for a while."""
        if is_blind:
            self._memory.is_blind = True
        else:
            self._memory.is_deaf = True
        self._wait_for_trial()

    def told(self) -> None:
        """The server has told of a mail, and it is there."""
        if self.is_on_trial:
            self._memory.is_deaf = self._memory.is_blind = False
            self._wait_for_trial()

    def _wait_for_trial(self) -> None:
        self._trial_at, self._trial_ends = self._now() + IDLE_AGAIN, NEVER
