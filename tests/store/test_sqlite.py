"""What is SQLite's own: faults that stay where they are, the disk that forgets, and costs that do not grow."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import apsw
import pytest

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.delivery import Deferred, State
from mailbridge.store import Filter
from mailbridge.store.retaining import ERASED_AT_ONCE
from mailbridge.store.sqlite import SqliteStore, open_sqlite
from mailbridge.store.sqlite.mails import SqliteMails
from tests.loop import looped, until
from tests.moved_time import MovedTime
from tests.store.mails import arrival, draft
from tests.store.opening import SECOND, done_with, opened, settled
from tests.store.test_sqlite_contract import SqlitePlace

T = TypeVar("T")


@looped
async def test_another_file_in_its_place_is_not_written(tmp_path: Path) -> None:
    """Where the database was replaced under the daemon nothing is accepted, the other file stays as it is, and the old one counts."""
    place = SqlitePlace(tmp_path)
    store = await place.open()
    await store.put(arrival(draft(), at=place.time.now()))
    place.path.rename(tmp_path / "elsewhere")
    place.path.write_bytes(b"")
    for _ in range(3):
        with pytest.raises(Exception, match="store gone"):
            await store.put(arrival(draft(), at=place.time.now()))
    assert place.path.read_bytes() == b""
    place.path.unlink()
    (tmp_path / "elsewhere").rename(place.path)
    assert (await store.put(arrival(draft(), at=place.time.now()))).mail_id > 1
    assert len(await store.mails.page()) == 2
    await store.close()


@looped
async def test_a_code_that_cannot_be_decrypted_is_a_dead_letter(tmp_path: Path) -> None:
    """Bits that rot in a stored code make it dead, with its reason; the next of the line goes."""
    place = SqlitePlace(tmp_path)
    store = await place.open()
    first = await store.put(arrival(draft("111111", sender="a@larch.example"), at=place.time.now()))
    await store.put(arrival(draft("222222", sender="b@larch.example"), at=place.time.now()))
    await store.outbox.release(first.claims)
    with apsw.Connection(str(place.path)) as connection:
        connection.execute("UPDATE delivery SET content = zeroblob(length(content)) WHERE id = 1")
    (claim,) = (await store.outbox.claim(limit=10)).claims
    assert claim.delivery.draft.content.reveal() == "222222"
    rotten = (await store.outbox.deliveries(Filter(states=(State.DEAD,))))[0]
    assert (rotten.id, rotten.reason) == (1, "what is stored of it cannot be decrypted")
    await store.close()


@looped
async def test_one_fault_in_a_batch_harms_nobody_else(tmp_path: Path) -> None:
    """Work that raises is undone alone; what was committed with it is there."""
    place = SqlitePlace(tmp_path)
    store = await place.open()

    def fail(connection: apsw.Connection) -> None:
        connection.execute("INSERT INTO meta VALUES ('half', 1)")
        raise KeyError("a fault of ours")

    results = await asyncio.gather(
        store.put(arrival(draft(identifier="a@example.com"), at=place.time.now())),
        store.writer.do(fail),
        store.put(arrival(draft(identifier="b@example.com"), at=place.time.now())),
        return_exceptions=True,
    )
    assert isinstance(results[1], KeyError)
    assert len(await store.mails.page()) == 2
    assert await store.readers.rows("SELECT 1 FROM meta WHERE key = 'half'") == []
    await store.close()


def test_two_loops_are_both_answered(tmp_path: Path) -> None:
    """One store may be asked from more than one loop: each is woken, although their work is committed together."""
    store = opened(tmp_path / "mailbridge.db")

    async def ask() -> int:
        async with asyncio.timeout(10):
            receipts = [await store.put(arrival(draft(identifier=f"{n}@e.example"), at=SteadyClock().now())) for n in range(50)]
        return len(receipts)

    async def both() -> Sequence[int]:
        return await asyncio.gather(asyncio.to_thread(asyncio.run, ask()), asyncio.to_thread(asyncio.run, ask()))

    assert asyncio.run(both()) == [50, 50]
    asyncio.run(store.close())


# what the disk forgets


def octets_of(path: Path) -> bytes:
    """Everything that lies on disk of a database."""
    return b"".join(Path(f"{path}{ending}").read_bytes() for ending in ("", "-wal", "-shm") if Path(f"{path}{ending}").exists())


@looped
async def test_the_disk_forgets_what_is_erased(tmp_path: Path) -> None:
    """After a sweep no sealed code, subject or mail is left in database, log or free pages, with a full log right behind it."""
    time = MovedTime()
    path = tmp_path / "mailbridge.db"
    store = opened(path, time=time)
    for number in range(20):
        receipt = await store.put(arrival(draft(f"{number:06d}", identifier=f"{number}@x.example"), at=time.now(), size=9_000))
        await settled(store, receipt.claims[0])
    rows = await store.readers.rows(
        "SELECT content FROM delivery UNION ALL SELECT private FROM mail UNION ALL SELECT raw FROM mail"
    )
    sealed = [bytes(row[0]) for row in rows]
    assert len(sealed) == 60
    assert all(one[-200:] in octets_of(path) for one in sealed[:20])
    time.pass_by(timedelta(minutes=20))
    await asyncio.gather(store.sweep(), *(store.put(arrival(at=time.now())) for _ in range(50)))
    await done_with(store)
    left = octets_of(path)
    assert [one for one in sealed if one[:40] in left or one[-40:] in left] == []
    assert b"Your code is" not in left
    await store.close()


@looped
async def test_a_reader_only_puts_forgetting_off(tmp_path: Path) -> None:
    """While a reader holds the log it cannot be cut off; it is as soon as that is gone, without another erasure."""
    time = MovedTime()
    path = tmp_path / "mailbridge.db"
    store = opened(path, time=time, busy_timeout=timedelta(milliseconds=10))
    store.writer.truncate_again = 0.0
    receipt = await store.put(arrival(draft(), at=time.now()))
    await settled(store, receipt.claims[0])
    (row,) = await store.readers.rows("SELECT content FROM delivery")
    time.pass_by(timedelta(minutes=20))
    reader = apsw.Connection(str(path))
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM mail").fetchall()
    await store.sweep()
    await done_with(store)
    assert bytes(row[0]) in octets_of(path)
    reader.close(True)
    await done_with(store)
    await done_with(store)
    assert bytes(row[0]) not in octets_of(path)
    await store.close()


@looped
async def test_a_fingerprint_does_not_give_the_code_away(tmp_path: Path) -> None:
    """A fingerprint is kept under the key: what it was made of, which holds the code, cannot be found by trying."""
    store = opened(tmp_path / "mailbridge.db")
    await store.put(arrival(draft(), at=SteadyClock().now(), fingerprint="ann@example.com 482913"))
    (row,) = await store.readers.rows("SELECT fingerprint FROM mail")
    assert row[0] == store.cipher.digest("ann@example.com 482913")
    assert row[0] != opened(tmp_path / "other.db").cipher.digest("ann@example.com 482913")
    await store.close()


@looped
async def test_a_sealed_value_belongs_to_its_row(tmp_path: Path) -> None:
    """A code, a subject or a mail that is put into another row opens nowhere; under another number its row opens as before."""
    place = SqlitePlace(tmp_path)
    store = await place.open()
    for code in ("111111", "222222"):
        await store.put(arrival(draft(code, identifier=f"{code}@x.example"), at=place.time.now()))
    await store.close()
    with apsw.Connection(str(place.path)) as connection:
        connection.execute("UPDATE delivery SET id = 70 WHERE id = 1")
        connection.execute("UPDATE mail SET id = 80 WHERE id = 1")
        connection.execute("UPDATE delivery SET content = (SELECT content FROM delivery WHERE id = 70) WHERE id = 2")
        for column in ("private", "raw"):
            connection.execute(f"UPDATE mail SET {column} = (SELECT {column} FROM mail WHERE id = 80) WHERE id = 2")
    store = await place.open()
    assert [(one.id, one.draft.content.reveal()) for one in await store.outbox.deliveries()] == [(70, "111111"), (2, "")]
    assert [(one.id, one.subject) for one in await store.mails.page()] == [(80, "Your code is 111111"), (2, "")]
    assert await store.mails.raw(80) is not None
    assert await store.mails.raw(2) is None
    await store.close()


@looped
async def test_a_search_that_has_no_time_goes_on_later(tmp_path: Path) -> None:
    """It looks at one mail at least, says where to go on, and comes to its end in the end."""
    place = SqlitePlace(tmp_path)
    store = await place.open()
    for number in range(5):
        await store.put(arrival(draft(f"{number:06d}", identifier=f"u{number}@x.example"), at=place.time.now()))
    hurried = SqliteMails(readers=store.readers, cipher=store.cipher, search_time=0.0)
    pages = [await hurried.search("code is 00000")]
    while pages[-1].next is not None:
        pages.append(await hurried.search("code is 00000", before=pages[-1].next))
    assert [row.id for page in pages for row in page] == [5, 4, 3, 2, 1]
    assert len(pages) == 5
    await store.close()


# costs


class Steps:
    """How many steps SQLite's machine makes for each operation, in tens."""

    def __init__(self) -> None:
        self.of: dict[str, int] = {}
        self._count = 0

    def _tick(self) -> bool:
        self._count += 1
        return False

    async def watch(self, store: SqliteStore) -> None:
        """Count from now on."""
        await store.writer.do(lambda connection: connection.set_progress_handler(self._tick, 10))

    async def __call__(self, name: str, work: Awaitable[T]) -> T:
        """Count what a piece of work takes."""
        self._count = 0
        result = await work
        self.of[name] = self._count
        return result

    def more_than(self, fewer: Steps) -> dict[str, int]:
        """The operations that take clearly more than they did."""
        return {name: steps for name, steps in self.of.items() if steps > fewer.of[name] * 1.2 + 3}


async def steps_of(store: SqliteStore, time: MovedTime, identifier: str, sender: str) -> Steps:
    """What one more code takes, from `put` to delivered, with a failed attempt; and a sweep and the counts after it."""
    steps = Steps()
    await steps.watch(store)
    first = await steps("put", store.put(arrival(draft(identifier=identifier, sender=sender), at=time.now())))
    claims = first.claims or (await store.outbox.claim(limit=1)).claims
    await steps("defer", store.outbox.settle(claims[0], Deferred(reason="503"), jitter=1.0, grace=SECOND))
    time.pass_by(SECOND)
    due = await steps("claim", store.outbox.claim(limit=1))
    await steps("settle", settled(store, due.claims[0]))
    await steps("sweep", store.sweep())
    await steps("counts", store.outbox.counts())
    return steps


@looped
async def test_no_cost_grows_with_what_came_before(tmp_path: Path) -> None:
    """With ten times the mails and deliveries behind it, every operation takes as many steps as before."""
    time = MovedTime()
    clock = time.clock()
    settings = StoreSettings(url=f"sqlite:///{tmp_path / 'mailbridge.db'}")
    store = open_sqlite(settings, RetentionSettings(), clock=clock, grace=SECOND)

    async def fill(first: int, last: int) -> None:
        receipts = await asyncio.gather(
            *(store.put(arrival(draft(identifier=f"u{n}@x.example"), at=time.now())) for n in range(first, last))
        )
        await asyncio.gather(*(settled(store, receipt.claims[0]) for receipt in receipts))
        time.pass_by(timedelta(minutes=1))

    await fill(0, 200)
    few = await steps_of(store, time, "x1@x.example", "a@x.example")
    await fill(200, 2_000)
    many = await steps_of(store, time, "x2@x.example", "a@x.example")
    assert many.more_than(few) == {}
    await store.close()


@looped
async def test_a_long_line_costs_no_more_than_a_short_one(tmp_path: Path) -> None:
    """A flood of codes of many senders to one identifier makes neither the next put nor the next settle dearer."""
    time = MovedTime()
    settings = StoreSettings(url=f"sqlite:///{tmp_path / 'mailbridge.db'}")
    store = open_sqlite(settings, RetentionSettings(), clock=time.clock(), grace=SECOND)

    async def flood(first: int, last: int) -> None:
        await asyncio.gather(
            *(store.put(arrival(draft(sender=f"s{n}@x.example", run=f"wr_{n}"), at=time.now())) for n in range(first, last))
        )

    (head,) = (await store.put(arrival(draft(sender="head@x.example"), at=time.now()))).claims
    await flood(0, 20)
    await store.outbox.release([head])
    few = await steps_of(store, time, "ann@example.com", "a@x.example")
    await flood(20, 1_000)
    last = (await store.outbox.deliveries(Filter(states=(State.IN_FLIGHT,))))[0]
    await store.writer.do(
        lambda connection: connection.execute("UPDATE delivery SET state = 'pending', due_at = 1 WHERE id = ?", (last.id,))
    )
    many = await steps_of(store, time, "ann@example.com", "b@x.example")
    del many.of["counts"]  # they count what waits
    assert many.more_than(few) == {}
    await store.close()


@looped
async def test_much_is_erased_in_parts(tmp_path: Path) -> None:
    """A sweep takes a part and asks to be called at once; after some of them nothing is left, in the database or beside it."""
    time = MovedTime()
    path = tmp_path / "mailbridge.db"
    store = opened(path, time=time)
    total = ERASED_AT_ONCE * 2 + 10
    receipts = await asyncio.gather(
        *(store.put(arrival(draft(identifier=f"u{n}@x.example"), at=time.now(), size=10)) for n in range(total))
    )
    await asyncio.gather(*(settled(store, receipt.claims[0]) for receipt in receipts))
    rows = await store.readers.rows("SELECT content FROM delivery UNION ALL SELECT private FROM mail")
    time.pass_by(timedelta(minutes=20))
    assert await store.sweep() == time.now()
    (left,) = await store.readers.rows("SELECT count(content), (SELECT count(private) FROM mail) FROM delivery")
    assert left == (total - ERASED_AT_ONCE, total - ERASED_AT_ONCE)
    assert await store.sweep() == time.now()
    again_at = await store.sweep()
    assert again_at is not None
    assert again_at > time.now()
    await done_with(store)
    octets = octets_of(path)
    assert [row for (row,) in rows if bytes(row)[:24] in octets] == []
    await store.close()


@looped
async def test_a_log_that_a_killed_process_left_is_cut_off(tmp_path: Path) -> None:
    """What was erased just before a kill lies in the log no longer when the next process has started."""
    place = SqlitePlace(tmp_path)
    store = await place.open()
    receipt = await store.put(arrival(draft(), at=place.time.now()))
    await settled(store, receipt.claims[0])
    (row,) = await store.readers.rows("SELECT content FROM delivery")
    await store.writer.do(lambda connection: connection.execute("UPDATE delivery SET content = NULL"))
    await place.kill(store)
    assert bytes(row[0]) in octets_of(place.path)
    store = await place.open()
    await done_with(store)
    await until(lambda: bytes(row[0]) not in octets_of(place.path))
    await store.close()
