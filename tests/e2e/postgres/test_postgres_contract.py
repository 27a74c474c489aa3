"""PostgreSQL passes the contract of a store: a real server, a database of its own for each test."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest

from mailbridge.clock import MICROSECOND, from_micros
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.store import Store, StoreUnavailable
from tests.loop import looped
from tests.moved_time import START, MovedTime
from tests.peers.postgres import Postgres
from tests.store.contract import GRACE, RETENTION
from tests.store.contract.codes import CodesContract
from tests.store.contract.entries import EntriesContract
from tests.store.contract.forgetting import ForgettingContract
from tests.store.contract.histories import HistoryContract
from tests.store.contract.inboxes import InboxesContract
from tests.store.contract.lists import ListsContract
from tests.store.contract.order import OrderContract
from tests.store.contract.sessions import SessionsContract
from tests.store.contract.storing import StoringContract
from tests.store.contract.time import TimeContract
from tests.store.contract.trouble import TroubleContract
from tests.store.mails import arrival

pytestmark = pytest.mark.e2e

T = TypeVar("T")

NUMBERS = itertools.count(1)
HELD = "DO $$ DECLARE one text; BEGIN FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP {} END LOOP; END $$"
LOCK = HELD.format("EXECUTE format('LOCK TABLE %I IN EXCLUSIVE MODE', one);")
NO_ROOM = """CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'no room, as the test wants it' USING ERRCODE = '53100'; END $$"""
FILL = HELD.format("EXECUTE format('CREATE TRIGGER no_room BEFORE INSERT OR UPDATE ON %I EXECUTE FUNCTION no_room()', one);")
CLEAR = HELD.format("EXECUTE format('DROP TRIGGER no_room ON %I', one);")
CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'"


@dataclass(slots=True)
class ServerTime(MovedTime):
    """The server's clock beside those of the machine that mailbridge runs on: it alone counts, and nobody sets it."""

    server: int = START

    def pass_by(self, duration: timedelta) -> None:
        """Let time pass everywhere."""
        MovedTime.pass_by(self, duration)
        self.server += duration // MICROSECOND

    def now(self) -> datetime:
        """What the server's clock shows."""
        return from_micros(self.server)


class Aside:
    """A loop in a thread of its own, for what a test does to the server while its own loop stands still."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        """Do something there, and wait for it."""
        return asyncio.run_coroutine_threadsafe(doing, self.loop).result(60)


class PostgresPlace:
    """A database on a server that runs. Implements `tests.store.contract.Place`."""

    def __init__(self, server: Postgres, aside: Aside, folder: Path) -> None:
        self.server = server
        self.time = ServerTime()
        self.name = f"test_{next(NUMBERS)}"
        self.aside = aside
        self.key = folder / f"{self.name}.key"
        aside.run(server.asked(f"CREATE DATABASE {self.name}"))

    async def open(self, retention: RetentionSettings = RETENTION) -> Store:
        """Open it as one more replica."""
        from mailbridge.store.postgres import open_postgres  # only where there is a server

        async def read_time(_: object) -> int:
            return self.time.server

        return await open_postgres(
            StoreSettings(url=self.server.url(self.name), busy_timeout=timedelta(milliseconds=100)),
            retention,
            key_path=self.key,
            clock=self.time.clock(),
            grace=GRACE,
            read_time=read_time,
        )

    async def kill(self, store: Any) -> None:
        """Cut its connections, and let its lease be over."""
        await store.replicas.stop()
        store.database.terminate()
        await self.server.asked("UPDATE replica SET alive_until = 0", database=self.name)

    def in_trouble(self, name: str) -> AbstractContextManager[None]:
        """See `Place`. What the disk does to a server that cannot write is a crash of it."""
        troubles: dict[str, Callable[[], AbstractContextManager[None]]] = {
            "locked": self._locked,
            "full": self._full,
            "gone": self._gone,
            "unwritable": self._crashed,
        }
        return troubles[name]()

    def _ask(self, *queries: str, database: str = "postgres") -> None:
        self.aside.run(self.server.asked(*queries, database=database))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Another session has all tables."""
        import asyncpg  # only where there is a server

        holder = self.aside.run(asyncpg.connect(self.server.url(self.name)))
        self.aside.run(holder.execute(f"BEGIN; {LOCK}"))
        try:
            yield
        finally:
            self.aside.run(holder.close())

    @contextmanager
    def _full(self) -> Iterator[None]:
        """The server says of every row that there is no room for it."""
        self._ask(NO_ROOM, FILL, database=self.name)
        try:
            yield
        finally:
            self._ask(CLEAR, "DROP FUNCTION no_room", database=self.name)

    @contextmanager
    def _gone(self) -> Iterator[None]:
        """Nobody can connect, and whoever was is cut off."""
        self._ask(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS false", CUT.format(self.name))
        try:
            yield
        finally:
            self._ask(f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS true")

    @contextmanager
    def _crashed(self) -> Iterator[None]:
        """The server is down without a word, and recovers afterwards."""
        self.server.stop(signal.SIGQUIT)
        try:
            yield
        finally:
            threads = threading.Thread(target=self.server.start)
            threads.start()
            threads.join()

    def drop(self) -> None:
        """The test is over."""
        with contextlib.suppress(Exception):
            self._ask(f"DROP DATABASE {self.name} WITH (FORCE)")


@pytest.fixture(scope="module")
def aside() -> Aside:
    """For what is done to it."""
    return Aside()


@pytest.fixture
def place(server: Postgres, aside: Aside, tmp_path: Path) -> Iterator[PostgresPlace]:
    """An empty database."""
    place = PostgresPlace(server, aside, tmp_path)
    yield place
    place.drop()


class TestStoring(StoringContract):
    """On a server."""


class TestOrder(OrderContract):
    """On a server."""


class TestTime(TimeContract):
    """On a server, whose clock counts."""


class TestTrouble(TroubleContract):
    """On a server that is locked, full, gone, and crashes."""

    @looped
    async def test_a_transaction_that_changes_nothing_does_not_hide_a_full_disk(self, place: PostgresPlace) -> None:
        """The chores of a replica commit while the disk is full, since they find nothing to write: that is no proof of room."""
        store: Any = await place.open()
        with place.in_trouble("full"):
            with pytest.raises(StoreUnavailable):
                await store.put(arrival(at=place.time.now()))
            await store.database.transact(lambda transaction: transaction.change("DELETE FROM meta WHERE key = 'nothing'"))
            assert store.trouble == "full"
            with pytest.raises(StoreUnavailable):
                await store.probe()
        await store.close()


class TestLists(ListsContract):
    """On a server."""


class TestCodes(CodesContract):
    """On a server."""


class TestEntries(EntriesContract):
    """On a server."""


class TestSessions(SessionsContract):
    """On a server."""


class TestInboxes(InboxesContract):
    """On a server."""


class TestForgetting(ForgettingContract):
    """On a server."""


class TestHistories(HistoryContract):
    """On a server."""

    @pytest.fixture
    def new_place(self, server: Postgres, aside: Aside, tmp_path: Path) -> Callable[[], PostgresPlace]:
        """Another empty database each time."""
        return lambda: PostgresPlace(server, aside, tmp_path)
