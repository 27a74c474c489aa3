"""The page over many stored mails beside an empty store in the same run: ``python -m tests.bench.pages [MAILS]``."""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import apsw

from tests.web.desk import Desk, open_desk
from tests.web.pages.visitor import Visitor

PATHS = (
    "/",
    "/mail",
    "/codes",
    "/waiting",
    "/deliveries",
    "/senders",
    "/mailboxes",
    "/authenticators",
    "/sessions",
    "/why?identifier=ann@corp.com",
)
PATHS_OF_MANY = ("/mail?held=true", "/mail?identifier=ann@corp.com", "/search?q=nothing-like-it", "/mail/1")
ROUNDS = 30
FILL = """
INSERT INTO mail (fingerprint, received_at, ingress, verdict, rule, size, facts, uid, sender, is_held, private, raw)
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
    SELECT randomblob(32), received_at - ({count} - i) * {step}, ingress, verdict, rule, size, facts, uid, sender, is_held, private, randomblob(3000) FROM n, mail WHERE mail.id = 1;
INSERT INTO mail_identifier SELECT 'ann@corp.com', id FROM mail WHERE id > 1;
INSERT INTO journal (at, event, mail_id) SELECT received_at, 'stored', id FROM mail WHERE id > 1 ORDER BY received_at;
"""


def fill(connection: apsw.Connection, count: int) -> None:
    """So many copies of the first mail, spread over the last day, held open by nothing."""
    connection.execute(FILL.format(count=count, step=86_000_000_000 // count))


async def times(visitor: Visitor, path: str) -> tuple[float, int]:
    """Lower quartile of milliseconds and octets of a page."""
    took, size = [], 0
    for _ in range(ROUNDS):
        began = time.perf_counter()
        answer = await visitor.get(path)
        took.append((time.perf_counter() - began) * 1000)
        assert answer.status_code == 200, (path, answer.status_code)
        size = len(answer.content)
    return statistics.quantiles(took, n=4)[0], size


async def measured(folder: Path, count: int) -> dict[str, tuple[float, int]]:
    """Every page over so many mails."""
    async with open_desk(folder) as desk:
        for number in range(50):
            await _mail(desk, number)
        if count:
            await desk.store.writer.do(lambda connection: fill(connection, count))
        visitor = Visitor(desk)
        await visitor.log_in()
        for _ in range(20):
            await visitor.get("/")
        return {path: await times(visitor, path) for path in (*PATHS, *PATHS_OF_MANY)}


async def _mail(desk: Desk, number: int) -> None:
    await desk.mail(f"{482900 + number}", to=f"u{number}@corp.com")


async def main(count: int) -> None:
    """Print a line for each page."""
    with tempfile.TemporaryDirectory() as few, tempfile.TemporaryDirectory() as many:
        empty, full = await measured(Path(few), 0), await measured(Path(many), count)
    sys.stdout.write(f"{'page':36} {'50 mails':>9} {f'{count:,} more':>14} {'ratio':>6} {'kB':>6}\n")
    for path, (took, _) in empty.items():
        more, size = full[path]
        sys.stdout.write(f"{path:36} {took:6.1f} ms {more:11.1f} ms {more / took:6.2f} {size / 1000:6.1f}\n")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
