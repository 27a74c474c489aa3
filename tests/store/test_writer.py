"""The writer of SQLite: what runs in the loop that asks, what runs in its thread, and that neither waits for the other for ever."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import apsw
import pytest

from mailbridge.store import StoreUnavailable
from mailbridge.store.sqlite import SqliteStore
from tests.loop import looped
from tests.store.faulty import FaultyFiles
from tests.store.mails import arrival, draft
from tests.store.opening import made, opened, settled
from tests.store.test_sqlite_contract import HOLD, SqlitePlace
from tests.store.test_sqlite_contract import faulty_disk as faulty_disk

WRITER = "store-writer"


def thread_of(_: apsw.Connection) -> str:
    """The name of the thread that it runs in."""
    return threading.current_thread().name


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database is made."""
    return tmp_path / "mailbridge.db"


@looped
async def test_short_work_runs_in_the_loop(path: Path) -> None:
    """Short work is run where it is asked for, also what waited for a commit; other work in the writer's thread."""
    store = opened(path)
    here = threading.current_thread().name
    await store.writer.do(lambda _: None)
    names = await asyncio.gather(*(store.writer.do(thread_of, is_short=True) for _ in range(100)))
    assert set(names) == {here}
    assert await store.writer.do(thread_of) == WRITER
    await store.close()


@looped
async def test_work_is_done_in_the_order_in_which_it_was_asked_for(path: Path) -> None:
    """Short work and other work, mixed, keep their order."""
    store = opened(path)
    done: list[int] = []

    def note(number: int, connection: apsw.Connection) -> None:
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('number', ?)", (number,))
        done.append(number)

    await asyncio.gather(*(store.writer.do(partial(note, number), is_short=number % 7 < 4) for number in range(300)))
    assert done == list(range(300))
    assert await store.readers.rows("SELECT value FROM meta WHERE key = 'number'") == [(299,)]
    await store.close()


@looped
async def test_a_locked_database_never_stops_the_loop(path: Path) -> None:
    """Short work waits for another process's lock in the writer's thread; the loop goes on meanwhile, and the work is done after it."""
    store = opened(path, busy_timeout=timedelta(seconds=60))
    await store.writer.do(lambda _: None)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert (await asyncio.to_thread(holder.stdout.readline)) == "held\n"
        work = asyncio.ensure_future(store.writer.do(thread_of, is_short=True))
        await asyncio.sleep(0)
        assert not work.done()
        await asyncio.to_thread(holder.communicate)  # only this loop can end the lock
    assert await work == WRITER
    await store.close()


@pytest.mark.parametrize("trouble", ["locked", "full", "gone", "unwritable"])
@looped
async def test_a_small_mail_in_trouble_is_refused_whole(tmp_path: Path, faulty_disk: FaultyFiles, trouble: str) -> None:
    """What runs in the loop fails as what runs in the thread does: refused, named, nothing left behind, and well again after it."""
    place = SqlitePlace(tmp_path, faulty_disk)
    store = await place.open()
    first = await store.put(arrival(draft(), at=place.time.now()))
    mails = [arrival(draft(f"{number:06d}", identifier=f"{number}@x.example"), at=place.time.now()) for number in range(5)]
    with place.in_trouble(trouble):
        found = await asyncio.gather(*(store.put(mail) for mail in mails), return_exceptions=True)
        kind = {"unwritable": "gone"}.get(trouble, trouble)
        assert [getattr(one, "kind", None) for one in found] == [kind] * 5
        assert all(isinstance(one, StoreUnavailable) for one in found)
        assert store.trouble == kind
    assert len(await store.mails.page()) == 1
    assert [(await store.put(mail)).is_duplicate for mail in mails] == [False] * 5
    await settled(store, first.claims[0])
    assert store.trouble is None
    await store.close()


@looped
async def test_a_fault_in_short_work_harms_nobody_else(path: Path) -> None:
    """Short work that raises is undone alone; what was committed with it is there."""
    store = opened(path)

    def write(number: int, connection: apsw.Connection) -> None:
        connection.execute("INSERT INTO meta VALUES (?, 1)", (f"n{number}",))
        if number % 3 == 1:
            raise KeyError(number)

    found = await asyncio.gather(
        *(store.writer.do(partial(write, number), is_short=True) for number in range(9)), return_exceptions=True
    )
    assert [isinstance(one, KeyError) for one in found] == [number % 3 == 1 for number in range(9)]
    rows = await store.readers.rows("SELECT key FROM meta WHERE key LIKE 'n_' ORDER BY key")
    assert [row[0] for row in rows] == [f"n{number}" for number in range(9) if number % 3 != 1]
    await store.close()


@looped
async def test_a_visitor_leaves_without_a_word(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A store that is only read is closed without writing anything, and without a complaint about that."""
    await asyncio.to_thread(made, path)
    store = opened(path, is_visitor=True)
    assert len(await store.mails.page()) == 1
    await store.close()
    assert (store.trouble, caplog.records) == (None, [])


@pytest.fixture
def stopped(path: Path) -> Iterator[tuple[SqliteStore, asyncio.AbstractEventLoop]]:
    """A store, and a loop that stopped in the middle of its work."""
    store, loop = opened(path), asyncio.new_event_loop()

    async def begin() -> None:
        for _ in range(3):  # the first has the connection, the others wait for it
            loop.create_task(store.writer.do(thread_of, is_short=True))
        await asyncio.sleep(0)

    loop.run_until_complete(begin())
    yield store, loop
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_a_loop_that_stopped_keeps_nobody_waiting(stopped: tuple[SqliteStore, asyncio.AbstractEventLoop]) -> None:
    """Where the loop whose work is next does not go on, the thread does that work, and everybody behind it is answered."""

    async def ask() -> str:
        async with asyncio.timeout(60):
            return await stopped[0].writer.do(thread_of)

    assert asyncio.run(ask()) == WRITER
    asyncio.run(stopped[0].close())
