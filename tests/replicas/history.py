"""What happened to mails, codes and events while replicas were disturbed, and whether any of it must not have happened.

`judge` is a pure function over records: what clients were told, what the store holds at the end, what the receiver took in, the journal,
and what each reader of the journal saw. All times are seconds of one clock, that of the machine on which all of it ran.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

UNFINISHED = ("pending", "in_flight")
FAILED = ("expired", "dead")
SLACK = 0.3
"""Seconds by which the store's clock, which follows the server's, may differ from the one of the records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A mail as its client knows it: ``began`` with the first try, ``acknowledged`` with the yes to one of its tries, None without."""

    identifier: str
    sender: str
    code: str
    began: float
    acknowledged: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A delivery in the store at the end. Ids grow in the order in which the mails took their place in the queue."""

    id: int
    identifier: str
    sender: str
    code: str
    state: str
    reason: str
    deadline: float
    final_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """A code as the receiver took it in; in the order of their list. ``began`` is when its request came, ``is_answered`` whether a yes
    was written to it in full."""

    identifier: str
    code: str
    began: float
    taken: float
    is_answered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the journal that is committed."""

    id: int
    event: str
    delivery: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one reader saw, who began behind the line ``after``: the ids in the order in which they came."""

    after: int
    ids: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Everything that is known of a run. ``disturbed``: when processes or links were broken, each from and until."""

    sent: Sequence[Sent]
    rows: Sequence[Row]
    pushes: Sequence[Push]
    journal: Sequence[Line]
    readers: Mapping[str, Seen] = field(default_factory=dict)
    disturbed: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What must not have happened, each a list of sentences, and what is only counted.

    ``duplicates`` are pushes beyond the first of a code. One is explained by an answer that was not written in full, or by a
    disturbance between the two; one that is not is in ``doubles`` as well.
    """

    lost: list[str]
    inversions: list[str]
    doubles: list[str]
    phantoms: list[str]
    after_final: list[str]
    untold: list[str]
    skipped: list[str]
    acknowledged: int
    pushes: int
    duplicates: int
    superseded: int
    failed: int
    lines: int

    @property
    def faults(self) -> dict[str, list[str]]:
        """What must not have happened, by its kind; empty after a good run."""
        return {name: value for name, value in asdict(self).items() if isinstance(value, list) and value}

    @property
    def counts(self) -> dict[str, int]:
        """What is counted."""
        return {name: value for name, value in asdict(self).items() if isinstance(value, int)}


def judge(history: History) -> Verdict:
    """Compare the records with each other. Pure: the same records give the same verdict."""
    rows = {(row.identifier, row.code): row for row in history.rows}
    pushed = Counter((push.identifier, push.code) for push in history.pushes)
    states = Counter(row.state for row in history.rows)
    return Verdict(
        lost=_lost(history, rows, pushed),
        inversions=_inversions(history, rows),
        doubles=_doubles(history),
        phantoms=[
            f"{push.code} was pushed for {push.identifier}, and is not in the store"
            for push in history.pushes
            if (push.identifier, push.code) not in rows
        ],
        after_final=_after_final(history, rows),
        untold=_untold(history),
        skipped=[one for name, seen in history.readers.items() for one in _skipped(name, seen, history.journal)],
        acknowledged=sum(one.acknowledged is not None for one in history.sent),
        pushes=len(history.pushes),
        duplicates=sum(pushed.values()) - len(pushed),
        superseded=states["superseded"],
        failed=sum(states[name] for name in FAILED),
        lines=len(history.journal),
    )


def _lost(history: History, rows: Mapping[tuple[str, str], Row], pushed: Counter[tuple[str, str]]) -> list[str]:
    """Mails to which somebody said yes, and which neither arrived nor ended for a reason that holds."""
    newest: dict[tuple[str, str], int] = {}
    for stored in history.rows:
        key = (stored.identifier, stored.sender)
        newest[key] = max(stored.id, newest.get(key, 0))
    found = []
    for one in history.sent:
        row = rows.get((one.identifier, one.code))
        if one.acknowledged is None:
            continue
        if row is None:
            found.append(f"{one.code} was acknowledged, and is not in the store")
        elif row.state in UNFINISHED:
            found.append(f"{one.code} is still {row.state}")
        elif row.state == "delivered":
            if not pushed[one.identifier, one.code]:
                found.append(f"{one.code} is delivered in the store, and was never pushed")
        elif not row.reason:
            found.append(f"{one.code} is {row.state} without a reason")
        elif row.state == "superseded" and newest[row.identifier, row.sender] <= row.id:
            found.append(f"{one.code} is superseded, and there is no newer one of its sender")
    return found


def _inversions(history: History, rows: Mapping[tuple[str, str], Row]) -> list[str]:
    """An older code behind a newer one of its identifier: by the store's order at the receiver, and by the clients' in both.

    By the clients' order one is older if it was acknowledged before the first try of the other one began.
    """
    sent = {(one.identifier, one.code): one for one in history.sent}
    found = []
    last: dict[str, Row] = {}
    for push in history.pushes:
        row = rows.get((push.identifier, push.code))
        if row is None:
            continue
        newest = last.get(push.identifier)
        if newest is not None and row.id < newest.id:
            found.append(f"{push.identifier}: {push.code} came after {newest.code}")
        else:
            last[push.identifier] = row
    at_receiver = [(one.identifier, one.code) for one in history.pushes]
    in_store = [(one.identifier, one.code) for one in sorted(history.rows, key=lambda row: row.id)]
    found += [f"at the receiver {one}" for one in _against_clients(at_receiver, sent)]
    return found + [f"in the store {one}" for one in _against_clients(in_store, sent)]


def _against_clients(order: Iterable[tuple[str, str]], sent: Mapping[tuple[str, str], Sent]) -> list[str]:
    """What stands behind something that was only begun when it was acknowledged already."""
    found = []
    latest: dict[str, Sent] = {}
    for key in order:
        one = sent.get(key)
        if one is None:
            continue
        before = latest.get(one.identifier)
        if before is not None and one.acknowledged is not None and one.acknowledged < before.began:
            found.append(f"{one.identifier}: {one.code} came after {before.code}, which was sent later")
        if before is None or one.began > before.began:
            latest[one.identifier] = one
    return found


def _doubles(history: History) -> list[str]:
    """Pushes of a code that had been taken in and answered, with nothing broken since."""
    found = []
    earlier: dict[tuple[str, str], Push] = {}
    for push in history.pushes:
        key = (push.identifier, push.code)
        before = earlier.get(key)
        if before is not None and before.is_answered:
            is_explained = any(begin <= push.began and end >= before.began for begin, end in history.disturbed)
            if not is_explained:
                found.append(f"{push.code} was pushed again, after it was answered and with nothing broken")
        earlier[key] = push
    return found


def _after_final(history: History, rows: Mapping[tuple[str, str], Row]) -> list[str]:
    """Pushes that began when the store knew the end of the code already, or its deadline was over.

    The first push of a code that was delivered is what delivered it, whatever the clocks say: a replica behind a slow link knows the
    server's time only to half of the way there and back.
    """
    found = []
    seen: set[tuple[str, str]] = set()
    for push in history.pushes:
        key = (push.identifier, push.code)
        row = rows.get(key)
        if row is None:
            continue
        is_cause = row.state == "delivered" and key not in seen
        seen.add(key)
        if row.final_at is not None and not is_cause and push.began > row.final_at + SLACK:
            found.append(f"{push.code} was pushed {push.began - row.final_at:.3f} s after it was {row.state}")
        elif push.began > row.deadline + SLACK:
            found.append(f"{push.code} was pushed {push.began - row.deadline:.3f} s after its deadline")
    return found


def _untold(history: History) -> list[str]:
    """Deliveries whose end is not in the journal, or more than once."""
    told: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for line in history.journal:
        if line.delivery is not None:
            told[line.delivery][line.event] += 1
    return [
        f"delivery {row.id} is {row.state}, and the journal says so {told[row.id][row.state]} times"
        for row in history.rows
        if row.state not in UNFINISHED and told[row.id][row.state] != 1
    ]


def _skipped(name: str, seen: Seen, journal: Sequence[Line]) -> list[str]:
    """What a reader missed, saw twice or saw in the wrong order."""
    found = [
        f"{name}: {after} came after {before}" for before, after in zip(seen.ids, seen.ids[1:], strict=False) if after <= before
    ]
    committed = {line.id for line in journal if line.id > seen.after}
    got = set(seen.ids)
    found += [f"{name}: line {number} never came" for number in sorted(committed - got)]
    return found + [f"{name}: line {number} came, and is not in the journal" for number in sorted(got - committed)]
