"""Whether a server tells of new mail by itself: learned from the first mail that it did not tell of, and tried again later.

*Deaf*: IDLE tells nothing. *Late*: IDLE tells, many seconds after the mail came; the server looks at its files now and then only.
*Blind*: a session with the folder open does not show new mail, whatever it asks. All three are polled by opening the folder anew, and
remembered over restarts. Half an hour later IDLE is tried again, while the polling goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from mailbridge.ingress.imap.memory import Memory

IDLE_AGAIN = 1800.0
"""Seconds after which IDLE is tried again on a server that told nothing by it."""
LATE = 4.0
"""Seconds after which a mail should have been told of, by a server that is not slow."""
CERTAIN = 20.0
"""Seconds after which it is told too late at once; what is less has to happen twice in a row, since a server may be busy for a moment."""
MOST_LAG = 120.0
"""A mail that looks older than that when it shows was moved in; it tells nothing about clocks."""
TRIAL = 600.0
"""Seconds that such a try takes at the most."""
SHORT, SHORT_MOST = 10.0, 3
"""An IDLE that the server ends by itself within so many seconds, so many times in a row, is none."""
REFUSED_AGAIN = 3600.0
"""Seconds after which IDLE is tried again in a session in which it was refused; twice as many each time."""
NEVER = float("inf")


class Hearing:
    """What is known of one folder's announcements. ``is_refused``: IDLE is not offered, or refused; that holds for a session, and
    is tried again in it when it was refused.
    ``slack``: seconds that the server may take longer than another, since it is slow at everything."""

    def __init__(self, memory: Memory, now: Callable[[], float] = time.monotonic) -> None:
        self._memory = memory
        self._now = now
        self._trial_at = NEVER
        self._trial_ends = NEVER
        self._is_suspected = False
        self._short = 0
        self._offer_at = NEVER
        self._offer_after = REFUSED_AGAIN
        self.is_refused = False
        self.slack = 0.0

    def begin(self, *, is_offered: bool) -> None:
        """A session begins."""
        self.is_refused, self._short = not is_offered, 0
        self._offer_at, self._offer_after = NEVER, REFUSED_AGAIN
        self._wait_for_trial()

    def refused(self) -> None:
        """The server refuses IDLE, or ends it again and again: it is asked from now on, and offered IDLE again after a while."""
        self.is_refused = True
        self._offer_at, self._offer_after = self._now() + self._offer_after, self._offer_after * 2

    def is_offered_again(self) -> bool:
        """Whether IDLE, which the server refused on this connection, is to be tried again now."""
        if not self.is_refused or self._now() < self._offer_at:
            return False
        self.is_refused, self._short, self._offer_at = False, 0, NEVER
        return True

    @property
    def is_useless(self) -> bool:
        """Whether the server has to be asked, since it does not tell."""
        return self.is_refused or (self.is_bad and not self.is_on_trial)

    @property
    def is_bad(self) -> bool:
        """Whether it was found not to tell, or not in time."""
        return self._memory.is_deaf or self._memory.is_late or self._memory.is_blind

    @property
    def is_only_late(self) -> bool:
        """Whether it tells, but late."""
        return self._memory.is_late and not self._memory.is_deaf and not self._memory.is_blind

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

    def ended(self, lasted: float) -> None:
        """The server ended IDLE by itself after so many seconds: time and again at once, and it is of no use in this session."""
        self._short = self._short + 1 if lasted < SHORT else 0
        if self._short >= SHORT_MOST:
            self.refused()

    def missed(self, *, is_blind: bool) -> None:
        """A mail was found that the server had not told of, although it had been there for a while."""
        if is_blind:
            self._memory.is_blind = True
        else:
            self._memory.is_deaf = True
        self._wait_for_trial()

    def is_overdue(self, age: float) -> bool:
        """Whether a mail has been on the server for longer than it should take to hear of it; ``age`` in seconds, by its server's word."""
        return age - self._memory.lag > LATE + self.slack

    def told(self, *, age: float, meanwhile: float) -> bool:
        """The server has told of a mail, ``age`` seconds after it came by its own word; ``meanwhile`` seconds ago there was none. Whether
        that was late."""
        self._learn(age, meanwhile)
        waited = age - self._memory.lag
        if self.is_overdue(age) and waited < meanwhile:
            was_suspected, self._is_suspected = self._is_suspected, True
            if was_suspected or self.is_on_trial or waited > CERTAIN + self.slack:
                self._memory.is_late = True
                self._wait_for_trial()
                return True
            return False
        self._is_suspected = self._is_suspected and self.is_overdue(age)
        if self.is_on_trial:
            self._memory.is_deaf = self._memory.is_late = self._memory.is_blind = False
            self._wait_for_trial()
        return False

    def polled(self, *, age: float, meanwhile: float) -> None:
        """A mail was found by asking; ``meanwhile`` seconds ago there was none. Where it looks older than that, mails look older here
        than they are, and nobody told of one late."""
        if 1.0 < age - self._memory.lag - meanwhile < MOST_LAG:
            self._memory.is_late = False
        self._learn(age, meanwhile)

    def _learn(self, age: float, meanwhile: float) -> None:
        """By how much mails look older than they are: no less than this one was not there before, no more than its age."""
        if age - meanwhile < MOST_LAG:
            self._memory.lag = max(0.0, min(max(self._memory.lag, age - meanwhile), age))

    def _wait_for_trial(self) -> None:
        self._trial_at, self._trial_ends = self._now() + IDLE_AGAIN, NEVER
