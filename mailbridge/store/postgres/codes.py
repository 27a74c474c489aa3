"""The newest live code of an identifier, to whom it was given, and the guarantee that no code is consumed twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from mailbridge.clock import SteadyClock, from_micros, to_micros
from mailbridge.store.choosing import CODE, MOST, code_of, each_mail_once, fitting, given_of
from mailbridge.store.cipher import Cipher
from mailbridge.store.postgres.database import WHOLE, PostgresDatabase, PostgresTransaction
from mailbridge.store.reading import Code, Given, Poll, Wanted, Way
from mailbridge.store.sql import Transaction
from mailbridge.store.sql.lines import tell

CONSUMED = "EXISTS (SELECT 1 FROM given WHERE given.line = {} AND given.what = {} AND given.is_consumed = 1)"
IS_CONSUMED = CONSUMED.format("delivery.line", "'mail ' || delivery.mail_id")
LIVE = f"SELECT {CODE}, {IS_CONSUMED} FROM delivery WHERE content IS NOT NULL AND kind != 'body' AND deadline > ? AND received_at >= ?"  # noqa: S608
NEWEST_FIRST = "ORDER BY received_at DESC, id DESC"
BEST_FIRST = (
    "ORDER BY (standing = 2) DESC, CASE WHEN is_late = 1 THEN least(written_at, received_at) ELSE received_at END DESC, id DESC"
)
"""The order for one identifier: a known sender's code before a stranger's, then the newest by `Delivery.moment`."""

GIVEN = "SELECT identifier, way, reader, what, first_at, last_at, times, is_consumed FROM given ORDER BY last_at DESC, id DESC LIMIT ?"
NOTE = (
    "INSERT INTO given (line, identifier, way, reader, what, first_at, last_at, is_consumed) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (line, way, reader, what) DO UPDATE SET times = given.times + 1,"
    " last_at = greatest(given.last_at, excluded.last_at), is_consumed = greatest(given.is_consumed, excluded.is_consumed)"
    " RETURNING times"
)
FIRST_POLL = (
    "INSERT INTO run (line, run, first_at) VALUES (?, ?, ?) ON CONFLICT (line, run) DO UPDATE SET first_at = excluded.first_at"
)


class PostgresCodes:
    """Implements `mailbridge.store.reading.Codes`. Each write locks the identifier, so that two clients never get one code."""

    def __init__(self, *, database: PostgresDatabase, cipher: Cipher, clock: SteadyClock) -> None:
        self._database = database
        self._cipher = cipher
        self._clock = clock

    async def pull(self, poll: Poll) -> Code | None:
        """See `Codes.pull`."""

        async def work(transaction: PostgresTransaction) -> Code | None:
            now = self._clock.micros()
            line = poll.identifier.casefold()
            first = await self._first_poll(transaction, poll, line, now)
            since = from_micros(first) - poll.grace
            wanted = Wanted(identifier=poll.identifier, kinds=(poll.kind,), since=since, runs=poll.runs, sites=poll.sites)
            code = await self._newest(transaction, wanted, now)
            if code is not None:
                await self._write(transaction, code.identifier, "pull", poll.run, code.what, is_consumed=False)
            return code

        return await self._database.write(work, queues=[(WHOLE, poll.identifier.casefold())])

    async def _first_poll(self, transaction: Transaction, poll: Poll, line: str, now: int) -> int:
        """When this run first asked."""
        rows = await transaction.rows("SELECT first_at FROM run WHERE line = ? AND run = ?", (line, poll.run))
        if rows and not poll.is_new:
            return int(rows[0][0])
        await transaction.change(FIRST_POLL, (line, poll.run, now))
        return now

    async def newest(self, wanted: Wanted) -> Code | None:
        """See `Codes.newest`."""
        async with self._database.reading() as reading:
            return await self._newest(reading, wanted, self._clock.micros())

    async def consume(self, wanted: Wanted, *, reader: str) -> Code | None:
        """See `Codes.consume`."""

        async def work(transaction: PostgresTransaction) -> Code | None:
            code = await self._newest(transaction, wanted, self._clock.micros())
            if code is not None:
                await self._write(transaction, code.identifier, "api", reader, code.what, is_consumed=True)
            return code

        return await self._database.write(work, queues=[(WHOLE, wanted.identifier.casefold())])

    async def live(self, *, identifiers: Sequence[str], since: datetime | None = None, limit: int = 100) -> tuple[Code, ...]:
        """See `Codes.live`."""
        folded = [pattern.casefold() for pattern in identifiers]
        values = (self._clock.micros(), 0 if since is None else to_micros(since), MOST)
        rows = await self._database.rows(f"{LIVE} AND standing != 0 {NEWEST_FIRST} LIMIT ?", values)
        found: list[Code] = []
        for row in each_mail_once(rows):
            if len(found) < limit and any(fnmatchcase(row[2].casefold(), pattern) for pattern in folded):
                code = code_of(row, self._cipher, self._clock, is_consumed=row[-1])
                found += [code] if code is not None else []
        return tuple(found)

    async def note(self, identifier: str, *, way: Way, reader: str, what: str, is_consumed: bool) -> bool:
        """See `Codes.note`."""

        async def work(transaction: PostgresTransaction) -> bool:
            ((was_consumed,),) = await transaction.rows(f"SELECT {CONSUMED.format('?', '?')}", (identifier.casefold(), what))
            if was_consumed:
                return False
            await self._write(transaction, identifier, way, reader, what, is_consumed=is_consumed)
            return True

        return await self._database.write(work, queues=[(WHOLE, identifier.casefold())])

    async def given(self, *, limit: int = 100) -> tuple[Given, ...]:
        """See `Codes.given`."""
        return tuple(given_of(row) for row in await self._database.rows(GIVEN, (limit,)))

    async def _newest(self, transaction: Transaction, wanted: Wanted, now: int) -> Code | None:
        since = 0 if wanted.since is None else to_micros(wanted.since)
        values = (now, since, wanted.identifier.casefold(), MOST)
        rows: list[Any] = await transaction.rows(f"{LIVE} AND line = ? {BEST_FIRST} LIMIT ?", values)
        for row in fitting(rows, wanted):
            if not row[-1] and (code := code_of(row, self._cipher, self._clock)) is not None:
                return code
        return None

    async def _write(
        self, transaction: Transaction, identifier: str, way: Way, reader: str, what: str, *, is_consumed: bool
    ) -> None:
        """Record it. The first time for a mail is also written to the journal."""
        now = self._clock.micros()
        values = (identifier.casefold(), identifier, way, reader, what, now, now, int(is_consumed))
        ((times,),) = await transaction.rows(NOTE, values)
        if (times == 1 or is_consumed) and what.startswith("mail "):
            number = int(what.removeprefix("mail "))
            await tell(transaction, now, "consumed" if is_consumed else "given", number, None, f"{way} {reader}".strip())
