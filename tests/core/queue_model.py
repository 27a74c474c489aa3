"""A queue kept in memory as a store keeps it, and the little of it that a store shows where it is long."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from mailbridge.core.delivery import UNFINISHED, Delivery, Draft, Standing, State
from mailbridge.core.occurrence import NEW, Arrived, Asked, Occurrence, Passed, Queue, Retried
from mailbridge.core.queue import (
    APART,
    Change,
    decide,
    is_dated_after,
    is_known_and_lives,
    is_under_way_long,
    is_undone_by_a_retry,
    may_be_dated,
    supersedes,
)


def least(rows: Mapping[int, Delivery], occurrence: Occurrence, now: datetime, *, window: int) -> Queue:
    """What `Queue` and the occurrences say is enough, and nothing beyond it; ``window`` rows of the head are shown."""
    unfinished = [rows[number] for number in sorted(rows) if rows[number].state in UNFINISHED]
    shown = {row.id: row for row in unfinished[:window]}
    match occurrence:
        case Arrived(draft=draft, received_at=received_at):
            waiting = [row for row in unfinished if row.state is State.PENDING and row.draft.sender == draft.sender]
            shown |= {row.id: row for row in waiting if row.draft.workflow_run_id == draft.workflow_run_id}
            shown |= {
                row.id: row for row in unfinished if row.state is State.PENDING and row.draft.standing is Standing.FIRST_SEEN
            }
            shown |= {row.id: row for row in _newer(rows, draft, received_at, now)}
            shown |= {row.id: row for row in _known(rows, now)}
        case Passed():
            shown |= {row.id: row for row in unfinished if row.deadline <= now}
        case Retried(id=number):
            undone = [row.id for row in rows.values() if row.id > number and is_undone_by_a_retry(row)]
            shown |= {row.id: row for row in _known(rows, now)}
            shown |= {
                row.id: row for row in unfinished if row.state is State.PENDING and row.draft.standing is Standing.FIRST_SEEN
            }
            shown |= {one: rows[one] for one in ([number] if number in rows else []) + ([max(undone)] if undone else [])}
        case _:
            pass
    cut_after = unfinished[window - 1].id if len(unfinished) > window else None
    return Queue(rows=tuple(shown[number] for number in sorted(shown)), cut_after=cut_after)


def _newer(rows: Mapping[int, Delivery], draft: Draft, received_at: datetime, now: datetime) -> list[Delivery]:
    """Of the sender, the one that was received last; of the sender or the domain, one that was written well after it."""
    new = Delivery(id=NEW, draft=draft, state=State.PENDING, received_at=received_at, deadline=received_at + draft.lifetime)
    there = [row for row in rows.values() if row.received_at <= now]
    same = [row for row in there if supersedes(row.draft, draft) and new.written_at - row.written_at < APART]
    dated = [row for row in there if is_dated_after(row, new)]
    found = [max(same, key=lambda row: row.received_at)] if same and is_under_way_long(received_at, now) else []
    return [*found, *(dated[-1:] if may_be_dated(draft, now) else [])]


def _known(rows: Mapping[int, Delivery], now: datetime) -> list[Delivery]:
    """The newest of a known sender that lives."""
    living = [row for row in rows.values() if is_known_and_lives(row, now)]
    return living and [max(living, key=lambda row: row.id)]


class Kept:
    """The rows of one queue. ``window`` None: all of them are shown; else only what is enough.

    ``number`` gives the next number to a delivery that is added.
    """

    def __init__(self, window: int | None = None, number: Callable[[], int] | None = None) -> None:
        self.rows: dict[int, Delivery] = {}
        self._window = window
        self._number = number or (lambda: max(self.rows, default=0) + 1)

    def happened(self, occurrence: Occurrence, now: datetime) -> tuple[list[Change], Delivery | None]:
        """Decide, write, and go on while there is more. Returns the changes and what was handed out."""
        changes: list[Change] = []
        while True:
            if self._window is None:
                queue = Queue(rows=tuple(self.rows[number] for number in sorted(self.rows)))
            else:
                queue = least(self.rows, occurrence, now, window=self._window)
            decision = decide(queue, occurrence, now=now)
            for change in decision.changes:
                self.rows[change.row.id] = change.row
            changes += decision.changes
            claimed = decision.claimed
            if decision.added is not None:
                number = self._number()
                self.rows[number] = replace(decision.added, id=number)
                claimed = self.rows[number] if claimed is decision.added else claimed
            if claimed is not None or not decision.is_more:
                return changes, claimed
            occurrence = Passed() if isinstance(occurrence, Passed) else Asked()

    @property
    def unfinished(self) -> list[Delivery]:
        """Oldest first."""
        return [self.rows[number] for number in sorted(self.rows) if self.rows[number].state in UNFINISHED]
