"""How long a mailbox is left alone after a fault: full jitter, longer each time, and forgotten only when a session has lasted.

A completed login proves nothing: a server that takes the login and hangs up at once would be logged in to for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from mailbridge.ingress.imap.faults import Kind, MailboxFault, is_for_all, is_quota

STABLE = timedelta(seconds=60)
"""A session that lasted so long proves that all is well."""
QUICK = 5
"""So many times in a row a broken session is replaced within a second; after that the pauses grow."""
ODD = 6
"""So many sessions in a row may end over a mail, with none given in between, before the pauses grow: two mails with three tries each."""
FIRST = 0.2
LONGEST = 300.0
UNREACHED = 50.0
"""Seconds between two attempts at the most, during the first hour of a fault: once it is over, the mailbox is watched within a minute."""
HOUR = 90
"""So many attempts, with 25 to 50 s between them, take about an hour; after that a person is needed, who sends a HUP."""
BUSY_FIRST, BUSY_LONGEST = 30.0, 900.0
"""Seconds for a server that is busy, at first, and where it names a quota at last: that is over after hours."""
REFUSED = (3.0, 15.0, UNREACHED)
"""Seconds between logins that the server refuses: soon at first, since it may be its own trouble, then for an hour as `UNREACHED`."""
RARELY = 900.0
"""Seconds between logins that were refused for an hour: no provider counts four wrong passwords an hour as an attack."""
SHUT_OUT_AFTER, SHUT_OUT = 3, 300.0
"""A server that takes no connection any more after so many refused logins has shut this address out (fail2ban). From then on a
login that is refused is tried again after 150 to 300 s: it bans after five in ten minutes, and for a week who comes again and again."""


class Backoff:
    """Counts the faults of one mailbox and gives the pause after each. ``dice`` gives a float in [0, 1)."""

    def __init__(self, dice: Callable[[], float]) -> None:
        self._dice = dice
        self._unreached = 0
        self._broken = 0
        self._busy = 0
        self._ended = 0
        self._refused = 0
        self._odd = 0
        self._parked = 0
        self._is_shut_out = False

    def gave(self) -> None:
        """The server has given a mail: those that it does not give are exceptions."""
        self._odd = 0

    def lasted(self, session: timedelta) -> None:
        """A session came to its end after ``session``."""
        if session >= STABLE:
            self._broken = self._busy = self._ended = 0
        self._unreached = self._refused = self._parked = 0
        self._is_shut_out = False

    def after(self, fault: MailboxFault, *, was_watching: bool) -> timedelta:
        """The pause before the next attempt. ``was_watching``: the session had come as far as its folder."""
        match fault.kind:
            case Kind.REFUSED:
                self._refused += 1
                pause = self._refused_for() * (0.5 + self._dice() / 2)
            case Kind.SETTING:
                self._parked += 1
                pause = (UNREACHED if self._parked < HOUR else LONGEST) * (0.5 + self._dice() / 2)
            case Kind.CONSENT:
                pause = LONGEST * (0.5 + self._dice() / 2)
            case Kind.BUSY if was_watching and not self._ended and fault.pause is None and not is_for_all(str(fault)):
                self._ended += 1  # "unavailable" is what a server says that is restarted: it may be back at once
                pause = self._after_network(was_watching=True)
            case Kind.BUSY:
                self._busy += 1
                hinted = fault.pause.total_seconds() if fault.pause is not None else 0.0
                longest = BUSY_LONGEST if is_quota(str(fault)) else UNREACHED
                ceiling = min(BUSY_FIRST * 2.0 ** min(self._busy - 1, 10), longest)
                pause = hinted + hinted * self._dice() / 10 if hinted else ceiling * (0.5 + self._dice() / 2)
            case Kind.MAIL if self._odd < ODD:
                self._odd += 1
                pause = self._dice() * FIRST
            case Kind.NETWORK | Kind.MAIL:
                pause = self._after_network(was_watching=was_watching)
        return timedelta(seconds=pause)

    def _refused_for(self) -> float:
        """The longest pause after a login that was refused."""
        if self._refused >= HOUR:
            return RARELY
        return SHUT_OUT if self._is_shut_out else REFUSED[min(self._refused, len(REFUSED)) - 1]

    def _after_network(self, *, was_watching: bool) -> float:
        if not was_watching:
            self._unreached += 1
            self._is_shut_out = self._is_shut_out or self._refused >= SHUT_OUT_AFTER
            return self._dice() * min(FIRST * 2.0 ** min(self._unreached, 20), UNREACHED)
        self._broken += 1
        if self._broken <= QUICK:
            return self._dice() * min(FIRST * 2.0 ** (self._broken - 1), 1.0)
        floor = 5.0
        return floor + self._dice() * min(floor * 2.0 ** min(self._broken - QUICK - 1, 20), UNREACHED - floor)
