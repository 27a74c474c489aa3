"""The processes that share a database: each has a row and a heartbeat, wakes the others, and takes over from those that are gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from mailbridge import log_events
from mailbridge.clock import SteadyClock, since_boot
from mailbridge.store import StoreUnavailable
from mailbridge.store.postgres.database import FAULTS, PostgresDatabase, PostgresTransaction
from mailbridge.store.postgres.marks import FORGET as FORGET_MARKS
from mailbridge.store.postgres.queues import Queues

log = logging.getLogger("mailbridge.store")

LEASE = timedelta(seconds=10)
"""How long a replica counts as alive after a heartbeat; then what it has in flight is another's."""

BEAT = timedelta(seconds=3)
"""Between two heartbeats."""

SAFE = LEASE * 2 / 3
"""How long after its last heartbeat a replica may still begin an attempt: it stops before the others may take it for gone."""

POLL = 5.0
"""Seconds after which whoever waits looks by himself, should a wake-up be lost; without a listener it is `POLL_ALONE`."""

POLL_ALONE = 0.25
CHANNEL = "mailbridge"
GONE_FOR = "3600000000"
"""Microseconds for which the row of a replica that is gone is kept, to be shown."""

JOIN = "INSERT INTO replica (name, started_at, alive_until, configuration) VALUES (?, now_micros(), now_micros() + ?, ?) RETURNING id"
STAY = "UPDATE replica SET alive_until = now_micros() + ? WHERE id = ? RETURNING id"
OTHERS = "SELECT count(*), coalesce(min(id), ?) FROM replica WHERE id != ? AND alive_until > now_micros()"
FORGET = (
    f"DELETE FROM replica WHERE alive_until < now_micros() - {GONE_FOR}"  # noqa: S608
    " AND NOT EXISTS (SELECT 1 FROM delivery WHERE owner = replica.id AND state = 'in_flight')"
)
LEAVE = "DELETE FROM replica WHERE id = ?"
DIFFERING = (
    "SELECT name FROM replica WHERE id != ? AND alive_until > now_micros() AND configuration != ? AND configuration != ''"
    " ORDER BY id"
)

ReadTime = Callable[[PostgresDatabase], Awaitable[int]]
Connect = Callable[[], Awaitable[Any]]


async def server_time(database: PostgresDatabase) -> int:
    """What the server's clock shows, in microseconds since 1970, at the middle of asking."""
    before = since_boot()
    ((shown,),) = await database.rows("SELECT now_micros()")
    return int(shown) + (since_boot() - before) // 2


class Replicas:
    """This process among those that have the database. ``grace`` is for how long a doubt about another's attempt blocks its queue.

    ``connect`` makes the connection that listens, outside the pool; it holds no transaction and is never shared. Without ``wakes`` the
    others are not notified of commits, and find them when they look by themselves.
    """

    wakes = True

    def __init__(
        self,
        *,
        database: PostgresDatabase,
        queues: Queues,
        clock: SteadyClock,
        name: str,
        configuration: str,
        grace: timedelta,
        connect: Connect,
    ) -> None:
        self._database = database
        self._queues = queues
        self._clock = clock
        self._name = name
        self._configuration = configuration
        self._grace = grace
        self._connect = connect
        self._listener: Any = None
        self._beat_at = float("-inf")
        self._others = 0
        self._is_oldest = False
        self._differing: tuple[str, ...] = ()
        self._is_to_wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.read_time: ReadTime = server_time

    @property
    def number(self) -> int:
        """The number of this process; it is never given to another one."""
        return self._queues.owner

    @property
    def is_alive(self) -> bool:
        """Whether nobody can have taken this process for gone: only then an attempt may begin."""
        return time.monotonic() < self._beat_at + SAFE.total_seconds()

    @property
    def is_first(self) -> bool:
        """Whether this is the oldest replica that is alive, as far as anybody can know."""
        return self._is_oldest and self.is_alive

    async def join(self) -> None:
        """Take part: from now on this process has a number. What replicas that are gone had in flight is taken over.

        Raises:
            StoreUnavailable: the database is away.
        """
        await self._follow()
        began = time.monotonic()
        values = (self._name, LEASE // timedelta(microseconds=1), self._configuration)
        ((self._queues.owner,),) = await self._database.transact(lambda transaction: transaction.rows(JOIN, values))
        self._beat_at = began
        await self._look_around()
        await self._queues.take_over(self._grace)

    def start(self) -> None:
        """Keep alive, listen and wake until `leave`."""
        self._database.committed = self._is_to_wake.set
        self._tasks = [asyncio.create_task(chore) for chore in (self._live(), self._listen(), self._wake())]

    async def leave(self) -> None:
        """Take part no longer. What is still in flight is the others' at once."""
        self._database.committed = lambda: None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._deafen()
        with contextlib.suppress(StoreUnavailable):
            await self._database.transact(lambda transaction: transaction.change(LEAVE, (self.number,)))

    async def stop(self) -> None:
        """End as a process that is killed does: the row stays, and is over when its time is."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listener is not None:
            self._listener.terminate()

    async def _live(self) -> None:
        while True:
            await asyncio.sleep(BEAT.total_seconds())
            try:
                await self.beat()
            except StoreUnavailable as fault:
                log.warning(
                    "no heartbeat: the store is %s", fault.kind, extra={"event": log_events.STORE_UNAVAILABLE, "kind": fault.kind}
                )

    async def beat(self) -> None:
        """One heartbeat: this process is alive, and whoever is not is taken over from. Raises StoreUnavailable."""
        began = time.monotonic()
        values = (LEASE // timedelta(microseconds=1), self.number)
        rows = await self._database.transact(lambda transaction: transaction.rows(STAY, values))
        if not rows:
            await self.join()  # its row is gone, and with it all that it had
        self._beat_at = began
        await self._follow()
        await self._look_around()
        await self._queues.take_over(self._grace)
        await self._queues.release_unclaimed()
        await self._database.transact(self._forget)
        await self._compare()

    async def _forget(self, transaction: PostgresTransaction) -> None:
        """Remove what replicas that are gone have left, once nobody needs it."""
        await transaction.change(FORGET)
        await transaction.change(FORGET_MARKS)

    async def _look_around(self) -> None:
        ((self._others, oldest),) = await self._database.rows(OTHERS, (self.number, self.number))
        self._is_oldest = self.number <= oldest

    async def _follow(self) -> None:
        self._clock.follow(await self.read_time(self._database))

    async def _compare(self) -> None:
        """Say it once where another replica has another configuration: one of the two is not what somebody means."""
        rows = await self._database.rows(DIFFERING, (self.number, self._configuration))
        differing = tuple(name for (name,) in rows)
        if differing and differing != self._differing:
            log.warning(
                "replicas have another configuration than this one: %s",
                ", ".join(differing),
                extra={"event": log_events.REPLICAS_DIFFER},
            )
        self._differing = differing

    # -- waking ---------------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Ring the bells for what others have committed. A connection that is lost is made anew; meanwhile it is polled."""
        while True:
            if self._listener is None or self._listener.is_closed():
                await self._hear()
            await asyncio.sleep(POLL if self._listener is not None else POLL_ALONE)
            self._database.bells.ring()

    async def _hear(self) -> None:
        self._listener = None
        try:
            listener = await self._connect()
            await listener.add_listener(CHANNEL, self._heard)
            self._listener = listener
            await self._notify()
        except FAULTS:
            return

    def _heard(self, _connection: object, process: int, _channel: str, _payload: str) -> None:
        if self._listener is not None and process != self._listener.get_server_pid():
            self._others = max(self._others, 1)  # whoever has written this is there, and waits for an answer perhaps
        self._database.bells.ring()

    async def _deafen(self) -> None:
        if self._listener is not None:
            with contextlib.suppress(*FAULTS):
                await self._listener.close(timeout=1)

    async def _wake(self) -> None:
        """One notification for all that was committed meanwhile, and only where another replica listens."""
        while True:
            await self._is_to_wake.wait()
            self._is_to_wake.clear()
            if self._others and self.wakes:
                await self._notify()

    async def _notify(self) -> None:
        """On the connection that listens, by which a process knows its own notifications. One that fails is made up for by polls."""
        listener = self._listener
        if listener is not None:
            with contextlib.suppress(*FAULTS):
                await listener.execute(f"NOTIFY {CHANNEL}")
