"""How often a folder is looked at without waiting for the server's announcements, and how slow its server is."""

from __future__ import annotations

from mailbridge.ingress.imap.heat import Heat
from mailbridge.ingress.imap.presets import Account, tolerance_of
from mailbridge.ingress.imap.wire import Wire

POLL = 5.0
"""Seconds between two looks if the server does not announce mail."""
SOON = 0.05
"""The shortest time between two looks, in seconds, however much is due."""
HOT = ((60.0, 0.03), (600.0, 0.05), (float("inf"), 0.25))
"""While somebody waits: until so many seconds of waiting, one look every so many seconds. A code lives ten minutes."""
SETTLED = 2.0
"""Seconds of quiet before a server is asked to push whole mails. A large mailbox is read again for that."""
PER_MESSAGE = 1 / 20_000
"""Seconds that a server may take for each message of a folder until it announces a new one, because it reads the folder again."""
TIMES = 3.0
"""An announcement may take this many times as long as the slowest recent opening: so often the server reads the folder."""


def hot_every(seconds: float) -> float:
    """Seconds between two looks at a server of your own, after somebody has waited for so many seconds."""
    return next(every for limit, every in HOT if seconds < limit)


def asked_every(account: Account, wire: Wire, heat: Heat, *, warm_every: float) -> float | None:
    """Seconds between two looks while somebody waits. None: as often as for a server of your own. The folders of an account
    share the number of requests that its provider tolerates."""
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
        """Note an opening of the folder, and its number of messages. One slow opening counts for a while."""
        self._slowest = max(seconds, self._slowest / 2)
        self._messages = messages

    @property
    def slack(self) -> float:
        """Seconds by which this server may announce a new mail later than a fast one, without being late."""
        return max(self._slowest * TIMES, self._messages * PER_MESSAGE)

    @property
    def poll(self) -> float:
        """Seconds between two openings if new mail is found by them, so that they do not keep the server busy."""
        return max(POLL, 2 * self._slowest)
