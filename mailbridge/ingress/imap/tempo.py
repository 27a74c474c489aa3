"""How long each kind of command may take: ten seconds at first, longer for a kind at which the server is slow, up to a limit.

One server needs 12 s to open a large folder and answers everything else at once. What is slow is learned for the account, so that
the next session waits for it. It is forgotten after the server has been fast for a while.
"""

from __future__ import annotations

from dataclasses import field
from datetime import timedelta

from mailbridge.core.dataclass import dataclass
from mailbridge.ingress.imap.stream import SILENCE

LONGEST = timedelta(minutes=2)
LOGIN = 3
"""At first a login may take this many times as long. Dovecot makes an address wait for 15 s if wrong passwords came from it
before."""
QUICK = 20
"""After this many answers in a row within less than half of the first limit, a kind gets the first limit again."""
AGAIN = "FETCH again"
"""The try of a mail that is set aside. It never gets more time than the first limit, since every other mail waits for it."""
IDLE = "IDLE"
"""It never gets more than twice the first limit: a server has nothing to do for it, and if it is not answered the folder is
polled."""
NAMES = {"EXAMINE": "SELECT"}
"""Kinds that count as another kind."""


@dataclass(slots=True)
class Tempo:
    """Seconds by kind of command, shared by an account's connections. ``first`` is the first limit of every kind, ``most`` the
    highest limit."""

    first: float = SILENCE.total_seconds()
    most: float = LONGEST.total_seconds()
    grown: dict[str, float] = field(default_factory=dict)
    """Kinds that have needed more, with their limit."""
    _quick: dict[str, int] = field(default_factory=dict)

    def of(self, what: str) -> float:
        """How long the server may say nothing after such a command."""
        kind = NAMES.get(what, what)
        return max(self._first(kind), min(self.grown.get(kind, 0.0), self.most))

    def silent(self, what: str) -> float:
        """Note that the server said nothing for that long. Returns how long the next one may take."""
        kind = NAMES.get(what, what)
        if kind == AGAIN:
            return self.first
        most = self.first * 2 if kind == IDLE else max(self.most, self._first(kind))
        self.grown = self.grown | {kind: min(self.of(kind) * 2, most)}
        self._quick[kind] = 0
        return self.of(kind)

    def answered(self, what: str, seconds: float) -> None:
        """Note that it answered after so many seconds."""
        kind = NAMES.get(what, what)
        if kind not in self.grown:
            return
        self._quick[kind] = self._quick.get(kind, 0) + 1 if seconds < self._first(kind) / 2 else 0
        if self._quick[kind] >= QUICK:
            self.grown = {name: value for name, value in self.grown.items() if name != kind}

    def _first(self, kind: str) -> float:
        return self.first * LOGIN if kind == "login" else self.first
