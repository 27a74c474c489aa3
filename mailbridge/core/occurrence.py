"""What can happen to one identifier's queue at one target, and how much of the queue each of it needs to be decided on."""

from __future__ import annotations

from datetime import datetime, timedelta

from mailbridge.core.dataclass import dataclass
from mailbridge.core.delivery import Delivery, Draft, Ending

NEW = 0
"""The number of a delivery that the store has not numbered yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """The deliveries of one target and identifier, in the order of their numbers.

    A store may give all of them. Of a long queue this is enough: the oldest unfinished ones up to ``cut_after``, their last number
    (None: all of them are here); what is named in the occurrence itself; and where its docstring says so, a few more.
    """

    rows: tuple[Delivery, ...]
    cut_after: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A delivery is to be added. Needs all that wait of its sender and run, and the one of them, in whatever state, that was
    received last, not in the future: that only where `is_under_way_long`. Where it `may_be_dated`: one of its sender or domain
    and run that `is_dated_after` it. Of a stranger: the newest of a
    known sender that lives. And all strangers' that wait."""

    draft: Draft
    received_at: datetime
    rule: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Somebody has a hand free: whatever is due may be claimed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """A claim came to its end. ``jitter`` is in 0…1, ``grace`` how long an attempt without an answer blocks the queue."""

    id: int
    fencing_token: int
    ending: Ending
    jitter: float
    grace: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A claim whose code cannot be read: nothing can be attempted with it."""

    id: int
    fencing_token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A claim is given back whose attempt was not begun."""

    id: int
    fencing_token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """The process that had claims of this queue is gone: what it had begun may still arrive within the grace."""

    grace: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """Time has passed. Needs all whose deadline is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """An operator's second chance for what ended badly. Needs the newest one that `is_undone_by_a_retry`, the
    newest of a known sender that lives, and all strangers' that wait."""

    id: int


Occurrence = Arrived | Asked | Settled | Unreadable | Released | Lost | Passed | Retried
