"""UIDs whose mails are still wanted although the mailbox's position is past them. Pure: the time is an argument, in seconds.

A *hole* is a UID that was left out: the mail was moved away, or it appears only after its successor. It is searched for during
the life of a code. A *refused* mail exists, but something else came instead: an error, the end of the connection, half a mail. It
is tried three times at once, then set aside and tried again more and more rarely, so that no other mail waits for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from mailbridge.core.dataclass import dataclass

TRIES = 3
"""After this many answers in a row that are no mail, a mail is set aside."""
SOON = (0.5, 1.5)
"""Seconds after the first and the second such answer."""
SELDOM = (5.0, 15.0, 60.0)
"""Seconds between the tries of a mail that is set aside. The last value is repeated for `HOUR`."""
HOUR, RARELY = 3600.0, 1800.0
"""After an hour a mail that is set aside is tried every so many seconds."""
SLOWLY = 300.0
"""Seconds between the tries of a mail for which the server says nothing at all."""
LOOKS = (1.0, 4.0, 10.0, 20.0, 25.0, 30.0, 60.0, 120.0, 300.0)
"""Seconds between two looks for a hole. After the last one it is forgotten, because the code in it would have expired."""
WANTED = 86_400.0
"""Seconds for which a refused mail is tried. After that it is left alone."""
MOST = 50
"""The largest number of holes and refused mails that are remembered. The oldest are dropped first."""


@dataclass(slots=True, kw_only=True)
class Gap:
    """UIDs ``low`` to ``high``; a single one if it is refused. ``why`` is what came instead of the mail; "" for a hole."""

    low: int
    high: int
    since: float
    due: float
    looks: int = 0
    tries: int = 0
    why: str = ""

    @property
    def is_aside(self) -> bool:
        """Whether a mail is now tried only rarely."""
        return self.tries >= TRIES


class Missing:
    """The gaps of one folder under one UIDVALIDITY."""

    def __init__(self) -> None:
        self._gaps: list[Gap] = []

    @property
    def aside(self) -> list[Gap]:
        """Mails that exist and could not be fetched."""
        return [gap for gap in self._gaps if gap.is_aside]

    def is_refused(self, uid: int) -> bool:
        """Whether a mail is one of those for which something else came."""
        return any(gap.why and gap.low == uid for gap in self._gaps)

    def left_out(self, low: int, high: int, *, now: float) -> None:
        """Note that these UIDs were left out between others."""
        if low <= high:
            self._add(Gap(low=low, high=high, since=now, due=now + LOOKS[0]))

    def refused(self, uid: int, why: str, *, now: float, is_slow: bool = False) -> bool:
        """Note that something else came for a mail that exists. Returns whether it is newly set aside. ``is_slow``: nothing
        came, and everything else had to wait for that. Then the second try is the last, and the mail is tried rarely."""
        gap = next((one for one in self._gaps if one.why and one.low == uid), None)
        if gap is None:
            self.given(uid)
            gap = Gap(low=uid, high=uid, since=now, due=now)
            self._add(gap)
        was_aside = gap.is_aside
        gap.tries = max(TRIES, gap.tries + 1) if is_slow and gap.tries else gap.tries + 1
        gap.why = why
        number = gap.tries - TRIES
        seldom = SELDOM[min(max(number, 0), len(SELDOM) - 1)] if now - gap.since < HOUR else RARELY
        if is_slow:
            seldom = max(seldom, SLOWLY)
        gap.due = now + (SOON[gap.tries - 1] if number < 0 else seldom)
        return gap.is_aside and not was_aside

    def given(self, uid: int) -> bool:
        """Note that a mail was fetched, or no longer exists, so that it is no longer wanted. Returns whether it was wanted."""
        for gap in self._gaps:
            if gap.low <= uid <= gap.high:
                self._gaps.remove(gap)
                for low, high in ((gap.low, uid - 1), (uid + 1, gap.high)):
                    if low <= high:
                        self._gaps.append(Gap(low=low, high=high, since=gap.since, due=gap.due, looks=gap.looks))
                return True
        return False

    def next_due(self) -> float:
        """When the next look or try is due; infinite if nothing is wanted."""
        return min((gap.due for gap in self._gaps), default=float("inf"))

    def due(self, now: float) -> list[Gap]:
        """What must be looked for now, in the order of the UIDs. A hole becomes due again after a while."""
        found = sorted((gap for gap in self._gaps if gap.due <= now), key=lambda gap: gap.low)
        for gap in found:
            if not gap.why:
                gap.looks += 1
                gap.due = now + LOOKS[min(gap.looks, len(LOOKS) - 1)]
        return found

    def forget_old(self, now: float) -> list[Gap]:
        """Forget holes that were looked for often enough, and mails that were tried for long enough. Returns those mails."""
        over = [gap for gap in self._gaps if (now - gap.since > WANTED if gap.why else gap.looks >= len(LOOKS))]
        for gap in over:
            self._gaps.remove(gap)
        return [gap for gap in over if gap.why]

    def clear(self) -> None:
        """Forget all gaps: the UIDs mean other mails now."""
        self._gaps = []

    def _add(self, gap: Gap) -> None:
        self._gaps.append(gap)
        if len(self._gaps) > MOST:
            self._gaps.remove(min(self._gaps, key=lambda one: (bool(one.why), one.since)))

    def told(self) -> list[dict[str, Any]]:
        """The gaps as plain data, for the store."""
        return [asdict(gap) for gap in self._gaps]

    def take(self, told: Iterable[Any], *, now: float) -> None:
        """Load what was stored. Unreadable entries are left out, and times in the future (another clock) count as now."""
        for one in told:
            try:
                gap = Gap(**one)
                gap.due, gap.since = min(gap.due, now + 1.0), min(gap.since, now)
                gap.looks = 0
                if 0 < gap.low <= gap.high:
                    self._gaps.append(gap)
            except (TypeError, ValueError):
                continue
