"""The colour of a mailbox through the faults of docs/faults.md: red where a new mail would not be pushed, green again soon after it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mailbridge.ingress.imap.watchers import Watchers
from tests.ingress.imap.troubles import ELSEWHERE, TROUBLES, Trouble
from tests.ingress.imap.watched import House, account, code_mail, house, until, watching
from tests.loop import looped
from tests.peers.scripted_imap import ScriptedImap
from tests.test_named_tests import rows_of

WRONG = 60.0
"""Seconds for which a colour may be wrong after a fault begins or ends."""
FLICKER = 5.0
"""Seconds for which a mailbox may be red at most where nothing is the matter."""

MOST_RED = 500
"""Looks in a row that may find it red then: as many as fit into that time on a machine that has time."""


def test_every_fault_has_a_walk_or_a_reason_for_none() -> None:
    """Each row of docs/faults.md is walked through here, or it is said why not."""
    rows = {int(row.strip("| ").split(" ")[0]) for row in rows_of("faults.md")}
    walked = {row for trouble in TROUBLES for row in trouble.rows}
    assert walked | ELSEWHERE.keys() == rows
    assert not walked & ELSEWHERE.keys()


@looped
async def test_colours_tell_the_truth_through_every_fault(tmp_path: Path) -> None:
    """Red within a minute where mail is held up, green where it is not and again within a minute; a probe mail shows which. No flicker."""
    servers = [ScriptedImap() for _ in TROUBLES]
    for server in servers:
        server.__enter__()
    accounts = [
        account(server.port, name=f"box{number}", renew=timedelta(seconds=5), username=f"u{number}@corp.example")
        for number, server in enumerate(servers)
    ]
    try:
        async with house(tmp_path) as home, watching(home, *accounts, silence=timedelta(seconds=1)) as watchers:
            await until(lambda: all(one.is_well for one in watchers.health()))
            async with asyncio.TaskGroup() as walks:
                for number, trouble in enumerate(TROUBLES):
                    walks.create_task(_walk(home, watchers, servers[number], number, trouble))
    finally:
        for server in servers:
            server.__exit__(None, None, None)


async def _walk(home: House, watchers: Watchers, server: ScriptedImap, number: int, trouble: Trouble) -> None:
    """One fault from its beginning to its end, with a probe mail in each state."""

    def is_well() -> bool:
        return watchers.health()[number].is_well

    def told() -> str:
        return f"{trouble.name}: {watchers.health()[number]}"

    await _probe(home, server, f"{number + 100}001", trouble.name)
    trouble.begin(server)
    if trouble.is_red:
        await until(lambda: not is_well(), within=WRONG, what=f"red, {trouble.name}")
    else:
        await _probe(home, server, f"{number + 100}002", trouble.name, behind=trouble.behind)
        await _probe(home, server, f"{number + 100}004", trouble.name, behind=trouble.behind)
        await until(is_well, within=FLICKER, what=f"green, {trouble.name}")
    trouble.end(server)
    if trouble.is_parked:
        watchers.try_again()
    await until(is_well, within=WRONG, what=f"green again, {trouble.name}")
    await _probe(home, server, f"{number + 100}003", trouble.name)
    looks_red = 0
    quiet = time.monotonic() + 2 * FLICKER

    def is_over() -> bool:
        nonlocal looks_red
        looks_red = 0 if is_well() else looks_red + 1
        assert looks_red <= MOST_RED, told()
        return time.monotonic() > quiet

    await until(is_over, within=WRONG, what=f"quiet, {trouble.name}")


async def _probe(home: House, server: ScriptedImap, code: str, what: str, *, behind: timedelta = timedelta()) -> None:
    """A mail that has to be pushed, by its bound. ``behind``: how far the server's clock is behind."""
    now = datetime.now(UTC)
    stamp = now.strftime("%a, %d %b %Y %H:%M:%S +0000")
    size = (
        f"X-Probe: {'x' * int(code[-1])}\r\n"  # two with one UID, of one second and one size, would be the same mail to anybody
    )
    server.deliver(code_mail(code, extra=f"Received: from a by b; {stamp}\r\nDate: {stamp}\r\n{size}"), at=now - behind)

    async def is_there() -> bool:
        return code in await home.codes()

    await until(is_there, within=WRONG, what=f"the probe mail, {what}")
