"""The parser pool: mails go to killable worker processes, in order; one that takes too long costs only itself."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Generic, TypeVar

import msgspec

from mailbridge import log_events
from mailbridge.core.dataclass import dataclass
from mailbridge.core.limits import MAX_CONTENT
from mailbridge.core.mail import Envelope
from mailbridge.intake.child import Child, spawn
from mailbridge.intake.launch import Launched
from mailbridge.intake.meaning import ReaderUnavailable
from mailbridge.intake.worker_protocol import LAST_WORDS, Request, decoder, encoder, frame

log = logging.getLogger("mailbridge.parser")

T = TypeVar("T")


RESPAWN_PAUSE = 0.5
MAX_WAIT = 20.0
"""Seconds that a mail waits for a worker while none can be started. After that its sender is told to come again."""

MAX_LATENESS = 0.25
"""Seconds that the deadline's own timer may be late. Later than that, it was we who slept (a stopped or frozen daemon), and the
worker may have slept too."""

MAX_DEATHS = 2
"""How often a mail may be in a worker that dies for no known reason (the kernel short of memory, a person's kill)."""


@dataclass(eq=False, slots=True)
class _Job:
    """One mail on its way: its frame, who waits for the answer, since when, and how many workers died with it."""

    octets: bytes
    answer: asyncio.Future[bytes | None]
    asked_at: float
    started_at: float = 0.0
    deaths: int = 0


class ParserPool(Generic[T]):
    """Gives each mail to the worker with the least to do."""

    def __init__(
        self,
        *,
        target: str,
        answer: type[T],
        config: bytes,
        workers: int,
        timeout: timedelta,
        launched: Launched | None = None,
    ) -> None:
        self._launched = launched
        self._starting: asyncio.Future[None] | None = None
        self._encoder = encoder()
        self._decoder = decoder(answer)
        self._workers = [_Worker(target=target, config=config, timeout=timeout.total_seconds()) for _ in range(workers)]

    @property
    def is_alive(self) -> bool:
        """Whether at least one worker is ready, or will be at once."""
        return any(worker.is_ready for worker in self._workers)

    @property
    def is_starting(self) -> bool:
        """Whether what `begin` has begun is not over yet."""
        return self._starting is not None and not self._starting.done()

    @property
    def load(self) -> int:
        """How many mails wait for an answer."""
        return sum(worker.load for worker in self._workers)

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the workers that run."""
        return tuple(worker.pid for worker in self._workers if worker.pid)

    async def understand(self, envelope: Envelope, *, is_read_out: bool = False) -> T | None:
        """The answer for a mail; None where its worker died of it or was killed at the deadline. ``is_read_out``: see `Request`.

        Raises:
            ReaderUnavailable: no worker could start, or the pool is closed. The mail is not to blame.
        """
        request = Request(
            content=envelope.content[:MAX_CONTENT],
            rcpt_to=envelope.rcpt_to,
            mail_from=envelope.mail_from,
            now=envelope.received_at,
            is_truncated=len(envelope.content) > MAX_CONTENT,
            is_read_out=is_read_out,
        )
        worker = min(self._workers, key=lambda one: (not one.is_running, one.load))
        octets = await worker.ask(self._encoder.encode(request))
        if octets is None:
            return None
        try:
            return self._decoder.decode(octets)
        except msgspec.DecodeError:
            log.error("a worker's answer could not be read", extra={"event": log_events.WORKER_FAILED})
            return None

    def begin(self) -> None:
        """Start the workers beside what else is to be done: mails that are given meanwhile wait for them. See `started`."""
        self._starting = asyncio.ensure_future(self.start())

    async def started(self) -> None:
        """Wait for what `begin` has begun.

        Raises:
            OSError, TimeoutError: a worker does not start.
        """
        if self._starting is not None:
            await self._starting

    async def start(self) -> None:
        """Start every worker and wait until all are ready; the first is the one that is launched already, where one is."""
        first, *others = self._workers
        await asyncio.gather(first.start(self._launched), *(worker.start() for worker in others))

    async def prepare(self, config: bytes) -> Successors:
        """Start successors with another configuration, which wait until `Successors.take_over`.

        Raises:
            OSError, TimeoutError: one of them does not start; none is left behind.
        """
        started = await asyncio.gather(*(worker.successor(config) for worker in self._workers), return_exceptions=True)
        pairs = [(worker, one) for worker, one in zip(self._workers, started, strict=True) if isinstance(one, Child)]
        successors = Successors(config, pairs)
        faults = [one for one in started if isinstance(one, BaseException)]
        if faults:
            successors.discard()
            raise faults[0]
        return successors

    def turn_away(self) -> None:
        """Read nothing more: whoever waits for an answer, or asks from now on, gets `ReaderUnavailable`."""
        for worker in self._workers:
            worker.turn_away()

    async def close(self) -> None:
        """End the workers. Whoever still waits gets `ReaderUnavailable`."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        await asyncio.gather(*(worker.close() for worker in self._workers))


class Successors:
    """Workers with another configuration, started and ready. Exactly one of `take_over` and `discard` is called."""

    def __init__(self, config: bytes, pairs: Sequence[tuple[_Worker, Child]]) -> None:
        self._config = config
        self._pairs = pairs

    def take_over(self) -> None:
        """They read every mail from now on, also those that are not answered yet. No mail is lost."""
        for worker, link in self._pairs:
            worker.succeed_by(link, self._config)

    def discard(self) -> None:
        """End them; everything stays as it was."""
        for _, link in self._pairs:
            link.kill()


@asynccontextmanager
async def parser_pool(
    *,
    target: str,
    answer: type[T],
    config: bytes,
    workers: int,
    timeout: timedelta,
    launched: Launched | None = None,
    is_awaited: bool = True,
) -> AsyncIterator[ParserPool[T]]:
    """A pool for the length of an ``async with``. ``launched``: a worker of this target that is loading already. ``is_awaited``: the
    block begins when all workers are ready; else they start beside it (`ParserPool.started`)."""
    pool = ParserPool(target=target, answer=answer, config=config, workers=workers, timeout=timeout, launched=launched)
    try:
        pool.begin()
        if is_awaited:
            await pool.started()
        yield pool
    finally:
        await pool.close()


class _Worker:
    """One child process and the mails that it has been given. A protocol at the socket, a timer for the oldest mail."""

    def __init__(self, *, target: str, config: bytes, timeout: float) -> None:
        self._target = target
        self._config = config
        self._timeout = timeout
        self._jobs: deque[_Job] = deque()
        self._link: Child | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._respawn: asyncio.Task[None] | None = None
        self._is_failing = False
        self._is_turning_away = False
        self._is_closed = False

    @property
    def load(self) -> int:
        """How many mails it has been given and not answered."""
        return len(self._jobs)

    @property
    def is_running(self) -> bool:
        """Whether a child is there."""
        return self._link is not None

    @property
    def is_ready(self) -> bool:
        """Whether it runs, or a successor is on its way, and none has failed to start."""
        return self._link is not None or (self._respawn is not None and not self._is_failing)

    @property
    def pid(self) -> int:
        """Its process id; 0 where none runs."""
        return self._link.process.pid if self._link is not None else 0

    async def ask(self, octets: bytes) -> bytes | None:
        """Send a mail, wait for its answer.

        Raises:
            ReaderUnavailable: see `ParserPool.understand`.
        """
        if self._is_turning_away:
            raise ReaderUnavailable
        loop = asyncio.get_running_loop()
        job = _Job(frame(octets), loop.create_future(), asked_at=loop.time())
        self._jobs.append(job)
        if self._link is not None:
            self._link.write(job.octets)
        if len(self._jobs) == 1:
            self._begin(job)
        return await job.answer

    async def start(self, launched: Launched | None = None) -> None:
        """Start the child, or take this one. Where that fails or is cancelled, no mail waits for it any more."""
        try:
            self._take(await spawn(self._target, self._config, self, launched))
        except BaseException:
            if self._link is None:  # a reload may have been faster
                self.turn_away()
            raise

    async def successor(self, config: bytes) -> Child:
        """A child with another configuration, ready and waiting. Raises TimeoutError or OSError."""
        return await spawn(self._target, config, self)

    def succeed_by(self, link: Child, config: bytes) -> None:
        """Let a successor take over, with every mail that is not answered yet."""
        self._config = config
        old = self._link
        self._take(link)
        if old is not None:
            old.kill()

    def turn_away(self) -> None:
        """See `ParserPool.turn_away`."""
        self._is_turning_away = True
        self._give_back()

    def _give_back(self, *, asked_before: float | None = None) -> None:
        """Tell those who wait (``asked_before``: since then or longer) that nobody reads their mail."""
        while self._jobs and (asked_before is None or self._jobs[0].asked_at <= asked_before):
            job = self._jobs.popleft()
            if not job.answer.done():
                job.answer.set_exception(ReaderUnavailable())

    async def close(self) -> None:
        """End the child; whoever still waits gets `ReaderUnavailable`."""
        self._is_closed = True
        if self._respawn is not None:
            self._respawn.cancel()
        if self._timer is not None:
            self._timer.cancel()
        if self._link is not None:
            self._link.kill()
        self.turn_away()

    def answered(self, link: Child, octets: bytes) -> None:
        """The answer to the oldest mail, or where the child failed with it."""
        if link is not self._link or not self._jobs:
            return
        if octets.startswith(LAST_WORDS):
            where = octets.removeprefix(LAST_WORDS).decode("ascii", "replace")[:500]
            log.error(
                "a mail could not be read because of a bug and is held",
                extra={"event": log_events.MAIL_UNREADABLE, "where": where},
            )
            _settle(self._jobs.popleft(), None)
        else:
            _settle(self._jobs.popleft(), octets)
        self._begin(self._jobs[0] if self._jobs else None)

    def lost(self, link: Child) -> None:
        """The child has gone. The mail that it was reading is given up if it is to blame; everything else goes to the successor."""
        if link is not self._link:
            return
        self._link = None
        if self._jobs:
            self._blame(self._jobs[0], was_overdue=link.was_overdue)
        if self._timer is not None:
            self._timer.cancel()
        if not self._is_closed and self._respawn is None:
            self._respawn = asyncio.get_running_loop().create_task(self._succeed(), name="parser-respawn")

    def _blame(self, job: _Job, *, was_overdue: bool) -> None:
        job.deaths += 1
        if was_overdue:
            log.warning(
                "a mail kept the parser busy beyond its deadline; the worker was killed and the mail is held",
                extra={"event": log_events.MAIL_UNREADABLE},
            )
        elif job.deaths >= MAX_DEATHS:
            log.warning(
                "a parser worker crashed twice on one mail; the mail is held", extra={"event": log_events.MAIL_UNREADABLE}
            )
        else:
            log.warning("a parser worker crashed; its mail is read again", extra={"event": log_events.WORKER_FAILED})
            return
        self._jobs.popleft()
        _settle(job, None)

    async def _succeed(self) -> None:
        while not self._is_closed and self._link is None:
            try:
                link = await spawn(self._target, self._config, self)
            except (OSError, TimeoutError) as fault:
                log.error("a parser worker does not start: %s", type(fault).__name__, extra={"event": log_events.WORKER_FAILED})
                self._is_failing = True
                self._give_back(asked_before=asyncio.get_running_loop().time() - MAX_WAIT)
                await asyncio.sleep(RESPAWN_PAUSE)
                continue
            if self._link is None:
                self._take(link)
            else:  # a reload was faster
                link.kill()
        self._respawn = None

    def _take(self, link: Child) -> None:
        if self._is_closed:
            link.kill()
            return
        self._link = link
        self._is_failing = False
        for job in self._jobs:
            link.write(job.octets)
        self._begin(self._jobs[0] if self._jobs else None)

    def _begin(self, job: _Job | None) -> None:
        """The clock runs for one mail at a time: the one that the child is reading."""
        if job is not None:
            loop = asyncio.get_running_loop()
            job.started_at = loop.time()
            if self._timer is None or self._timer.cancelled():
                self._watch(self._timeout)

    def _watch(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds, self._overdue, loop.time() + seconds)

    def _overdue(self, due: float) -> None:
        """Kill what has read one mail for too long. The timer is lazy: it may fire for a mail that was answered since."""
        self._timer = None
        if not self._jobs or self._link is None:
            return
        now = asyncio.get_running_loop().time()
        left = self._jobs[0].started_at + self._timeout - now
        if now - due > MAX_LATENESS:
            self._jobs[0].started_at = now
            self._watch(self._timeout)
        elif left > 0.001:
            self._watch(left)
        else:
            self._link.was_overdue = True
            self._link.kill()


def _settle(job: _Job, octets: bytes | None) -> None:
    if not job.answer.done():
        job.answer.set_result(octets)
