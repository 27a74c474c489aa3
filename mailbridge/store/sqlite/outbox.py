"""The outbox: deliveries in lines, one line for each target and identifier, strictly in order.

Of a line only the oldest unfinished delivery may be claimed; those behind it have no due time until it is out of the way.
That alone keeps an older code from ever becoming the newest one at the target. Whoever takes the head out of a line has to
bring the next one up (`_next`, `_promote`): a line without a due time at its head stands still until its codes expire.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import apsw

from mailbridge.clock import SteadyClock, from_micros, to_micros
from mailbridge.core.delivery import Claim, Delivery, Draft, State, Step, interrupted, released, supersedes
from mailbridge.store import Due
from mailbridge.store.cipher import Cipher
from mailbridge.store.sqlite.rows import DELIVERY, Entry, journal, read_entry

log = logging.getLogger("mailbridge.store")

LEASE = timedelta(minutes=1)
LATE = 2_000_000
"""Microseconds that a mail is under way at the least before it is asked whether a newer one has overtaken it."""
"""How long beyond its deadline an attempt may stand unsettled, before its line is freed of it.

One process holds the database, so a claim ends with that process, and what a dead one left is taken back at the next start:
nobody else can be given it meanwhile. The lease is for a claim that was lost inside the process.
"""

EXPIRED_AT_ONCE = 1_000
FINAL = frozenset({State.DELIVERED, State.SUPERSEDED, State.EXPIRED, State.DEAD})
OVER = "its time was over before it could be delivered"
OVERTAKEN = "a newer one of the same sender"

HEAD = (
    f"SELECT {DELIVERY} FROM delivery WHERE target = ? AND line = ? AND state IN ('pending', 'in_flight')"  # noqa: S608
    " ORDER BY id LIMIT 1"
)
OF_SENDER = (
    f"SELECT {DELIVERY} FROM delivery WHERE target = ? AND line = ? AND sender = ? AND workflow_run_id IS ?"  # noqa: S608
    " AND state = 'pending' AND id > ? ORDER BY id DESC LIMIT ?"
)
MOST_OF_SENDER = 20


class Numbers:
    """The next id of each table: counted here, so that a row can be sealed with its own number before it is written."""

    def __init__(self) -> None:
        self._last = {"mail": 0, "delivery": 0}

    def read(self, connection: apsw.Connection) -> None:
        """Go on where the database ends."""
        for table in self._last:
            row = connection.execute(f"SELECT max(id) FROM {table}").fetchone()  # noqa: S608  (a name from the line above)
            self._last[table] = (row[0] if row else None) or 0

    def next(self, table: str) -> int:
        """A number that no row has had. One whose transaction fails is left out."""
        self._last[table] += 1
        return self._last[table]


class Outbox:
    """Works inside the writer's transaction; every method takes its connection and the steady time in microseconds."""

    def __init__(self, *, cipher: Cipher, clock: SteadyClock) -> None:
        self._cipher = cipher
        self._clock = clock
        self.numbers = Numbers()

    def add(
        self, connection: apsw.Connection, mail_id: int, drafts: Sequence[Draft], received: int, now: int, rule: str | None
    ) -> tuple[tuple[Claim, ...], int]:
        """Add a mail's deliveries. Returns those that may go at once, claimed, and how many older ones they superseded."""
        claims: list[Claim] = []
        superseded = 0
        for draft in drafts:
            line = draft.identifier.casefold()
            lifetime = draft.lifetime // timedelta(microseconds=1)
            is_over = received + lifetime <= now
            is_late = not is_over and received < now - LATE and self._came_late(connection, draft, line, received)
            is_clear = is_over or is_late or self._is_clear(connection, draft.target, line)
            overtaken = 0 if is_clear else self._overtake(connection, draft, line, now)
            superseded += overtaken
            is_clear = is_clear or (overtaken > 0 and self._is_clear(connection, draft.target, line))
            state = State.IN_FLIGHT if is_clear else State.PENDING
            if is_over or is_late:
                state = State.EXPIRED if is_over else State.SUPERSEDED
            delivery = Delivery(
                id=self.numbers.next("delivery"),
                draft=draft,
                state=state,
                received_at=from_micros(received),
                deadline=from_micros(received + lifetime),
                due_at=from_micros(now),
                rule=rule,
            )
            self._insert(connection, mail_id, delivery, now)
            if is_over or is_late:
                reason = "its time was over when it came in" if is_over else OVERTAKEN
                journal(connection, now, str(state), mail_id, delivery.id, reason)
            if state is State.IN_FLIGHT:
                claims.append(self._claim_of(delivery, 1))
            elif overtaken:
                claims += self._next(connection, draft.target, line, now)
        return tuple(claims), superseded

    def _is_clear(self, connection: apsw.Connection, target: str, line: str) -> bool:
        """Whether nothing unfinished stands in a line."""
        ahead = connection.execute(
            "SELECT 1 FROM delivery WHERE target = ? AND line = ? AND state IN ('pending', 'in_flight') LIMIT 1", (target, line)
        )
        return ahead.fetchone() is None

    def _overtake(self, connection: apsw.Connection, draft: Draft, line: str, now: int) -> int:
        """Supersede what a new draft makes pointless; returns how many."""
        waiting: list[Any] = connection.execute(
            OF_SENDER, (draft.target, line, draft.sender.lower(), draft.workflow_run_id, 0, MOST_OF_SENDER)
        ).fetchall()
        overtaken = [older for older in map(read_entry, waiting) if supersedes(draft, older.delivery, now=from_micros(now))]
        for older in overtaken:
            self._finish(connection, older, State.SUPERSEDED, now, OVERTAKEN)
        return len(overtaken)

    def _insert(self, connection: apsw.Connection, mail_id: int, delivery: Delivery, now: int) -> None:
        draft, state = delivery.draft, delivery.state
        connection.execute(
            "INSERT INTO delivery (id, mail_id, target, line, identifier, sender, kind, content, workflow_run_id, workflow_id, task_id,"
            " lifetime, state, received_at, deadline, token, rule, final_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                delivery.id,
                mail_id,
                draft.target,
                draft.identifier.casefold(),
                draft.identifier,
                draft.sender.lower(),
                draft.kind,
                self._cipher.seal(draft.content.reveal().encode("utf-8", "replace"), f"delivery {delivery.id}"),
                draft.workflow_run_id,
                draft.workflow_id,
                draft.task_id,
                draft.lifetime // timedelta(microseconds=1),
                str(state),
                to_micros(delivery.received_at),
                to_micros(delivery.deadline),
                1 if state is State.IN_FLIGHT else 0,
                delivery.rule,
                now if state in FINAL else None,
            ),
        )

    def _came_late(self, connection: apsw.Connection, draft: Draft, line: str, received: int) -> bool:
        """Whether a newer mail of that sender came in first: mailboxes are caught up with late, and in no order between them."""
        newer = connection.execute(
            "SELECT 1 FROM delivery WHERE target = ? AND line = ? AND sender = ? AND sender != '' AND received_at > ?"
            " AND workflow_run_id IS ? AND workflow_id IS ? AND task_id IS ? AND kind != 'body' LIMIT 1",
            (draft.target, line, draft.sender.lower(), received, draft.workflow_run_id, draft.workflow_id, draft.task_id),
        ).fetchone()
        return newer is not None

    def claim(self, connection: apsw.Connection, limit: int, now: int, busy: Sequence[str] = ()) -> Due:
        """Take what is due of every target that is not ``busy``."""
        claims: list[Claim] = []
        next_at: int | None = None
        for target in self._waiting_targets(connection):
            if target in busy:
                continue
            lines: list[Any] = connection.execute(
                "SELECT line FROM delivery WHERE target = ? AND state = 'pending' AND due_at <= ? ORDER BY due_at LIMIT ?",
                (target, now, limit - len(claims)),
            ).fetchall()
            for (line,) in lines:
                claims += self._next(connection, target, line, now)
            row: Any = connection.execute(
                "SELECT min(due_at) FROM delivery WHERE target = ? AND state = 'pending' AND due_at IS NOT NULL", (target,)
            ).fetchone()
            if row[0] is not None:
                next_at = row[0] if next_at is None else min(next_at, row[0])
        return Due(claims=tuple(claims), next_at=None if next_at is None else from_micros(next_at))

    def _waiting_targets(self, connection: apsw.Connection) -> list[str]:
        """The targets for which something has a due time: one step into the index for each of them."""
        found: list[str] = []
        while True:
            row: Any = connection.execute(
                "SELECT min(target) FROM delivery WHERE state = 'pending' AND due_at IS NOT NULL AND target > ?",
                (found[-1] if found else "",),
            ).fetchone()
            if row[0] is None:
                return found
            found.append(row[0])

    def settle(self, connection: apsw.Connection, claim: Claim, step: Step, now: int) -> tuple[Claim, ...]:
        """Write a step where the claim still holds, and claim what may go now."""
        delivery = claim.delivery
        row = connection.execute("SELECT state, token, mail_id FROM delivery WHERE id = ?", (delivery.id,)).fetchone()
        if row is None or row[0] != State.IN_FLIGHT or row[1] != claim.token:
            return ()
        self._write(connection, delivery.id, step, now)
        journal(connection, now, str(step.state), row[2], delivery.id, step.reason)
        draft = delivery.draft
        return self._next(connection, draft.target, draft.identifier.casefold(), now)

    def release(self, connection: apsw.Connection, claims: Sequence[Claim], now: int) -> None:
        """Give back what was not begun."""
        for claim in claims:
            row = connection.execute("SELECT state, token FROM delivery WHERE id = ?", (claim.delivery.id,)).fetchone()
            if row is not None and row[0] == State.IN_FLIGHT and row[1] == claim.token:
                self._write(connection, claim.delivery.id, released(claim.delivery, now=from_micros(now)), now)

    def recover(self, connection: apsw.Connection, now: int, grace: timedelta) -> None:
        """What a process that died left in the middle is in doubt, and blocks its line for the grace."""
        rows: list[Any] = connection.execute(f"SELECT {DELIVERY} FROM delivery WHERE state = 'in_flight'").fetchall()  # noqa: S608
        for entry in map(read_entry, rows):
            step = interrupted(entry.delivery, now=from_micros(now), grace=grace)
            self._write(connection, entry.delivery.id, step, now)
            journal(connection, now, str(step.state), entry.mail_id, entry.delivery.id, step.reason)

    def retry(self, connection: apsw.Connection, delivery_id: int, now: int) -> bool:
        """An operator's second chance for a delivery that ended badly; see `Store.retry`."""
        row = connection.execute(
            "SELECT mail_id, target, line, lifetime FROM delivery WHERE id = ? AND state IN ('dead', 'expired') AND content IS NOT NULL",
            (delivery_id,),
        ).fetchone()
        if row is None:
            return False
        mail_id, target, line, lifetime = row
        newer = connection.execute(
            "SELECT 1 FROM delivery WHERE target = ? AND line = ? AND id > ? AND state IN ('pending', 'in_flight', 'delivered') LIMIT 1",
            (target, line, delivery_id),
        ).fetchone()
        if newer is not None:
            return False
        connection.execute(
            "UPDATE delivery SET state = 'pending', final_at = NULL, deadline = ?, blocked_until = NULL WHERE id = ?",
            (now + lifetime, delivery_id),
        )
        self._promote(connection, target, line, now)
        journal(connection, now, "retry", mail_id, delivery_id)
        return True

    def expire(self, connection: apsw.Connection, now: int) -> bool:
        """End what waits beyond its deadline, and bring up the next of its line. Returns whether that was not yet all.

        One that blocks its line is ended only when its block is over: its request may still arrive.
        """
        waiting: list[Any] = connection.execute(
            f"SELECT {DELIVERY} FROM delivery WHERE state = 'pending' AND deadline <= ?"  # noqa: S608
            " AND (blocked_until IS NULL OR blocked_until <= ?) LIMIT ?",
            (now, now, EXPIRED_AT_ONCE),
        ).fetchall()
        lost: list[Any] = connection.execute(
            f"SELECT {DELIVERY} FROM delivery WHERE state = 'in_flight' AND deadline <= ?",  # noqa: S608
            (now - LEASE // timedelta(microseconds=1),),
        ).fetchall()
        for rows, reason in ((waiting, OVER), (lost, "its attempt never came to an end")):
            for entry in map(read_entry, rows):
                self._finish(connection, entry, State.EXPIRED, now, reason)
        for target, line in {(row[1], row[2].casefold()) for row in (*waiting, *lost)}:
            self._promote(connection, target, line, now)
        return len(waiting) == EXPIRED_AT_ONCE

    def is_busy(self, connection: apsw.Connection) -> bool:
        """Whether any delivery is unfinished."""
        row = connection.execute("SELECT 1 FROM delivery WHERE state IN ('pending', 'in_flight') LIMIT 1").fetchone()
        return row is not None

    def _promote(self, connection: apsw.Connection, target: str, line: str, now: int) -> None:
        """Give the head of a line a due time, if it waits and has none."""
        connection.execute(
            "UPDATE delivery SET due_at = ? WHERE due_at IS NULL AND state = 'pending' AND id = (SELECT min(id) FROM delivery"
            " WHERE target = ? AND line = ? AND state IN ('pending', 'in_flight'))",
            (now, target, line),
        )

    def _next(self, connection: apsw.Connection, target: str, line: str, now: int) -> tuple[Claim, ...]:
        """Claim the head of a line if it may go; heads that are over, or overtaken by a newer of their sender, make way."""
        at = from_micros(now)
        while (row := connection.execute(HEAD, (target, line)).fetchone()) is not None:
            entry = read_entry(row)
            head = entry.delivery
            if head.state is State.IN_FLIGHT or (head.blocked_until is not None and head.blocked_until > at):
                return ()
            if head.deadline <= at:
                self._finish(connection, entry, State.EXPIRED, now, OVER)
                continue
            if self._is_overtaken(connection, head, line, now):
                self._finish(connection, entry, State.SUPERSEDED, now, OVERTAKEN)
                continue
            if head.due_at > at and not entry.is_behind:
                return ()
            token = entry.token + 1
            connection.execute("UPDATE delivery SET state = 'in_flight', token = ?, due_at = NULL WHERE id = ?", (token, head.id))
            delivery = entry.unsealed(self._cipher)
            if delivery is None:
                self._finish(connection, entry, State.DEAD, now, "what is stored of it cannot be decrypted")
                continue
            return (self._claim_of(replace(delivery, state=State.IN_FLIGHT), token),)
        return ()

    def _is_overtaken(self, connection: apsw.Connection, head: Delivery, line: str, now: int) -> bool:
        """Whether a newer one of the same sender came while this one was in flight or blocked."""
        draft = head.draft
        newer: list[Any] = connection.execute(
            OF_SENDER, (draft.target, line, draft.sender, draft.workflow_run_id, head.id, MOST_OF_SENDER)
        ).fetchall()
        return any(supersedes(read_entry(row).delivery.draft, head, now=from_micros(now)) for row in newer)

    def _claim_of(self, delivery: Delivery, token: int) -> Claim:
        return Claim(
            delivery=delivery,
            token=token,
            lease_until=delivery.deadline + LEASE,
            expires_at=self._clock.on_wall(to_micros(delivery.deadline)),
        )

    def _write(self, connection: apsw.Connection, number: int, step: Step, now: int) -> None:
        connection.execute(
            "UPDATE delivery SET state = ?, due_at = ?, blocked_until = ?, attempts = ?, is_doubtful = ?, without_run = ?, reason = ?,"
            " ref = ?, final_at = ? WHERE id = ?",
            (
                str(step.state),
                None if step.due_at is None or step.state in FINAL else to_micros(step.due_at),
                None if step.blocked_until is None else to_micros(step.blocked_until),
                step.attempts,
                int(step.is_doubtful),
                int(step.without_run),
                step.reason,
                step.ref,
                now if step.state in FINAL else None,
                number,
            ),
        )

    def _finish(self, connection: apsw.Connection, entry: Entry, state: State, now: int, reason: str) -> None:
        number = entry.delivery.id
        connection.execute(
            "UPDATE delivery SET state = ?, due_at = NULL, final_at = ?, reason = ? WHERE id = ?",
            (str(state), now, reason, number),
        )
        journal(connection, now, str(state), entry.mail_id, number, reason)
        draft = entry.delivery.draft
        fields = {"delivery": number, "target": draft.target, "identifier": draft.identifier, "reason": reason}
        log.log(logging.INFO if state is State.SUPERSEDED else logging.WARNING, "delivery %s", state, extra=fields)
