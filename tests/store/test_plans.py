"""How SQLite goes about it: every list is a walk along an index, newest first, and no queue is found by looking at all of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import pytest

from mailbridge.core.delivery import State
from mailbridge.store import Filter
from mailbridge.store.sqlite import filters, migrations, queues
from mailbridge.store.sqlite.codes import LIVE, NEWEST_FIRST
from tests.bench.filling import a_day_ago, erase, fill, opened
from tests.loop import looped
from tests.store.looking import use

NOW = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.fixture(scope="module")
def empty() -> apsw.Connection:
    """A database with all its indexes, and no statistics, as they are in use."""
    connection = apsw.Connection(":memory:")
    migrations.apply(connection)
    return connection


def plan(connection: apsw.Connection, query: str, count: int | None = None) -> list[str]:
    """The steps of a query."""
    values = (None,) * (query.count("?") if count is None else count)
    return [str(row[3]) for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", values)]


FILTERS = {
    "identifier": Filter(identifier="ann@example.com"),
    "sender": Filter(sender="a@larch.example"),
    "domain": Filter(sender="larch.example"),
    "dead": Filter(states=(State.DEAD,)),
    "waiting": Filter(states=(State.PENDING, State.IN_FLIGHT)),
    "held": Filter(is_held=True),
    "since": Filter(since=NOW),
    "until": Filter(until=NOW),
}


@pytest.mark.parametrize("before", [None, 7], ids=["first page", "next page"])
@pytest.mark.parametrize("name", ["identifier", "sender", "domain"])
def test_what_is_common_is_a_walk_that_ends_with_the_page(empty: apsw.Connection, name: str, before: int | None) -> None:
    """Where most rows fit, no list of all their numbers is made, and nothing is sorted."""
    how = filters.Common(identifier=True, sender=True)
    chosen = [filters.mails(FILTERS[name], before=before, how=how)]
    chosen += [filters.deliveries(FILTERS[name], mail_id=None, before=before, how=how)]
    for one in chosen:
        steps = plan(empty, f"SELECT * FROM {one.source} WHERE {one.where} ORDER BY {one.order} LIMIT 5")
        assert not [step for step in steps if "TEMP B-TREE" in step or "LIST SUBQUERY" in step], steps


@pytest.mark.parametrize("before", [None, 7], ids=["first page", "next page"])
@pytest.mark.parametrize("name", FILTERS)
def test_a_list_is_a_walk_along_an_index(empty: apsw.Connection, name: str, before: int | None) -> None:
    """Nothing is sorted, and nothing is looked at that does not fit."""
    chosen = [filters.mails(FILTERS[name], before=before)]
    chosen += [filters.deliveries(FILTERS[name], mail_id=None, before=before)] if name != "held" else []
    for one in chosen:
        steps = plan(empty, f"SELECT * FROM {one.source} WHERE {one.where} ORDER BY {one.order} LIMIT 5")
        assert not [step for step in steps if "TEMP B-TREE" in step or step in ("SCAN mail", "SCAN delivery", "SEARCH mail")], (
            steps
        )


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (queues.HEAD, "delivery_line (target=? AND line=?)"),
        (queues.WAITING_OF_SENDER, "delivery_sender (target=? AND line=? AND sender=? AND workflow_run_id=?)"),
        (queues.LAST_RECEIVED, "delivery_origin (line=? AND sender=? AND received_at>? AND received_at<?)"),
        (queues.WRITTEN_BY[0], "delivery_origin (line=? AND sender=? AND received_at>? AND received_at<?)"),
        (queues.WRITTEN_BY[1], "delivery_domain (line=? AND domain=? AND received_at>? AND received_at<?)"),
        (queues.STRANGE, "delivery_strange (target=? AND line=?)"),
        (queues.KNOWN, "delivery_known (target=? AND line=?)"),
        (queues.DUE_LINES, "delivery_due (target=? AND standing=? AND due_at<?)"),
        (queues.NEXT_DUE, "delivery_due (target=? AND standing=? AND due_at>?)"),
        (queues.NEXT_TARGET, "delivery_due (target>?)"),
        (queues.OVER_LINES, "delivery_deadline (deadline<?)"),
        (queues.LOST_LINES, "delivery_one_in_flight"),
        (f"{LIVE} AND line = ? {NEWEST_FIRST} LIMIT 1", "delivery_readable (line=? AND received_at>?)"),
        ("SELECT * FROM journal WHERE mail_id = ? AND id > ? ORDER BY id", "journal_mail (mail_id=? AND rowid>?)"),
    ],
)
def test_a_queue_is_found_by_its_index(empty: apsw.Connection, query: str, index: str) -> None:
    """Each of the queries that every code goes through takes the index that was made for it, and sorts nothing."""
    (step, *more) = plan(empty, query)
    assert f"INDEX {index}" in step
    assert more == []


LARGE = 6_000
STEPS = 2_500
"""Rows that one statement may walk through without an index to jump in: pages, and what is looked at at once, but never a whole table."""


@looped
async def test_nothing_that_is_asked_all_the_time_walks_through_a_table(tmp_path: Path) -> None:
    """Whatever the store asks, in use: SQLite's own count of the rows that it stepped through without jumping, statement by statement."""
    walked: dict[str, int] = {}

    def watch(connection: apsw.Connection) -> None:
        def note(event: dict[str, Any]) -> None:
            steps = event["stmt_status"]["SQLITE_STMTSTATUS_FULLSCAN_STEP"]
            walked[event["sql"]] = max(walked.get(event["sql"], 0), steps)

        connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, note)

    time = a_day_ago()
    async with opened(tmp_path / "one.db", time) as store:
        await fill(store, time, LARGE)
        await erase(store, time)
    apsw.connection_hooks.append(watch)
    try:
        async with opened(tmp_path / "one.db", time) as store:
            await use(store, time.clock())
    finally:
        apsw.connection_hooks.remove(watch)
    assert len(walked) > 40
    checks = ("PRAGMA quick_check(1)", "PRAGMA integrity_check(1)")
    assert {sql: steps for sql, steps in walked.items() if steps > STEPS and sql not in checks} == {}
