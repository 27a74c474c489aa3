"""The sites of identifiers and the domains that were proven for them, in two small tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from mailbridge.clock import SteadyClock
from mailbridge.store import Arrival
from mailbridge.store.sites import Domains
from mailbridge.store.sql import Database, Transaction

MOST = 10_000
"""The largest number of proven domains that are remembered. Beyond it the one not seen for longest is removed. Anybody can add
some."""

REMEMBERED = 3_600_000_000
"""Microseconds within which a domain that is seen again is not written again."""

LEARN = "INSERT INTO site (line, domain, learned_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
KEEP_PROVEN = (
    "INSERT INTO proven (line, domain, last_at) VALUES (?, ?, ?) ON CONFLICT (line, domain) DO UPDATE SET last_at = excluded.last_at"
    " WHERE proven.last_at < excluded.last_at - ?"
)
FORGET_PROVEN = "DELETE FROM proven WHERE (line, domain) IN (SELECT line, domain FROM proven ORDER BY last_at LIMIT ?)"


class SqlSites:
    """Implements `mailbridge.store.sites.Sites`."""

    def __init__(self, *, database: Database, clock: SteadyClock) -> None:
        self._database = database
        self._clock = clock

    async def learned(self) -> Domains:
        """See `Sites.learned`."""
        return _domains(await self._database.rows("SELECT line, domain FROM site"))

    async def learn(self, sites: Domains) -> None:
        """See `Sites.learn`."""
        rows = [(line.casefold(), domain) for line, domains in sites.items() for domain in sorted(domains)]

        async def work(transaction: Transaction) -> None:
            now = self._clock.micros()
            await transaction.change("DELETE FROM site")
            await transaction.change_many(LEARN, [(*row, now) for row in rows])

        await self._database.write(work)

    async def proven(self) -> Domains:
        """See `Sites.proven`."""
        return _domains(await self._database.rows("SELECT line, domain FROM proven"))


async def keep_proven(transaction: Transaction, arrival: Arrival, now: int) -> None:
    """Remember, with a mail, that its domain was proven for each identifier that the mail has something for."""
    lines = sorted({one.identifier.casefold() for one in arrival.drafts}) if arrival.domain else []
    if lines:
        await transaction.change_many(KEEP_PROVEN, [(line, arrival.domain, now, REMEMBERED) for line in lines])


async def forget_proven(transaction: Transaction) -> None:
    """Remove all but the most recently seen domains."""
    ((count,),) = await transaction.rows("SELECT count(*) FROM proven")
    if count > MOST:
        await transaction.change(FORGET_PROVEN, (count - MOST,))


def _domains(rows: Iterable[Any]) -> Domains:
    found: dict[str, set[str]] = defaultdict(set)
    for line, domain in rows:
        found[line].add(domain)
    return {line: frozenset(domains) for line, domains in found.items()}
