"""Whether a server announces new mail by itself. This is learned from the first mail that it did not announce, and tested again
later.

*Deaf*: IDLE announces nothing. *Late*: IDLE announces a mail many seconds after it came, because the server looks at its files
only now and then. *Blind*: a session with the folder open does not show new mail, whatever command it sends. All three are polled
by opening the folder again, and remembered over restarts. Half an hour later IDLE is tried again, while the polling continues.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from mailbridge.ingress.imap.memory import Memory

IDLE_AGAIN = 1800.0
"""Seconds after which IDLE is tried again on a server that announced nothing by it."""
LATE = 4.0
"""Seconds within which a server that is not slow should have announced a mail."""
CERTAIN = 20.0
"""A mail that is announced later than this, in seconds, counts at once. A shorter delay must happen twice in a row, since a
server may be busy for a moment."""
MOST_LAG = 120.0
"""Seconds. A mail that looks older than this when it appears was moved in. It says nothing about clocks."""
TRIAL = 600.0
"""The longest duration of such a trial, in seconds."""
SHORT, SHORT_MOST = 10.0, 3
"""IDLE counts as refused if the server ends it within this many seconds, this many times in a row."""
REFUSED_AGAIN = 3600.0
"""Seconds after which IDLE is tried again in a session in which it was refused. Doubled each time."""
NEVER = float("inf")


class Hearing:
    """What is known of one folder's announcements.

    ``is_refused``: IDLE is not offered, or refused. That holds for one session; a refused IDLE is tried again in the same
    session. ``slack``: seconds that this server may take longer than others, since it is slow at everything.
    """

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
        """Note that a session begins."""
        self.is_refused, self._short = not is_offered, 0
        self._offer_at, self._offer_after = NEVER, REFUSED_AGAIN
        self._wait_for_trial()

    def refused(self) -> None:
        """Note that the server refuses IDLE, or ends it again and again. From now on it is polled, and IDLE is tried again
        after a while."""
        self.is_refused = True
        self._offer_at, self._offer_after = self._now() + self._offer_after, self._offer_after * 2

    def is_offered_again(self) -> bool:
        """Whether an IDLE that the server refused on this connection must be tried again now."""
        if not self.is_refused or self._now() < self._offer_at:
            return False
        self.is_refused, self._short, self._offer_at = False, 0, NEVER
        return True

    @property
    def is_useless(self) -> bool:
        """Whether the server must be polled, because it does not announce mail."""
        return self.is_refused or (self.is_bad and not self.is_on_trial)

    @property
    def is_bad(self) -> bool:
        """Whether the server was found to announce mail late or not at all."""
        return self._memory.is_deaf or self._memory.is_late or self._memory.is_blind

    @property
    def is_only_late(self) -> bool:
        """Whether it announces mail, but late."""
        return self._memory.is_late and not self._memory.is_deaf and not self._memory.is_blind

    @property
    def is_on_trial(self) -> bool:
        """Whether IDLE is on trial now."""
        return self._trial_ends != NEVER

    def is_trial_to_change(self) -> bool:
        """Begin or end a trial if it is time for that. Returns whether one was begun or ended."""
        if self._now() >= self._trial_ends:
            self._wait_for_trial()
            return True
        if self.is_bad and not self.is_refused and self._now() >= self._trial_at:
            self._trial_at, self._trial_ends = NEVER, self._now() + TRIAL
            return True
        return False

    def ended(self, lasted: float) -> None:
        """Note that the server ended IDLE by itself after so many seconds. If that happens quickly several times in a row,
        IDLE is useless in this session."""
        self._short = self._short + 1 if lasted < SHORT else 0
        if self._short >= SHORT_MOST:
            self.refused()

    def missed(self, *, is_blind: bool) -> None:
        """Note that a mail was found that the server had not announced, although it had been there for a while."""
        if is_blind:
            self._memory.is_blind = True
        else:
            self._memory.is_deaf = True
        self._wait_for_trial()

    def is_overdue(self, age: float) -> bool:
        """Whether a mail has been on the server for longer than an announcement should take. ``age`` is in seconds, by its
        server's date."""
        return age - self._memory.lag > LATE + self.slack

    def told(self, *, age: float, meanwhile: float) -> bool:
        """Note that the server has announced a mail, ``age`` seconds after it came by the server's date; ``meanwhile`` seconds
        ago there was none. Returns whether the announcement was late."""
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
        """Note that polling found a mail; ``meanwhile`` seconds ago there was none. If the mail looks older than that, mails
        look older here than they are, and earlier announcements were not late."""
        if 1.0 < age - self._memory.lag - meanwhile < MOST_LAG:
            self._memory.is_late = False
        self._learn(age, meanwhile)

    def _learn(self, age: float, meanwhile: float) -> None:
        """Learn how much older mails look than they are: at least by the difference for this mail, at most by its age."""
        if age - meanwhile < MOST_LAG:
            self._memory.lag = max(0.0, min(max(self._memory.lag, age - meanwhile), age))

    def _wait_for_trial(self) -> None:
        self._trial_at, self._trial_ends = self._now() + IDLE_AGAIN, NEVER
