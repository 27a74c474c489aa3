"""Numbered files of SQL make every database what a new one is, at once or not at all, and a released file is never changed."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import apsw
import pytest

from mailbridge.clock import SteadyClock
from mailbridge.store import StoreError
from mailbridge.store.cipher import Cipher, read_key
from mailbridge.store.sqlite import migrations
from tests.store.mails import arrival, draft
from tests.store.opening import opened
from tests.upgrade.left import RELEASE, Left

RELEASED = {
    1: "f9f7ce26355a5ede65cff068961f021d44afcf6da62b03609194e097fd177ab4",
    2: "d6a07148b4871b9214579d4e929eb5ba2f4276fcaad17bdb094bb5b7d7cb3a79",
}
"""SHA-256 of the files that are in the hands of users."""


def ask(path: Path, question: str) -> list[tuple[Any, ...]]:
    """What a closed database answers; no file appears beside it."""
    connection = apsw.Connection(f"file:{path}?immutable=1", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    found: list[tuple[Any, ...]] = list(connection.execute(question))
    connection.close(True)
    return found


def shape(path: Path) -> list[tuple[str, str]]:
    """Every table, index and trigger of a database, without regard to blanks."""
    rows = ask(path, "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
    return [(name, " ".join(sql.split())) for name, sql in rows]


def version(path: Path) -> int:
    """Of a database."""
    return int(ask(path, "PRAGMA user_version")[0][0])


def made_at(path: Path, number: int) -> None:
    """An empty database of an old version, with its key."""
    cipher = Cipher(read_key(path.with_suffix(".key"), is_made=True))
    with apsw.Connection(str(path)) as connection:
        migrations.apply(connection, to=number)
        connection.execute("INSERT INTO meta VALUES ('seal', ?)", (cipher.seal(b"mailbridge", "meta"),))


def test_a_released_file_is_never_changed() -> None:
    """What is to be different is another file, with the next number."""
    found = {number: hashlib.sha256(text.encode()).hexdigest() for number, text in migrations.files().items()}
    assert {number: found[number] for number in RELEASED} == RELEASED


def test_numbers_go_up_by_one() -> None:
    """No file is missing, and no step belongs to none."""
    assert list(migrations.files()) == list(range(1, migrations.newest() + 1))
    assert set(migrations.STEPS) <= set(migrations.files())


def test_the_first_files_make_what_release_0_1_0_made(tmp_path: Path) -> None:
    """Table for table, index for index."""
    made_at(tmp_path / "mailbridge.db", 2)
    assert shape(tmp_path / "mailbridge.db") == shape(RELEASE / "mailbridge.db")
    assert version(RELEASE / "mailbridge.db") == 2


@pytest.mark.parametrize("number", range(1, migrations.newest()))
def test_an_old_database_becomes_what_a_new_one_is(tmp_path: Path, number: int) -> None:
    """From every version; a command does not do that, it says who does. After it mail is stored, and the next start finds it."""
    path = tmp_path / "mailbridge.db"
    made_at(path, number)
    with pytest.raises(StoreError, match=r"written by an older mailbridge .* restart the daemon"):
        opened(path, is_visitor=True)
    assert version(path) == number

    async def scene() -> None:
        store = opened(path)
        await store.put(arrival(draft(), at=SteadyClock().now()))
        await store.close()
        await opened(path).close()
        await opened(tmp_path / "new.db").close()

    asyncio.run(scene())
    assert version(path) == migrations.newest()
    assert shape(path) == shape(tmp_path / "new.db")


def test_an_upgrade_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be applied leaves the database of the old release as it was, whatever came before it."""
    left = Left(tmp_path)
    path = tmp_path / "mailbridge.db"
    before = shape(path)
    files = migrations.files()
    broken = files | {max(files) + 1: "CREATE TABLE half (id); INSERT INTO nowhere VALUES (1);"}
    monkeypatch.setattr(migrations, "files", lambda: broken)
    with pytest.raises(StoreError):
        left.open()
    assert (version(path), shape(path)) == (2, before)
    monkeypatch.setattr(migrations, "files", lambda: files)
    asyncio.run(left.open().close())
    assert version(path) == migrations.newest()
