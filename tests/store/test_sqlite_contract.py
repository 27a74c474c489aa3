"""SQLite passes the contract of a store."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.store import Store
from mailbridge.store.sqlite import SqliteStore, open_sqlite
from tests.moved_time import MovedTime
from tests.store.contract import GRACE, RETENTION
from tests.store.contract.codes import CodesContract
from tests.store.contract.entries import EntriesContract
from tests.store.contract.events import EventsContract
from tests.store.contract.forgetting import ForgettingContract
from tests.store.contract.histories import HistoryContract
from tests.store.contract.inboxes import InboxesContract
from tests.store.contract.lists import ListsContract
from tests.store.contract.order import OrderContract
from tests.store.contract.sessions import SessionsContract
from tests.store.contract.storing import StoringContract
from tests.store.contract.time import TimeContract
from tests.store.contract.trouble import TroubleContract
from tests.store.faulty import FaultyFiles

HOLD = """
import apsw, sys
connection = apsw.Connection(sys.argv[1])
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held_by_another_process(path: Path) -> Iterator[None]:
    """Another process has the database's write lock for the length of the block."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield
        finally:
            holder.communicate()


class SqlitePlace:
    """A database in a folder of its own. Implements `tests.store.contract.Place`."""

    def __init__(self, folder: Path, disk: FaultyFiles | None = None) -> None:
        self.disk = disk
        self._folder = folder
        self._kills = 0
        self.path = folder / "mailbridge.db"
        self.time = MovedTime()

    async def open(self, retention: RetentionSettings = RETENTION) -> SqliteStore:
        """Open it."""
        settings = StoreSettings(url=f"sqlite:///{self.path}", busy_timeout=timedelta(milliseconds=20))
        return open_sqlite(settings, retention, clock=self.time.clock(), grace=GRACE)

    async def kill(self, store: Store) -> None:
        """Go on with a copy of what is on disk now, as it is found after a process was killed."""
        self._kills += 1
        after = self._folder / f"after-{self._kills}" / self.path.name
        after.parent.mkdir(mode=0o700)

        def copy(_: object) -> None:
            for ending in ("", "-wal"):
                shutil.copy(f"{self.path}{ending}", f"{after}{ending}")

        assert isinstance(store, SqliteStore)
        await store.writer.do(copy)  # in its thread, so that the log is not copied back between the two
        shutil.copy(self.path.with_suffix(".key"), after.with_suffix(".key"))
        await store.close()
        self.path = after

    def in_trouble(self, name: str) -> AbstractContextManager[None]:
        """See `Place`; a faulty disk is needed for the disk's faults."""
        match name:
            case "locked":
                return held_by_another_process(self.path)
            case "gone":
                return self._gone()
            case "full":
                return self._disk.full()
            case "unwritable":
                return self._disk.unwritable()
            case _:
                raise LookupError(name)

    @property
    def _disk(self) -> FaultyFiles:
        assert self.disk is not None, "the fixture faulty_disk is missing"
        return self.disk

    @contextmanager
    def _gone(self) -> Iterator[None]:
        elsewhere = self.path.with_name("elsewhere.db")
        self.path.rename(elsewhere)
        try:
            yield
        finally:
            elsewhere.rename(self.path)


@pytest.fixture
def place(tmp_path: Path) -> SqlitePlace:
    """An empty folder."""
    return SqlitePlace(tmp_path)


class TestStoring(StoringContract):
    """Over a database file."""


class TestOrder(OrderContract):
    """Over a database file."""


class TestEvents(EventsContract):
    """What happened beside mails."""


class TestTime(TimeContract):
    """Over a database file."""


@pytest.fixture
def faulty_disk() -> Iterator[FaultyFiles]:
    """Under every database that is opened in a test."""
    disk = FaultyFiles()
    yield disk
    disk.unregister()


class TestTrouble(TroubleContract):
    """Over a database file on a disk that fails."""

    @pytest.fixture
    def place(self, tmp_path: Path, faulty_disk: FaultyFiles) -> SqlitePlace:
        """An empty folder on it."""
        return SqlitePlace(tmp_path, faulty_disk)


class TestLists(ListsContract):
    """Over a database file."""


class TestCodes(CodesContract):
    """Over a database file."""


class TestEntries(EntriesContract):
    """Over a database file."""


class TestSessions(SessionsContract):
    """Over a database file."""


class TestInboxes(InboxesContract):
    """Over a database file."""


class TestForgetting(ForgettingContract):
    """Over a database file."""


class TestHistories(HistoryContract):
    """Over a database file."""

    @pytest.fixture
    def new_place(self, tmp_path: Path) -> Callable[[], SqlitePlace]:
        """Another empty folder each time."""
        numbers = itertools.count(1)

        def make() -> SqlitePlace:
            folder = tmp_path / str(next(numbers))
            folder.mkdir()
            return SqlitePlace(folder)

        return make
