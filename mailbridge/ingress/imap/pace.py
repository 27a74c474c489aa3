"""How often a folder is looked at where nobody waits for the server to tell, and how slow its server is."""

from __future__ import annotations

from mailbridge.ingress.imap.heat import Heat
from mailbridge.ingress.imap.presets import Account, tolerance_of
from mailbridge.ingress.imap.wire import Wire

POLL = 5.0
"""Seconds between two looks where the server does not push."""
SOON = 0.05
"""Seconds between two looks at the least, however much is due."""
HOT = ((60.0, 0.03), (600.0, 0.05), (float("inf"), 0.25))
"""While somebody waits: up to so many seconds, a look every so many. Ten minutes are the life of a code."""
SETTLED = 2.0
"""Seconds of quiet before a server is asked to push whole mails: a large mailbox is read anew by it."""
PER_MESSAGE = 1 / 20_000
"""Seconds that a server may take for each message of a folder until it tells of a new one: it reads the folder again for it."""
TIMES = 3.0
"""So many times as long as the slowest opening of late may a new mail take to be told of: the server reads the folder so often."""


def hot_every(seconds: float) -> float:
    """Seconds between two looks at a server of one's own, where somebody has waited for so many."""
    return next(every for limit, every in HOT if seconds < limit)


def asked_every(account: Account, wire: Wire, heat: Heat, *, warm_every: float) -> float | None:
    """Seconds between two looks while somebody waits; None: as often as a server of one's own is asked. The folders of an account
    share what its provider takes."""
    told = tolerance_of(account.host, wire.welcome, wire.abilities)
    known = [one for one in (account.hot_poll, told) if one is not None]
    every = max(known).total_seconds() if known else 0.0
    shared = min(every * len(account.folders), max(every, account.renew.total_seconds()))
    taken = shared if known else None
    return taken if heat is Heat.HOT else max(warm_every, taken or 0.0)


class Openings:
    """How long the openings of one folder take, and what follows from that."""

    def __init__(self) -> None:
        self._slowest = 0.0
        self._messages = 0

    def took(self, seconds: float, messages: int) -> None:
        """The folder was opened, and had so many messages. One slow opening counts for a while."""
        self._slowest = max(seconds, self._slowest / 2)
        self._messages = messages

    @property
    def slack(self) -> float:
        """Seconds by which the server may tell of a new mail later than a quick one, without being late."""
        return max(self._slowest * TIMES, self._messages * PER_MESSAGE)

    @property
    def poll(self) -> float:
        """Seconds between two openings where that is how new mail is found: the server is not kept busy with them."""
        return max(POLL, 2 * self._slowest)
