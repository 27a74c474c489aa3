"""A copy of the database made while it is written to, and an older copy put back: nothing that is over is pushed or shown."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import pytest
from click.testing import CliRunner

from mailbridge.cli import cli
from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.delivery import State
from mailbridge.store import StoreError, StoreInUse
from mailbridge.store.places import key_path_of, path_of
from mailbridge.store.reading import Poll, Wanted
from mailbridge.store.sql.returning import REASON
from mailbridge.store.sqlite import SqliteStore, migrations, open_sqlite
from mailbridge.store.sqlite.backup import back_up, put_back
from tests.loop import looped
from tests.store.everything import filled, told
from tests.store.faulty import faulty_files
from tests.store.mails import arrival, draft
from tests.upgrade.left import Left

GRACE = timedelta(seconds=1)


def opened(settings: StoreSettings) -> SqliteStore:
    """The store as a daemon opens it."""
    return open_sqlite(settings, RetentionSettings(), clock=SteadyClock(), grace=GRACE)


@pytest.fixture
def settings(tmp_path: Path) -> StoreSettings:
    """A store with something of everything, closed."""
    return filled(StoreSettings(url=f"sqlite:///{tmp_path}/state/mailbridge.db"))


@looped
async def test_a_copy_is_of_one_moment_while_mail_comes_in(settings: StoreSettings, tmp_path: Path) -> None:
    """Each mail of the copy is there whole, with its delivery and its line; and the daemon that has the database is not disturbed."""
    store = opened(settings)
    count = 0

    async def write() -> None:
        nonlocal count
        while True:
            await store.put(arrival(draft("482913", identifier=f"n{count}@example.com"), at=store.clock.now()))
            count += 1

    writing = asyncio.create_task(write())
    while count < 5:
        await asyncio.sleep(0)
    done = await asyncio.to_thread(back_up, settings, tmp_path / "copy.db")
    writing.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await writing
    await store.close()
    with apsw.Connection(str(tmp_path / "copy.db"), flags=apsw.SQLITE_OPEN_READONLY) as copy:
        counts: list[Any] = copy.execute(
            "SELECT (SELECT count(*) FROM mail), (SELECT count(*) FROM journal WHERE event = 'stored'),"
            " (SELECT count(*) FROM mail WHERE verdict = 'code' AND is_held = 0 AND id NOT IN (SELECT mail_id FROM delivery))"
        ).fetchall()
        ((mails, lines, lonely),) = counts
        assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert (mails, lines) == (done.mails, done.mails)
    assert lonely == 0
    assert mails >= 15


def test_a_copy_is_its_owners_alone_and_holds_no_secret_in_clear(settings: StoreSettings, tmp_path: Path) -> None:
    """One file, 0600, without the key; a file that is there is never written over, and nothing is left beside it."""
    folder = tmp_path / "copies"
    folder.mkdir()
    back_up(settings, folder / "copy.db")
    assert [one.name for one in folder.iterdir()] == ["copy.db"]
    assert (folder / "copy.db").stat().st_mode & 0o077 == 0
    octets = (folder / "copy.db").read_bytes()
    for word in (b"555555", b"GEZDGNBVGY3TQOJQ", b"whsec_1", b"Your code is", key_path_of(settings).read_bytes()):
        assert word not in octets
    with pytest.raises(StoreError, match="exists already"):
        back_up(settings, folder / "copy.db")
    assert (folder / "copy.db").read_bytes() == octets


@looped
async def test_where_there_is_no_room_there_is_no_copy(settings: StoreSettings, tmp_path: Path) -> None:
    """No half of one either; and what is put back where there is no room leaves the database as it was."""
    back_up(settings, tmp_path / "copy.db")
    before = path_of(settings).read_bytes()
    async with faulty_files() as files:
        with files.full():
            with pytest.raises(StoreError, match="the disk is full"):
                back_up(settings, tmp_path / "another.db")
            with pytest.raises(StoreError, match="the disk is full"):
                put_back(settings, tmp_path / "copy.db", is_replacing=True)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["copy.db", "state"]
    assert path_of(settings).read_bytes() == before


@looped
async def test_nothing_of_an_old_copy_is_pushed_or_shown(settings: StoreSettings, tmp_path: Path) -> None:
    """Neither what waited nor what was in flight, and no code that is within its life: a newer one may have come since."""
    store = opened(settings)
    await store.put(arrival(draft("123456", identifier="zoe@example.com"), at=store.clock.now()))
    await store.close()
    back_up(settings, tmp_path / "copy.db")
    done = put_back(settings, tmp_path / "copy.db", is_replacing=True)
    store = opened(settings)
    try:
        assert (await store.outbox.claim(limit=100)).claims == ()
        await store.sweep()
        assert (await store.outbox.claim(limit=100)).claims == ()
        for identifier in ("zoe@example.com", "dan@example.com", "Ben@Example.com"):
            assert await store.codes.newest(Wanted(identifier=identifier)) is None
            assert await store.codes.pull(Poll(identifier=identifier, run="wr_9")) is None
        assert await store.codes.live(identifiers=["*"]) == ()
        ended = [one for one in await store.outbox.deliveries(limit=100) if one.reason == REASON]
        assert {one.state for one in ended} == {State.EXPIRED}
        assert len(ended) == done.ended > 0
        receipt = await store.put(arrival(draft("654321", identifier="zoe@example.com"), at=store.clock.now()))
        assert [one.delivery.draft.content.reveal() for one in receipt.claims] == ["654321"]
    finally:
        await store.close()


@looped
async def test_all_else_is_as_it_was_in_the_copy(settings: StoreSettings, tmp_path: Path) -> None:
    """Mails, entries, secrets, tokens, authenticators, the place of a mailbox; but nobody is logged in."""
    store = opened(settings)
    expected = await told(store)
    await store.close()
    back_up(settings, tmp_path / "copy.db")
    path_of(settings).unlink()
    put_back(settings, tmp_path / "copy.db", is_replacing=False)
    store = opened(settings)
    found = await told(store)
    await store.close()
    for name in (
        "mails",
        "raw",
        "given",
        "totp",
        "entries",
        "secrets",
        "tokens",
        "inboxes",
        "alarms",
        "learned",
        "cursor",
        "notes",
        "name",
    ):
        assert found[name] == expected[name], name
    assert (found["sessions"], found["password"]) == ((), expected["password"])
    assert path_of(settings).stat().st_mode & 0o077 == 0


@looped
async def test_numbers_go_on_behind_what_was_given_out_since(settings: StoreSettings, tmp_path: Path) -> None:
    """Whoever has followed the journal further than the copy knows misses nothing, and no webhook tells anything again."""
    back_up(settings, tmp_path / "copy.db")
    store = opened(settings)
    for number in range(50):
        await store.put(arrival(draft("482913", identifier=f"since{number}@example.com"), at=store.clock.now()))
    token = await store.entries.add_token(b"\1" * 32, name="since", identifiers=("*",), expires_at=None)
    seen = (await store.journal.after(0, limit=1_000))[-1].id
    await store.events.told("hook", seen)
    await store.close()
    put_back(settings, tmp_path / "copy.db", is_replacing=True)
    store = opened(settings)
    await store.put(arrival(draft("654321"), at=store.clock.now()))
    lines = await store.journal.after(seen, limit=1_000)
    untold = await store.journal.after(await store.events.place("hook"), limit=1_000)
    other = await store.entries.add_token(b"\2" * 32, name="new", identifiers=("*",), expires_at=None)
    await store.close()
    assert [line.event for line in lines][:2] == ["restored", "stored"]
    assert [line.event for line in untold][:1] == ["stored"]
    assert other.id > token.id


@looped
async def test_a_copy_of_an_older_release_is_put_back(tmp_path: Path) -> None:
    """Brought up to date in the same step: what its daemon would have pushed at its start is ended."""
    left = Left(tmp_path)
    settings = StoreSettings(url=f"sqlite:///{left.folder}/mailbridge.db")
    back_up(settings, tmp_path / "copy.db")
    put_back(settings, tmp_path / "copy.db", is_replacing=True)
    store = opened(settings)
    assert (await store.outbox.claim(limit=100)).claims == ()
    assert await store.outbox.counts() | {State.DEAD: 0, State.EXPIRED: 0} == dict.fromkeys(await store.outbox.counts(), 0)
    await store.close()


def spoiled(copy: Path, how: str) -> None:
    """Make something else of a copy."""
    if how == "no database":
        copy.write_bytes(b"no database at all" * 100)
        return
    if how == "damaged":
        octets = bytearray(copy.read_bytes())
        octets[8192 : len(octets) // 2] = b"\xff" * (len(octets) // 2 - 8192)
        copy.write_bytes(octets)
        return
    with apsw.Connection(str(copy)) as connection:
        if how == "newer":
            connection.pragma("user_version", migrations.newest() + 1)
        elif how == "between two keys":
            connection.execute("INSERT INTO meta VALUES ('rotation', 'old')")
        elif how == "half moved":
            connection.execute("INSERT INTO meta VALUES ('moving', '{}')")
        else:
            connection.execute("DROP TABLE meta")
            connection.pragma("user_version", 0)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("no database", "not a database"),
        ("damaged", "damaged"),
        ("newer", "written by a newer mailbridge"),
        ("half moved", "a move into it is not over"),
        ("between two keys", "its key is being changed"),
        ("something else", "is not a database of mailbridge"),
    ],
)
def test_what_is_no_whole_copy_is_not_put_back(settings: StoreSettings, tmp_path: Path, how: str, words: str) -> None:
    """It says what is wrong, and the database stays as it is."""
    back_up(settings, tmp_path / "copy.db")
    spoiled(tmp_path / "copy.db", how)
    before = path_of(settings).read_bytes()
    with pytest.raises(StoreError, match=words):
        put_back(settings, tmp_path / "copy.db", is_replacing=True)
    assert path_of(settings).read_bytes() == before


def test_the_key_must_be_the_one_of_that_time(settings: StoreSettings, tmp_path: Path) -> None:
    """Of another one nothing could be read; without one it is not made anew."""
    back_up(settings, tmp_path / "copy.db")
    key_path_of(settings).write_bytes(b"k" * 32)
    with pytest.raises(StoreError, match="was written with another key file"):
        put_back(settings, tmp_path / "copy.db", is_replacing=True)
    key_path_of(settings).unlink()
    with pytest.raises(StoreError, match="the key file of the database is missing"):
        put_back(settings, tmp_path / "copy.db", is_replacing=True)
    assert not key_path_of(settings).exists()


def test_the_commands_tell_what_they_did(settings: StoreSettings, tmp_path: Path) -> None:
    """What is in the copy and what is not; a daemon is left alone, a database is replaced only where that is said."""
    config, copy = tmp_path / "mailbridge.toml", str(tmp_path / "copy.db")
    config.write_text(f'[store]\nurl = "{settings.url}"\n', encoding="utf-8")

    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli, [*words, "--config", str(config)])
        return done.exit_code, done.output

    assert run("backup", copy)[0] == 0
    code, said = run("backup", copy)
    assert (code, "name a new file" in said) == (69, True)
    for nothing in ("", ".", str(tmp_path)):
        assert run("backup", nothing)[0] in {2, 69}
        assert run("restore", nothing)[0] in {2, 69}
    code, said = run("restore", copy)
    assert (code, "--replace" in said) == (69, True)
    store = opened(settings)
    assert run("restore", copy, "--replace")[0] == 75
    with pytest.raises(StoreInUse):
        put_back(settings, Path(copy), is_replacing=True)
    asyncio.run(store.close())
    code, said = run("restore", copy, "--replace")
    assert (code, "token list" in said) == (0, True)
    assert run("restore")[0] == 2
    assert run("restore", copy + "2")[0] == 69
    config.write_text('[store]\nurl = "postgresql://bridge@db.example/bridge"\n', encoding="utf-8")
    assert run("restore", copy)[0] == 2
    code, said = run("backup", copy + "2")
    assert (code, "pg_dump" in said) == (69, True)
