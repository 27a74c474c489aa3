"""The one thread that touches the database: what waits together is committed together, and fsynced once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import apsw

from mailbridge.store import StoreUnavailable

log = logging.getLogger("mailbridge.store")

T = TypeVar("T")

BATCH = 128
"""Operations in one transaction at the most, so that the first of them does not wait for ever."""

IDLE_PAGES = 500
"""Pages in the write-ahead log from which it is copied back when there is nothing else to do."""

MOST_PAGES = 10_000
"""Pages (40 MB) from which it is copied back even under load."""

Work = Callable[[apsw.Connection], Any]


@dataclass(slots=True, eq=False)
class _Job:
    work: Work
    answer: asyncio.Future[Any]
    result: Any = None
    fault: BaseException | None = None


class Writer:
    """Runs work in order, in transactions. ``connect`` opens the database anew after it failed."""

    def __init__(self, connect: Callable[[], apsw.Connection]) -> None:
        self._connect = connect
        self._connection: apsw.Connection | None = None
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._pages = 0
        self._is_closed = False

    def start(self, connection: apsw.Connection) -> None:
        """Take the opened connection and begin."""
        self._adopt(connection)
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def do(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run ``work`` in a transaction; returns when that is on disk.

        A caller that is cancelled meanwhile does not undo it.

        Raises:
            StoreUnavailable: nothing of it was written.
        """
        if self._is_closed:
            raise StoreUnavailable("closed", "the store is closed")
        job = _Job(work, asyncio.get_running_loop().create_future())
        self._queue.put(job)
        answer: T = await job.answer
        return answer

    async def close(self) -> None:
        """Finish what is queued, copy the log back, close the database."""
        if self._is_closed:
            return
        self._is_closed = True
        self._queue.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def checkpoint(self, connection: apsw.Connection) -> None:
        """Copy the log back and cut it to nothing, when this transaction is over."""
        self._pages = MOST_PAGES * 2
        del connection

    def _adopt(self, connection: apsw.Connection) -> None:
        def note(_: apsw.Connection, __: str, pages: int) -> int:
            self._pages = pages
            return apsw.SQLITE_OK

        connection.set_wal_hook(note)
        self._connection = connection

    def _run(self) -> None:
        while True:
            try:
                first = self._queue.get_nowait()
            except queue.Empty:
                self._copy_back(IDLE_PAGES)
                first = self._queue.get()
            if first is None:
                break
            jobs, is_last = self._batch(first)
            self._commit(jobs)
            self._answer(jobs)
            self._copy_back(MOST_PAGES)
            if is_last:
                break
        self._shut()

    def _batch(self, first: _Job) -> tuple[list[_Job], bool]:
        jobs = [first]
        with contextlib.suppress(queue.Empty):
            while len(jobs) < BATCH:
                job = self._queue.get_nowait()
                if job is None:
                    return jobs, True
                jobs.append(job)
        return jobs, False

    def _commit(self, jobs: list[_Job]) -> None:
        """One transaction for all: a job that fails is undone alone, a commit that fails undoes all."""
        try:
            connection = self._open()
            connection.execute("BEGIN IMMEDIATE")
            for job in jobs:
                self._one(connection, job, is_alone=len(jobs) == 1)
            if connection.in_transaction:
                connection.execute("COMMIT")
        except (apsw.Error, OSError) as fault:
            self._undo(fault)
            for job in jobs:
                job.fault = job.fault or unavailable(fault)

    def _one(self, connection: apsw.Connection, job: _Job, *, is_alone: bool) -> None:
        if not is_alone:
            connection.execute("SAVEPOINT job")
        try:
            job.result = job.work(connection)
        except (apsw.FullError, apsw.IOError, apsw.CorruptError, apsw.NotADBError):
            raise
        except BaseException as fault:  # noqa: BLE001  (it is given to whoever asked, not swallowed)
            job.fault = unavailable(fault) if isinstance(fault, apsw.Error) else fault
            connection.execute("ROLLBACK" if is_alone else "ROLLBACK TO job")
        if not is_alone:
            connection.execute("RELEASE job")

    def _open(self) -> apsw.Connection:
        if self._connection is None:
            self._adopt(self._connect())
        if self._connection is None:
            raise OSError("no connection")
        return self._connection

    def _undo(self, fault: BaseException) -> None:
        """After a fault the connection is opened anew: a failed fsync may have dropped pages that it believes written."""
        log.error("store: %s; nothing was kept of what was in hand", type(fault).__name__)
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with contextlib.suppress(apsw.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        with contextlib.suppress(apsw.Error):
            if isinstance(fault, apsw.BusyError | apsw.FullError):
                self._connection = connection
            else:
                connection.close(True)

    def _answer(self, jobs: list[_Job]) -> None:
        """Wake everybody with one call into the loop."""

        def resolve() -> None:
            for job in jobs:
                if job.answer.done():
                    continue
                if job.fault is not None:
                    job.answer.set_exception(job.fault)
                else:
                    job.answer.set_result(job.result)

        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            jobs[0].answer.get_loop().call_soon_threadsafe(resolve)

    def _copy_back(self, threshold: int) -> None:
        if self._pages < threshold or self._connection is None:
            return
        mode = apsw.SQLITE_CHECKPOINT_TRUNCATE if self._pages >= MOST_PAGES else apsw.SQLITE_CHECKPOINT_PASSIVE
        self._pages = 0
        try:
            self._connection.wal_checkpoint(mode=mode)
        except apsw.Error as fault:
            if not isinstance(fault, apsw.BusyError | apsw.LockedError):
                self._undo(fault)

    def _shut(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(apsw.Error):
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            with contextlib.suppress(apsw.Error):
                connection.close(True)
        with contextlib.suppress(queue.Empty):
            while True:
                job = self._queue.get_nowait()
                if job is not None:
                    job.fault = StoreUnavailable("closed", "the store is closed")
                    self._answer([job])


def unavailable(fault: BaseException) -> BaseException:
    """SQLite's complaint as ours; what is no such complaint stays what it is."""
    kind: Literal["full", "locked", "gone"]
    if isinstance(fault, apsw.FullError):
        kind = "full"
    elif isinstance(fault, apsw.BusyError | apsw.LockedError):
        kind = "locked"
    elif isinstance(fault, apsw.Error | OSError):
        kind = "gone"
    else:
        return fault
    return StoreUnavailable(kind, type(fault).__name__)
