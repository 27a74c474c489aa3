"""Everything of a store moved from SQLite to a real PostgreSQL and back, by the functions and by the command that is killed."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mailbridge.app.moving import moved
from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.secret import Secret
from mailbridge.ingress.imap.vault import open_vault
from mailbridge.store import Store, StoreError, StoreInUse
from mailbridge.store.places import key_path_of, path_of
from mailbridge.store.sqlite import open_sqlite
from tests.bench.filling import a_day_ago
from tests.bench.filling import fill as fill_many
from tests.bench.filling import opened as opened_lite
from tests.e2e.postgres.test_postgres_contract import CLEAR, FILL, NO_ROOM
from tests.loop import looped
from tests.peers.daemon import House
from tests.peers.faulty import Temper, running_faulty
from tests.peers.postgres import Postgres
from tests.store.everything import filled, told
from tests.store.mails import arrival, draft
from tests.store.opening import made
from tests.upgrade.left import Left

pytestmark = pytest.mark.e2e

NUMBERS = itertools.count(1)
GRACE = timedelta(seconds=1)
MANY = 6_000
KILLS = 4


@pytest.fixture
def post(server: Postgres, tmp_path: Path) -> StoreSettings:
    """An empty database on it."""
    name = f"moving_{next(NUMBERS)}"
    server.ask(f"CREATE DATABASE {name}")
    return StoreSettings(url=server.url(name), folder=tmp_path / "server")


@pytest.fixture
def lite(tmp_path: Path) -> StoreSettings:
    """A file with something of everything in it."""
    return filled(StoreSettings(url=f"sqlite:///{tmp_path}/first/mailbridge.db"))


@pytest.fixture
def last(tmp_path: Path) -> StoreSettings:
    """A file that is not there yet."""
    return StoreSettings(url=f"sqlite:///{tmp_path}/last/mailbridge.db")


async def opened(settings: StoreSettings, *, is_visitor: bool = False) -> Store:
    """The store, whichever it is."""
    if path_of(settings).exists():
        return open_sqlite(settings, RetentionSettings(), clock=SteadyClock(), grace=GRACE, is_visitor=is_visitor)
    from mailbridge.store.postgres import open_postgres  # only where there is a server

    return await open_postgres(
        settings, RetentionSettings(), key_path=key_path_of(settings), clock=SteadyClock(), grace=GRACE, is_visitor=is_visitor
    )


async def read(settings: StoreSettings) -> dict[str, Any]:
    """What a command that reads sees."""
    store = await opened(settings, is_visitor=True)
    try:
        return await told(store)
    finally:
        await store.close()


@looped
async def test_there_and_back_nothing_is_lost(lite: StoreSettings, post: StoreSettings, last: StoreSettings) -> None:
    """Each database answers whatever it is asked as the one before, and every table has the same digest at all three."""
    expected = await read(lite)
    there = await moved(lite, post)
    assert await read(post) == expected
    back = await moved(post, last)
    assert await read(last) == expected
    assert there.tables == back.tables
    assert all(one.rows for one in there.tables)


def test_permissions_of_mailboxes_go_there_and_back(lite: StoreSettings, post: StoreSettings, last: StoreSettings) -> None:
    """From files to rows of the server and to files again, each readable in its new place, as the server has them last."""
    open_vault(lite).write("gmail", Secret("refresh-1"))
    open_vault(lite).write("work", Secret("refresh-2"))
    assert asyncio.run(moved(lite, post)).permissions == 2
    assert [open_vault(post).read(one) for one in ("gmail", "work")] == [Secret("refresh-1"), Secret("refresh-2")]
    open_vault(post).write("gmail", Secret("refresh-3"))
    open_vault(post).forget("work")
    assert asyncio.run(moved(post, last)).permissions == 1
    vault = open_vault(last)
    assert [(one, vault.read(one)) for one in vault.accounts()] == [("gmail", Secret("refresh-3"))]


def test_permissions_alone_are_moved_back_by_the_command(post: StoreSettings, tmp_path: Path) -> None:
    """A server's permission keeps `migrate --from postgresql://… --to sqlite://…` from nothing."""

    async def make() -> None:
        await (await opened(post)).close()

    asyncio.run(make())
    open_vault(post).write("gmail", Secret("refresh-1"))
    config, last = tmp_path / "mailbridge.toml", tmp_path / "last" / "mailbridge.db"
    config.write_text(f'[store]\nurl = "{post.url}"\nfolder = "{post.folder}"\n', encoding="utf-8")
    out, err = run(config, "--from", post.url, "--to", f"sqlite:///{last}").communicate(timeout=60)
    assert out, err
    assert json.loads(out)["permissions"] == 1
    assert open_vault(StoreSettings(url=f"sqlite:///{last}")).read("gmail") == Secret("refresh-1")


@looped
async def test_the_server_goes_on_where_the_file_was(lite: StoreSettings, post: StoreSettings) -> None:
    """Numbers are not given twice, duplicates stay duplicates, and what was in flight is in doubt."""
    newest = (await read(lite))["mails"][0].id
    await moved(lite, post)
    store = await opened(post)
    again = await store.put(arrival(draft("888888", identifier="eve@example.com"), at=SteadyClock().now(), fingerprint="known"))
    another = await store.put(arrival(draft("999999"), at=SteadyClock().now()))
    token = await store.entries.add_token(b"\0" * 32, name="third", identifiers=("*",), expires_at=None)
    states = [(one.state, one.is_doubtful) for one in await store.outbox.deliveries(limit=100)]
    await store.close()
    assert again.is_duplicate
    assert (another.mail_id > newest, token.id) == (True, 3)
    assert any(is_doubtful for _, is_doubtful in states)


@looped
async def test_what_release_0_1_0_left_is_moved(tmp_path: Path, post: StoreSettings) -> None:
    """Brought up to date first, and bound anew where it was bound to numbers."""
    old = StoreSettings(url=f"sqlite:///{Left(tmp_path).folder}/mailbridge.db")
    await moved(old, post)
    store, before = await opened(post, is_visitor=True), await opened(old, is_visitor=True)
    for one in (await before.mails.page(limit=100)).rows:
        assert await store.mails.one(one.id) == one
        assert await store.mails.raw(one.id) == await before.mails.raw(one.id)
    assert await store.outbox.deliveries(limit=100) == await before.outbox.deliveries(limit=100)
    assert await store.vault.totps() == await before.vault.totps()
    await store.close()
    await before.close()


def run(config: Path, *words: str) -> subprocess.Popen[str]:
    """The command."""
    return subprocess.Popen(
        [sys.executable, "-m", "mailbridge", "migrate", *words, "--config", str(config), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def killed_and_finished(config: Path, dice: random.Random, *words: str) -> dict[str, Any]:
    """The command, killed at random moments and begun again, until it is through."""
    for _ in range(KILLS):
        process = run(config, *words)
        try:
            process.communicate(timeout=dice.uniform(0.4, 3.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
    out, err = run(config, *words).communicate(timeout=200)
    assert out, err
    found: dict[str, Any] = json.loads(out)
    return found


def test_killed_on_the_way_it_goes_on(post: StoreSettings, last: StoreSettings, tmp_path: Path) -> None:
    """kill -9 of the command at random moments, both ways: at the end every table has the digest that it had at the beginning."""
    first = tmp_path / "first" / "mailbridge.db"
    first.parent.mkdir()

    async def make() -> None:
        time = a_day_ago()
        async with opened_lite(first, time) as store:
            await fill_many(store, time, MANY)

    asyncio.run(make())
    config, dice = tmp_path / "mailbridge.toml", random.Random(5)
    config.write_text(f'[store]\nurl = "{post.url}"\nfolder = "{post.folder}"\n', encoding="utf-8")
    there = killed_and_finished(config, dice, "--from", f"sqlite:///{first}")
    back = killed_and_finished(config, dice, "--to", last.url)
    assert there["tables"] == back["tables"]
    assert {one["name"]: one["rows"] for one in there["tables"]}["mail"] == MANY


@looped
async def test_a_daemon_on_the_server_is_left_alone(lite: StoreSettings, post: StoreSettings) -> None:
    """It is told to be stopped first, as source and as target; and while a move has a database, no replica joins."""
    from mailbridge.store.postgres.moving import open_side  # only where there is a server

    await moved(lite, post)
    store = await opened(post)
    with pytest.raises(StoreInUse, match="a daemon uses this database"):
        await moved(lite, post)
    with pytest.raises(StoreInUse, match="a daemon uses this database"):
        await moved(post, StoreSettings(url=f"{lite.url}2"))
    await store.close()
    side = await open_side(post, key_path=key_path_of(post), is_target=False)
    with pytest.raises(StoreError, match="locked"):
        await opened(post)
    with pytest.raises(StoreInUse, match="another mailbridge uses this database"):
        await open_side(post, key_path=key_path_of(post), is_target=False)
    await side.close()
    await (await opened(post)).close()


def test_a_daemon_in_a_process_is_seen(post: StoreSettings, tmp_path: Path) -> None:
    """A daemon goes on with what was moved; the command beside it ends with 75, and works once the daemon is stopped."""
    (tmp_path / "small").mkdir()
    made(tmp_path / "small" / "one.db")
    asyncio.run(moved(StoreSettings(url=f"sqlite:///{tmp_path}/small/one.db"), post))
    (tmp_path / "house").mkdir()
    with running_faulty(Temper()) as receiver:
        house = House(tmp_path / "house", receiver.base_url, url=post.url, key_file=key_path_of(post))
        with house.running() as daemon:
            done = house.visit("migrate", "--to", f"sqlite:///{tmp_path}/other.db")
            assert (done.returncode, "a daemon uses this database" in done.stderr) == (75, True)
            assert house.send("12345678", identifier="zoe@example.com")[0] == 250
            assert daemon.terminate() == 0
        assert house.visit("migrate", "--to", f"sqlite:///{tmp_path}/other.db").returncode == 0


@looped
async def test_what_may_not_be_moved_is_refused(server: Postgres, lite: StoreSettings, post: StoreSettings) -> None:
    """A server that is full, a half-moved one, one that differs, one with data, a newer schema: each with what to do."""
    name = post.url.rpartition("/")[2]
    await (await opened(StoreSettings(url=post.url, folder=path_of(lite).parent / "server", key_file=key_path_of(lite)))).close()
    await server.asked(NO_ROOM, FILL, database=name)
    with pytest.raises(StoreError, match="the disk of the server is full; make room"):
        await moved(lite, post)
    await server.asked(CLEAR, database=name)
    plant = "CREATE FUNCTION plant() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.sender := 'another'; RETURN NEW; END $$"
    await server.asked(plant, "CREATE TRIGGER plant BEFORE INSERT ON mail FOR EACH ROW EXECUTE FUNCTION plant()", database=name)
    with pytest.raises(StoreError, match="its table mail is not that of"):
        await moved(lite, post)
    with pytest.raises(StoreError, match="a move into it is not over"):
        await opened(post)
    await server.asked("DELETE FROM meta WHERE key = 'moving'", database=name)
    with pytest.raises(StoreError, match="holds data already"):
        await moved(lite, post)
    await server.asked("UPDATE meta SET value = '9999' WHERE key = 'version'", database=name)
    with pytest.raises(StoreError, match="written by a newer mailbridge"):
        await moved(lite, post)
