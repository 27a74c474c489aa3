"""The queues of the outbox in the writer's transactions: reads what `core.queue` needs of a queue, and writes what it decides.

Nothing is decided here (see `mailbridge.store.queueing`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import apsw

from mailbridge.clock import SteadyClock, from_micros, to_micros
from mailbridge.core.delivery import Claim, Delivery, Draft
from mailbridge.core.occurrence import NEW, Arrived, Asked, Lost, Occurrence, Passed, Queue, Retried, Unreadable
from mailbridge.core.queue import LEASE, Change, Decision, Event, decide
from mailbridge.store import Due
from mailbridge.store.cipher import Cipher, new_uid, place
from mailbridge.store.queueing import AMONG_UNFINISHED, AT_ONCE, KNOWN_FIRST, TOLD, WINDOW, Need, Written, log_ended, needed
from mailbridge.store.rows import DELIVERY, micros, read_delivery, span, with_content
from mailbridge.store.sqlite.lines import journal

HEAD = (
    f"SELECT {DELIVERY} FROM delivery WHERE target = ? AND line = ? AND state IN ('pending', 'in_flight')"  # noqa: S608
    f" ORDER BY id LIMIT {WINDOW + 1}"
)
WAITING_OF_SENDER = (
    f"SELECT {DELIVERY} FROM delivery WHERE target = ? AND line = ? AND sender = ? AND workflow_run_id IS ? AND state = 'pending'"  # noqa: S608
)
WRITTEN = "min(coalesce(written_at, received_at), received_at)"
AS_SURE = (
    "AND workflow_run_id IS ? AND workflow_id IS ? AND task_id IS ? AND kind != 'body'"
    " AND (standing > ? OR standing = ? AND (domain != '' OR ? = ''))"
)
LAST_RECEIVED = (
    f"SELECT {DELIVERY} FROM delivery WHERE target = ? AND line = ? AND sender = ? AND received_at > ? AND received_at <= ?"  # noqa: S608
    f" AND {WRITTEN} > ? {AS_SURE} ORDER BY received_at DESC LIMIT 1"
)
ANY_WRITTEN = (
    f"SELECT {DELIVERY} FROM delivery WHERE target = ? AND line = ? AND {{origin}} = ? AND received_at >= ? AND received_at <= ?"  # noqa: S608
    f" AND {WRITTEN} >= ? {AS_SURE} LIMIT 1"
)
WRITTEN_BY = (ANY_WRITTEN.format(origin="sender"), ANY_WRITTEN.format(origin="domain != '' AND domain"))
STRANGE = f"SELECT {DELIVERY} FROM delivery WHERE target = ? AND line = ? AND state = 'pending' AND standing = 1"  # noqa: S608
KNOWN = (
    f"SELECT {DELIVERY} FROM delivery WHERE target = ? AND line = ? AND standing = 2 AND content IS NOT NULL AND kind != 'body'"  # noqa: S608
    " AND deadline > ? AND (state IN ('pending', 'in_flight', 'delivered') OR is_doubtful = 1) ORDER BY id DESC LIMIT 1"
)
OVER = f"SELECT {DELIVERY} FROM delivery WHERE target = ? AND line = ? AND state = 'pending' AND deadline <= ? LIMIT {AT_ONCE}"  # noqa: S608
UNDONE = (
    f"SELECT {DELIVERY} FROM delivery WHERE target = ? AND line = ? AND id > ?"  # noqa: S608
    " AND (state IN ('pending', 'in_flight', 'delivered') OR is_doubtful = 1) ORDER BY id DESC LIMIT 1"
)
ONE = f"SELECT {DELIVERY} FROM delivery WHERE target = ? AND line = ? AND id = ?"  # noqa: S608
NEXT_TARGET = "SELECT min(target) FROM delivery WHERE state = 'pending' AND due_at IS NOT NULL AND target > ?"
DUE_LINES = (
    "SELECT line FROM delivery WHERE target = ? AND standing = ? AND state = 'pending' AND due_at <= ? ORDER BY due_at LIMIT ?"
)
NEXT_DUE = "SELECT min(due_at) FROM delivery WHERE target = ? AND standing = ? AND state = 'pending' AND due_at IS NOT NULL"
OVER_LINES = (
    "SELECT target, line FROM delivery WHERE state = 'pending' AND deadline <= ? AND (blocked_until IS NULL OR blocked_until <= ?)"
    " LIMIT ?"
)
LOST_LINES = "SELECT target, line FROM delivery WHERE state = 'in_flight' AND deadline <= ?"

QUERIES: Mapping[Need, str] = MappingProxyType(
    {
        Need.WAITING_OF_SENDER: WAITING_OF_SENDER,
        Need.STRANGE: STRANGE,
        Need.KNOWN: KNOWN,
        Need.LAST_RECEIVED: LAST_RECEIVED,
        Need.WRITTEN_BY_SENDER: WRITTEN_BY[0],
        Need.WRITTEN_BY_DOMAIN: WRITTEN_BY[1],
        Need.OVER: OVER,
        Need.ONE: ONE,
        Need.UNDONE: UNDONE,
    }
)


class Queues:
    """Works inside the writer's transaction; every method takes its connection."""

    def __init__(self, *, cipher: Cipher, clock: SteadyClock) -> None:
        self._cipher = cipher
        self._clock = clock

    def add(
        self, connection: apsw.Connection, mail_id: int, drafts: Sequence[Draft], received: int, now: int, rule: str | None
    ) -> tuple[tuple[Claim, ...], int, tuple[str, ...]]:
        """Add a mail's deliveries. Returns the claims of those that may be attempted at once, how many older deliveries they
        superseded, and the reason for each delivery that is held."""
        claims: list[Claim] = []
        held: list[str] = []
        superseded = 0
        for draft in drafts:
            arrived = Arrived(draft=draft, received_at=from_micros(received), rule=rule)
            written = self.happened(connection, draft.target, draft.identifier.casefold(), arrived, now, mail_id=mail_id)
            log_ended(written.changes)
            claims += written.claims
            superseded += sum(change.event is Event.NEWER for change in written.changes)
            held += [written.held] if written.held else []
        return tuple(claims), superseded, tuple(held)

    def happened(
        self,
        connection: apsw.Connection,
        target: str,
        line: str,
        occurrence: Occurrence,
        now: int,
        *,
        mail_id: int = 0,
    ) -> Written:
        """Decide on one queue, write the decision, and repeat while there is more. ``mail_id``: the mail of the arriving
        delivery."""
        changes: list[Change] = []
        at, held = from_micros(now), ""
        while True:
            queue = self._queue(connection, target, line, occurrence, at)
            decision = decide(queue, occurrence, now=at)
            self._write(connection, decision, now)
            changes += decision.changes
            held = held or decision.held
            added = 0 if decision.added is None else self._insert(connection, decision.added, mail_id, now)
            claimed = decision.claimed
            if claimed is not None:
                claim = self._claim(connection, claimed, added, mail_id)
                if claim is not None:
                    return Written(changes=tuple(changes), claim=claim, held=held)
                occurrence = Unreadable(id=claimed.id, fencing_token=claimed.fencing_token)
            elif decision.is_more:
                occurrence = Passed() if isinstance(occurrence, Passed) else Asked()
            else:
                return Written(changes=tuple(changes), held=held)

    # -- what is looked at --------------------------------------------------------------------------------------------

    def _queue(self, connection: apsw.Connection, target: str, line: str, occurrence: Occurrence, at: datetime) -> Queue:
        found = [read_delivery(row) for row in connection.execute(HEAD, (target, line))]
        cut_after = found[WINDOW - 1].id if len(found) > WINDOW else None
        rows = {one.id: one for one in found[:WINDOW]}
        for need, values in needed(target, line, occurrence, at):
            if cut_after is None and need in AMONG_UNFINISHED:
                continue  # the head is the whole queue, so it has them
            rows |= {one.id: one for one in map(read_delivery, connection.execute(QUERIES[need], values))}
        return Queue(rows=tuple(rows[number] for number in sorted(rows)), cut_after=cut_after)

    # -- what is written ----------------------------------------------------------------------------------------------

    def _write(self, connection: apsw.Connection, decision: Decision, now: int) -> None:
        for change in decision.changes:
            row = change.row
            connection.execute(
                "UPDATE delivery SET state = ?, deadline = ?, due_at = ?, blocked_until = ?, attempts = ?, is_doubtful = ?,"
                " without_run = ?, is_overtaken = ?, token = ?, reason = ?, ref = ?, final_at = ? WHERE id = ?",
                (
                    str(row.state),
                    to_micros(row.deadline),
                    micros(row.due_at),
                    micros(row.blocked_until),
                    row.attempts,
                    int(row.is_doubtful),
                    int(row.without_run),
                    int(row.is_overtaken),
                    row.fencing_token,
                    row.reason,
                    row.ref,
                    micros(row.final_at),
                    row.id,
                ),
            )
            if change.event in TOLD:
                event = "retry" if change.event is Event.RETRY else str(row.state)
                journal(connection, now, event, row.mail_id, row.id, "" if change.event is Event.RETRY else row.reason)

    def _insert(self, connection: apsw.Connection, row: Delivery, mail_id: int, now: int) -> int:
        draft, uid = row.draft, new_uid()
        connection.execute(
            "INSERT INTO delivery (uid, mail_id, target, line, identifier, sender, kind, content, workflow_run_id, workflow_id, task_id,"
            " lifetime, state, received_at, deadline, token, rule, reason, final_at, standing, domain, written_at, is_late)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                uid,
                mail_id,
                draft.target,
                draft.identifier.casefold(),
                draft.identifier,
                draft.sender.lower(),
                draft.kind,
                self._cipher.seal(draft.content.reveal().encode("utf-8", "replace"), place("delivery", uid, None)),
                draft.workflow_run_id,
                draft.workflow_id,
                draft.task_id,
                span(draft.lifetime),
                str(row.state),
                to_micros(row.received_at),
                to_micros(row.deadline),
                row.fencing_token,
                row.rule,
                row.reason,
                micros(row.final_at),
                int(draft.standing),
                draft.domain,
                micros(draft.written_at),
                int(row.is_late),
            ),
        )
        number: int = connection.last_insert_rowid()
        if row.final_at is not None:
            journal(connection, now, str(row.state), mail_id, number, row.reason)
        return number

    def _claim(self, connection: apsw.Connection, row: Delivery, added: int, mail_id: int) -> Claim | None:
        """The claim of a row. None if its code cannot be read."""
        if row.id == NEW:
            delivery: Delivery | None = replace(row, id=added, mail_id=mail_id)
        else:
            found: Any = connection.execute("SELECT uid, content FROM delivery WHERE id = ?", (row.id,)).fetchone()
            delivery = with_content(row, found[0], found[1], self._cipher)
        if delivery is None:
            return None
        return Claim(
            delivery=delivery,
            fencing_token=delivery.fencing_token,
            lease_until=delivery.deadline + LEASE,
            expires_at=self._clock.on_wall(to_micros(delivery.deadline)),
        )

    # -- over all queues ----------------------------------------------------------------------------------------------

    def claim(self, connection: apsw.Connection, limit: int, now: int, busy: Sequence[str] = ()) -> Due:
        """Claim what is due of every target that is not ``busy``."""
        claims: list[Claim] = []
        next_at: int | None = None
        for target in _waiting_targets(connection):
            if target in busy:
                continue
            for standing in KNOWN_FIRST:
                lines: list[Any] = connection.execute(DUE_LINES, (target, standing, now, limit - len(claims))).fetchall()
                for (line,) in lines:
                    written = self.happened(connection, target, line, Asked(), now)
                    log_ended(written.changes)
                    claims += written.claims
            for standing in KNOWN_FIRST:
                row: Any = connection.execute(NEXT_DUE, (target, standing)).fetchone()
                if row[0] is not None:
                    next_at = row[0] if next_at is None else min(next_at, row[0])
        return Due(claims=tuple(claims), next_at=None if next_at is None else from_micros(next_at))

    def recover(self, connection: apsw.Connection, now: int, grace: timedelta) -> None:
        """Mark what a dead process left in flight as uncertain, which blocks its queue for the grace period."""
        rows: list[Any] = connection.execute("SELECT target, line FROM delivery WHERE state = 'in_flight'").fetchall()
        for target, line in rows:
            self.happened(connection, target, line, Lost(grace=grace), now)

    def retry(self, connection: apsw.Connection, delivery_id: int, now: int) -> bool:
        """Retry a delivery that ended badly, for an operator; see `Outbox.retry`."""
        row: Any = connection.execute(
            "SELECT target, line FROM delivery WHERE id = ? AND content IS NOT NULL", (delivery_id,)
        ).fetchone()
        return row is not None and bool(self.happened(connection, row[0], row[1], Retried(id=delivery_id), now).changes)

    def pass_time(self, connection: apsw.Connection, now: int) -> bool:
        """End deliveries that are past their deadline, and make the next of their queue due. Returns whether there is more to do.

        A delivery that blocks its queue is ended only when its block is over, because its request may still arrive.
        """
        waiting: list[Any] = connection.execute(OVER_LINES, (now, now, AT_ONCE)).fetchall()
        lost: list[Any] = connection.execute(LOST_LINES, (now - span(LEASE),)).fetchall()
        for target, line in dict.fromkeys((*waiting, *lost)):
            log_ended(self.happened(connection, target, line, Passed(), now).changes)
        return len(waiting) == AT_ONCE

    def is_busy(self, connection: apsw.Connection) -> bool:
        """Whether any delivery is unfinished."""
        row = connection.execute("SELECT 1 FROM delivery WHERE state IN ('pending', 'in_flight') LIMIT 1").fetchone()
        return row is not None


def _waiting_targets(connection: apsw.Connection) -> list[str]:
    """The targets that have a delivery with a due time. One step into the index for each target."""
    found: list[str] = []
    while True:
        row: Any = connection.execute(NEXT_TARGET, (found[-1] if found else "",)).fetchone()
        if row[0] is None:
            return found
        found.append(row[0])
