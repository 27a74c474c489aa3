"""SQLite passes the contract of a store."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.store import Store
from mailbridge.store.sqlite import SqliteStore, open_sqlite
from tests.moved_time import MovedTime
from tests.store.contract import GRACE, RETENTION
from tests.store.contract_histories import HistoryContract
from tests.store.contract_order import OrderContract
from tests.store.contract_storing import StoringContract
from tests.store.contract_time import TimeContract
from tests.store.contract_trouble import TroubleContract

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

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kills = 0
        self.path = folder / "mailbridge.db"
        self.time = MovedTime()

    def open(self, retention: RetentionSettings = RETENTION) -> SqliteStore:
        """Open it."""
        settings = StoreSettings(url=f"sqlite:///{self.path}", busy_timeout=timedelta(milliseconds=20))
        return open_sqlite(settings, retention, clock=self.time.clock(), grace=GRACE)

    async def kill(self, store: Store) -> None:
        """Go on with a copy of what is on disk now, as it is found after a process was killed."""
        self._kills += 1
        after = self._folder / f"after-{self._kills}" / self.path.name
        after.parent.mkdir(mode=0o700)
        for ending in ("", "-wal"):
            shutil.copy(f"{self.path}{ending}", f"{after}{ending}")
        shutil.copy(self.path.with_suffix(".key"), after.with_suffix(".key"))
        await store.close()
        self.path = after

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Another process holds the write lock."""
        with held_by_another_process(self.path):
            yield

    @contextmanager
    def gone(self) -> Iterator[None]:
        """The file is elsewhere."""
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


class TestTime(TimeContract):
    """Over a database file."""


class TestTrouble(TroubleContract):
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
