"""Another key: everything stays readable, duplicates stay duplicates, and an interruption anywhere loses nothing."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import apsw
import pytest
from click.testing import CliRunner

from mailbridge.cli import cli
from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.secret import Secret
from mailbridge.core.totp import Authenticator
from mailbridge.store import StoreError, StoreInUse
from mailbridge.store.cipher import name_of, read_key
from mailbridge.store.places import key_path_of, path_of
from mailbridge.store.sqlite import SqliteStore, migrations, open_sqlite
from mailbridge.store.sqlite.rotation import rotate, rotate_running
from mailbridge.store.sqlite.turning import SEALED, follower_of
from tests.loop import looped, until
from tests.store.mails import arrival, draft

GRACE = timedelta(seconds=1)
STEPS = (
    "the new key is written",
    "everything is sealed anew, and not committed",
    "the database has the new key",
    "the key file is the new one",
)


class Interrupted(BaseException):
    """The process is gone."""


def opened(settings: StoreSettings) -> SqliteStore:
    """The store as a daemon opens it."""
    return open_sqlite(settings, RetentionSettings(), clock=SteadyClock(), grace=GRACE)


async def filled(settings: StoreSettings) -> None:
    """Put two mails in, one of them large, and close."""
    store = opened(settings)
    for code, size in (("111111", 300), ("222222", 2_000_000)):
        await store.put(arrival(draft(code), at=store.clock.now(), fingerprint=code, size=size))
    await store.close()


async def contents(settings: StoreSettings) -> tuple[list[str], list[bytes], bool]:
    """The codes, the mails, and whether one of them is still known for a duplicate."""
    store = opened(settings)
    codes = [row.draft.content.reveal() for row in await store.outbox.deliveries()]
    raws = []
    for row in await store.mails.page():
        envelope = await store.mails.raw(row.id)
        assert envelope is not None
        raws.append(envelope.content)
    receipt = await store.put(arrival(draft("111111"), at=store.clock.now(), fingerprint="111111"))
    await store.close()
    return codes, raws, receipt.is_duplicate


def rotated(settings: StoreSettings, stop: str = "") -> int:
    """Rotate, and be gone after a step."""

    def step(name: str) -> None:
        assert name in STEPS
        if name == stop:
            raise Interrupted

    return rotate(settings, path=path_of(settings), key_path=key_path_of(settings), step=step)


@pytest.fixture
def settings(tmp_path: Path) -> StoreSettings:
    """A store with something in it, closed."""
    chosen = StoreSettings(url=f"sqlite:///{tmp_path}/mailbridge.db")
    asyncio.run(filled(chosen))
    return chosen


def test_everything_is_there_under_the_new_key(settings: StoreSettings) -> None:
    """After a rotation the key is another one, codes and mails are the same, and a mail that came before is known; twice as well."""
    before = key_path_of(settings).read_bytes()
    expected = asyncio.run(contents(settings))
    assert expected[2]
    for _ in range(2):
        assert rotated(settings) >= 4
        assert asyncio.run(contents(settings)) == expected
    assert key_path_of(settings).read_bytes() != before
    assert key_path_of(settings).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("stop", STEPS)
def test_an_interrupted_rotation_loses_nothing(settings: StoreSettings, stop: str) -> None:
    """Gone after any step, the next start finds key and database that fit, and another rotation works."""
    expected = asyncio.run(contents(settings))
    with pytest.raises(Interrupted):
        rotated(settings, stop)
    assert asyncio.run(contents(settings)) == expected
    assert not key_path_of(settings).with_name(key_path_of(settings).name + ".new").exists()
    assert rotated(settings) >= 4
    assert asyncio.run(contents(settings)) == expected


def test_the_old_key_opens_nothing_any_more(settings: StoreSettings) -> None:
    """What was sealed with the old key is gone from the database."""
    old = key_path_of(settings).read_bytes()
    rotated(settings)
    key_path_of(settings).write_bytes(old)
    with pytest.raises(StoreError, match="another key file"):
        opened(settings)


def test_a_running_daemon_keeps_its_key(settings: StoreSettings) -> None:
    """While a daemon has the database, rotation is refused and changes nothing."""

    async def go() -> None:
        store = opened(settings)
        with pytest.raises(StoreInUse):
            rotated(settings)
        await store.close()

    asyncio.run(go())


async def turned(store: SqliteStore, path: Path) -> None:
    """Sweep until the key that follows has taken the name of the former one."""
    while follower_of(path).exists():
        await store.sweep()


@looped
async def test_a_running_daemon_goes_over_to_a_new_key(settings: StoreSettings) -> None:
    """What is there and what comes meanwhile opens, in the middle of it and afterwards, with the new key alone."""
    path, store = key_path_of(settings), opened(settings)
    old = path.read_bytes()
    name = store.names.name("ann@corp.example")
    rotating = asyncio.create_task(asyncio.to_thread(rotate_running, settings, path=path_of(settings), key_path=path))
    await until(follower_of(path).exists)
    await store.sweep()
    await store.put(arrival(draft("333333"), at=store.clock.now(), fingerprint="333333"))
    assert len([row.draft.content.reveal() for row in await store.outbox.deliveries()]) == 3
    await turned(store, path)
    await rotating
    assert path.read_bytes() != old
    assert store.cipher.names == (name_of(path.read_bytes()),)
    await store.close()
    codes, raws, is_duplicate = await contents(settings)
    assert (len(codes), len(raws), is_duplicate) == (3, 3, True)
    store = opened(settings)
    assert store.names.identifier(name) == "ann@corp.example"
    await store.close()
    path.write_bytes(old)
    with pytest.raises(StoreError, match="another key file"):
        opened(settings)


@pytest.mark.parametrize("sweeps", range(6))
def test_a_daemon_that_is_killed_goes_on(settings: StoreSettings, sweeps: int) -> None:
    """Wherever it was: the next one opens everything and ends it; so does a rotation without a daemon."""
    expected = asyncio.run(contents(settings))
    path = key_path_of(settings)
    read_key(follower_of(path), is_made=True)

    async def begin() -> None:
        store = opened(settings)
        for _ in range(sweeps):
            await store.sweep()
        await store.close()

    asyncio.run(begin())
    assert asyncio.run(contents(settings)) == expected
    if sweeps % 2:
        rotated(settings)
        assert not follower_of(path).exists()

    async def end() -> None:
        store = opened(settings)
        await turned(store, path)
        await store.close()

    asyncio.run(end())
    assert asyncio.run(contents(settings)) == expected


def test_a_daemon_that_does_not_go_over(settings: StoreSettings) -> None:
    """It is said, and nothing is lost."""

    async def go() -> None:
        store = opened(settings)
        with pytest.raises(StoreError, match="is not taken up by the daemon"):
            await asyncio.to_thread(
                rotate_running, settings, path=path_of(settings), key_path=key_path_of(settings), patience=0.0
            )
        await turned(store, key_path_of(settings))
        await store.close()

    asyncio.run(go())
    assert len(asyncio.run(contents(settings))[0]) == 2


def test_without_a_database_there_is_nothing_to_rotate(tmp_path: Path) -> None:
    """A configuration whose daemon has never run is told so."""
    with pytest.raises(StoreError, match="no database"):
        rotated(StoreSettings(url=f"sqlite:///{tmp_path}/none.db"))


def test_the_command_tells_what_it_did(settings: StoreSettings) -> None:
    """`mailbridge key rotate` on a stopped daemon's store is exit 0 with a count; without a store it is exit 69."""
    done = CliRunner().invoke(cli, ["key", "rotate"], env={"MAILBRIDGE_STORE__URL": settings.url})
    assert done.exit_code == 0, done.output
    assert "encrypted with a new key" in done.stdout
    done = CliRunner().invoke(cli, ["key", "rotate"], env={"MAILBRIDGE_STORE__URL": settings.url + "x"})
    assert done.exit_code == 69


def test_every_sealed_column_is_turned() -> None:
    """What the schema keeps as octets is sealed anew, but for what is no secret or only a digest."""
    connection = apsw.Connection(":memory:")
    migrations.apply(connection)
    tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    columns = [(table, row) for table in tables for row in connection.execute(f"PRAGMA table_info({table})")]
    blobs = {(table, row[1]) for table, row in columns if row[2] == "BLOB" and row[1] != "uid"}
    assert blobs - {
        ("mail", "fingerprint"),
        ("mail", "facts"),
        ("token", "hash"),
        ("session", "hash"),
        ("invitation", "hash"),
        ("answered", "key"),
        ("answered", "request"),
    } == {entry[:2] for entry in SEALED}


@looped
async def test_authenticators_and_names_outlive_the_key(settings: StoreSettings) -> None:
    """An authenticator still opens under the new key, and an identifier keeps the name that stands in its address."""
    store = opened(settings)
    found = Authenticator(secret=Secret("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"))
    await store.vault.add_totp("shop", found, identifier="ann@corp.example")
    name = store.names.name("ann@corp.example")
    await store.close()
    await asyncio.to_thread(rotated, settings)
    store = opened(settings)
    stored = await store.vault.totp("shop")
    assert stored is not None
    assert stored.authenticator == found
    assert store.names.identifier(name) == "ann@corp.example"
    await store.close()
