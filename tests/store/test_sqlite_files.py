"""Files, keys and databases that cannot be used are refused with words that help."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
import stat
import tempfile
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from mailbridge.clock import SteadyClock
from mailbridge.core.delivery import State
from mailbridge.store import StoreError, StoreInUse, StoreUnavailable
from mailbridge.store.cipher import KEY_LENGTH, MOUNTED, read_key
from mailbridge.store.reading import Poll
from mailbridge.store.sqlite import migrations
from tests.store.mails import arrival, draft
from tests.store.opening import made, opened
from tests.store.test_sqlite_contract import held_by_another_process


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


def test_a_visitor_reads_and_never_writes(tmp_path: Path) -> None:
    """A command sees what is stored; whatever it tried to change is refused by the database itself."""

    async def scene() -> None:
        store = opened(tmp_path / "mailbridge.db")
        await store.put(arrival(draft(), at=SteadyClock().now()))
        visitor = opened(tmp_path / "mailbridge.db", is_visitor=True)
        assert [one.state for one in await visitor.outbox.deliveries()] == [State.IN_FLIGHT]
        assert (await visitor.mails.page())[0].subject == "Your code is 482913"
        with pytest.raises(StoreUnavailable):
            await visitor.entries.put("address", "a@bridge.example", {}, by="a visitor")
        with pytest.raises(StoreUnavailable):
            await visitor.vault.remove_totp("shop")
        await visitor.close()
        await store.close()

    asyncio.run(scene())


def test_a_visitor_reads_while_the_database_is_being_written(tmp_path: Path) -> None:
    """Reading takes no lock: a command works while somebody else holds the database's write lock."""
    made(tmp_path / "mailbridge.db")

    async def scene() -> None:
        visitor = opened(tmp_path / "mailbridge.db", is_visitor=True, busy_timeout=timedelta(milliseconds=10))
        with held_by_another_process(tmp_path / "mailbridge.db"):
            assert len(await visitor.mails.page()) == 1
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
        (None, r"key file of the database is missing; copy it from another machine"),
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
    """The message is the command that fixes it."""
    path = tmp_path / "mailbridge.db"
    made(path)
    key = path.with_suffix(".key")
    key.chmod(0o640)
    with pytest.raises(StoreError, match=f"can be read by others: chmod 600 {key}"):
        opened(path)


def test_a_key_that_an_orchestrator_mounts_may_be_read_by_its_group() -> None:
    """Below /run/secrets alone, as Kubernetes gives a root's file to the group of a pod; by everybody, or changed by the group, not even there."""
    try:
        MOUNTED.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=MOUNTED))
    except PermissionError:
        pytest.skip("no right to make a file in /run/secrets: run the tests as root")
    key = folder / "mailbridge_key"
    try:
        key.write_bytes(b"k" * KEY_LENGTH)
        for mode, is_taken in ((0o440, True), (0o400, True), (0o444, False), (0o460, False)):
            key.chmod(mode)
            if is_taken:
                assert read_key(key, is_made=False) == b"k" * KEY_LENGTH
            else:
                with pytest.raises(StoreError, match="can be read by others"):
                    read_key(key, is_made=False)
    finally:
        shutil.rmtree(folder)
        with contextlib.suppress(OSError):
            MOUNTED.rmdir()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """A database of a newer version stays as it is."""
    path = tmp_path / "mailbridge.db"
    made(path)
    with apsw.Connection(str(path)) as connection:
        connection.pragma("user_version", migrations.newest() + 1)
    words = f"newer mailbridge \\(schema {migrations.newest() + 1}, this one knows {migrations.newest()}\\); upgrade"
    with pytest.raises(StoreError, match=words):
        opened(path)


def test_a_database_from_before_the_first_release_is_refused(tmp_path: Path) -> None:
    """It has no seal to tell its key by: the message says to move it away, and it stays as it is."""
    path = tmp_path / "mailbridge.db"
    made(path)
    with apsw.Connection(str(path)) as connection:
        connection.execute("DELETE FROM meta WHERE key = 'seal'")
        connection.pragma("user_version", 1)
    with pytest.raises(StoreError, match="before its first release; move it away"):
        opened(path)
    with apsw.Connection(str(path)) as connection:
        assert connection.pragma("user_version") == 1


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
    """After a refused key the same process can start again once that is repaired."""
    path = tmp_path / "mailbridge.db"
    made(path)
    path.with_suffix(".key").chmod(0o644)
    with pytest.raises(StoreError):
        opened(path)
    path.with_suffix(".key").chmod(0o600)
    asyncio.run(opened(path).close())


def test_what_is_forgotten_is_on_no_page_of_the_disk(tmp_path: Path) -> None:
    """After `forget` neither the database nor its log holds the name, in whatever spelling it came, while another's is there."""
    ann, ben = "Ann.Somebody@corp.example", "ben@corp.example"

    def octets() -> bytes:
        return b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith("mailbridge.db")).lower()

    async def scene() -> None:
        store = opened(tmp_path / "mailbridge.db")
        now = SteadyClock().now()
        for name in (ann, ann.upper(), ben):
            stored = await store.put(arrival(draft(identifier=name), at=now, sender=name))
            await store.codes.note(name, way="api", reader=name, what=f"mail {stored.mail_id}", is_consumed=False)
        await store.codes.pull(Poll(identifier=ann, run="tsk_1"))
        await store.answers.keep(b"k" * 32, request=b"r" * 32, answer=ann.encode())
        assert ann.lower().encode() in octets()
        await store.forget(ann)
        assert ann.lower().encode() not in octets()
        assert ben.encode() in octets()
        await store.close()
        assert ann.lower().encode() not in octets()

    asyncio.run(scene())
