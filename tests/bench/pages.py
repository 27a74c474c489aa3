"""The page over many stored mails beside few of them in the same run: ``python -m tests.bench.pages [MAILS [FEW]]``.

Both are asked in turns, so that whatever else the machine does slows both alike. The few are so many that every list is full: what is
compared is what a store costs by its size, and not what a row costs that is shown. With 0 they are none, and rows count as well.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import apsw

from mailbridge.operator.faults import Fault
from tests.web.desk import Desk, open_desk
from tests.web.pages.visitor import Visitor

PATHS = (
    "/",
    "/?part=needs",
    "/mail",
    "/mail?held=true",
    "/mail?identifier=ann@corp.com",
    "/mail?sender=github.com",
    "/mail?state=delivered",
    "/mail?state=dead",
    "/mail?words=code",
    "/mail/1",
    "/codes",
    "/waiting",
    "/deliveries",
    "/deliveries?identifier=ann@corp.com",
    "/deliveries?state=dead",
    "/deliveries/1",
    "/senders",
    "/mailboxes",
    "/authenticators",
    "/sessions",
    "/doctor",
    "/rules",
    "/search?q=ann@corp.com",
    "/search?q=nothing-like-it",
    "/why?identifier=ann@corp.com",
    "/why?identifier=nobody@corp.com",
)
SLOW = ("/rules",)
"""What starts a worker, and is asked less often."""

FEW = 600
"""As many as the longest list of a question looks through (`why`: 500 mails of the last hour)."""

ROUNDS = 30
FILL = """
INSERT INTO mail (fingerprint, received_at, ingress, verdict, rule, size, facts, uid, sender, is_held, private, raw)
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
    SELECT randomblob(32), received_at - ({count} - i) * {step}, ingress, verdict, rule, size, facts, uid, sender, is_held, private, randomblob(3000) FROM n, mail WHERE mail.id = 1;
INSERT INTO mail_identifier SELECT 'ann@corp.com', id FROM mail WHERE id > {few};
INSERT INTO delivery (mail_id, target, line, identifier, sender, kind, lifetime, state, received_at, deadline, final_at, rule, domain, standing)
    SELECT mail.id, 'skyvern', 'ann@corp.com', 'ann@corp.com', mail.sender, 'code', 600000000, 'expired', mail.received_at,
    mail.received_at + 600000000, mail.received_at + 200000, mail.rule, 'github.com', 1 FROM mail WHERE id > {few};
INSERT INTO journal (at, event, mail_id) SELECT received_at, 'stored', id FROM mail WHERE id > {few} ORDER BY received_at;
INSERT INTO journal (at, event, mail_id, delivery_id) SELECT final_at, 'delivered', mail_id, id FROM delivery WHERE mail_id > {few};
"""
DELIVERED = """
DROP TRIGGER delivery_transition;
UPDATE delivery SET state = 'delivered', due_at = NULL, final_at = received_at + 200000;
"""


def fill(connection: apsw.Connection, count: int) -> None:
    """So many copies of the first mail, spread over the last day, each delivered."""
    (few,) = next(connection.execute("SELECT max(id) FROM mail"))
    connection.execute(FILL.format(count=count, few=few, step=86_000_000_000 // count))


async def once(visitor: Visitor, path: str) -> tuple[float, float, int]:
    """Milliseconds by the clock and of work, and octets, of a page."""
    began, worked = time.perf_counter(), time.process_time()
    answer = await visitor.get(path)
    took = (time.perf_counter() - began) * 1000, (time.process_time() - worked) * 1000
    assert answer.status_code == 200, (path, answer.status_code)
    return *took, len(answer.content)


async def prepared(desk: Desk, few: int, count: int) -> Visitor:
    """A desk with the few, and so many more, each delivered; somebody is logged in, and the day is counted."""
    for number in range(few):
        await desk.mail(f"{482900 + number}")
    if count:
        await desk.store.writer.do(lambda connection: fill(connection, count))
    await desk.store.writer.do(lambda connection: connection.execute(DELIVERED))
    visitor = Visitor(desk)
    await visitor.log_in()
    while isinstance(day := await desk.operator.day.figures(), Fault) or not day.is_complete:
        await asyncio.sleep(0.05)
    for _ in range(20):
        await visitor.get("/")
    return visitor


async def measured(
    paths: Sequence[str], one: Visitor, other: Visitor
) -> Mapping[str, tuple[list[tuple[float, float, int]], ...]]:
    """Every page of both, in turns."""
    found: dict[str, tuple[list[tuple[float, float, int]], ...]] = {}
    for path in paths:
        found[path] = ([], [])
        for _ in range(3 if path in SLOW else ROUNDS):
            for visitor, times in zip((one, other), found[path], strict=True):
                times.append(await once(visitor, path))
    return found


def quartile(times: list[tuple[float, float, int]], place: int) -> float:
    """The lower one: what else the machine does only ever slows."""
    return statistics.quantiles([one[place] for one in times], n=4)[0]


async def main(count: int, few_mails: int) -> None:
    """Print a line for each page."""
    paths = [path for path in PATHS if few_mails or not path.endswith("/1")]
    with tempfile.TemporaryDirectory() as few, tempfile.TemporaryDirectory() as many:
        async with open_desk(Path(few)) as one, open_desk(Path(many)) as other:
            found = await measured(paths, await prepared(one, few_mails, 0), await prepared(other, max(few_mails, 1), count))
    head = f"{few_mails} mails", f"{count:,} more"
    sys.stdout.write(f"{'page':36} {head[0]:>10} {head[1]:>14} {'ratio':>6} {'of work':>8} {'kB':>6}\n")
    for path, (less, more) in found.items():
        clock, work = (quartile(more, place) / quartile(less, place) for place in (0, 1))
        shown = f"{quartile(less, 0):7.1f} ms {quartile(more, 0):11.1f} ms {clock:6.2f} {work:8.2f}"
        sys.stdout.write(f"{path:36} {shown} {max(one[2] for one in more) / 1000:6.1f}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mails", type=int, nargs="?", default=100_000)
    parser.add_argument("few", type=int, nargs="?", default=FEW)
    given = parser.parse_args()
    asyncio.run(main(given.mails, given.few))
