"""Reads in parallel to the writer: a few threads with a read-only connection each, so that no list delays a mail.

A read sees everything that was committed before it was requested. Python runs one thread at a time, and switches threads by
itself only after 5 ms. So a read gives way: after every few rows it sleeps for a moment, and while the writer has work it waits
for the writer. Of several reads only one works at a time, in turns. So a long search does not delay a short list, and mail waits
for only one read.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import apsw

from mailbridge.core.dataclass import dataclass
from mailbridge.store import StoreError, StoreUnavailable
from mailbridge.store.sqlite.writer import unavailable

T = TypeVar("T")

ROWS = 4
"""Rows that are read without a break: about 0.1 ms, for which a mail may have to wait."""

PAUSE = 20e-6
"""Seconds that a read sleeps after them, so that a waiting thread certainly gets its turn."""

LONGEST_PAUSE = 0.01
"""The longest wait for the writer, in seconds, so that a list ends under any load."""


class Reading:
    """One running read: a consistent view of the database, from its first row on."""

    def __init__(self, connection: apsw.Connection, give_way: Callable[[], None]) -> None:
        self._connection = connection
        self._give_way = give_way

    def rows(self, query: str, values: Sequence[Any] = ()) -> Iterator[Any]:
        """The rows of a query, one at a time."""
        for count, row in enumerate(self._connection.execute(query, tuple(values)), 1):
            yield row
            if count % ROWS == 0:
                self._give_way()

    def row(self, query: str, values: Sequence[Any] = ()) -> Any:
        """The first row of a query; None if there is none."""
        return next(iter(self.rows(query, values)), None)


Work = Callable[[Reading], Any]


@dataclass(slots=True, eq=False)
class _Job:
    work: Work
    answer: asyncio.Future[Any]
    result: Any = None
    fault: BaseException | None = None


class Readers:
    """Runs reads in a few threads, which start with the first read. ``connect`` opens a connection that can only read.

    ``idle`` is set while the writer has nothing to do. ``keeper`` is a connection that has read once and then does nothing. While
    it exists, SQLite does not recover the log when the writer opens the database again. A recovery would find writes that never
    reached the disk, so a mail that was reported as lost would be there after all.
    """

    def __init__(
        self, connect: Callable[[], apsw.Connection], *, count: int, idle: threading.Event, keeper: apsw.Connection
    ) -> None:
        self._connect = connect
        self._keeper = keeper
        self._count = count
        self._idle = idle
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._turn = threading.Lock()
        self._counting = threading.Lock()
        self._at_work = 0
        self._is_closed = False

    async def do(self, work: Callable[[Reading], T]) -> T:
        """The result of a read, which runs in one transaction.

        Raises:
            StoreUnavailable: nothing can be read now.
        """
        if self._is_closed:
            raise StoreUnavailable("closed", "the store is closed")
        if len(self._threads) < self._count:
            thread = threading.Thread(target=self._run, name=f"store-reader-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        job = _Job(work, asyncio.get_running_loop().create_future())
        self._queue.put(job)
        answer: T = await job.answer
        return answer

    async def rows(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        """All rows of a query."""
        return await self.do(lambda reading: list(reading.rows(query, values)))

    async def close(self) -> None:
        """Finish the requested reads, and close the connections."""
        self._is_closed = True
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            await asyncio.to_thread(thread.join)
        self._threads.clear()
        _close(self._keeper)

    def _run(self) -> None:
        connection: apsw.Connection | None = None
        while (job := self._queue.get()) is not None:
            try:
                connection = connection or self._connect()
                with self._counted(), self._turn:
                    self._one(connection, job)
            except (apsw.Error, OSError, StoreError) as fault:
                job.fault = unavailable(fault)
                _close(connection)
                connection = None
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                job.answer.get_loop().call_soon_threadsafe(_resolve, job)
        _close(connection)

    def _one(self, connection: apsw.Connection, job: _Job) -> None:
        connection.execute("BEGIN")
        try:
            job.result = job.work(Reading(connection, self._give_way))
        except apsw.Error:
            raise
        except BaseException as fault:  # noqa: BLE001  (it is given to whoever asked, not swallowed)
            job.fault = fault
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        """Count one more read that is working or waits for its turn, for the length of the block."""
        with self._counting:
            self._at_work += 1
        try:
            yield
        finally:
            with self._counting:
                self._at_work -= 1

    def _give_way(self) -> None:
        if not self._idle.is_set():
            self._idle.wait(LONGEST_PAUSE)
        time.sleep(PAUSE)
        if self._at_work > 1:
            self._turn.release()
            time.sleep(PAUSE)  # a lock goes to the first who asks: without the sleep this thread would get it again
            self._turn.acquire()


def _close(connection: apsw.Connection | None) -> None:
    if connection is not None:
        with contextlib.suppress(apsw.Error):
            connection.close(True)


def _resolve(job: _Job) -> None:
    if job.answer.done():
        return
    if job.fault is not None:
        job.answer.set_exception(job.fault)
    else:
        job.answer.set_result(job.result)
