"""What is SQLite's own: files and keys that are refused with words that help, the disk that forgets, and costs that do not grow."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import Awaitable, Sequence
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import TypeVar

import apsw
import pytest

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.delivery import TRANSITIONS, Accepted, Claim, Deferred, State, settle
from mailbridge.store import StoreError, StoreInUse
from mailbridge.store.schema import SCHEMA, VERSION
from mailbridge.store.sqlite import SqliteStore, open_sqlite
from tests.loop import looped
from tests.moved_time import MovedTime
from tests.store.mails import arrival, draft
from tests.store.test_sqlite_contract import SqlitePlace, held_by_another_process

T = TypeVar("T")

SECOND = timedelta(seconds=1)
SHORT = RetentionSettings(code=SECOND, mail=SECOND)


def opened(path: Path, *, time: MovedTime | None = None, is_visitor: bool = False, **settings: object) -> SqliteStore:
    """The store at a path."""
    clock = time.clock() if time is not None else SteadyClock()
    chosen = StoreSettings(url=f"sqlite:///{path}", **settings)  # type: ignore[arg-type]
    return open_sqlite(chosen, SHORT, clock=clock, grace=SECOND, is_visitor=is_visitor)


def made(path: Path) -> None:
    """A database with a mail in it, closed."""

    async def make() -> None:
        store = opened(path)
        await store.put(arrival(draft(), at=SteadyClock().now()))
        await store.close()

    asyncio.run(make())


async def settled(store: SqliteStore, claim: Claim, time: MovedTime) -> None:
    """Deliver a claim."""
    await store.settle(claim, settle(claim.delivery, Accepted(), now=time.now(), jitter=1.0, grace=SECOND))


# files and keys


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    """Database, log, index, lock and key are 0600, and the folder that is made for them 0700, whatever the umask."""

    async def scene() -> list[tuple[str, int]]:
        store = opened(tmp_path / "state" / "mailbridge.db")
        await store.put(arrival(draft(), at=SteadyClock().now()))
        found = [(one.name, stat.S_IMODE(one.stat().st_mode)) for one in (tmp_path / "state").iterdir()]
        await store.close()
        return found

    found = asyncio.run(scene())
    assert {name.removeprefix("mailbridge.") for name, _ in found} == {"db", "db-wal", "db-shm", "db.lock", "key"}
    assert {mode for _, mode in found} == {0o600}
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    """While one has the database, another is told so, and the first goes on."""

    async def scene() -> None:
        store = opened(tmp_path / "mailbridge.db")
        with pytest.raises(StoreInUse, match=r"another mailbridge uses this database; stop it"):
            opened(tmp_path / "mailbridge.db")
        await store.put(arrival(draft(), at=SteadyClock().now()))
        await store.close()
        await opened(tmp_path / "mailbridge.db").close()

    asyncio.run(scene())


def test_a_visitor_reads_and_retries_beside_the_daemon(tmp_path: Path) -> None:
    """A command sees what the daemon stored, and leaves its claims alone."""

    async def scene() -> None:
        store = opened(tmp_path / "mailbridge.db")
        await store.put(arrival(draft(), at=SteadyClock().now()))
        visitor = opened(tmp_path / "mailbridge.db", is_visitor=True)
        assert [one.state for one in await visitor.deliveries()] == [State.IN_FLIGHT]
        assert (await visitor.mails())[0].subject == "Your code is 482913"
        assert not await visitor.retry(1)
        await visitor.close()
        await store.close()

    asyncio.run(scene())


def test_a_visitor_reads_while_the_database_is_being_written(tmp_path: Path) -> None:
    """Reading takes no lock: a command works while somebody else holds the database's write lock."""
    made(tmp_path / "mailbridge.db")

    async def scene() -> None:
        visitor = opened(tmp_path / "mailbridge.db", is_visitor=True, busy_timeout=timedelta(milliseconds=10))
        with held_by_another_process(tmp_path / "mailbridge.db"):
            assert len(await visitor.mails()) == 1
        await visitor.close()

    asyncio.run(scene())


def test_a_visitor_makes_nothing(tmp_path: Path) -> None:
    """Where no daemon has run a command says so, and leaves no file behind."""
    with pytest.raises(StoreError, match="no database there yet; has the daemon run"):
        opened(tmp_path / "mailbridge.db", is_visitor=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("octets", "words"),
    [
        (None, r"key file of the database is missing; restore it from the backup"),
        (b"short", r"must hold 32 octets, not 5; restore it from the backup"),
        (b"x" * 32, r"was written with another key file; restore that one"),
    ],
    ids=["missing", "short", "another"],
)
def test_a_key_that_does_not_fit_is_refused(tmp_path: Path, octets: bytes | None, words: str) -> None:
    """A missing, cut or foreign key file is one clear sentence, and nothing is overwritten."""
    path = tmp_path / "mailbridge.db"
    made(path)
    key = path.with_suffix(".key")
    key.unlink()
    if octets is not None:
        key.write_bytes(octets)
        key.chmod(0o600)
    for is_visitor in (False, True):
        with pytest.raises(StoreError, match=words):
            opened(path, is_visitor=is_visitor)
    assert (key.read_bytes() if key.exists() else None) == octets


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """The message is the command that mends it."""
    path = tmp_path / "mailbridge.db"
    made(path)
    key = path.with_suffix(".key")
    key.chmod(0o640)
    with pytest.raises(StoreError, match=f"can be read by others: chmod 600 {key}"):
        opened(path)


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """A database of a newer version stays as it is."""
    path = tmp_path / "mailbridge.db"
    made(path)
    with apsw.Connection(str(path)) as connection:
        connection.pragma("user_version", VERSION + 1)
    with pytest.raises(StoreError, match=f"newer mailbridge \\(schema {VERSION + 1}, this one knows {VERSION}\\); upgrade"):
        opened(path)


def test_a_database_of_something_else_is_refused(tmp_path: Path) -> None:
    """Our tables are not put among those of another program."""
    path = tmp_path / "mailbridge.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (id)")
    with pytest.raises(StoreError, match="a database of something else"):
        opened(path)


@pytest.mark.parametrize("damage", ["text", "header", "middle", "cut"])
def test_a_damaged_database_is_refused(tmp_path: Path, damage: str) -> None:
    """No database, a zeroed header, a page of noise or a cut file: the message says to move it away or restore it."""
    path = tmp_path / "mailbridge.db"
    made(path)
    octets = bytearray(path.read_bytes())
    if damage == "text":
        octets = bytearray(b"This is a shopping list.\n" * 400)
    elif damage == "header":
        octets[:100] = bytes(100)
    elif damage == "middle":
        octets[4096 : 3 * 4096] = b"\xa5" * 8192
    else:
        del octets[len(octets) // 2 :]
    path.write_bytes(octets)
    with pytest.raises(StoreError, match=r"move it away.*(or restore a backup)"):
        opened(path)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """A file where the folder should be is one sentence."""
    (tmp_path / "state").write_text("a file")
    with pytest.raises(StoreError, match="folder must be writable"):
        opened(tmp_path / "state" / "mailbridge.db")


def test_a_failed_start_lets_go_of_the_lock(tmp_path: Path) -> None:
    """After a refused key the same process can start again once that is mended."""
    path = tmp_path / "mailbridge.db"
    made(path)
    path.with_suffix(".key").chmod(0o644)
    with pytest.raises(StoreError):
        opened(path)
    path.with_suffix(".key").chmod(0o600)
    asyncio.run(opened(path).close())


# what the database itself refuses


def insert(connection: apsw.Connection, state: State, number: int) -> None:
    """A delivery in a line of its own."""
    token, final = (1, None) if state is State.IN_FLIGHT else (0, None) if state is State.PENDING else (0, 9)
    connection.execute(
        "INSERT INTO delivery (id, mail_id, target, line, identifier, sender, kind, content, lifetime, state, received_at, deadline,"
        " token, final_at) VALUES (?, 1, 'skyvern', ?, 'x', 's', 'code', 'c', 1, ?, 1, 2, ?, ?)",
        (number, str(number), str(state), token, final),
    )


@pytest.fixture
def schema() -> apsw.Connection:
    """An empty database in memory, with one mail."""
    connection = apsw.Connection(":memory:")
    connection.execute(SCHEMA)
    connection.execute("INSERT INTO mail VALUES (1, 'f', 1, 'smtp', 'code', NULL, 1, 'f', NULL, NULL, NULL)")
    return connection


@pytest.mark.parametrize(("before", "after"), list(product(State, State)))
def test_the_database_refuses_what_the_table_does_not_have(schema: apsw.Connection, before: State, after: State) -> None:
    """Of all pairs of states exactly those of `TRANSITIONS` can be written, and a state can be kept."""
    schema.execute("DROP TRIGGER delivery_first")
    insert(schema, before, 1)
    is_open = after in (State.PENDING, State.IN_FLIGHT)
    statement = "UPDATE delivery SET state = ?, token = 1, final_at = ? WHERE id = 1"
    values = (str(after), None if is_open else 9)
    if before is after or any(pair == (before, after) for pair in ((one, two) for (one, _), two in TRANSITIONS.items())):
        schema.execute(statement, values)
    else:
        with pytest.raises(apsw.ConstraintError, match="no such transition"):
            schema.execute(statement, values)


@pytest.mark.parametrize("state", [State.DELIVERED, State.DEAD])
def test_no_delivery_begins_at_its_end(schema: apsw.Connection, state: State) -> None:
    """A new row cannot be delivered or dead: that takes an attempt."""
    with pytest.raises(apsw.ConstraintError, match="no state for a new delivery"):
        insert(schema, state, 1)


def test_one_line_has_one_in_flight(schema: apsw.Connection) -> None:
    """A second one of a target and identifier cannot be claimed."""
    insert(schema, State.IN_FLIGHT, 1)
    insert(schema, State.PENDING, 2)
    schema.execute("UPDATE delivery SET line = '1' WHERE id = 2")
    with pytest.raises(apsw.ConstraintError, match="UNIQUE"):
        schema.execute("UPDATE delivery SET state = 'in_flight', token = 1 WHERE id = 2")


@pytest.mark.parametrize(
    "nonsense",
    [
        "content = NULL",
        "state = 'lost'",
        "kind = 'fax'",
        "attempts = -1",
        "final_at = 3",
        "mail_id = 2",
        "is_doubtful = 2",
        "lifetime = -1",
    ],
)
def test_the_database_refuses_nonsense(schema: apsw.Connection, nonsense: str) -> None:
    """A waiting delivery without its code, an unknown state or kind, numbers below zero, a mail that is not there."""
    schema.execute("PRAGMA foreign_keys = on")
    insert(schema, State.PENDING, 1)
    with pytest.raises(apsw.ConstraintError):
        schema.execute(f"UPDATE delivery SET {nonsense} WHERE id = 1")


# faults


@looped
async def test_another_file_in_its_place_is_not_written(tmp_path: Path) -> None:
    """Where the database was replaced under the daemon nothing is accepted, the other file stays as it is, and the old one counts."""
    place = SqlitePlace(tmp_path)
    store = place.open()
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
    assert len(await store.mails()) == 2
    await store.close()


@looped
async def test_a_code_that_cannot_be_decrypted_is_a_dead_letter(tmp_path: Path) -> None:
    """Bits that rot in a stored code make it dead, with its reason; the next of the line goes."""
    place = SqlitePlace(tmp_path)
    store = place.open()
    first = await store.put(arrival(draft("111111", sender="a@larch.example"), at=place.time.now()))
    await store.put(arrival(draft("222222", sender="b@larch.example"), at=place.time.now()))
    await store.release(first.claims)
    with apsw.Connection(str(place.path)) as connection:
        connection.execute("UPDATE delivery SET content = zeroblob(length(content)) WHERE id = 1")
    (claim,) = (await store.claim(limit=10)).claims
    assert claim.delivery.draft.content.reveal() == "222222"
    rotten = (await store.deliveries(states=[State.DEAD]))[0]
    assert (rotten.id, rotten.reason) == (1, "what is stored of it cannot be decrypted")
    await store.close()


@looped
async def test_one_fault_in_a_batch_harms_nobody_else(tmp_path: Path) -> None:
    """Work that raises is undone alone; what was committed with it is there."""
    place = SqlitePlace(tmp_path)
    store = place.open()

    def fail(connection: apsw.Connection) -> None:
        connection.execute("INSERT INTO meta VALUES ('half', 1)")
        raise KeyError("a fault of ours")

    results = await asyncio.gather(
        store.put(arrival(draft(identifier="a@example.com"), at=place.time.now())),
        store._writer.do(fail),
        store.put(arrival(draft(identifier="b@example.com"), at=place.time.now())),
        return_exceptions=True,
    )
    assert isinstance(results[1], KeyError)
    assert len(await store.mails()) == 2
    assert await store._read("SELECT 1 FROM meta WHERE key = 'half'") == []
    await store.close()


def test_two_loops_are_both_answered(tmp_path: Path) -> None:
    """One store may be asked from more than one loop: each is woken, although their work is committed together."""
    store = opened(tmp_path / "mailbridge.db")

    async def ask() -> int:
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
        await settled(store, receipt.claims[0], time)
    rows = await store._read("SELECT content FROM delivery UNION ALL SELECT private FROM mail UNION ALL SELECT raw FROM mail")
    sealed = [bytes(row[0]) for row in rows]
    assert len(sealed) == 60
    assert all(one[-200:] in octets_of(path) for one in sealed[:20])
    time.pass_by(timedelta(minutes=20))
    await asyncio.gather(store.sweep(), *(store.put(arrival(at=time.now())) for _ in range(50)))
    await store.counts()
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
    receipt = await store.put(arrival(draft(), at=time.now()))
    await settled(store, receipt.claims[0], time)
    (row,) = await store._read("SELECT content FROM delivery")
    time.pass_by(timedelta(minutes=20))
    reader = apsw.Connection(str(path))
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM mail").fetchall()
    await store.sweep()
    await store.counts()
    assert bytes(row[0]) in octets_of(path)
    reader.close(True)
    store._writer._truncate_at = 0.0
    await store.counts()
    await store.counts()
    assert bytes(row[0]) not in octets_of(path)
    await store.close()


@looped
async def test_a_fingerprint_does_not_give_the_code_away(tmp_path: Path) -> None:
    """A fingerprint is kept under the key: what it was made of, which holds the code, cannot be found by trying."""
    store = opened(tmp_path / "mailbridge.db")
    await store.put(arrival(draft(), at=SteadyClock().now(), fingerprint="ann@example.com 482913"))
    (row,) = await store._read("SELECT fingerprint FROM mail")
    assert row[0] == store._cipher.digest("ann@example.com 482913")
    assert row[0] != opened(tmp_path / "other.db")._cipher.digest("ann@example.com 482913")
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
        await store._writer.do(lambda connection: connection.set_progress_handler(self._tick, 10), is_read=True)

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
    claims = first.claims or (await store.claim(limit=1)).claims
    step = settle(claims[0].delivery, Deferred(reason="503"), now=time.now(), jitter=1.0, grace=SECOND)
    await steps("defer", store.settle(claims[0], step))
    time.pass_by(SECOND)
    due = await steps("claim", store.claim(limit=1))
    await steps("settle", settled(store, due.claims[0], time))
    await steps("sweep", store.sweep())
    await steps("counts", store.counts())
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
        await asyncio.gather(*(settled(store, receipt.claims[0], time) for receipt in receipts))
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
    await store.release([head])
    few = await steps_of(store, time, "ann@example.com", "a@x.example")
    await flood(20, 1_000)
    last = (await store.deliveries(states=[State.IN_FLIGHT]))[0]
    await store._writer.do(
        lambda connection: connection.execute("UPDATE delivery SET state = 'pending', due_at = 1 WHERE id = ?", (last.id,))
    )
    many = await steps_of(store, time, "ann@example.com", "b@x.example")
    del many.of["counts"]  # they count what waits
    assert many.more_than(few) == {}
    await store.close()
