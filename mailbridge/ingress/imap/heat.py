"""Which mailboxes are polled more often while somebody waits for a code: often those by which it can come, and the others a
little."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from enum import StrEnum

from mailbridge.core.dataclass import dataclass

MOST = 100
"""The largest number of identifiers that are remembered for a folder, the newest ones."""

WARM = 4.0
"""The shortest time in seconds between two looks (of two commands each) at a mailbox of which nobody knows whether the code
comes by it."""
LOOKS = 15
"""The largest number of such looks a second at all mailboxes together, so that the cost in a daemon with hundreds of mailboxes
is bounded."""

ALL_WOKEN = 2.0
"""Seconds between two rounds that wake every mailbox, while all of them are warm anyway. This holds however many wait for
identifiers without a known mailbox."""

Wanted = Callable[[], Collection[str]]
"""Gives the identifiers (folded) for whose codes somebody waits now. Many threads call it."""


class Heat(StrEnum):
    """How often a mailbox is looked at. ``COLD``: the server announces mail. ``WARM``: one command in two seconds. ``HOT``: as
    often as necessary."""

    COLD = "cold"
    WARM = "warm"
    HOT = "hot"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decision:
    """While somebody waits for ``wanted``, the mailboxes in ``hot`` are hot, and all others warm or cold."""

    wanted: frozenset[str] = frozenset()
    hot: frozenset[str] = frozenset()
    is_warm: bool = False


class Heating:
    """Decides for all mailboxes of a daemon. ``bound``: the identifiers (folded) of each mailbox, by its configuration.

    The mailboxes of an identifier are those bound to it and those that have brought a code for it before. If there are none,
    every mailbox is warm.
    """

    def __init__(self, wanted: Wanted, bound: Mapping[str, Collection[str]] | None = None) -> None:
        self._wanted = wanted
        self._lock = threading.Lock()
        self._known: dict[str, frozenset[str]] = {}
        self._delivered: dict[str, tuple[str, ...]] = {}
        self._decided = _Decision()
        self._all_woken_at = -ALL_WOKEN
        self.warm_every = max(WARM, len(bound or ()) / LOOKS)
        """Seconds between two looks at a warm mailbox."""
        for mailbox, identifiers in (bound or {}).items():
            self._learn(mailbox, map(mark_of, identifiers))

    def note(self, mailbox: str, delivered: tuple[str, ...]) -> None:
        """Note that a mailbox has brought codes for these identifiers, by their marks."""
        if self._delivered.get(mailbox) == delivered:
            return
        with self._lock:
            self._delivered[mailbox] = delivered
            self._learn(mailbox, delivered)
            self._decided = _Decision()

    def of(self, mailbox: str) -> Heat:
        """How warm a mailbox is now. Cheap: it is decided for all mailboxes at once, and again only when the waiting
        identifiers change."""
        wanted, decided = frozenset(self._wanted()), self._decided
        if wanted != decided.wanted:
            with self._lock:
                known = [self._known.get(mark_of(one)) for one in wanted]
                self._decided = decided = _Decision(
                    wanted=wanted, hot=frozenset().union(*(one for one in known if one)), is_warm=None in known
                )
        if mailbox in decided.hot:
            return Heat.HOT
        return Heat.WARM if decided.is_warm else Heat.COLD

    def to_wake(self, identifier: str) -> frozenset[str] | None:
        """The mailboxes to wake for somebody who waits for this identifier, by one look-up; None: all of them. Empty if all
        were woken a moment ago and are warm."""
        known = self._known.get(mark_of(identifier))
        if known is not None:
            return known
        now = time.monotonic()
        if self._decided.is_warm and now < self._all_woken_at + ALL_WOKEN:
            return frozenset()
        self._all_woken_at = now
        return None

    def _learn(self, mailbox: str, marks: Iterable[str]) -> None:
        for mark in marks:
            self._known[mark] = self._known.get(mark, frozenset()) | {mailbox}


def mark_of(identifier: str) -> str:
    """A mark by which an identifier is recognised without its text. It is stored with other data about a mailbox."""
    return hashlib.blake2b(identifier.strip().casefold().encode(), digest_size=8).hexdigest()


def with_newest(known: tuple[str, ...], marks: Collection[str]) -> tuple[str, ...]:
    """The marks with the newest last, at most `MOST`. The same tuple if nothing is new."""
    new = [one for one in marks if one not in known]
    return known if not new else (*known, *new)[-MOST:]
