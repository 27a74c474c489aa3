"""How long a mailbox is left alone after a fault: full jitter, longer each time, and reset only after a session has lasted.

A completed login proves nothing: we would log in for ever to a server that accepts the login and hangs up at once.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from mailbridge.ingress.imap.faults import Kind, MailboxFault, is_for_all, is_quota

STABLE = timedelta(seconds=60)
"""A session that lasted this long proves that all is well."""
QUICK = 5
"""A broken session is replaced within a second this many times in a row. After that the pauses grow."""
ODD = 6
"""This many sessions in a row may end because of a mail, with no mail received in between, before the pauses grow: two mails
with three tries each."""
FIRST = 0.2
LONGEST = 300.0
UNREACHED = 50.0
"""The longest pause between two attempts, in seconds, during the first hour of a fault. So after the fault the mailbox is
watched within a minute."""
HOUR = 90
"""This many attempts, 25 to 50 s apart, take about an hour. After that a person is needed, who sends a HUP."""
BUSY_FIRST, BUSY_LONGEST = 30.0, 900.0
"""Seconds for a busy server: the first pause, and the longest one if it names a quota, which is used up for hours."""
REFUSED = (3.0, 15.0, UNREACHED)
"""Seconds between logins that the server refuses. They are short at first, since the server may have a problem of its own.
Then they are like `UNREACHED` for an hour."""
RARELY = 900.0
"""Seconds between logins after they were refused for an hour. No provider treats four wrong passwords an hour as an attack."""
SHUT_OUT_AFTER, SHUT_OUT = 3, 300.0
"""If a server accepts no connection any more after this many refused logins, it has banned this address (fail2ban). From then
on a refused login is tried again after 150 to 300 s. fail2ban bans after five in ten minutes, and for a week if the client
comes again and again."""


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
        """Note that the server has given a mail. So mails that it does not give are exceptions."""
        self._odd = 0

    def lasted(self, session: timedelta) -> None:
        """Note that a session ended after this time."""
        if session >= STABLE:
            self._broken = self._busy = self._ended = 0
        self._unreached = self._refused = self._parked = 0
        self._is_shut_out = False

    def after(self, fault: MailboxFault, *, was_watching: bool) -> timedelta:
        """The pause before the next attempt. ``was_watching``: the session had opened its folder."""
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
                self._ended += 1  # a server that is being restarted says "unavailable": it may be back at once
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
        """The longest pause after a refused login."""
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
