"""The queues of the outbox in transactions: reads what `core.queue` needs of a queue, and writes what it decides.

Nothing is decided here (see `mailbridge.store.queueing`). The caller has locked the queue, by its row, before anything of it is
read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from mailbridge.clock import SteadyClock, from_micros, to_micros
from mailbridge.core.delivery import Claim, Delivery, Draft, State
from mailbridge.core.occurrence import NEW, Arrived, Asked, Lost, Occurrence, Passed, Queue, Released, Retried, Unreadable
from mailbridge.core.queue import LEASE, Change, Decision, Event, decide
from mailbridge.store import Due, StoreUnavailable
from mailbridge.store.cipher import Cipher, new_uid, place
from mailbridge.store.postgres.database import PostgresDatabase, PostgresTransaction
from mailbridge.store.queueing import AT_ONCE, KNOWN_FIRST, TOLD, WINDOW, Need, Written, log_ended, needed
from mailbridge.store.rows import DELIVERY, micros, read_delivery, span, with_content
from mailbridge.store.sql.lines import LINE, tell

OF_QUEUE = f"SELECT {DELIVERY}, NULL::bytea, NULL::bytea FROM delivery WHERE target = ? AND line = ?"  # noqa: S608
HEAD = (
    f"SELECT {DELIVERY}, uid, content FROM delivery WHERE target = ? AND line = ? AND state IN ('pending', 'in_flight')"  # noqa: S608
    f" ORDER BY id LIMIT {WINDOW + 1}"
)
SAME = "IS NOT DISTINCT FROM"
WRITTEN = "least(coalesce(written_at, received_at), received_at)"
AS_SURE = (
    f"AND workflow_run_id {SAME} ? AND workflow_id {SAME} ? AND task_id {SAME} ? AND kind != 'body'"
    " AND (standing > ? OR standing = ? AND (domain != '' OR ? = ''))"
)
ANY_WRITTEN = f"received_at >= ? AND received_at <= ? AND {WRITTEN} >= ? {AS_SURE} LIMIT 1"
UNDONE = "(state IN ('pending', 'in_flight', 'delivered') OR is_doubtful = 1) ORDER BY id DESC LIMIT 1"
QUERIES: Mapping[Need, str] = MappingProxyType(
    {
        Need.WAITING_OF_SENDER: f"{OF_QUEUE} AND sender = ? AND workflow_run_id {SAME} ? AND state = 'pending'",
        Need.STRANGE: f"{OF_QUEUE} AND state = 'pending' AND standing = 1",
        Need.KNOWN: f"{OF_QUEUE} AND standing = 2 AND content IS NOT NULL AND kind != 'body' AND deadline > ? AND {UNDONE}",
        Need.LAST_RECEIVED: (
            f"{OF_QUEUE} AND sender = ? AND received_at > ? AND received_at <= ? AND {WRITTEN} > ? {AS_SURE}"
            " ORDER BY received_at DESC LIMIT 1"
        ),
        Need.WRITTEN_BY_SENDER: f"{OF_QUEUE} AND sender = ? AND {ANY_WRITTEN}",
        Need.WRITTEN_BY_DOMAIN: f"{OF_QUEUE} AND domain != '' AND domain = ? AND {ANY_WRITTEN}",
        Need.OVER: f"{OF_QUEUE} AND state = 'pending' AND deadline <= ? LIMIT {AT_ONCE}",
        Need.ONE: f"{OF_QUEUE} AND id = ?",
        Need.UNDONE: f"{OF_QUEUE} AND id > ? AND {UNDONE}",
    }
)
CHANGE = (
    "UPDATE delivery SET state = ?, deadline = ?, due_at = ?, blocked_until = ?, attempts = ?, is_doubtful = ?, without_run = ?,"
    " is_overtaken = ?, token = ?, owner = ?, reason = ?, ref = ?, final_at = ? WHERE id = ?"
)
CHANGE_AND_TELL = f"WITH changed AS ({CHANGE} RETURNING id) {LINE}"
COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "uid": "bytea",
        "target": "text",
        "line": "text",
        "identifier": "text",
        "sender": "text",
        "kind": "text",
        "content": "bytea",
        "workflow_run_id": "text",
        "workflow_id": "text",
        "task_id": "text",
        "lifetime": "bigint",
        "state": "text",
        "received_at": "bigint",
        "deadline": "bigint",
        "token": "bigint",
        "owner": "bigint",
        "rule": "text",
        "reason": "text",
        "final_at": "bigint",
        "standing": "smallint",
        "domain": "text",
        "written_at": "bigint",
        "is_late": "smallint",
    }
)
"""The columns that a new delivery has in addition to its mail, with the type of each."""

INTO = f"INSERT INTO delivery ({', '.join(COLUMNS)}, mail_id)"
INSERT = f"{INTO} VALUES ({', '.join('?' * len(COLUMNS))}, ?) RETURNING id"
INSERT_FIRST = (
    f"{INTO} SELECT {', '.join(f'?::{kind}' for kind in COLUMNS.values())}, new.id FROM new"  # noqa: S608
    " WHERE NOT EXISTS (SELECT 1 FROM looked) RETURNING id"
)
"""Inserts a delivery of the mail ``new`` if ``looked``, the rows found in its queue, is empty."""

NEXT_DUE = (
    "SELECT target, min(due_at) FROM delivery WHERE state = 'pending' AND due_at IS NOT NULL GROUP BY target ORDER BY target"
)
DUE_LINES = (
    "SELECT line FROM delivery WHERE target = ? AND standing = ? AND state = 'pending' AND due_at <= ? ORDER BY due_at LIMIT ?"
)
OVER_LINES = (
    "SELECT target, line FROM delivery WHERE state = 'pending' AND deadline <= ? AND (blocked_until IS NULL OR blocked_until <= ?)"
    " LIMIT ?"
)
LOST_LINES = "SELECT target, line FROM delivery WHERE state = 'in_flight' AND deadline <= ?"
OF_THE_DEAD = (
    "SELECT target, line FROM delivery WHERE state = 'in_flight'"
    " AND NOT EXISTS (SELECT 1 FROM replica WHERE replica.id = delivery.owner AND alive_until > now_micros())"
)
OWN = "SELECT id, token, target, line FROM delivery WHERE state = 'in_flight' AND owner = ?"
WHOSE = "SELECT target, line FROM delivery WHERE id = ? AND content IS NOT NULL"


class Queues:
    """Applies occurrences to queues. ``owner`` is the number of this process among the replicas, 0 before it has one.

    ``held`` are the claims that somebody in this process has. A claim whose commit was never answered belongs to nobody, and is
    found that way.
    """

    def __init__(self, *, database: PostgresDatabase, cipher: Cipher, clock: SteadyClock) -> None:
        self.owner = 0
        self.held: set[tuple[int, int]] = set()
        self._unclaimed: set[tuple[int, int]] = set()
        self._database = database
        self._cipher = cipher
        self._clock = clock

    async def add(
        self,
        transaction: PostgresTransaction,
        mail_id: int,
        drafts: Sequence[Draft],
        received: int,
        now: int,
        rule: str | None,
        *,
        seen: Sequence[Any] | None = None,
    ) -> tuple[tuple[Claim, ...], int, tuple[str, ...]]:
        """Add a mail's deliveries to queues that are locked. Returns the claims of those that may be attempted at once, how
        many older deliveries they superseded, and the reason for each delivery that is held. ``seen`` is for the first draft;
        see `happened`."""
        claims: list[Claim] = []
        held: list[str] = []
        superseded = 0
        for draft in drafts:
            arrived = Arrived(draft=draft, received_at=from_micros(received), rule=rule)
            line = draft.identifier.casefold()
            written = await self.happened(transaction, draft.target, line, arrived, now, mail_id=mail_id, seen=seen)
            seen = None
            log_ended(written.changes)
            claims += written.claims
            superseded += sum(change.event is Event.NEWER for change in written.changes)
            held += [written.held] if written.held else []
        return tuple(claims), superseded, tuple(held)

    async def happened(
        self,
        transaction: PostgresTransaction,
        target: str,
        line: str,
        occurrence: Occurrence,
        now: int,
        *,
        mail_id: int = 0,
        seen: Sequence[Any] | None = None,
    ) -> Written:
        """Decide on one queue, which is locked, write the decision, and repeat while there is more. ``mail_id``: the mail of the
        arriving delivery.

        ``seen`` are the rows of `looking`, if the caller has already read them.
        """
        changes: list[Change] = []
        at, held = from_micros(now), ""
        while True:
            rows = await transaction.rows(*looking(target, line, occurrence, at)) if seen is None else seen
            queue, sealed = _looked(rows)
            seen = None
            decision = decide(queue, occurrence, now=at)
            await self._write(transaction, decision, now)
            changes += decision.changes
            held = held or decision.held
            added = 0 if decision.added is None else await self._insert(transaction, decision.added, mail_id, now)
            claimed = decision.claimed
            if claimed is not None:
                claim = self._claim(claimed, sealed, added, mail_id)
                if claim is not None:
                    return Written(changes=tuple(changes), claim=claim, held=held)
                occurrence = Unreadable(id=claimed.id, fencing_token=claimed.fencing_token)
            elif decision.is_more:
                occurrence = Passed() if isinstance(occurrence, Passed) else Asked()
            else:
                return Written(changes=tuple(changes), held=held)

    async def _write(self, transaction: PostgresTransaction, decision: Decision, now: int) -> None:
        for change in decision.changes:
            row = change.row
            values = (
                str(row.state),
                to_micros(row.deadline),
                micros(row.due_at),
                micros(row.blocked_until),
                row.attempts,
                int(row.is_doubtful),
                int(row.without_run),
                int(row.is_overtaken),
                row.fencing_token,
                self.owner if row.state is State.IN_FLIGHT else None,
                row.reason,
                row.ref,
                micros(row.final_at),
                row.id,
            )
            if change.event in TOLD:
                is_retry = change.event is Event.RETRY
                told = ("retry", row.mail_id, row.id, "") if is_retry else (str(row.state), row.mail_id, row.id, row.reason)
                await transaction.change(CHANGE_AND_TELL, (*values, now, *told, ""))
            else:
                await transaction.change(CHANGE, values)

    async def _insert(self, transaction: PostgresTransaction, row: Delivery, mail_id: int, now: int) -> int:
        ((number,),) = await transaction.rows(INSERT, (*self.values_of(row), mail_id))
        if row.final_at is not None:
            await tell(transaction, now, str(row.state), mail_id, number, row.reason)
        return int(number)

    def values_of(self, row: Delivery) -> tuple[Any, ...]:
        """A new delivery as the values of COLUMNS, sealed."""
        draft, uid = row.draft, new_uid()
        return (
            uid,
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
            self.owner if row.state is State.IN_FLIGHT else None,
            row.rule,
            row.reason,
            micros(row.final_at),
            int(draft.standing),
            draft.domain,
            micros(draft.written_at),
            int(row.is_late),
        )

    def first_of(self, arrived: Arrived, now: int) -> Delivery | None:
        """The delivery of an arrival whose queue is empty, if it is to be claimed at once, which is nearly always so; else
        None."""
        decision = decide(Queue(rows=()), arrived, now=from_micros(now))
        is_plain = decision.added is not None and decision.claimed is decision.added and not decision.changes
        return decision.added if is_plain and not decision.is_more else None

    def claim_of_first(self, row: Delivery, number: int, mail_id: int) -> Claim:
        """The claim of `first_of`, after it was written."""
        return self._claimed(replace(row, id=number, mail_id=mail_id))

    def _claim(self, row: Delivery, sealed: Mapping[int, tuple[bytes, bytes | None]], added: int, mail_id: int) -> Claim | None:
        """The claim of a row. None if its code cannot be read."""
        if row.id == NEW:
            delivery: Delivery | None = replace(row, id=added, mail_id=mail_id)
        else:
            delivery = with_content(row, *sealed[row.id], self._cipher)
        return None if delivery is None else self._claimed(delivery)

    def _claimed(self, delivery: Delivery) -> Claim:
        return Claim(
            delivery=delivery,
            fencing_token=delivery.fencing_token,
            lease_until=delivery.deadline + LEASE,
            expires_at=self._clock.on_wall(to_micros(delivery.deadline)),
        )

    # -- over all queues, one transaction for each -----------------------------------------------------------------------

    async def one(
        self, target: str, line: str, occurrence: Occurrence, *, condition: str = "", values: Sequence[Any] = ()
    ) -> Written:
        """Apply an occurrence to one queue, in a transaction of its own. ``condition`` is a query that must find something
        after the queue is locked; otherwise nothing happens."""

        async def work(transaction: PostgresTransaction) -> Written:
            if condition and not await transaction.rows(condition, values):
                return Written()
            return await self.happened(transaction, target, line, occurrence, self._clock.micros())

        return await self._database.once(work, queues=[(target, line)])

    async def claim(self, limit: int, busy: Sequence[str] = ()) -> Due:
        """Claim what is due of every target that is not ``busy``."""
        claims: list[Claim] = []
        now = self._clock.micros()
        waiting = [(target, at) for target, at in await self._database.rows(NEXT_DUE) if target not in busy]
        due = [target for target, at in waiting if at <= now] if limit else []
        locked: StoreUnavailable | None = None
        for target in due:
            for standing in KNOWN_FIRST:
                left = limit - len(claims)
                lines = await self._database.rows(DUE_LINES, (target, int(standing), now, left)) if left else []
                for (line,) in lines:
                    try:
                        written = await self.one(target, line, Asked())
                    except StoreUnavailable as fault:
                        if fault.kind == "locked":  # somebody holds this queue for long; the others continue
                            locked = fault
                            continue
                        if not claims:
                            raise
                        return Due(claims=tuple(claims), next_at=from_micros(now))
                    log_ended(written.changes)
                    claims += written.claims
        if locked is not None and not claims:
            raise locked
        if due:
            waiting = [(target, at) for target, at in await self._database.rows(NEXT_DUE) if target not in busy]
        next_at = min((at for _, at in waiting), default=None)
        return Due(claims=tuple(claims), next_at=None if next_at is None else from_micros(next_at))

    async def take_over(self, grace: timedelta) -> int:
        """Mark what dead replicas left in flight as uncertain, which blocks each such queue for the grace period. Returns the
        number of queues.

        Raises:
            StoreUnavailable: it failed for at least one queue, perhaps because another process has locked it; the others are
                done.
        """
        lines = await self._database.rows(OF_THE_DEAD)
        condition = f"{OF_THE_DEAD} AND target = ? AND line = ?"
        locked: StoreUnavailable | None = None
        for target, line in lines:
            try:
                await self.one(target, line, Lost(grace=grace), condition=condition, values=(target, line))
            except StoreUnavailable as fault:
                if fault.kind != "locked":
                    raise
                locked = fault
        if locked is not None:
            raise locked
        return len(lines)

    async def release_unclaimed(self) -> None:
        """Give back what this process has claimed but nobody in it has, both now and at the previous look."""
        rows = await self._database.rows(OWN, (self.owner,))
        unclaimed = {(number, token): (target, line) for number, token, target, line in rows if (number, token) not in self.held}
        for key in self._unclaimed & unclaimed.keys():
            released = Released(id=key[0], fencing_token=key[1])
            await self.one(*unclaimed[key], released)
        self._unclaimed = set(unclaimed)

    def take(self, claims: Sequence[Claim]) -> None:
        """Note that claims are handed to somebody in this process."""
        self.held.update((claim.delivery.id, claim.fencing_token) for claim in claims)

    def give_up(self, claims: Sequence[Claim]) -> None:
        """Note that nobody in this process has these claims any more."""
        self.held.difference_update((claim.delivery.id, claim.fencing_token) for claim in claims)

    async def retry(self, delivery_id: int) -> bool:
        """Retry a delivery that ended badly, for an operator; see `Outbox.retry`."""
        found = await self._database.rows(WHOSE, (delivery_id,))
        return bool(found) and bool((await self.one(found[0][0], found[0][1], Retried(id=delivery_id))).changes)

    async def pass_time(self) -> bool:
        """End deliveries that are past their deadline, and make the next of their queue due. Returns whether there is more to do.

        A delivery that blocks its queue is ended only when its block is over, because its request may still arrive.
        """
        now = self._clock.micros()
        waiting = await self._database.rows(OVER_LINES, (now, now, AT_ONCE))
        lost = await self._database.rows(LOST_LINES, (now - span(LEASE),))
        for target, line in dict.fromkeys((*waiting, *lost)):
            log_ended((await self.one(target, line, Passed())).changes)
        return len(waiting) == AT_ONCE


def looking(target: str, line: str, occurrence: Occurrence, at: datetime) -> tuple[str, list[Any]]:
    """The query for what the decision needs of a queue, and its values."""
    wanted = needed(target, line, occurrence, at)
    values: list[Any] = [target, line]
    for _, of_need in wanted:
        values += of_need
    return _whole(tuple(need for need, _ in wanted)), values


def _looked(rows: Sequence[Any]) -> tuple[Queue, dict[int, tuple[bytes, bytes | None]]]:
    """What was found of a queue, and the sealed contents of its head."""
    head: dict[int, Delivery] = {}
    others: dict[int, Delivery] = {}
    sealed: dict[int, tuple[bytes, bytes | None]] = {}
    for row in rows:
        one = read_delivery(row)
        if row[-1] is None:
            others[one.id] = one
        else:
            head[one.id] = one
            sealed[one.id] = (row[-2], row[-1])
    numbers = sorted(head)
    cut_after = numbers[WINDOW - 1] if len(numbers) > WINDOW else None
    found = others | {number: head[number] for number in numbers[:WINDOW]}
    return Queue(rows=tuple(found[number] for number in sorted(found)), cut_after=cut_after), sealed


@lru_cache(maxsize=64)
def _whole(needs: tuple[Need, ...]) -> str:
    """One query for the head of a queue and these needs."""
    return " UNION ALL ".join(f"({part})" for part in (HEAD, *(QUERIES[need] for need in needs)))
