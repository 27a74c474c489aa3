"""The one writer: what waits together is committed together, and fsynced once.

Short work runs in the event loop that asks for it, and only its commit in the writer's thread: a thread that runs statements beside a
busy loop waits for Python's lock at each of them. Everything that may take time stays in the thread: long work, a database that
another process has locked, commits, copying the log back, opening the file anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice, takewhile
from typing import Any, Literal, TypeVar

import apsw

from mailbridge import log_events
from mailbridge.core.dataclass import dataclass
from mailbridge.store import Kind, StoreError, StoreUnavailable
from mailbridge.store.bells import Bells

log = logging.getLogger("mailbridge.store")

T = TypeVar("T")

BATCH = 128
"""Operations in one transaction at the most, so that the first of them does not wait for ever."""

SHORT_BATCH = 32
"""Short operations in one transaction at the most: the loop does nothing else meanwhile, for 0.15 ms each."""

IDLE_PAGES = 500
"""Pages in the write-ahead log from which it is copied back when there is nothing else to do."""

MOST_PAGES = 10_000
"""Pages (40 MB) from which it is copied back and cut off even under load."""

TRUNCATE_AGAIN = 5.0
"""Seconds after which the log is tried again, where a reader kept it from being cut off."""

OFFER = 1.0
"""Seconds that a loop has to go on with its own work before the thread does: it may have ended meanwhile."""

Work = Callable[[apsw.Connection], Any]
OnAbandoned = Callable[[apsw.Connection, Any], Any]


@dataclass(slots=True, eq=False)
class _Job:
    work: Work
    answer: asyncio.Future[Any] | None = None
    on_abandoned: OnAbandoned | None = None
    is_short: bool = False
    is_last: bool = False
    result: Any = None
    fault: BaseException | None = None


@dataclass(slots=True, eq=False)
class _Batch:
    """What is committed together. ``is_begun``: its statements have been run, up to the fault if there was one; ``changes`` were made on
    the connection before it."""

    jobs: list[_Job]
    is_begun: bool = False
    changes: int = 0
    fault: BaseException | None = None


class Writer:
    """Runs work in order, in transactions. ``connect`` opens the database anew after it failed.

    Of its thread and the loops, one at a time has the connection: it takes it where nobody has it, and passes it on where more waits.

    ``is_in_place`` is asked before each commit: a file that was moved or deleted takes what nobody will find. ``idle`` is set while
    nothing waits to be written, and ``bells`` ring behind every commit, another process's too once this thread has something to do.
    """

    def __init__(self, connect: Callable[[], apsw.Connection], *, is_in_place: Callable[[], bool]) -> None:
        self.idle = threading.Event()
        self.bells = Bells()
        self._data_version = 0
        self._connect = connect
        self._is_in_place = is_in_place
        self._connection: apsw.Connection | None = None
        self._patience = 0
        self._lock = threading.Lock()
        self._waiting: deque[_Job] = deque()
        self._is_taken = True
        self._is_closed = False
        self._offer: object | None = None
        self._batches: queue.SimpleQueue[_Batch] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._pages = 0
        self._is_to_truncate = False
        self._truncate_at = 0.0
        self.truncate_again = TRUNCATE_AGAIN
        self.trouble: Kind | None = None

    def start(self, connection: apsw.Connection) -> None:
        """Take the opened connection and begin."""
        self._adopt(connection)
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    async def do(
        self,
        work: Callable[[apsw.Connection], T],
        *,
        on_abandoned: Callable[[apsw.Connection, T], None] | None = None,
        is_short: bool = False,
    ) -> T:
        """Run ``work`` in a transaction; returns when that is on disk. ``is_short``: it may be run in this loop, where nothing is in its way.

        A caller that is cancelled meanwhile does not undo it; ``on_abandoned`` is then done with the result, in another transaction.

        Raises:
            StoreUnavailable: nothing of it was written.
        """
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        job = _Job(work, answer, on_abandoned, is_short)
        self._put(job)
        try:
            return await answer
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled():  # else it is found out when the result is there
                self._abandon(job)
            raise

    def _put(self, job: _Job) -> None:
        """Queue a job, and begin with it where nobody has the connection. Raises StoreUnavailable behind the last one."""
        with self._lock:
            if self._is_closed:
                raise StoreUnavailable("closed", "the store is closed")
            self._is_closed = job.is_last
            self._waiting.append(job)
            if self.idle.is_set():
                self.idle.clear()
            if self._is_taken:
                return
            self._is_taken = True
        self._go_on()

    def _abandon(self, job: _Job) -> None:
        """Nobody took the result of a job: do what is to be done with it then."""
        on_abandoned, result = job.on_abandoned, job.result
        if on_abandoned is not None and job.fault is None:
            with contextlib.suppress(StoreUnavailable):
                self._put(_Job(lambda connection: on_abandoned(connection, result)))

    async def close(self) -> None:
        """Finish what is queued, copy the log back, close the database."""
        with contextlib.suppress(StoreUnavailable):  # it is closed already
            self._put(_Job(lambda _: None, is_last=True))
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
        self._patience = int(connection.pragma("busy_timeout"))
        self._connection = connection

    # -- in the loop of whoever has taken the connection --------------------------------------------------------------

    def _take_up(self, offer: object) -> None:
        """Go on where the thread left off, unless that has gone on itself meanwhile."""
        with self._lock:
            if self._offer is not offer:
                return
            self._offer = None
        self._go_on()

    def _go_on(self) -> None:
        """Begin with what waits: short work at once, up to its commit; anything else is the thread's."""
        batch = self._next()
        try:
            if batch.jobs[0].is_short:
                self._begin_short(batch)
        finally:
            self._batches.put(batch)

    def _next(self) -> _Batch:
        """The first of what waits, with what follows of its kind."""
        with self._lock:
            if self._waiting[0].is_short:
                jobs = list(islice(takewhile(lambda job: job.is_short, self._waiting), SHORT_BATCH))
            else:
                jobs = list(islice(self._waiting, BATCH))
            for _ in jobs:
                self._waiting.popleft()
        return _Batch(jobs)

    def _begin_short(self, batch: _Batch) -> None:
        """Run its statements, unless the database cannot be had at once: then the thread waits for it."""
        connection = self._connection
        if connection is None:
            return
        try:
            connection.set_busy_timeout(0)
            self._begin(connection, batch)
        except (apsw.Error, OSError, StoreError) as fault:
            batch.fault = fault if batch.is_begun else None
        finally:
            connection.set_busy_timeout(self._patience)

    # -- in the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        batch, is_over = self._passed_on(), False
        while not is_over:
            batch = batch or self._awaited()
            is_over = batch.jobs[-1].is_last
            if is_over:
                batch.jobs.pop()
            if batch.jobs:
                self._commit(batch)
                self._answer(batch.jobs)
                self._copy_back(MOST_PAGES)
            batch = None if is_over else self._passed_on()
        self._shut()
        self.idle.set()

    def _passed_on(self) -> _Batch | None:
        """Pass the connection on to the loop whose work is next, or put it down. Returns the batch that is for this thread instead."""
        if not self._waiting:
            self._copy_back(IDLE_PAGES)
        with self._lock:
            if not self._waiting:
                self._is_taken = False
                self.idle.set()
                return None
            first = self._waiting[0]
        if first.is_short and first.answer is not None:
            loop, self._offer = first.answer.get_loop(), object()
            with contextlib.suppress(RuntimeError):  # the loop is closed, and this thread goes on
                # Behind the pushes of what has just been committed, which come in its next rounds.
                loop.call_soon_threadsafe(loop.call_soon, loop.call_soon, self._take_up, self._offer)
                return None
            self._offer = None
        return self._next()

    def _awaited(self) -> _Batch:
        """The next batch of a loop, or what one does not go on with."""
        while True:
            try:
                return self._batches.get(timeout=None if self._offer is None else OFFER)
            except queue.Empty:
                with self._lock:
                    is_left, self._offer = self._offer is not None, None
                if is_left:
                    return self._next()

    def _commit(self, batch: _Batch) -> None:
        """One transaction for all: a job that fails is undone alone, a commit that fails undoes all."""
        try:
            if batch.fault is not None:
                raise batch.fault
            connection = self._open()
            if not batch.is_begun:
                self._begin(connection, batch)
            is_written = connection.total_changes() != batch.changes
            if is_written and not self._is_in_place():
                raise OSError("the file is not in its place")
            if connection.in_transaction:
                connection.execute("COMMIT")
        except (apsw.Error, OSError, StoreError) as fault:
            self._undo(fault)
            for job in batch.jobs:
                job.fault = job.fault or unavailable(fault)
        else:
            if is_written:
                self.trouble = None
            self._ring(connection, is_written=is_written)

    def _begin(self, connection: apsw.Connection, batch: _Batch) -> None:
        """Run its statements in a transaction that is left open."""
        batch.changes = connection.total_changes()
        connection.execute("BEGIN IMMEDIATE")
        batch.is_begun = True
        if len(batch.jobs) > 1 and batch.jobs[0].is_short and self._all_at_once(connection, batch.jobs):
            return
        for job in batch.jobs:
            self._one(connection, job, is_alone=len(batch.jobs) == 1)

    def _all_at_once(self, connection: apsw.Connection, jobs: list[_Job]) -> bool:
        """Whether all jobs went well. Where one did not, all of them are undone, and are to be done again, each by itself: a job fails in
        one batch of very many, and a savepoint for each is a twentieth of what it costs."""
        try:
            for job in jobs:
                job.result = job.work(connection)
        except (apsw.FullError, apsw.IOError, apsw.CorruptError, apsw.NotADBError):
            raise
        except BaseException:  # noqa: BLE001  (it comes again, and is given to whoever asked)
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            connection.execute("BEGIN IMMEDIATE")
            return False
        return True

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


def kind_of(fault: BaseException) -> Literal["full", "locked", "gone"]:
    """SQLite's complaint in the store's words."""
    if isinstance(fault, apsw.FullError):
        return "full"
    return "locked" if isinstance(fault, apsw.BusyError | apsw.LockedError) else "gone"


def unavailable(fault: BaseException) -> StoreUnavailable:
    """SQLite's complaint as ours."""
    return StoreUnavailable(kind_of(fault), type(fault).__name__)
