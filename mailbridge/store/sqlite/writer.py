"""The one thread that writes: what waits together is committed together, and fsynced once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import apsw

from mailbridge import log_events
from mailbridge.store import StoreError, StoreUnavailable
from mailbridge.store.bells import Bells

log = logging.getLogger("mailbridge.store")

T = TypeVar("T")

BATCH = 128
"""Operations in one transaction at the most, so that the first of them does not wait for ever."""

IDLE_PAGES = 500
"""Pages in the write-ahead log from which it is copied back when there is nothing else to do."""

MOST_PAGES = 10_000
"""Pages (40 MB) from which it is copied back and cut off even under load."""

TRUNCATE_AGAIN = 5.0
"""Seconds after which the log is tried again, where a reader kept it from being cut off."""

Work = Callable[[apsw.Connection], Any]
OnAbandoned = Callable[[apsw.Connection, Any], Any]


@dataclass(slots=True, eq=False)
class _Job:
    work: Work
    answer: asyncio.Future[Any] | None = None
    on_abandoned: OnAbandoned | None = None
    result: Any = None
    fault: BaseException | None = None


class Writer:
    """Runs work in order, in transactions. ``connect`` opens the database anew after it failed.

    ``is_in_place`` is asked before each commit: a file that was moved or deleted takes what nobody will find. ``idle`` is set while
    nothing waits to be written, and ``bells`` ring behind every commit, another process's too once this thread has something to do.
    """

    def __init__(self, connect: Callable[[], apsw.Connection], *, is_in_place: Callable[[], bool]) -> None:
        self.idle = threading.Event()
        self.idle.set()
        self.bells = Bells()
        self._data_version = 0
        self._connect = connect
        self._is_in_place = is_in_place
        self._connection: apsw.Connection | None = None
        self._queue: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._pages = 0
        self._is_to_truncate = False
        self._truncate_at = 0.0
        self.truncate_again = TRUNCATE_AGAIN
        self._is_closed = False
        self.trouble: str | None = None

    def start(self, connection: apsw.Connection) -> None:
        """Take the opened connection and begin."""
        self._adopt(connection)
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def do(
        self, work: Callable[[apsw.Connection], T], *, on_abandoned: Callable[[apsw.Connection, T], None] | None = None
    ) -> T:
        """Run ``work`` in a transaction; returns when that is on disk.

        A caller that is cancelled meanwhile does not undo it; ``on_abandoned`` is then done with the result, in another transaction.

        Raises:
            StoreUnavailable: nothing of it was written.
        """
        if self._is_closed:
            raise StoreUnavailable("closed", "the store is closed")
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        job = _Job(work, answer, on_abandoned)
        self._put(job)
        try:
            return await answer
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled():  # else it is found out when the result is there
                self._abandon(job)
            raise

    def _put(self, job: _Job) -> None:
        self.idle.clear()
        self._queue.put(job)

    def _abandon(self, job: _Job) -> None:
        """Nobody took the result of a job: do what is to be done with it then."""
        on_abandoned, result = job.on_abandoned, job.result
        if on_abandoned is not None and job.fault is None and not self._is_closed:
            self._put(_Job(lambda connection: on_abandoned(connection, result)))

    async def close(self) -> None:
        """Finish what is queued, copy the log back, close the database."""
        if self._is_closed:
            return
        self._is_closed = True
        self._queue.put(None)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def truncate(self) -> None:
        """Copy the log back and cut it to nothing when this transaction is over: to be called by the work itself."""
        self._is_to_truncate = True
        self._truncate_at = 0.0

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
                self.idle.set()
                first = self._queue.get()
                self.idle.clear()
            if first is None:
                break
            jobs, is_last = self._batch(first)
            self._commit(jobs)
            self._answer(jobs)
            self._copy_back(MOST_PAGES)
            if is_last:
                break
        self._shut()
        self.idle.set()

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
            before = connection.total_changes()
            connection.execute("BEGIN IMMEDIATE")
            for job in jobs:
                self._one(connection, job, is_alone=len(jobs) == 1)
            is_written = connection.total_changes() != before
            if is_written and not self._is_in_place():
                raise OSError("the file is not in its place")
            if connection.in_transaction:
                connection.execute("COMMIT")
        except (apsw.Error, OSError, StoreError) as fault:
            self._undo(fault)
            for job in jobs:
                job.fault = job.fault or unavailable(fault)
        else:
            if is_written:
                self.trouble = None
            self._ring(connection, is_written=is_written)

    def _ring(self, connection: apsw.Connection, *, is_written: bool) -> None:
        """Ring where something was committed: by this thread, or by another process since it last looked."""
        if self.bells.is_any:
            (version,) = connection.execute("PRAGMA data_version").fetchone() or (0,)
            if is_written or version != self._data_version:
                self.bells.ring()
            self._data_version = version

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
        kind = kind_of(fault)
        if self.trouble != kind:
            words = f": {fault}" if isinstance(fault, StoreError) else ""
            log.error(
                "store %s: %s%s; incoming mail is deferred",
                kind,
                type(fault).__name__,
                words,
                extra={"event": log_events.STORE_FAILED},
            )
        self.trouble = kind
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
        """Wake everybody with one call into each loop: there is one, except where a test or a command has more."""
        waiting = [(job.answer.get_loop(), job) for job in jobs if job.answer is not None]
        while waiting:
            loop = waiting[0][0]
            here = [job for one, job in waiting if one is loop]
            waiting = [(one, job) for one, job in waiting if one is not loop] if len(here) < len(waiting) else []
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._resolve, here)

    def _resolve(self, jobs: list[_Job]) -> None:
        for job in jobs:
            if job.answer is None or job.answer.done():
                self._abandon(job)
            elif job.fault is not None:
                job.answer.set_exception(job.fault)
            else:
                job.answer.set_result(job.result)

    def _copy_back(self, threshold: int) -> None:
        is_to_truncate = self._is_to_truncate and time.monotonic() >= self._truncate_at
        if self._connection is None or (self._pages < threshold and not is_to_truncate):
            return
        is_to_truncate = is_to_truncate or self._pages >= MOST_PAGES
        self._pages = 0
        try:
            if is_to_truncate:
                self._truncate_at = time.monotonic() + self.truncate_again
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
                self._is_to_truncate = False
            else:
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error as fault:
            if not isinstance(fault, apsw.BusyError | apsw.LockedError):
                self._undo(fault)

    def _shut(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(apsw.Error):
                if not connection.pragma("query_only"):
                    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            with contextlib.suppress(apsw.Error):
                connection.close(True)
        with contextlib.suppress(queue.Empty):
            while True:
                job = self._queue.get_nowait()
                if job is not None:
                    job.fault = StoreUnavailable("closed", "the store is closed")
                    self._answer([job])


def kind_of(fault: BaseException) -> Literal["full", "locked", "gone"]:
    """SQLite's complaint in the store's words."""
    if isinstance(fault, apsw.FullError):
        return "full"
    return "locked" if isinstance(fault, apsw.BusyError | apsw.LockedError) else "gone"


def unavailable(fault: BaseException) -> StoreUnavailable:
    """SQLite's complaint as ours."""
    return StoreUnavailable(kind_of(fault), type(fault).__name__)
