"""The processes that share a database: each has a row and a heartbeat, wakes the others, and takes over from those that are gone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

from mailbridge import log_events
from mailbridge.clock import SteadyClock, from_micros, since_boot
from mailbridge.store import StoreUnavailable
from mailbridge.store.bells import Bells
from mailbridge.store.postgres.database import FAULTS, PostgresDatabase, PostgresTransaction
from mailbridge.store.postgres.keys import KEY, ROTATION, Keys
from mailbridge.store.postgres.marks import FORGET as FORGET_MARKS
from mailbridge.store.postgres.queues import Queues
from mailbridge.store.processes import SKEW, Process, differences, skewed, told
from mailbridge.store.sql import Values

log = logging.getLogger("mailbridge.store")

LEASE = timedelta(seconds=10)
"""How long a replica counts as alive after a heartbeat. After that others get what it has in flight."""

BEAT = timedelta(seconds=3)
"""The time between two heartbeats."""

SAFE = LEASE * 2 / 3
"""How long after its last heartbeat a replica may still begin an attempt. It stops before others may count it as gone."""

POLL = 5.0
"""Seconds after which waiting code looks again by itself, in case a wake-up was lost. Without a listener it is `POLL_ALONE`."""

POLL_ALONE = 0.25
CHANNEL = "mailbridge"
AWAITED = "mailbridge_awaited"
"""The channel that announces that somebody has begun to wait for a code."""

GONE_FOR = "3600000000"
"""Microseconds for which the row of a replica that is gone is kept for display."""
PROBE = "mailbridge_probe"
"""The channel on which a process notifies itself, to check whether notifications arrive."""

PROBE_TAKES = 2.0
"""Seconds after which a notification that has not arrived counts as lost."""

JOIN = "INSERT INTO replica (name, started_at, alive_until, configuration) VALUES (?, now_micros(), now_micros() + ?, ?) RETURNING id"
STAY = "UPDATE replica SET alive_until = now_micros() + ? WHERE id = ? RETURNING id"
OTHERS = "SELECT count(*), coalesce(min(id), ?) FROM replica WHERE id != ? AND alive_until > now_micros()"
FORGET = (
    f"DELETE FROM replica WHERE alive_until < now_micros() - {GONE_FOR}"  # noqa: S608
    " AND NOT EXISTS (SELECT 1 FROM delivery WHERE owner = replica.id AND state = 'in_flight')"
)
LEAVE = "DELETE FROM replica WHERE id = ?"
ALIVE = (
    "SELECT id, name, started_at, configuration, (SELECT count(*) FROM mailbox_lease WHERE owner = replica.id)"
    " FROM replica WHERE alive_until > now_micros() ORDER BY id"
)
KEYS = "SELECT key, value FROM meta WHERE key IN (?, ?)"
TELL_KEYS = "UPDATE replica SET opens = ?, seals = ? WHERE id = ?"
DESCRIBE = "UPDATE replica SET configuration = ? WHERE id = ?"

ReadTime = Callable[[PostgresDatabase], Awaitable[int]]
Connect = Callable[[], Awaitable[Any]]


async def server_time(database: PostgresDatabase) -> int:
    """The server's clock, in microseconds since 1970, at the middle of the query."""
    before = since_boot()
    ((shown,),) = await database.rows("SELECT now_micros()")
    return int(shown) + (since_boot() - before) // 2


class Replicas:
    """Implements `mailbridge.store.processes.Processes`: this process among those on the database. ``grace`` is how long an
    uncertain attempt of another process blocks its queue.

    ``connect`` makes the connection that listens, outside the pool. That connection holds no transaction and is never shared.
    Without ``wakes`` the others are not notified of commits; they find them when they look by themselves.
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
        self._is_heard = asyncio.Event()
        self._is_deaf = self._is_cut_off = self._is_skewed = False
        self._beat_at = float("-inf")
        self._others = 0
        self._is_oldest = False
        self.differing: Mapping[str, tuple[str, ...]] = {}
        self._is_to_wake = asyncio.Event()
        self.waits = Bells()
        self._tasks: list[asyncio.Task[None]] = []
        self._house = asyncio.Lock()
        self._listener_is_free = asyncio.Lock()
        self._told_keys = ("", "")
        self.read_time: ReadTime = server_time
        self.keys: Keys | None = None

    @property
    def number(self) -> int:
        """The number of this process. No other process ever gets it."""
        return self._queues.owner

    @property
    def is_alive(self) -> bool:
        """Whether certainly nobody can count this process as gone. Only then may an attempt begin."""
        return time.monotonic() < self._beat_at + SAFE.total_seconds()

    @property
    def is_first(self) -> bool:
        """Whether this is the oldest replica that is alive, as far as anybody can know."""
        return self._is_oldest and self.is_alive

    @property
    def is_listening(self) -> bool:
        """Whether commits of other replicas are announced here, so that polling is not needed."""
        return self._listener is not None and not self._listener.is_closed() and not self._is_deaf

    async def join(self) -> None:
        """Join the replicas: from now on this process has a number. It takes over what dead replicas had in flight.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        self._told_keys = ("", "")
        await self._follow()
        began = time.monotonic()
        values = (self._name, LEASE // timedelta(microseconds=1), self._configuration)
        ((self._queues.owner,),) = await self._database.transact(lambda transaction: transaction.rows(JOIN, values))
        self._beat_at = began
        await self._look_around()
        await self._follow_keys()
        await self._queues.take_over(self._grace)

    def start(self) -> None:
        """Send heartbeats, listen and wake others, until `leave`."""
        self._database.committed = self._is_to_wake.set
        self._tasks = [asyncio.create_task(chore) for chore in (self._live(), self._keep_house(), self._listen(), self._wake())]

    async def leave(self) -> None:
        """Leave the replicas. What is still in flight goes to the others at once."""
        self._database.committed = lambda: None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._deafen()
        with contextlib.suppress(StoreUnavailable):
            await self._database.transact(lambda transaction: transaction.change(LEAVE, (self.number,)))

    async def stop(self) -> None:
        """End like a killed process: the row stays until it expires."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listener is not None:
            self._listener.terminate()

    async def _live(self) -> None:
        """A heartbeat every `BEAT`, however long the last one took, and whatever else this process has to do."""
        due = time.monotonic() + BEAT.total_seconds()
        while True:
            await asyncio.sleep(due - time.monotonic())
            due = max(due, time.monotonic() - BEAT.total_seconds()) + BEAT.total_seconds()
            try:
                await self.stay()
            except StoreUnavailable as fault:
                log.warning(
                    "no heartbeat: the store is %s", fault.kind, extra={"event": log_events.STORE_UNAVAILABLE, "kind": fault.kind}
                )

    async def _keep_house(self) -> None:
        """The periodic work of a live process. It may take long without delaying a heartbeat."""
        while True:
            await asyncio.sleep(BEAT.total_seconds())
            try:
                await self._follow_keys()
                if self.is_alive:
                    await self._chores()
            except StoreUnavailable as fault:
                log.warning("store unavailable", extra={"event": log_events.STORE_UNAVAILABLE, "kind": fault.kind})

    async def beat(self) -> None:
        """One heartbeat, then the takeover from replicas that are gone. Raises StoreUnavailable."""
        await self._follow_keys()
        await self.stay()
        await self._chores()

    async def stay(self) -> None:
        """One heartbeat alone: one statement, which waits for no other statement of this process if possible. Raises
        StoreUnavailable."""
        if self._database.refusal:
            raise StoreUnavailable("gone", self._database.refusal)
        began = time.monotonic()
        values = (LEASE // timedelta(microseconds=1), self.number)
        rows = await self._on_listener(STAY, values)
        if rows is None:
            rows = await self._database.transact(lambda transaction: transaction.rows(STAY, values), is_quiet=True)
        if not rows:
            async with self._house:
                await self.join()  # its row is gone, and with it everything that it had
        self._beat_at = began

    async def _on_listener(self, query: str, values: Values) -> list[Any] | None:
        """Query by the connection that listens, which no mail waits for. None if it is away, or does not answer in time."""
        async with self._listener_is_free:
            listener = self._listener
            if listener is None or listener.is_closed():
                return None
            try:
                return await PostgresTransaction(listener, patience=BEAT.total_seconds()).rows(query, values)
            except FAULTS:
                return None

    async def _chores(self) -> None:
        async with self._house:
            await self._keep_in_order()

    async def _keep_in_order(self) -> None:
        await self._follow()
        await self._look_around()
        await self._queues.take_over(self._grace)
        await self._queues.release_unclaimed()
        await self._database.transact(self._forget)
        await self._compare()

    async def _forget(self, transaction: PostgresTransaction) -> None:
        """Remove what dead replicas have left, after nobody needs it any more."""
        await transaction.change(FORGET)
        await transaction.change(FORGET_MARKS)

    async def _look_around(self) -> None:
        ((self._others, oldest),) = await self._database.rows(OTHERS, (self.number, self.number))
        self._is_oldest = self.number <= oldest

    async def _follow_keys(self) -> None:
        """Seal with the key that the database has, and publish which keys are there. If that key is missing here, writing is
        refused."""
        if self.keys is None:
            return
        meta = dict(await self._database.rows(KEYS, (KEY, ROTATION)))
        self.keys.follow(meta.get(KEY, ""), meta.get(ROTATION, ""))
        self._database.refusal = "the database has a new key, which is not on this machine" if self.keys.is_missing else ""
        told = (self.keys.opens, self.keys.seals)
        if told != self._told_keys and not self.keys.is_missing:
            await self._database.transact(lambda transaction: transaction.change(TELL_KEYS, (*told, self.number)), is_quiet=True)
            self._told_keys = told

    async def _follow(self) -> None:
        self._clock.follow(await self.read_time(self._database))
        is_skewed = abs(self._clock.skew) > SKEW
        if is_skewed and not self._is_skewed:
            log.warning("%s", skewed(self._clock.skew), extra={"event": log_events.CLOCK_SKEWED})
        self._is_skewed = is_skewed

    async def alive(self) -> tuple[Process, ...]:
        """See `Processes.alive`."""
        return tuple(
            Process(
                name=name,
                started_at=from_micros(started_at),
                is_this=number == self.number,
                mailboxes=mailboxes,
                differs=differences(self._configuration, configuration),
            )
            for number, name, started_at, configuration, mailboxes in await self._database.rows(ALIVE)
        )

    async def describe(self, configuration: str) -> None:
        """See `Processes.describe`."""
        self._configuration = configuration
        await self._database.transact(
            lambda transaction: transaction.change(DESCRIBE, (configuration, self.number)), is_quiet=True
        )
        await self._compare()

    async def _compare(self) -> None:
        """Warn once if another replica has another configuration, because only one of the two can be intended."""
        differing = {one.name: one.differs for one in await self.alive() if one.differs}
        if differing and differing != self.differing:
            log.warning(
                "replicas have another configuration than this one: %s",
                told(differing),
                extra={"event": log_events.REPLICAS_DIFFER},
            )
        self.differing = differing

    # -- waking ---------------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Ring the bells for commits of other processes. A lost connection is made again; meanwhile the database is polled."""
        while True:
            if self._listener is None or self._listener.is_closed():
                await self._hear()
            await asyncio.sleep(POLL if self.is_listening else POLL_ALONE)
            self._database.bells.ring()

    async def _hear(self) -> None:
        self._listener = None
        try:
            listener = await self._connect()
            await listener.add_listener(CHANNEL, self._heard)
            await listener.add_listener(AWAITED, lambda *_: self.waits.ring())
            await listener.add_listener(PROBE, self._heard_itself)
            self._listener = listener
            await self._notify()
            await self._probe()
            self._is_cut_off = False
        except (*FAULTS, StoreUnavailable) as fault:
            if not self._is_cut_off:
                log.warning(
                    "no connection to listen by (%s): changes are looked for every %g s; see [store] url and listen_url",
                    type(fault).__name__,
                    POLL_ALONE,
                    extra={"event": log_events.LISTENER_DEAF},
                )
            self._is_cut_off = True

    def _heard_itself(self, _connection: object, _process: int, _channel: str, payload: str) -> None:
        """Notifications do arrive, however late this one is."""
        if payload == str(self.number):
            self._is_heard.set()
            self._is_deaf = False

    async def _probe(self) -> None:
        """Check whether notifications arrive here: another connection sends one. A pooler in transaction mode loses them."""
        self._is_heard.clear()
        await self._database.transact(lambda transaction: transaction.change(f"NOTIFY {PROBE}, '{self.number}'"), is_quiet=True)
        was_deaf = self._is_deaf
        try:
            async with asyncio.timeout(PROBE_TAKES):
                await self._is_heard.wait()
            self._is_deaf = False
        except TimeoutError:
            self._is_deaf = True
        if self._is_deaf and not was_deaf:
            log.warning(
                "no notification arrives (is there a pooler in transaction mode?): changes are looked for every %g s;"
                " [store] listen_url names the server itself",
                POLL_ALONE,
                extra={"event": log_events.LISTENER_DEAF},
            )

    def _heard(self, _connection: object, process: int, _channel: str, _payload: str) -> None:
        if self._listener is not None and process != self._listener.get_server_pid():
            self._others = max(self._others, 1)  # the process that wrote this is alive, and may wait for an answer
        self._database.bells.ring()

    async def _deafen(self) -> None:
        if self._listener is not None:
            with contextlib.suppress(*FAULTS):
                await self._listener.close(timeout=1)

    async def _wake(self) -> None:
        """Send one notification for all commits since the last one, and only if another replica exists."""
        while True:
            await self._is_to_wake.wait()
            self._is_to_wake.clear()
            if self._others and self.wakes:
                await self._notify()

    async def _notify(self) -> None:
        """Notify on the connection that listens, so that a process recognises its own notifications. If one fails, polling
        makes up for it."""
        async with self._listener_is_free:
            listener = self._listener
            if listener is not None:
                with contextlib.suppress(*FAULTS):
                    await listener.execute(f"NOTIFY {CHANNEL}")
