"""The sites of identifiers and the domains that have proven themselves, in two small tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import apsw

from mailbridge.clock import SteadyClock
from mailbridge.store import Arrival
from mailbridge.store.sites import Domains
from mailbridge.store.sqlite.readers import Readers
from mailbridge.store.sqlite.writer import Writer

MOST = 10_000
"""Proven domains that are remembered; beyond it the one that was not seen for longest is forgotten. Anybody can add to them."""

REMEMBERED = 3_600_000_000
"""Microseconds in which a domain that comes again is not written again."""


class SqliteSites:
    """Implements `mailbridge.store.sites.Sites`."""

    def __init__(self, *, writer: Writer, readers: Readers, clock: SteadyClock) -> None:
        self._writer = writer
        self._readers = readers
        self._clock = clock

    async def learned(self) -> Domains:
        """See `Sites.learned`."""
        return _domains(await self._readers.rows("SELECT line, domain FROM site"))

    async def learn(self, sites: Domains) -> None:
        """See `Sites.learn`."""
        rows = [(line.casefold(), domain) for line, domains in sites.items() for domain in sorted(domains)]

        def work(connection: apsw.Connection) -> None:
            now = self._clock.micros()
            connection.execute("DELETE FROM site")
            connection.executemany("INSERT OR IGNORE INTO site VALUES (?, ?, ?)", [(*row, now) for row in rows])

        await self._writer.do(work)

    async def proven(self) -> Domains:
        """See `Sites.proven`."""
        return _domains(await self._readers.rows("SELECT line, domain FROM proven"))


def keep_proven(connection: apsw.Connection, arrival: Arrival, now: int) -> None:
    """Remember, with a mail, that its domain has proven itself for each identifier that something of it is for."""
    if not arrival.domain:
        return
    for line in dict.fromkeys(one.identifier.casefold() for one in arrival.drafts):
        connection.execute(
            "INSERT INTO proven VALUES (?, ?, ?) ON CONFLICT (line, domain) DO UPDATE SET last_at = excluded.last_at"
            " WHERE last_at < excluded.last_at - ?",
            (line, arrival.domain, now, REMEMBERED),
        )


def forget_proven(connection: apsw.Connection) -> None:
    """Keep what was seen last."""
    row: Any = connection.execute("SELECT count(*) FROM proven").fetchone()
    if row[0] > MOST:
        connection.execute(
            "DELETE FROM proven WHERE (line, domain) IN (SELECT line, domain FROM proven ORDER BY last_at LIMIT ?)",
            (row[0] - MOST,),
        )


def _domains(rows: Iterable[Any]) -> Domains:
    found: dict[str, set[str]] = defaultdict(set)
    for line, domain in rows:
        found[line].add(domain)
    return {line: frozenset(domains) for line, domains in found.items()}
