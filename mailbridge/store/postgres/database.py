"""Connections to the server, transactions on them, and names for the server's errors."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine, Iterable
from functools import lru_cache
from itertools import count
from typing import Any, Literal, TypeVar

import asyncpg

from mailbridge import log_events
from mailbridge.store import Kind, LeaseLost, StoreUnavailable
from mailbridge.store.bells import Bells
from mailbridge.store.postgres.marks import ASK, Mark, Marks, kept_empty, kept_octets, new_name
from mailbridge.store.rows import storable
from mailbridge.store.sql import Transaction, Values, Work

log = logging.getLogger("mailbridge.store")

T = TypeVar("T")

ATTEMPTS = 5
"""How many times a transaction is tried if the server aborted it in favour of another, or if its connection was dead before it
began."""

PAUSE = 0.01
"""Seconds before the first repetition, of which half is random. Each further wait is twice as long."""

ASKED_FOR = 10.0
"""Seconds for which we ask whether an unanswered commit was done. The server may be restarting, or another one may be taking
over."""

ASK_AGAIN = 0.1
IDLE = 10_000
"""Milliseconds of silence after which the server ends a transaction. Its process is cut off or stopped, and others then get
its queues."""

AGAIN = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.UniqueViolationError)
"""Another transaction was first. A repetition sees what that one has written."""

FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
FULL = "53100"
LOCKED = frozenset({"55P03", "57014", "40001", "40P01"})

WHOLE = ""
"""The target in the row that stands for a whole identifier and not for one of its queues. It is locked before the queues."""

Queue = tuple[str, str]
"""The target and the line (the folded identifier) of a queue."""

OnAbandoned = Callable[[T], Awaitable[object]]


class UndoneError(Exception):
    """A commit was not answered, and the server says that the transaction was not done."""


class PostgresTransaction:
    """Implements `mailbridge.store.sql.Transaction`. ``patience``: seconds that a query may take; None means the connection's own
    limit.

    ``changed`` counts the rows that `change` and `change_many` have changed.
    """

    def __init__(self, connection: Any, *, patience: float | None = None) -> None:
        self.changed = 0
        self._connection = connection
        self._patience = patience

    async def rows(self, query: str, values: Values = ()) -> list[Any]:
        """See `Transaction.rows`."""
        found = await self._connection.fetch(numbered(query), *map(storable, values), timeout=self._patience)
        return [tuple(row) for row in found]

    async def change(self, statement: str, values: Values = ()) -> int:
        """See `Transaction.change`."""
        said: str = await self._connection.execute(numbered(statement), *map(storable, values))
        last = said.rpartition(" ")[2]
        changed = int(last) if last.isdigit() else 0
        self.changed += changed
        return changed

    async def change_many(self, statement: str, rows: Iterable[Values]) -> None:
        """See `Transaction.change_many`."""
        many = [tuple(map(storable, values)) for values in rows]
        await self._connection.executemany(numbered(statement), many)
        self.changed += len(many)

    async def hold(self, line: str) -> None:
        """See `Transaction.hold`. First the row that stands for the whole identifier is locked, then its queues."""
        await self.lock([(WHOLE, line)])
        found = await self.rows("SELECT target FROM queue WHERE line = ? AND target != ? ORDER BY target", (line, WHOLE))
        await self.lock([(target, line) for (target,) in found])

    def erases(self) -> None:
        """See `Transaction.erases`. The server overwrites old row versions when it vacuums the table."""

    async def lock(self, queues: Collection[Queue]) -> None:
        """Lock queues until the end of the transaction."""
        if queues:
            await self._connection.execute(locking(queues))


def locking(queues: Collection[Queue]) -> str:
    """The statement that locks queues. Names of queues come from mails, so each is written only as hexadecimal octets. This
    allows the statement to go to the server with the beginning of the transaction, where parameters are not possible."""

    def listed(names: Iterable[str]) -> str:
        octets = ", ".join(f"convert_from('\\x{str(storable(name)).encode().hex()}', 'UTF8')" for name in names)
        return f"ARRAY[{octets}]"

    return f"SELECT lock_queues({listed(target for target, _ in queues)}, {listed(line for _, line in queues)})"


PostgresWork = Callable[[PostgresTransaction], Awaitable[T]]


class PostgresDatabase:
    """Implements `mailbridge.store.sql.Database` over a pool. ``patience``: seconds that a lock is waited for.

    After every commit of this process the ``bells`` ring, and ``committed`` is called. ``refusal`` is why nothing may be written;
    "" means that writing is allowed.
    """

    def __init__(self, pool: Any, *, patience: float) -> None:
        self.bells = Bells()
        self.committed: Callable[[], None] = lambda: None
        self.trouble: Kind | None = None
        self.refusal = ""
        self._pool = pool
        self._begin = (
            f"BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = {max(int(patience * 1000), 1)};"
            f" SET LOCAL idle_in_transaction_session_timeout = {IDLE}"
        )
        self._marks = Marks()
        self._room = new_name()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    async def write(
        self, work: PostgresWork[T] | Work[T], *, queues: Collection[Queue] = (), on_abandoned: OnAbandoned[T] | None = None
    ) -> T:
        """See `Database.write` and `once`. If the caller was cancelled, ``on_abandoned`` is called with the result."""
        return await self.finish(lambda: self.once(work, queues=queues), on_abandoned=on_abandoned)

    async def finish(self, doing: Callable[[], Coroutine[Any, Any, T]], *, on_abandoned: OnAbandoned[T] | None = None) -> T:
        """Do something to its end, even if its caller is cancelled."""
        if self._is_closed:
            raise StoreUnavailable("closed", "the store is closed")
        task = asyncio.create_task(self._noted(doing()))
        self._keep(task)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(lambda done: self._abandon(done, on_abandoned))
            raise

    async def _noted(self, doing: Coroutine[Any, Any, T]) -> T:
        """Note a failure. A change that could not even read counts as a failed write."""
        try:
            return await doing
        except LeaseLost:
            raise
        except StoreUnavailable as fault:
            self._note(fault)
            raise

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _abandon(self, task: asyncio.Task[T], on_abandoned: OnAbandoned[T] | None) -> None:
        """Nobody took the result of a task: call ``on_abandoned`` with it."""
        if task.cancelled() or task.exception() is not None or on_abandoned is None:
            return

        async def give_up() -> None:
            with contextlib.suppress(StoreUnavailable):
                await on_abandoned(task.result())

        self._keep(asyncio.create_task(give_up()))

    async def probe(self, octets: int) -> None:
        """Write this many octets, in rows of this process alone, so that no other process's lock is in the way.

        Raises:
            StoreUnavailable: the octets were not written.
        """
        name = self._room

        async def work(transaction: Transaction) -> None:
            await transaction.change(*(kept_octets(name, octets) if octets > 1 else kept_empty(name)))

        await self.finish(lambda: self.once(work, is_quiet=True))

    async def once(self, work: PostgresWork[T] | Work[T], *, queues: Collection[Queue] = (), is_quiet: bool = False) -> T:
        """Like `transact`, but after an unanswered commit the server is asked whether it was done. So the work is done exactly
        once, or fails."""
        mark = self._marks.take()
        result = await self.transact(work, queues=queues, mark=mark, is_quiet=is_quiet)
        self._marks.give_back(mark)
        return result

    async def transact(
        self, work: PostgresWork[T] | Work[T], *, queues: Collection[Queue] = (), mark: Mark | None = None, is_quiet: bool = False
    ) -> T:
        """Run a work in a transaction that begins by locking these queues. It is repeated if another transaction had to go first,
        or if the connection was already dead. ``mark`` is used to ask about an unanswered commit; without a mark the work must
        tolerate being done twice. ``is_quiet``: nobody waits for the change, so no bell rings.

        Raises:
            StoreUnavailable: nothing was written; or the commit was never answered, and the server could not be asked.
        """
        if self.refusal:
            raise StoreUnavailable("gone", self.refusal)
        begin = "; ".join((self._begin, *([mark.leaving] if mark else []), *([locking(queues)] if queues else [])))
        for attempt in count(1):
            connection = None
            has_begun = False
            try:
                connection = await self._pool.acquire()
                await connection.execute(begin)
                has_begun = True
                transaction = PostgresTransaction(connection)
                result = await work(transaction)
                await self._commit(connection, mark)
            except (*FAULTS, UndoneError) as fault:
                await self._drop(connection)
                is_to_repeat = isinstance(fault, (*AGAIN, UndoneError)) or (
                    connection is not None and not has_begun and is_dead(fault)
                )
                if not is_to_repeat or attempt == ATTEMPTS:
                    raise self._failed(fault) from None
                await asyncio.sleep(PAUSE * 2 ** (attempt - 1) * random.uniform(0.5, 1))  # noqa: S311  (no secret)
                continue
            except BaseException:
                await self._drop(connection)
                raise
            await self._pool.release(connection)
            self._written(is_changed=mark is not None or transaction.changed > 0, is_quiet=is_quiet)
            return result
        raise AssertionError  # count() never ends

    async def _commit(self, connection: Any, mark: Mark | None) -> None:
        """Commit. If no answer comes, ask whether it was done.

        Raises:
            UndoneError: it was not done.
            StoreUnavailable: the server could not be asked.
        """
        try:
            await connection.execute("COMMIT")
        except FAULTS as fault:
            if mark is None or not is_dead(fault):
                raise
            await self._drop(connection)  # lost connections must not occupy the pool while the server is asked
            if not await self._is_committed(mark, fault):
                raise UndoneError from None

    async def _is_committed(self, mark: Mark, fault: BaseException) -> bool:
        """Whether the last transaction of a mark was done. The question itself is committed, so the answer is as durable as
        any commit, also on a synchronous standby. Raises StoreUnavailable."""
        until = time.monotonic() + ASKED_FOR
        while True:
            connection = None
            try:
                connection = await self._pool.acquire()
                await connection.execute(self._begin)
                value = await connection.fetchval(ASK, mark.name)
                await connection.execute("COMMIT")
            except FAULTS:
                await self._drop(connection)
                if self._is_closed or time.monotonic() >= until:
                    raise self._failed(fault) from None
                await asyncio.sleep(ASK_AGAIN)
                continue
            await self._pool.release(connection)
            return mark.is_left(value)

    async def _drop(self, connection: Any) -> None:
        """Roll back what a connection was doing, and return it to the pool, or drop it."""
        if connection is None:
            return
        with contextlib.suppress(*FAULTS):
            if not connection.is_closed():
                await connection.execute("ROLLBACK")
        with contextlib.suppress(*FAULTS):
            await self._pool.release(connection)

    def _failed(self, fault: BaseException) -> StoreUnavailable:
        found = unavailable(fault)
        self._note(found)
        return found

    def _note(self, fault: StoreUnavailable) -> None:
        if self.trouble != fault.kind:
            log.error("%s; incoming mail is deferred", fault, extra={"event": log_events.STORE_FAILED})
        self.trouble = fault.kind

    def _written(self, *, is_changed: bool, is_quiet: bool) -> None:
        """Note a commit. A transaction that changed nothing does not show whether the server can write."""
        if is_changed:
            self.trouble = None
        if not is_quiet:
            self.bells.ring()
            self.committed()

    async def rows(self, query: str, values: Values = ()) -> list[Any]:
        """See `Database.rows`. Repeated once if the connection was already dead."""
        try:
            async with self._connected() as reading:
                return await reading.rows(query, values)
        except FAULTS as fault:
            if not is_dead(fault):
                raise unavailable(fault) from None
        async with self.reading() as reading:
            return await reading.rows(query, values)

    @contextlib.asynccontextmanager
    async def reading(self) -> AsyncIterator[Transaction]:
        """One connection for several queries. Each query sees what is committed when it begins."""
        try:
            async with self._connected() as reading:
                yield reading
        except FAULTS as fault:
            raise unavailable(fault) from None

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Transaction]:
        if self._is_closed:
            raise StoreUnavailable("closed", "the store is closed")
        async with self._pool.acquire() as connection:
            yield PostgresTransaction(connection)

    async def settle(self) -> None:
        """Accept nothing more, and finish what is running."""
        self._is_closed = True
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def close(self) -> None:
        """Close the connections after everything has finished."""
        await self.settle()
        try:
            async with asyncio.timeout(1):
                await self._pool.close()
        except FAULTS:
            self._pool.terminate()

    def terminate(self) -> None:
        """Cut the connections, whatever runs on them, like the end of the process would."""
        self._is_closed = True
        self._pool.terminate()


@lru_cache(maxsize=512)
def numbered(query: str) -> str:
    """The query with PostgreSQL's numbered parameters instead of question marks."""
    first, *rest = query.split("?")
    return first + "".join(f"${number}{part}" for number, part in enumerate(rest, 1))


def kind_of(fault: BaseException) -> Literal["full", "locked", "gone"]:
    """PostgreSQL's error as a kind of the store."""
    code = getattr(fault, "sqlstate", None)
    if code == FULL:
        return "full"
    return "locked" if code in LOCKED else "gone"


def is_dead(fault: BaseException) -> bool:
    """Whether the connection failed, and not the statement."""
    code = getattr(fault, "sqlstate", None) or ""
    return isinstance(fault, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError) or code.startswith(("08", "57P"))


def unavailable(fault: BaseException) -> StoreUnavailable:
    """PostgreSQL's error as ours."""
    return StoreUnavailable(kind_of(fault), type(fault).__name__)
