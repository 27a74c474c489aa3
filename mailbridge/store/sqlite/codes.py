"""The newest live code of an identifier, to whom it was given, and the guarantee that no code is consumed twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, TypeVar

import apsw

from mailbridge.clock import SteadyClock, from_micros, to_micros
from mailbridge.store.choosing import CODE, MOST, code_of, each_mail_once, fitting, given_of, what_of
from mailbridge.store.cipher import Cipher
from mailbridge.store.reading import Code, Given, Poll, Wanted, Way
from mailbridge.store.sqlite.lines import journal
from mailbridge.store.sqlite.readers import Readers
from mailbridge.store.sqlite.writer import Writer

T = TypeVar("T")

LIVE = f"SELECT {CODE} FROM delivery WHERE content IS NOT NULL AND kind != 'body' AND deadline > ? AND received_at >= ?"  # noqa: S608
NEWEST_FIRST = "ORDER BY received_at DESC, id DESC"
BEST_FIRST = "ORDER BY standing = 2 DESC, iif(is_late, min(written_at, received_at), received_at) DESC, id DESC"
"""The order for one identifier: a known sender's code before a stranger's, then the newest by `Delivery.moment`."""

Find = Callable[[str, tuple[Any, ...]], Iterator[Any]]
"""Runs a query: with a reader, or in a writer's transaction if the same transaction records something."""


class SqliteCodes:
    """Implements `mailbridge.store.reading.Codes`. ``is_moving``: steady time is being corrected, but the rows are not
    corrected yet."""

    def __init__(
        self, *, writer: Writer, readers: Readers, cipher: Cipher, clock: SteadyClock, is_moving: Callable[[], bool]
    ) -> None:
        self._is_moving = is_moving
        self._writer = writer
        self._readers = readers
        self._cipher = cipher
        self._clock = clock

    async def pull(self, poll: Poll) -> Code | None:
        """See `Codes.pull`."""
        return await self._writer.do(lambda connection: self._pull(connection, poll))

    def _pull(self, connection: apsw.Connection, poll: Poll) -> Code | None:
        now = self._clock.micros()
        line = poll.identifier.casefold()
        first = self._first_poll(connection, poll, line, now)
        since = from_micros(first) - poll.grace
        wanted = Wanted(identifier=poll.identifier, kinds=(poll.kind,), since=since, runs=poll.runs, sites=poll.sites)
        code = self._newest(connection.execute, wanted, now)
        if code is not None:
            self._write(connection, code.identifier, "pull", poll.run, code.what, is_consumed=False)
        return code

    def _first_poll(self, connection: apsw.Connection, poll: Poll, line: str, now: int) -> int:
        """When this run first asked."""
        row: Any = connection.execute("SELECT first_at FROM run WHERE line = ? AND run = ?", (line, poll.run)).fetchone()
        if row is not None and not poll.is_new:
            first: int = row[0]
            return first
        connection.execute("INSERT OR REPLACE INTO run VALUES (?, ?, ?)", (line, poll.run, now))
        return now

    async def newest(self, wanted: Wanted) -> Code | None:
        """See `Codes.newest`."""
        return await self._look(lambda find: self._newest(find, self._as_now(wanted), self._clock.micros()))

    async def consume(self, wanted: Wanted, *, reader: str) -> Code | None:
        """See `Codes.consume`."""

        def work(connection: apsw.Connection) -> Code | None:
            code = self._newest(connection.execute, self._as_now(wanted), self._clock.micros())
            if code is not None:
                self._write(connection, code.identifier, "api", reader, code.what, is_consumed=True)
            return code

        return await self._writer.do(work)

    async def live(self, *, identifiers: Sequence[str], since: datetime | None = None, limit: int = 100) -> tuple[Code, ...]:
        """See `Codes.live`."""
        folded = [pattern.casefold() for pattern in identifiers]

        def work(find: Find) -> tuple[Code, ...]:
            found: list[Code] = []
            query = f"{LIVE} AND standing != 0 {NEWEST_FIRST} LIMIT ?"
            values = (self._clock.micros(), 0 if since is None else self._clock.as_now(to_micros(since)), MOST)
            for row in each_mail_once(find(query, values)):
                if any(fnmatchcase(row[2].casefold(), pattern) for pattern in folded):
                    code = code_of(row, self._cipher, self._clock, is_consumed=_is_consumed(find, row))
                    found += [code] if code is not None else []
                if len(found) >= limit:
                    break
            return tuple(found)

        return await self._look(work)

    async def _look(self, work: Callable[[Find], T]) -> T:
        """Read with a reader. If steady time was corrected meanwhile, rows and time do not match, so read again with the
        writer."""
        base = self._clock.base
        if not self._is_moving():
            found = await self._readers.do(lambda reading: work(reading.rows))
            if self._clock.base == base:
                return found
        return await self._writer.do(lambda connection: work(connection.execute))

    async def note(self, identifier: str, *, way: Way, reader: str, what: str, is_consumed: bool) -> bool:
        """See `Codes.note`."""

        def work(connection: apsw.Connection) -> bool:
            line = identifier.casefold()
            if _consumed(connection.execute, line, what):
                return False
            self._write(connection, identifier, way, reader, what, is_consumed=is_consumed)
            return True

        return await self._writer.do(work)

    async def given(self, *, limit: int = 100) -> tuple[Given, ...]:
        """See `Codes.given`."""
        query = "SELECT identifier, way, reader, what, first_at, last_at, times, is_consumed FROM given ORDER BY last_at DESC, id DESC LIMIT ?"
        rows = await self._readers.rows(query, (limit,))
        return tuple(given_of(row) for row in rows)

    def _as_now(self, wanted: Wanted) -> Wanted:
        """The same, with ``since`` corrected if steady time was corrected after it was given."""
        return wanted if wanted.since is None else replace(wanted, since=from_micros(self._clock.as_now(to_micros(wanted.since))))

    def _newest(self, find: Find, wanted: Wanted, now: int) -> Code | None:
        since = 0 if wanted.since is None else to_micros(wanted.since)
        rows = find(f"{LIVE} AND line = ? {BEST_FIRST} LIMIT ?", (now, since, wanted.identifier.casefold(), MOST))
        for row in fitting(rows, wanted):
            if not _is_consumed(find, row) and (code := code_of(row, self._cipher, self._clock)) is not None:
                return code
        return None

    def _write(
        self, connection: apsw.Connection, identifier: str, way: Way, reader: str, what: str, *, is_consumed: bool
    ) -> None:
        """Record it. The first time for a mail is also written to the journal."""
        now = self._clock.micros()
        row: Any = connection.execute(
            "INSERT INTO given (line, identifier, way, reader, what, first_at, last_at, is_consumed) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (line, way, reader, what) DO UPDATE SET times = times + 1, last_at = max(last_at, excluded.last_at),"
            " is_consumed = max(is_consumed, excluded.is_consumed) RETURNING times",
            (identifier.casefold(), identifier, way, reader, what, now, now, int(is_consumed)),
        ).fetchone()
        if (row[0] == 1 or is_consumed) and what.startswith("mail "):
            number = int(what.removeprefix("mail "))
            journal(connection, now, "consumed" if is_consumed else "given", number, None, f"{way} {reader}".strip())


def _is_consumed(find: Find, row: Any) -> bool:
    return _consumed(find, row[2].casefold(), what_of(row))


def _consumed(find: Find, line: str, what: str) -> bool:
    query = "SELECT 1 FROM given WHERE line = ? AND what = ? AND is_consumed = 1"
    return next(iter(find(query, (line, what))), None) is not None
