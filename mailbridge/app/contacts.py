"""Whom identifiers have to do with: the sites that Skyvern names, those of runs that poll, who waits by name, who has proven himself.

All of it is kept in memory, so that no mail and no poll ever waits for it: what is learned is written behind, and read at a start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import field
from datetime import datetime, timedelta

from mailbridge import log_events
from mailbridge.core.dataclass import dataclass
from mailbridge.core.delivery import State
from mailbridge.sinks.skyvern_pages import Login
from mailbridge.store import Filter, Store, StoreUnavailable
from mailbridge.store.reading import is_of
from mailbridge.store.sites import Domains
from mailbridge.trust.known import site_of
from mailbridge.waiting import Wait, Waiting
from mailbridge.web.polls import Ids

log = logging.getLogger("mailbridge.app")

REMEMBERED = timedelta(minutes=15)
"""How long after its last poll a run's site is known: a login in Skyvern waits this long for its code."""

MOST_RUNS = 1_000
MOST_ASKED = 100
MOST_PROVEN = 20_000
"""Limits: remembered logins, logins to ask about, and domains that have proven themselves."""

AskRun = Callable[[str, Ids], Awaitable[str]]
"""Asks Skyvern for the page of a run that polls for an identifier; "" if Skyvern names none."""


@dataclass(slots=True)
class _Run:
    """A login that polls. ``site`` is None until Skyvern was asked, and "" if Skyvern names none."""

    until: datetime
    site: str | None = None


@dataclass(slots=True)
class AppContacts:
    """Implements `intake.strangers.Contacts`. Belongs to one event loop."""

    store: Store
    waiting: Waiting
    now: Callable[[], datetime]
    ask: AskRun
    _learned: Domains = field(default_factory=dict)
    _proven: set[tuple[str, str]] = field(default_factory=set)
    _runs: dict[str, dict[str, _Run]] = field(default_factory=dict)
    _asked: asyncio.Queue[tuple[str, Ids]] = field(default_factory=lambda: asyncio.Queue(MOST_ASKED))

    async def load(self) -> None:
        """Read what was learned before. Raises StoreUnavailable."""
        self._learned = await self.store.sites.learned()
        self._proven = {(line, one) for line, domains in (await self.store.sites.proven()).items() for one in domains}

    async def learn(self, logins: Sequence[Login], *, is_whole: bool = True) -> None:
        """Replace the known sites by those of Skyvern's credentials. If not ``is_whole``, add them: a target that did not
        answer may have named the others. Raises StoreUnavailable."""
        found: dict[str, set[str]] = {} if is_whole else {line: set(domains) for line, domains in self._learned.items()}
        for one in logins:
            site = site_of(one.page)
            if site:
                found.setdefault(one.identifier.strip().casefold(), set()).add(site)
        sites = {line: frozenset(domains) for line, domains in found.items()}
        if sites != self._learned:
            await self.store.sites.learn(sites)
            self._learned = sites

    def learned(self, identifier: str) -> frozenset[str]:
        """See `Contacts.learned`."""
        return self._learned.get(identifier.casefold(), frozenset())

    def polling(self, identifier: str) -> frozenset[str]:
        """See `Contacts.polling`."""
        now = self.now()
        runs = self._runs.get(identifier.casefold(), {})
        return frozenset(run.site for run in runs.values() if run.site and run.until > now)

    def has_proven(self, identifier: str, domain: str) -> bool:
        """See `Contacts.has_proven`."""
        return (identifier.casefold(), domain) in self._proven

    def note_proven(self, identifier: str, domain: str) -> None:
        """See `Contacts.note_proven`; the store notes it with the mail."""
        if len(self._proven) < MOST_PROVEN:
            self._proven.add((identifier.casefold(), domain))

    def is_awaited(self, identifier: str, sender: str) -> bool:
        """See `Contacts.is_awaited`."""
        return any(one.sender and is_of(sender, one.sender) for one in self.waiting.all_for(identifier))

    async def run_for_link(self, identifier: str) -> tuple[str | None, str | None] | None:
        """Workflow run and task of the one login that waits for a link of this identifier; None if there is not exactly one, or
        a code was pushed to it."""
        waits = [one for one in self.waiting.all_for(identifier) if one.way == "pull"]
        if len({one.who for one in waits}) != 1 or not all(one.is_for_link for one in waits):
            return None
        wait: Wait = waits[0]
        if not (wait.run or wait.task):
            return None
        try:
            rows = await self.store.outbox.deliveries(Filter(identifier=identifier, since=wait.since - REMEMBERED))
        except StoreUnavailable:
            return None
        ids = {wait.run, wait.task} - {None}
        is_served = any(
            row.draft.kind == "code" and row.state is State.DELIVERED and {row.draft.workflow_run_id, row.draft.task_id} & ids
            for row in rows
        )
        # Skyvern gives a row of a run to all tasks of that run, and one of a task to that task alone: the run is enough.
        return None if is_served else (wait.run, None if wait.run else wait.task)

    # -- runs ---------------------------------------------------------------------------------------------------------

    def polled(self, identifier: str, ids: Ids) -> tuple[str, ...]:
        """A run polls: return its site if it is known; else ask for it in the background, once for each login."""
        if not ids.run:
            return ()
        runs = self._runs.setdefault(identifier.casefold(), {})
        run = runs.get(ids.run)
        until = self.now() + REMEMBERED
        if run is not None:
            run.until = until
            return (run.site,) if run.site else ()
        self._forget()
        if sum(map(len, self._runs.values())) >= MOST_RUNS or self._asked.full():
            return ()
        self._runs.setdefault(identifier.casefold(), {})[ids.run] = _Run(until=until)
        self._asked.put_nowait((identifier, ids))
        return ()

    async def run(self) -> None:
        """Ask Skyvern about runs, one after the other. Never returns."""
        while True:
            identifier, ids = await self._asked.get()
            site = site_of(await self.ask(identifier, ids))
            run = self._runs.get(identifier.casefold(), {}).get(ids.run)
            if run is not None:
                run.site = site
            log.debug(
                "a run's site",
                extra={"event": log_events.RUN_SITE, "identifier": identifier, "run": ids.run, "is_known": bool(site)},
            )

    def _forget(self) -> None:
        """Drop logins that have ended."""
        now = self.now()
        for line, runs in list(self._runs.items()):
            left = {name: run for name, run in runs.items() if run.until > now}
            if left:
                self._runs[line] = left
            else:
                del self._runs[line]
