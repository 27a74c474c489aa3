"""The figures of docs/scaling.md, made of docs/scaling.json by the model: ``python -m tests.bench.scaling_page`` writes them anew."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from math import ceil
from pathlib import Path
from typing import Any

from tests.bench.model import (
    DAY,
    RESERVE,
    Constants,
    Plan,
    database_cores_for,
    first_limit,
    kept_octets,
    latency,
    replicas_for,
)

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE, DATA, PICTURE = DOCS / "scaling.md", DOCS / "scaling.json", DOCS / "pictures" / "scaling.svg"
BEGIN, END = "<!-- figures: python -m tests.bench.scaling_page -->", "<!-- end of figures -->"

RATES = (10, 100, 1_000, 10_000)
MAILBOXES = (100, 1_000, 10_000, 1_000_000)
CONNECTIONS = 9
JOURNAL_DAYS = 30


def figures(told: dict[str, Any]) -> str:
    """Everything between the two marks."""
    constants = Constants(**told["constants"])
    others = f" Other programs used {told['others']:.0%} of them meanwhile." if "others" in told else ""
    load = f"Load average of the machine at the end: {told['load']:.1f}."
    parts = [
        f"Measured on {told['cores']} cores, shared by all parts and the load generator.{others} {load}",
        _table(("what", "costs"), _constants(constants)),
        "Points to which the model was not fitted, and what it predicts for them:",
        _table(
            ("replicas", "mails/s", "median predicted", "measured", "difference", "cores predicted", "measured", "difference"),
            _foretold(told),
        ),
        "Predicted for higher rates. Each replica and the database has a machine of its own, each replica one worker; retention: the default.",
        _table(
            ("mails/s", "replicas", "cores of the database", "connections", "median", "stored in the database", "busiest"),
            _carried(constants),
        ),
        "Mailboxes over IMAP to which no mail comes, shared by the replicas:",
        _table(("mailboxes", "memory", "cores", "replicas needed for the processor"), _mailboxes(constants)),
    ]
    return "\n\n".join(parts)


def _constants(one: Constants) -> Iterable[Sequence[str]]:
    yield "a mail: event loop of a replica", _ms(one.main * 1000)
    yield "a mail: parser worker", _ms(one.parser * 1000)
    yield "a mail: processes of PostgreSQL", _ms(one.database * 1000)
    yield "a mail: the load generator (sender and receiver)", _ms(one.load * 1000)
    yield "*floor*: median from the end of DATA to the receiver while nothing is busy", _ms(one.floor_ms)
    yield "*queue*: added for each u / (1 - u) of the busiest part", _ms(one.queue_ms)
    yield "a mail of 4 kB, stored whole (for `[retention] mail`)", f"{one.mail_octets / 1000:.1f} kB"
    yield "its record (for `[retention] journal`)", f"{one.journal_octets / 1000:.1f} kB"
    yield "a request that waits: memory", f"{one.wait_octets / 1000:.1f} kB"
    yield "a watched mailbox: memory", f"{one.mailbox_octets / 1000:.0f} kB"
    yield "a watched mailbox while nothing comes: processor", f"{one.mailbox_seconds * 1000:.3f} ms a second"


def _foretold(told: dict[str, Any]) -> Iterable[Sequence[str]]:
    for row in told["foretold"]:
        yield (
            str(row["replicas"]),
            f"{row['rate']:.0f}",
            _ms(row["p50 foretold"]),
            _ms(row["p50 measured"]),
            f"{row['p50 off']:+.0%}",
            f"{row['cores foretold']:.2f}",
            f"{row['cores measured']:.2f}",
            f"{row['cores off']:+.0%}",
        )


def _carried(constants: Constants) -> Iterable[Sequence[str]]:
    for rate in RATES:
        replicas, cores = replicas_for(constants, rate), database_cores_for(constants, rate)
        plan = Plan(rate=rate, replicas=replicas, database_cores=cores)
        kept = kept_octets(constants, rate, mail_seconds=DAY, journal_seconds=JOURNAL_DAYS * DAY)
        yield (
            f"{rate:,}",
            str(replicas),
            str(cores),
            str(replicas * CONNECTIONS),
            _ms(latency(constants, plan)),
            f"{kept / 1e9:,.0f} GB",
            first_limit(constants, plan)[0],
        )


def _mailboxes(constants: Constants) -> Iterable[Sequence[str]]:
    for count in MAILBOXES:
        cores = count * constants.mailbox_seconds
        yield (
            f"{count:,}",
            f"{count * constants.mailbox_octets / 1e6:,.0f} MB",
            f"{cores:.2f}",
            str(max(1, ceil(cores / RESERVE))),
        )


def _ms(value: float) -> str:
    return f"{value:.2f} ms" if value < 10 else f"{value:,.0f} ms"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def written(page: str, told: dict[str, Any]) -> str:
    """The page with the figures in the place of those that stand there."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{figures(told)}\n\n{END}{after}"


def main() -> None:
    """Write them."""
    told = json.loads(DATA.read_text(encoding="utf-8"))
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), told), encoding="utf-8")


if __name__ == "__main__":
    main()
