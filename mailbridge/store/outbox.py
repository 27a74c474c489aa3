"""The outbox: deliveries in lines, one line for each target and identifier, strictly in order.

Of a line only the oldest unfinished delivery may be claimed; those behind it have no due time until it is out of the way.
That alone keeps an older code from ever becoming the newest one at the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import apsw

from mailbridge.clock import SteadyClock, from_micros, to_micros
from mailbridge.core.delivery import Claim, Delivery, Draft, State, Step, interrupted, released, supersedes
from mailbridge.store import Due
from mailbridge.store.cipher import Cipher
from mailbridge.store.rows import DELIVERY, journal, read_delivery

LEASE = timedelta(minutes=1)
OVERTAKEN = 2_000_000
"""Microseconds that a mail is under way at the least before it is asked whether a newer one has overtaken it."""
FINAL = frozenset({State.DELIVERED, State.SUPERSEDED, State.EXPIRED, State.DEAD})
IN_LINE = f"SELECT {DELIVERY} FROM delivery WHERE target = ? AND line = ? AND state IN ('pending', 'in_flight') ORDER BY id"  # noqa: S608


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
            ahead = [read_delivery(row, self._cipher) for row in connection.execute(IN_LINE, (draft.target, line)).fetchall()]
            for older in list(ahead):
                if supersedes(draft, older, now=from_micros(now)):
                    self._finish(connection, older.id, State.SUPERSEDED, now, "a newer one of the same sender")
                    ahead.remove(older)
                    superseded += 1
            lifetime = draft.lifetime // timedelta(microseconds=1)
            if received + lifetime <= now:
                state, reason = State.EXPIRED, "its time was over when it came in"
            elif received < now - OVERTAKEN and self._is_overtaken(connection, draft, received):
                state, reason = State.SUPERSEDED, "a newer one of the same sender came in before it"
            else:
                state, reason = State.PENDING if ahead else State.IN_FLIGHT, ""
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
            if reason:
                journal(connection, now, str(state), mail_id, delivery.id, reason)
            if state is State.IN_FLIGHT:
                claims.append(self._claim_of(delivery, 1))
        return tuple(claims), superseded

    def _insert(self, connection: apsw.Connection, mail_id: int, delivery: Delivery, now: int) -> None:
        draft, state = delivery.draft, delivery.state
        received = to_micros(delivery.received_at)
        connection.execute(
            "INSERT INTO delivery (id, mail_id, target, line, identifier, sender, kind, content, workflow_run_id, workflow_id, task_id,"
            " lifetime, state, received_at, deadline, token, rule, final_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                delivery.id,
                mail_id,
                draft.target,
                draft.identifier.casefold(),
                draft.identifier,
                draft.sender,
                draft.kind,
                self._cipher.seal(draft.content.reveal().encode("utf-8", "replace"), f"delivery {delivery.id}"),
                draft.workflow_run_id,
                draft.workflow_id,
                draft.task_id,
                draft.lifetime // timedelta(microseconds=1),
                str(state),
                received,
                to_micros(delivery.deadline),
                1 if state is State.IN_FLIGHT else 0,
                delivery.rule,
                now if state in FINAL else None,
            ),
        )

    def _is_overtaken(self, connection: apsw.Connection, draft: Draft, received: int) -> bool:
        """Whether a newer mail of that sender came in first: mailboxes are caught up with late, and in no order between them."""
        newer = connection.execute(
            "SELECT 1 FROM delivery WHERE target = ? AND line = ? AND sender = ? AND sender != '' AND received_at > ?"
            " AND workflow_run_id IS ? AND workflow_id IS ? AND task_id IS ? AND kind != 'body' LIMIT 1",
            (
                draft.target,
                draft.identifier.casefold(),
                draft.sender,
                received,
                draft.workflow_run_id,
                draft.workflow_id,
                draft.task_id,
            ),
        ).fetchone()
        return newer is not None

    def claim(self, connection: apsw.Connection, limit: int, now: int) -> Due:
        """Take what is due."""
        claims: list[Claim] = []
        lines: list[Any] = connection.execute(
            "SELECT DISTINCT target, line FROM delivery WHERE state = 'pending' AND due_at <= ? ORDER BY due_at LIMIT ?",
            (now, limit),
        ).fetchall()
        for target, line in lines:
            claims += self._next(connection, target, line, now)
        row = connection.execute("SELECT min(due_at) FROM delivery WHERE state = 'pending' AND due_at IS NOT NULL").fetchone()
        next_at = None if row is None or row[0] is None else from_micros(row[0])
        return Due(claims=tuple(claims), next_at=next_at)

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
        rows = connection.execute(f"SELECT {DELIVERY} FROM delivery WHERE state = 'in_flight'").fetchall()  # noqa: S608
        for row in rows:
            delivery = read_delivery(row, self._cipher)
            self._write(connection, delivery.id, interrupted(delivery, now=from_micros(now), grace=grace), now)

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
            "UPDATE delivery SET state = 'pending', final_at = NULL, due_at = ?, deadline = ?, blocked_until = NULL WHERE id = ?",
            (now, now + lifetime, delivery_id),
        )
        journal(connection, now, "retry", mail_id, delivery_id)
        return True

    def expire(self, connection: apsw.Connection, now: int) -> None:
        """End what waits beyond its deadline, and let the next in its line come up."""
        rows: list[Any] = connection.execute(
            "SELECT id, mail_id, target, line FROM delivery WHERE state = 'pending' AND deadline <= ?", (now,)
        ).fetchall()
        for number, mail_id, _, _ in rows:
            self._finish(connection, number, State.EXPIRED, now, "its time was over before it could be delivered", mail_id)
        for target, line in {(target, line) for _, _, target, line in rows}:
            connection.execute(
                "UPDATE delivery SET due_at = ? WHERE due_at IS NULL AND id = (SELECT min(id) FROM delivery WHERE target = ? AND line = ?"
                " AND state IN ('pending', 'in_flight')) AND state = 'pending'",
                (now, target, line),
            )

    def is_busy(self, connection: apsw.Connection) -> bool:
        """Whether any delivery is unfinished."""
        return connection.execute("SELECT 1 FROM delivery WHERE final_at IS NULL LIMIT 1").fetchone() is not None

    def _next(self, connection: apsw.Connection, target: str, line: str, now: int) -> tuple[Claim, ...]:
        """Claim the head of a line if it may go; heads that are over, or overtaken by a newer of their sender, make way."""
        waiting: list[Any] = connection.execute(IN_LINE, (target, line)).fetchall()
        deliveries = [read_delivery(row, self._cipher) for row in waiting]
        at = from_micros(now)
        for index, (row, head) in enumerate(zip(waiting, deliveries, strict=True)):
            if head.state is State.IN_FLIGHT:
                return ()
            if head.deadline <= at:
                self._finish(connection, head.id, State.EXPIRED, now, "its time was over before it could be delivered")
                continue
            if any(supersedes(newer.draft, head, now=at) for newer in deliveries[index + 1 :]):
                self._finish(connection, head.id, State.SUPERSEDED, now, "a newer one of the same sender")
                continue
            if row[13] is not None and row[13] > now:
                return ()
            token = row[20] + 1
            connection.execute("UPDATE delivery SET state = 'in_flight', token = ?, due_at = NULL WHERE id = ?", (token, head.id))
            return (self._claim_of(replace(head, state=State.IN_FLIGHT), token),)
        return ()

    def _claim_of(self, delivery: Delivery, token: int) -> Claim:
        return Claim(
            delivery=delivery,
            token=token,
            lease_until=self._clock.now() + LEASE,
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

    def _finish(
        self, connection: apsw.Connection, number: int, state: State, now: int, reason: str, mail_id: int | None = None
    ) -> None:
        connection.execute(
            "UPDATE delivery SET state = ?, due_at = NULL, final_at = ?, reason = ? WHERE id = ?",
            (str(state), now, reason, number),
        )
        if mail_id is None:
            row: Any = connection.execute("SELECT mail_id FROM delivery WHERE id = ?", (number,)).fetchone()
            mail_id = row[0]
        journal(connection, now, str(state), mail_id, number, reason)
