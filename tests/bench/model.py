"""How many mails, mailboxes and waits so many replicas and such a database bear, by constants that `tests.bench.scaling` measures.

Every resource is busy for a part of the time (its use): what a mail costs there, times mails a second, by how many there are of it. What a mail
waits for grows with the use of the busiest one as in a queue, u / (1 - u). All else follows: the largest rate is the one at which the first
resource would be busy all the time, less the reserve that its queue needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

RESERVE = 0.7
"""Beyond this use of a resource a burst is felt by everybody; plans end here."""

DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Constants:
    """Processor seconds of one mail in each part, the fitted latency in milliseconds, and what is kept and held."""

    main: float
    threads: float
    parser: float
    database: float
    load: float
    floor_ms: float
    queue_ms: float
    mail_octets: float
    journal_octets: float
    wait_octets: float
    mailbox_octets: float
    mailbox_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be borne, and by what. ``database_cores`` are those of the database's server; ``shared_cores``: everything, the load too,
    runs on one machine of so many, as where it is measured (0: each replica has two cores of its own)."""

    rate: float
    replicas: int
    database_cores: int
    shared_cores: int = 0
    workers: int = 1
    mailboxes: int = 0
    waits: int = 0


def uses(constants: Constants, plan: Plan) -> dict[str, float]:
    """The share of its time that each resource is busy."""
    each = plan.rate / plan.replicas
    found = {
        "event loop": each * constants.main,
        "parser": each * constants.parser / plan.workers,
        "database": plan.rate * constants.database / plan.database_cores,
        "watching of mailboxes": plan.mailboxes / plan.replicas * constants.mailbox_seconds,
    }
    if plan.shared_cores:
        found["machine"] = plan.rate * total(constants) / plan.shared_cores
    return found


def total(constants: Constants) -> float:
    """Processor seconds of a mail in all parts together, the one that sends it included."""
    return constants.main + constants.threads + constants.parser + constants.database + constants.load


def latency(constants: Constants, plan: Plan) -> float:
    """Milliseconds at the median from the end of a mail until its code is at the receiver; infinite where something cannot keep up."""
    use = max(uses(constants, plan).values())
    return constants.floor_ms + constants.queue_ms * use / (1 - use) if use < 1 else float("inf")


def first_limit(constants: Constants, plan: Plan) -> tuple[str, float]:
    """The resource that is busiest, and the rate at which it reaches RESERVE."""
    name, use = max(uses(constants, plan).items(), key=lambda one: one[1])
    return name, plan.rate * RESERVE / use


def replicas_for(constants: Constants, rate: float, workers: int = 1) -> int:
    """How many are needed for a rate."""
    return max(1, -int(-rate * max(constants.main, constants.parser / workers) // RESERVE))


def database_cores_for(constants: Constants, rate: float) -> int:
    """How many cores the database needs for a rate."""
    return max(1, -int(-rate * constants.database // RESERVE))


def kept_octets(constants: Constants, rate: float, *, mail_seconds: float, journal_seconds: float) -> float:
    """Octets in the database: whole mails for `[retention] mail`, what holds no secret for `journal`."""
    return rate * (mail_seconds * constants.mail_octets + journal_seconds * constants.journal_octets)


def fitted(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Floor and queue of a latency by uses and milliseconds: least squares of the relative errors, neither below zero."""
    terms = [(use / (1 - use), ms) for use, ms in points if use < 1]
    best = (float("inf"), 0.0, 0.0)
    candidates = [_solved(terms), (0.0, _alone([(x, ms) for x, ms in terms])), (_alone([(1.0, ms) for _, ms in terms]), 0.0)]
    for floor, queue in candidates:
        if floor >= 0 and queue >= 0:
            error = sum(((floor + queue * x) / ms - 1) ** 2 for x, ms in terms)
            best = min(best, (error, floor, queue))
    return best[1], best[2]


def _solved(terms: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The two numbers a, b with the least sum of ((a + b x) / y - 1)²."""
    aa = sum(1 / y**2 for _, y in terms)
    ab = sum(x / y**2 for x, y in terms)
    bb = sum((x / y) ** 2 for x, y in terms)
    a, b = sum(1 / y for _, y in terms), sum(x / y for x, y in terms)
    determinant = aa * bb - ab * ab
    return ((a * bb - b * ab) / determinant, (aa * b - ab * a) / determinant) if determinant else (-1.0, -1.0)


def _alone(terms: Sequence[tuple[float, float]]) -> float:
    below = sum((x / y) ** 2 for x, y in terms)
    return sum(x / y for x, y in terms) / below if below else -1.0
