"""Which mailboxes are looked at more often while somebody waits for a code: those that it can come by, and others gently."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Collection, Mapping
from enum import StrEnum

MOST = 100
"""So many identifiers are remembered for a folder, the newest ones."""

Wanted = Callable[[], Collection[str]]
"""The identifiers that somebody waits for a code of now, folded. Asked from many threads."""


class Heat(StrEnum):
    """How often a mailbox is looked at. ``COLD``: the server tells. ``WARM``: a command in two seconds. ``HOT``: as often as it takes."""

    COLD = "cold"
    WARM = "warm"
    HOT = "hot"


class Heating:
    """Decides for all mailboxes of a daemon. ``bound``: the identifiers that each is for, by its configuration, folded.

    An identifier's mailboxes are those that are bound to it and those that have brought a code for it before. Only where there is none
    is every mailbox a little warm.
    """

    def __init__(self, wanted: Wanted, bound: Mapping[str, Collection[str]] | None = None) -> None:
        self._wanted = wanted
        self._lock = threading.Lock()
        self._known: dict[str, set[str]] = {}
        self._delivered: dict[str, tuple[str, ...]] = {}
        for mailbox, identifiers in (bound or {}).items():
            for one in identifiers:
                self._known.setdefault(mark_of(one), set()).add(mailbox)

    def note(self, mailbox: str, delivered: tuple[str, ...]) -> None:
        """A mailbox has brought codes for these, by their marks."""
        if self._delivered.get(mailbox) == delivered:
            return
        with self._lock:
            self._delivered[mailbox] = delivered
            for mark in delivered:
                self._known.setdefault(mark, set()).add(mailbox)

    def of(self, mailbox: str) -> Heat:
        """How warm a mailbox is now. Cheap."""
        found = Heat.COLD
        for identifier in self._wanted():
            known = self._known.get(mark_of(identifier))
            if known is None:
                found = Heat.WARM
            elif mailbox in known:
                return Heat.HOT
        return found


def mark_of(identifier: str) -> str:
    """By what an identifier is known again, without its text: it is stored beside what else is known of a mailbox."""
    return hashlib.blake2b(identifier.strip().casefold().encode(), digest_size=8).hexdigest()


def with_newest(known: tuple[str, ...], marks: Collection[str]) -> tuple[str, ...]:
    """The marks with the newest last, no more than `MOST`; the same tuple where nothing is new."""
    new = [one for one in marks if one not in known]
    return known if not new else (*known, *new)[-MOST:]
