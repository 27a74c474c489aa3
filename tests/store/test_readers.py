"""Reads beside the writer: each gets its own answer, none keeps another, all come to an end, and a fault is its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest

from mailbridge.store import StoreUnavailable
from mailbridge.store.sqlite.readers import LONGEST_PAUSE, Readers, Reading
from tests.loop import looped, until

COUNT = 40


@asynccontextmanager
async def readers(folder: Path, *, count: int = 2, idle: bool = True) -> AsyncIterator[Readers]:
    """Over a table of numbers; ``idle``: whether the writer has nothing to do, for ever."""
    path = folder / "numbers.db"
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    with connection:
        connection.execute("CREATE TABLE IF NOT EXISTS number (n INTEGER PRIMARY KEY)")
        connection.executemany("INSERT OR IGNORE INTO number VALUES (?)", [(n,) for n in range(COUNT)])
    connection.close()
    event = threading.Event()
    if idle:
        event.set()

    def connect() -> apsw.Connection:
        if not path.exists():
            raise OSError("gone")
        return apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)

    one = Readers(connect, count=count, idle=event, keeper=connect())
    try:
        yield one
    finally:
        await one.close()


def numbers(reading: Reading, below: int) -> list[int]:
    """The numbers below one."""
    return [row[0] for row in reading.rows("SELECT n FROM number WHERE n < ? ORDER BY n", (below,))]


@looped
async def test_each_gets_its_own_answer(tmp_path: Path) -> None:
    """Many reads at once over few threads, from one loop."""
    async with readers(tmp_path) as some:
        found = await asyncio.gather(*(some.do(lambda reading, n=n: numbers(reading, n)) for n in range(COUNT)))  # type: ignore[misc]
    assert found == [list(range(n)) for n in range(COUNT)]


@looped
async def test_a_long_read_keeps_no_short_one(tmp_path: Path) -> None:
    """While one read goes on and on, another one is answered."""
    has_begun, over = threading.Event(), threading.Event()

    def endless(reading: Reading) -> int:
        has_begun.set()
        rounds = 0
        while not over.is_set():
            rounds += len(numbers(reading, COUNT))
        return rounds

    async with readers(tmp_path) as some:
        long = asyncio.create_task(some.do(endless))
        await until(has_begun.is_set)
        assert await some.rows("SELECT count(*) FROM number") == [(COUNT,)]
        over.set()
        assert await long > 0


@looped
async def test_a_read_ends_under_any_load(tmp_path: Path) -> None:
    """A writer that is never idle is waited for, after every few rows, and not for ever."""
    async with readers(tmp_path, idle=False) as some:
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert len(await some.rows("SELECT n FROM number")) == COUNT
        assert loop.time() - began >= LONGEST_PAUSE


@looped
async def test_a_fault_is_its_own(tmp_path: Path) -> None:
    """A mistake in a read comes to whoever asked, a database that is away is `StoreUnavailable`, and the next read works."""
    path = tmp_path / "numbers.db"
    async with readers(tmp_path, count=1) as some:

        def mistaken(reading: Reading) -> None:
            numbers(reading, 3)
            raise KeyError("a mistake of ours")

        with pytest.raises(KeyError):
            await some.do(mistaken)
        with pytest.raises(StoreUnavailable):
            await some.rows("SELECT * FROM nothing")
        path.rename(tmp_path / "elsewhere.db")
        with pytest.raises(StoreUnavailable) as caught:
            await some.rows("SELECT n FROM number")
        assert caught.value.kind == "gone"
        (tmp_path / "elsewhere.db").rename(path)
        assert await some.rows("SELECT n FROM number WHERE n < 2") == [(0,), (1,)]
    with pytest.raises(StoreUnavailable) as caught:
        await some.rows("SELECT 1")
    assert caught.value.kind == "closed"


@looped
async def test_a_read_writes_nothing(tmp_path: Path) -> None:
    """Its connection cannot, whatever it is told to do."""
    async with readers(tmp_path) as some:
        with pytest.raises(StoreUnavailable):
            await some.rows("DELETE FROM number")
        assert await some.rows("SELECT count(*) FROM number") == [(COUNT,)]


@looped
async def test_a_read_is_one_view(tmp_path: Path) -> None:
    """What is committed while it is under way is not seen by it, and is by the next one."""
    async with readers(tmp_path) as some:

        def twice(reading: Reading) -> tuple[int, int]:
            first = len(numbers(reading, 1_000))
            with apsw.Connection(str(tmp_path / "numbers.db")) as other:
                other.execute("INSERT INTO number VALUES (999)")
            return first, len(numbers(reading, 1_000))

        assert await some.do(twice) == (COUNT, COUNT)
        assert await some.rows("SELECT count(*) FROM number") == [(COUNT + 1,)]
