"""One identifier's queue at one target: what becomes of its deliveries by each thing that happens.

A store keeps the rows and this decides: `decide` is given the queue as it stands and what has happened, and answers with the rows
as they are to be written. `TRANSITIONS` is the whole machine and the only place where a state changes; a test holds this picture of
it and the database's guards to it::

    pending    --claimed-------> in_flight
    pending    --newer code----> superseded
    pending    --deadline------> expired
    in_flight  --accepted------> delivered
    in_flight  --deferred------> pending
    in_flight  --released------> pending
    in_flight  --interrupted---> pending
    in_flight  --refused-------> dead
    in_flight  --deadline------> expired
    expired    --retry---------> pending
    dead       --retry---------> pending

Of a queue only the head, its oldest unfinished delivery, is ever claimed; those behind it have no due time. That alone keeps an
older code from becoming the newest one at the target. Whatever takes the head away brings the next one up.

A stranger's code (`Standing.FIRST_SEEN`) never takes the place of a known sender's: while one of those waits or lives it is held, and
those that wait are given up when a known one comes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, assert_never

from mailbridge.core.dataclass import dataclass
from mailbridge.core.delivery import UNFINISHED, Accepted, Deferred, Delivery, Doubtful, Draft, Lapsed, Refused, Standing, State
from mailbridge.core.occurrence import (
    NEW,
    Arrived,
    Asked,
    Lost,
    Occurrence,
    Passed,
    Queue,
    Released,
    Retried,
    Settled,
    Unreadable,
)


class Event(StrEnum):
    """What can befall one delivery."""

    CLAIMED = "claimed"
    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    RELEASED = "released"
    INTERRUPTED = "interrupted"
    REFUSED = "refused"
    NEWER = "newer code"
    DEADLINE = "deadline"
    RETRY = "retry"


TRANSITIONS: Mapping[tuple[State, Event], State] = MappingProxyType(
    {
        (State.PENDING, Event.CLAIMED): State.IN_FLIGHT,
        (State.PENDING, Event.NEWER): State.SUPERSEDED,
        (State.PENDING, Event.DEADLINE): State.EXPIRED,
        (State.IN_FLIGHT, Event.ACCEPTED): State.DELIVERED,
        (State.IN_FLIGHT, Event.DEFERRED): State.PENDING,
        (State.IN_FLIGHT, Event.RELEASED): State.PENDING,
        (State.IN_FLIGHT, Event.INTERRUPTED): State.PENDING,
        (State.IN_FLIGHT, Event.REFUSED): State.DEAD,
        (State.IN_FLIGHT, Event.DEADLINE): State.EXPIRED,
        (State.EXPIRED, Event.RETRY): State.PENDING,
        (State.DEAD, Event.RETRY): State.PENDING,
    }
)
"""The machine. What is not in it cannot happen; the database refuses it too."""

FIRST_DELAY = timedelta(milliseconds=250)
LONGEST_DELAY = timedelta(seconds=30)

LATE = timedelta(seconds=2)
"""How long a mail is under way at the least before it is asked whether a newer one has overtaken it."""

APART = timedelta(seconds=5)
"""How far two mails' own dates must be apart to say which is the newer one; nearer than that their arrival does."""

OF_DOMAIN = 4
STRANGERS = 16
"""Strangers' deliveries that may wait in one queue: of one domain (all that prove none together), and of all; the oldest make way."""

LEASE = timedelta(minutes=1)
"""How long beyond its deadline a claim may stand unsettled before its queue is freed of it: whoever had it has lost it."""

TOO_LATE = "its time was over when it came in"
OVER = "expired before delivery"
LAPSED = "its time was over before it could be sent"
LOST = "its attempt never came to an end"
OVERTAKEN = "a newer one of the same sender"
ASIDE = "held: its sender is not known; given only to who asks for that sender"
KNOWN_CAME = "a code of a known sender came"
CROWDED = "too many of senders that are not known waited"
INTERRUPTED = "interrupted in the middle of an attempt"
UNREADABLE = "what is stored of it cannot be decrypted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A row as it is from now on, and the event that led there; None where its state stays."""

    row: Delivery
    event: Event | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to write: ``changes`` in their order, then ``added`` (a row may change more than once).

    ``claimed`` is handed out; it is one of the changed rows, or the added one. ``is_more``: everything that was shown of the queue
    is finished; write this, and decide again on what comes next, as for `Asked`, or for `Passed` where nobody has a hand free.
    ``held`` is why the added one is not pushed although it is good: the mail is held by it; "" where it is not.
    """

    changes: tuple[Change, ...] = ()
    added: Delivery | None = None
    claimed: Delivery | None = None
    is_more: bool = False
    held: str = ""


def decide(queue: Queue, occurrence: Occurrence, *, now: datetime) -> Decision:
    """What becomes of a queue. ``now`` is steady time; nothing else that the answer depends on is outside the arguments."""
    desk = _Desk(queue, now)
    match occurrence:
        case Arrived():
            desk.arrived(occurrence)
        case Asked():
            desk.hand_out()
        case Settled():
            desk.settled(occurrence)
        case Unreadable():
            desk.unreadable(occurrence)
        case Released():
            desk.released(occurrence)
        case Lost():
            desk.lost(occurrence)
        case Passed():
            desk.passed()
        case Retried():
            desk.retried(occurrence)
        case _:
            assert_never(occurrence)
    return Decision(changes=tuple(desk.changes), added=desk.added, claimed=desk.claimed, is_more=desk.is_more, held=desk.held)


def supersedes(newer: Draft, older: Draft) -> bool:
    """Whether a newer draft makes an older one of its queue pointless.

    Same sender (any case), for the same run, workflow and task: a run sees only its own rows. A ``body`` replaces nothing, since
    it may not hold a code at all; and of two mails without a sender nobody knows that they are of one. What is less sure of its
    sender replaces nothing that is surer.
    """
    return newer.sender != "" and newer.sender.lower() == older.sender.lower() and _may_replace(newer, older)


def is_dated_after(newer: Delivery, older: Delivery) -> bool:
    """Whether the mails' own dates say that one is newer: of one sender, or of one proven domain, and well apart."""
    of_one = newer.draft.domain != "" and newer.draft.domain == older.draft.domain
    return newer.written_at - older.written_at >= APART and (
        supersedes(newer.draft, older.draft) or (of_one and _may_replace(newer.draft, older.draft))
    )


def may_be_dated(draft: Draft, now: datetime) -> bool:
    """Whether a mail was written so long ago that a newer one may have been written and come in before it."""
    return draft.written_at is not None and now - draft.written_at >= APART


def is_known_and_lives(row: Delivery, now: datetime) -> bool:
    """Whether a row is a known sender's that waits, flies, or is or may be at the target, and whose time is not over."""
    return (
        row.draft.standing is Standing.KNOWN
        and row.draft.kind != "body"
        and row.deadline > now
        and (row.state in UNFINISHED or row.state is State.DELIVERED or row.is_doubtful)
    )


def _may_replace(newer: Draft, older: Draft) -> bool:
    """Whether nothing forbids that one takes the place of another, whoever sent them."""
    is_as_sure = newer.standing > older.standing or (
        newer.standing is older.standing and (newer.domain != "" or older.domain == "")
    )
    return (
        is_as_sure
        and newer.kind != "body"
        and (newer.workflow_run_id, newer.workflow_id, newer.task_id) == (older.workflow_run_id, older.workflow_id, older.task_id)
    )


def is_under_way_long(received_at: datetime, now: datetime) -> bool:
    """Whether a mail was received so long ago that a newer one may have come in before it: mailboxes are caught up with late."""
    return now - received_at > LATE


def is_undone_by_a_retry(newer: Delivery) -> bool:
    """Whether a delivery waits, flies, or is or may be at the target, where an older one that came after it would take its place."""
    return newer.state in UNFINISHED or newer.state is State.DELIVERED or newer.is_doubtful


def backoff(attempts: int, jitter: float) -> timedelta:
    """How long to wait after the attempt numbered ``attempts`` (from 1) failed.

    Doubles from 0.25 s to 30 s, with full jitter: ``jitter`` in 0…1 chooses between nothing and all of it, so that
    many deliveries that failed together do not come back together.
    """
    doublings = min(max(attempts - 1, 0), (LONGEST_DELAY // FIRST_DELAY).bit_length())
    longest: timedelta = min(FIRST_DELAY * 2**doublings, LONGEST_DELAY)
    return longest * jitter


def picture() -> str:
    """The table as text, a transition a line, in the order of the table."""
    return "\n".join(f"{before:<10} --{event:-<14}> {after}" for (before, event), after in TRANSITIONS.items())


class _Desk:
    """A queue while it is decided on: the rows as they will be, and what was changed on the way."""

    def __init__(self, queue: Queue, now: datetime) -> None:
        self._rows = {row.id: row for row in queue.rows}
        self._cut_after = queue.cut_after
        self._now = now
        self.changes: list[Change] = []
        self.added: Delivery | None = None
        self.claimed: Delivery | None = None
        self.is_more = False
        self.held = ""

    # -- what happens -------------------------------------------------------------------------------------------------

    def arrived(self, occurrence: Arrived) -> None:
        """Add it in its state: over, overtaken, held, claimed, or waiting; and let it overtake what is older."""
        draft = occurrence.draft
        newcomer = Delivery(
            id=NEW,
            draft=draft,
            state=State.PENDING,
            received_at=occurrence.received_at,
            deadline=occurrence.received_at + draft.lifetime,
            rule=occurrence.rule,
        )
        if newcomer.deadline <= self._now:
            self.added = self._moved(newcomer, Event.DEADLINE, reason=TOO_LATE)
        elif self._is_dated_late(newcomer):
            self.added = self._moved(newcomer, Event.NEWER, reason=OVERTAKEN, is_late=True)
        elif self._came_late(newcomer):
            self.added = self._moved(newcomer, Event.NEWER, reason=OVERTAKEN)
        elif draft.standing is Standing.ASIDE:
            self.added = self._moved(newcomer, Event.NEWER, reason=ASIDE)
        elif self._is_held(newcomer):
            aside = replace(newcomer, draft=replace(draft, standing=Standing.ASIDE))
            self.added = self._moved(aside, Event.NEWER, reason=self.held)
        else:
            for older in [row for row in self._unfinished() if supersedes(draft, row.draft)]:
                self._overtake(older, OVERTAKEN)
            self._make_way(draft)
            self.added = newcomer
            self.hand_out()

    def settled(self, occurrence: Settled) -> None:
        """End a claim if its fencing fencing_token is still the newest, and hand out what may go now."""
        row = self._in_flight(occurrence.id, occurrence.fencing_token)
        if row is None:
            return
        self._end(row, occurrence)
        self.hand_out()

    def unreadable(self, occurrence: Unreadable) -> None:
        """Dead, without an attempt; the next one may go."""
        row = self._in_flight(occurrence.id, occurrence.fencing_token)
        if row is not None:
            self._change(row, Event.REFUSED, reason=UNREADABLE)
            self.hand_out()

    def released(self, occurrence: Released) -> None:
        """Due at once, not counted, and no more in doubt than before."""
        row = self._in_flight(occurrence.id, occurrence.fencing_token)
        if row is not None:
            self._change(row, Event.RELEASED, due_at=self._now)

    def lost(self, occurrence: Lost) -> None:
        """In doubt, not counted, and nothing else goes for the grace."""
        until = self._now + occurrence.grace
        for row in [row for row in self._unfinished() if row.state is State.IN_FLIGHT]:
            self._change(row, Event.INTERRUPTED, due_at=until, blocked_until=until, is_doubtful=True, reason=INTERRUPTED)

    def passed(self) -> None:
        """End what is over its time wherever it stands. One that blocks the queue ends with its block: its request may arrive."""
        for row in list(self._unfinished()):
            if row.state is State.IN_FLIGHT and row.deadline + LEASE <= self._now:
                self._change(row, Event.DEADLINE, is_doubtful=True, reason=LOST)
            elif row.state is State.PENDING and row.deadline <= self._now and not self._is_blocked(row):
                self._change(row, Event.DEADLINE, reason=OVER)
        self._bring_up()

    def retried(self, occurrence: Retried) -> None:
        """Its lifetime anew, unless a newer one would be undone by it."""
        row = self._rows.get(occurrence.id)
        if row is None or (row.state, Event.RETRY) not in TRANSITIONS:
            return
        if any(other.id > row.id and is_undone_by_a_retry(other) for other in self._rows.values()):
            return
        if row.draft.standing is Standing.ASIDE or (
            row.draft.standing is Standing.FIRST_SEEN and self._known_living() is not None
        ):
            return
        deadline = self._now + row.draft.lifetime
        self._change(row, Event.RETRY, deadline=deadline, blocked_until=None, is_overtaken=False)
        if row.draft.standing is Standing.KNOWN:
            self._make_way(row.draft)
        self._bring_up()

    def hand_out(self) -> None:
        """Claim the head if it may go; heads that are over, or overtaken, make way."""
        for row in self._in_order():
            if row.state is State.IN_FLIGHT or self._is_blocked(row):
                return
            if row.deadline <= self._now:
                self._change(row, Event.DEADLINE, reason=OVER)
            elif row.is_overtaken:
                self._change(row, Event.NEWER, reason=OVERTAKEN)
            elif row.due_at is not None and row.due_at > self._now:
                return
            else:
                self.claimed = self._change(row, Event.CLAIMED, fencing_token=row.fencing_token + 1)
                return

    # -- what that makes of a row -------------------------------------------------------------------------------------

    def _end(self, row: Delivery, occurrence: Settled) -> None:
        """What the end of an attempt makes of a delivery. A next try is never due after the deadline."""
        ending, attempts = occurrence.ending, row.attempts + 1
        match ending:
            case Accepted():
                self._change(row, Event.ACCEPTED, attempts=attempts, is_doubtful=False, reason="", ref=ending.ref)
            case Deferred():
                delay = max(backoff(attempts, occurrence.jitter), ending.retry_after or timedelta())
                self._again(row, delay, attempts=attempts, reason=ending.reason)
            case Doubtful():
                until = self._now + occurrence.grace
                self._change(
                    row,
                    Event.DEFERRED,
                    due_at=until,
                    blocked_until=until,
                    attempts=attempts,
                    is_doubtful=True,
                    reason=ending.reason,
                )
            case Refused(is_stale_run=True) if not row.without_run:
                self._again(row, timedelta(), attempts=attempts, is_doubtful=False, without_run=True, reason=ending.reason)
            case Refused():
                self._change(row, Event.REFUSED, attempts=attempts, is_doubtful=False, reason=ending.reason)
            case Lapsed():
                self._change(row, Event.DEADLINE, reason=row.reason or LAPSED)
            case _:
                assert_never(ending)

    def _again(self, row: Delivery, delay: timedelta, **fields: Any) -> None:
        """Let it be tried once more, after a delay; at the deadline itself at the latest, when it is expired in place of that."""
        left = row.deadline - self._now
        if left <= timedelta():
            self._change(row, Event.DEADLINE, **fields)
        else:
            self._change(row, Event.DEFERRED, due_at=self._now + min(delay, left), **fields)

    def _make_way(self, draft: Draft) -> None:
        """Give up strangers' deliveries: all of them where a known sender's code comes, the oldest where too many would wait."""
        strange = [row for row in self._unfinished() if row.draft.standing is Standing.FIRST_SEEN and not row.is_overtaken]
        if draft.standing is Standing.KNOWN and draft.kind != "body":
            for row in strange:
                self._overtake(row, KNOWN_CAME)
        elif draft.standing is Standing.FIRST_SEEN:
            waiting = [row for row in strange if row.state is State.PENDING and not self._is_blocked(row)]
            akin = [row for row in waiting if row.draft.domain == draft.domain]
            given_up = {row.id for row in akin[: max(len(akin) - OF_DOMAIN + 1, 0)]}
            left = [row for row in waiting if row.id not in given_up]
            given_up |= {row.id for row in left[: max(len(left) - STRANGERS + 1, 0)]}
            for row in [row for row in waiting if row.id in given_up]:
                self._overtake(row, CROWDED)

    def _overtake(self, older: Delivery, reason: str) -> None:
        """A newer code is there: one that waits is given up, one that may be on its way is not attempted again after that."""
        if older.state is State.PENDING and not self._is_blocked(older):
            self._change(older, Event.NEWER, reason=reason)
        elif not older.is_overtaken:
            self._put(replace(older, is_overtaken=True), None)

    def _bring_up(self) -> None:
        """Give the head a due time if it waits and has none: somebody will ask for it then."""
        for row in self._in_order():
            if row.state is State.PENDING and row.due_at is None:
                self._put(replace(row, due_at=self._now), None)
            return

    def _change(self, row: Delivery, event: Event, **fields: Any) -> Delivery:
        after = self._moved(row, event, **fields)
        if row.id == NEW:
            self.added = after
        else:
            self._put(after, event)
        return after

    def _moved(self, row: Delivery, event: Event, **fields: Any) -> Delivery:
        """The row after an event of the table. What belongs to one state only does not outlive it."""
        state = TRANSITIONS[row.state, event]
        kept: dict[str, Any] = {"due_at": None, "blocked_until": None} | fields
        return replace(row, state=state, final_at=None if state in UNFINISHED else self._now, **kept)

    def _put(self, row: Delivery, event: Event | None) -> None:
        self._rows[row.id] = row
        self.changes.append(Change(row=row, event=event))

    # -- what is known of the queue -----------------------------------------------------------------------------------

    def _unfinished(self) -> Iterator[Delivery]:
        """Every unfinished one that is known, oldest first."""
        return (self._rows[number] for number in sorted(self._rows) if self._rows[number].state in UNFINISHED)

    def _in_order(self) -> Iterator[Delivery]:
        """The unfinished ones from the head on, without a gap, the newcomer last. Where that ends too early there is more."""
        for row in self._unfinished():
            if self._cut_after is not None and row.id > self._cut_after:
                break
            yield row
        if self._cut_after is not None:
            self.is_more = True
        elif self.added is not None:
            yield self.added

    def _in_flight(self, number: int, fencing_token: int) -> Delivery | None:
        """The row of a claim; None where that holds no longer."""
        row = self._rows.get(number)
        return row if row is not None and row.state is State.IN_FLIGHT and row.fencing_token == fencing_token else None

    def _is_blocked(self, row: Delivery) -> bool:
        return row.blocked_until is not None and row.blocked_until > self._now

    def _is_dated_late(self, newcomer: Delivery) -> bool:
        """Whether a mail came in first that was written later, by the dates of both."""
        return may_be_dated(newcomer.draft, self._now) and any(
            row.received_at <= self._now and is_dated_after(row, newcomer) for row in self._rows.values()
        )

    def _is_held(self, newcomer: Delivery) -> bool:
        """Whether it is a stranger's, and a known sender's code waits or lives; `held` then names both."""
        if newcomer.draft.standing is not Standing.FIRST_SEEN:
            return False
        known = self._known_living()
        if known is not None:
            self.held = (
                f"{_who(newcomer.draft)} is not known for this identifier, and a code of {_who(known.draft)} is still valid"
            )
        return known is not None

    def _known_living(self) -> Delivery | None:
        """The newest of a known sender that lives."""
        living = [row for row in self._rows.values() if is_known_and_lives(row, self._now)]
        return max(living, key=lambda row: row.id, default=None)

    def _came_late(self, newcomer: Delivery) -> bool:
        """Whether a newer mail of that sender came in first, whatever has become of it, by receipt where their dates do not say.

        What was received in the future tells nothing: the clock was ahead then.
        """
        return is_under_way_long(newcomer.received_at, self._now) and any(
            newcomer.received_at < row.received_at <= self._now
            and supersedes(row.draft, newcomer.draft)
            and newcomer.written_at - row.written_at < APART
            for row in self._rows.values()
        )


def _who(draft: Draft) -> str:
    """Whose a delivery is, as far as that is known."""
    claimed = draft.sender.rpartition("@")[2].lower()
    return draft.domain or (f"a mail that only claims to be of {claimed}" if claimed else "a mail without a sender")
