"""What a folder's watcher remembers over connections and restarts: missing mails, and how the server behaves.

It is stored before the mailbox's position passes a missing mail, so that a daemon that is killed in between has not forgotten the
mail.
"""

from __future__ import annotations

import json
from typing import Any

from mailbridge.ingress.imap.door import Door, NotAccepted
from mailbridge.ingress.imap.habits import Habits
from mailbridge.ingress.imap.heat import MOST
from mailbridge.ingress.imap.missing import Missing
from mailbridge.ingress.imap.top import Top, stored_top
from mailbridge.store import StoreUnavailable


class Memory:
    """Belongs to one thread; ``habits`` is shared by the folders of an account.

    ``is_deaf``: IDLE announces nothing here. ``is_late``: IDLE announces a mail long after it came. ``is_blind``: new mail
    appears only after the folder is opened again. ``lag``: seconds by which mails look older than they are, because of a clock or
    of their way into the mailbox. ``drift``: seconds that the server's clock is ahead of ours, 0 if it is right. ``top``: the
    last taken mail, to recognise it; it is stored only now and then. ``delivered``: for whom codes came by this folder, by
    `heat.mark_of`. ``rebuilds``: when the folder was read again for a day, in steady seconds.
    """

    def __init__(self, key: str, door: Door, habits: Habits) -> None:
        self._key = key
        self._door = door
        self._stored: dict[str, Any] = {}
        self._is_loaded = False
        self._validity = 0
        self.habits = habits
        self.missing = Missing()
        self.is_deaf = False
        self.is_late = False
        self.is_blind = False
        self.lag = 0.0
        self.drift = 0.0
        self.top: Top | None = None
        self.delivered: tuple[str, ...] = ()
        self.rebuilds: list[float] = []

    def load(self, now: float) -> None:
        """Load what was stored, once. ``now`` is steady time in seconds.

        Raises:
            NotAccepted: the store cannot be read now.
        """
        if self._is_loaded:
            return
        try:
            text = self._door.notes(self._key)
        except StoreUnavailable as fault:
            raise NotAccepted(fault.kind) from None
        told = _object(text)
        self.is_deaf, self.is_blind = told.get("is_deaf") is True, told.get("is_blind") is True
        self.is_late = told.get("is_late") is True
        drift, validity, lag = told.get("drift"), told.get("validity"), told.get("lag")
        self.drift = float(drift) if isinstance(drift, int | float) else 0.0
        self.lag = float(lag) if isinstance(lag, int | float) else 0.0
        self._validity = validity if isinstance(validity, int) else 0
        self.habits.take(_part(told.get("habits")))
        missing = told.get("missing")
        self.missing.take(missing if isinstance(missing, list) else [], now=now)
        self.top = stored_top(told.get("top"))
        delivered = told.get("delivered")
        self.delivered = tuple(map(str, delivered[-MOST:])) if isinstance(delivered, list) else ()
        rebuilds = told.get("rebuilds")
        if isinstance(rebuilds, list):
            self.rebuilds = [min(float(at), now) for at in rebuilds if isinstance(at, int | float)]
        self._stored, self._is_loaded = self._told(), True

    def belongs_to(self, validity: int) -> None:
        """Forget the missing mails if the folder has other UIDs now."""
        if self._validity != validity:
            self._validity = validity
            self.missing.clear()

    def save(self, *, is_whole: bool = False) -> None:
        """Store it if it has changed. ``is_whole``: also if only ``top`` has changed.

        Raises:
            NotAccepted: the store cannot write it now.
        """
        told = self._told()
        before = self._stored | ({} if is_whole else {"top": told["top"]})
        if told == before or not self._is_loaded:
            return
        try:
            self._door.note(self._key, json.dumps(told))
        except StoreUnavailable as fault:
            raise NotAccepted(fault.kind) from None
        self._stored = told

    def _told(self) -> dict[str, Any]:
        return {
            "validity": self._validity,
            "missing": self.missing.told(),
            "is_deaf": self.is_deaf,
            "is_late": self.is_late,
            "is_blind": self.is_blind,
            "lag": round(self.lag),
            "drift": round(self.drift),
            "top": None if self.top is None else self.top.told(),
            "delivered": list(self.delivered),
            "rebuilds": [round(at) for at in self.rebuilds],
            "habits": self.habits.told(),
        }


def _object(text: str) -> dict[str, Any]:
    try:
        return _part(json.loads(text))
    except ValueError:
        return {}


def _part(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
