"""SQLite for the parts that are written once for every database (`mailbridge.store.sql`)."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any, TypeVar, cast

import apsw

from mailbridge.store.sql import Values, Work
from mailbridge.store.sqlite.readers import Readers
from mailbridge.store.sqlite.writer import Writer

T = TypeVar("T")


class SqliteTransaction:
    """Implements `mailbridge.store.sql.Transaction` in the writer's thread. It never suspends."""

    def __init__(self, connection: apsw.Connection, writer: Writer) -> None:
        self._connection = connection
        self._writer = writer
        self.has_erased = False

    async def rows(self, query: str, values: Values = ()) -> list[Any]:
        """See `Transaction.rows`."""
        return list(self._connection.execute(query, tuple(values)))

    async def change(self, statement: str, values: Values = ()) -> int:
        """See `Transaction.change`."""
        self._connection.execute(statement, tuple(values))
        return self._connection.changes()

    async def change_many(self, statement: str, rows: Iterable[Values]) -> None:
        """See `Transaction.change_many`."""
        self._connection.executemany(statement, [tuple(values) for values in rows])

    async def hold(self, line: str) -> None:
        """See `Transaction.hold`. There is only one writer."""

    def erases(self) -> None:
        """See `Transaction.erases`. The log is truncated as soon as this is committed."""
        self._writer.truncate()
        self.has_erased = True


class SqliteDatabase:
    """Implements `mailbridge.store.sql.Database`."""

    def __init__(self, *, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def write(self, work: Work[T]) -> T:
        """See `Database.write`."""

        def run(connection: apsw.Connection) -> tuple[T, bool]:
            transaction = SqliteTransaction(connection, self._writer)
            return through(work(transaction)), transaction.has_erased

        result, has_erased = await self._writer.do(run)
        if has_erased:
            await self._writer.do(lambda _: None)  # the log is truncated after a transaction, before the next one
        return result

    async def rows(self, query: str, values: Values = ()) -> list[Any]:
        """See `Database.rows`."""
        return await self._readers.rows(query, values)


def through(work: Awaitable[T]) -> T:
    """Run a work to its end in this thread. Raises RuntimeError if it waits for anything but its transaction."""
    coroutine = cast("Coroutine[Any, Any, T]", work)
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise RuntimeError("a work in the writer's thread waits for something else than its transaction")
