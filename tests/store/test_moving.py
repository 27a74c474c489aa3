"""Everything of a store moved from one database to another. Here both are SQLite; with a real server: tests/e2e/postgres/test_moving.py."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import apsw
import pytest
from click.testing import CliRunner

from mailbridge.app.moving import moved, store_at
from mailbridge.cli import cli
from mailbridge.clock import SteadyClock
from mailbridge.config.problems import ConfigError
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.secret import Secret
from mailbridge.ingress.imap.vault import open_vault
from mailbridge.store import StoreError, StoreInUse
from mailbridge.store.moving import Mark, Moved, Side, move
from mailbridge.store.moving.rows import Row, Table, Tally
from mailbridge.store.places import key_path_of, path_of
from mailbridge.store.postgres import migrations as server_migrations
from mailbridge.store.postgres import moving as server_moving
from mailbridge.store.sqlite import SqliteStore, migrations, open_sqlite
from mailbridge.store.sqlite.moving import OWN, SqliteSide, open_side
from mailbridge.store.sqlite.rotation import rotate
from tests.loop import looped
from tests.store.everything import ANN, filled, told
from tests.store.faulty import faulty_files
from tests.store.mails import arrival, draft
from tests.upgrade.left import Left

GRACE = timedelta(seconds=1)
CREATED = re.compile(r"^CREATE TABLE (\w+)", re.MULTILINE)


def opened(settings: StoreSettings, **options: Any) -> SqliteStore:
    """The store as a daemon or a command opens it."""
    return open_sqlite(settings, RetentionSettings(), clock=SteadyClock(), grace=GRACE, **options)


async def read(settings: StoreSettings) -> dict[str, Any]:
    """What a command that reads sees."""
    store = opened(settings, is_visitor=True)
    try:
        return await told(store)
    finally:
        await store.close()


@pytest.fixture
def source(tmp_path: Path) -> StoreSettings:
    """A store with something of everything, left as by kill -9."""
    return filled(StoreSettings(url=f"sqlite:///{tmp_path}/from/mailbridge.db"))


@pytest.fixture
def target(tmp_path: Path) -> StoreSettings:
    """Where there is nothing yet."""
    return StoreSettings(url=f"sqlite:///{tmp_path}/to/mailbridge.db")


class Gone(BaseException):
    """The process is gone."""


WRITTEN = 1_000
"""Steps of a move that is gone when everything is written and nothing compared."""


class Stopped:
    """A target whose process is gone before or behind a write, or when everything is written."""

    def __init__(self, side: SqliteSide, after: int) -> None:
        self._side = side
        self._left = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._side, name)

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise Gone

    async def write(self, table: Table, rows: list[Row], mark: Mark) -> None:
        """See `Side.write`."""
        self._count()
        await self._side.write(table, rows, mark)
        self._count()

    async def finish(self, counters: Mapping[str, int], handed_on: bytes | None, mark: Mark) -> None:
        """See `Side.finish`."""
        self._count()
        await self._side.finish(counters, handed_on, mark)
        self._left -= WRITTEN if self._left > WRITTEN // 2 else 0
        self._count()


async def moved_until(source: StoreSettings, target: StoreSettings, after: int) -> Moved | None:
    """A move that is gone after so many steps; None where it was."""
    if not key_path_of(target).exists():
        key_path_of(target).parent.mkdir()
        key_path_of(target).write_bytes(key_path_of(source).read_bytes())
        key_path_of(target).chmod(0o600)
    one, other = open_side(source, is_target=False), open_side(target, is_target=True)
    try:
        return await move(one, cast("Side", Stopped(other, after)))
    except Gone:
        return None
    finally:
        one.close()
        other.close()


@looped
async def test_nothing_is_lost(source: StoreSettings, target: StoreSettings) -> None:
    """Whatever can be asked of the old database is answered alike by the new one, and each table has as many rows."""
    expected = await read(source)
    done = await moved(source, target)
    assert await read(target) == expected
    assert await read(source) == expected
    assert {one.name for one in done.tables if one.rows == 0} == set()
    assert done.copied == sum(one.rows for one in done.tables)


@looped
async def test_numbers_go_on_and_duplicates_stay_duplicates(source: StoreSettings, target: StoreSettings) -> None:
    """No number is given out twice, a removed token's neither; a mail that came before is known; what was in flight is in doubt."""
    await moved(source, target)
    store = opened(target)
    try:
        newest = (await store.mails.page(limit=1)).rows[0].id
        again = await store.put(arrival(draft("888888", identifier="eve@example.com"), at=store.clock.now(), fingerprint="known"))
        assert again.is_duplicate
        another = await store.put(arrival(draft("999999"), at=store.clock.now()))
        assert another.mail_id == newest + 1
        token = await store.entries.add_token(b"\0" * 32, name="third", identifiers=("*",), expires_at=None)
        assert token.id == 3
        assert any(one.is_doubtful for one in await store.outbox.deliveries(limit=100))
    finally:
        await store.close()


@looped
async def test_what_is_sealed_stays_sealed(source: StoreSettings, target: StoreSettings) -> None:
    """No code, secret or subject stands in the new file, and the sealed octets are the same ones."""
    await moved(source, target)
    octets = b"".join(one.read_bytes() for one in path_of(target).parent.iterdir() if one.name != "mailbridge.key")
    for word in (b"555555", b"GEZDGNBVGY3TQOJQ", b"whsec_1", b"Your code is"):
        assert word not in octets
    for one in (path_of(target), key_path_of(target)):
        assert one.stat().st_mode & 0o077 == 0
    with apsw.Connection(str(path_of(source))) as old, apsw.Connection(str(path_of(target))) as new:
        query = "SELECT id, private, raw FROM mail ORDER BY id"
        assert old.execute(query).fetchall() == new.execute(query).fetchall()


@looped
async def test_gone_after_any_step_it_goes_on(source: StoreSettings, target: StoreSettings) -> None:
    """Each run is gone one step later than the one before; the last finds everything, and no row twice."""
    expected = await read(source)
    for after in range(1, 60):
        done = await moved_until(source, target, after)
        if done is not None:
            break
        with pytest.raises(StoreError, match=r"a move into it is not over|no database there yet|empty database"):
            opened(target, is_visitor=True)
    assert done is not None
    assert done.is_resumed
    assert await read(target) == expected
    assert (await moved(source, target)).copied == 0


@looped
async def test_a_half_moved_database_serves_nobody(source: StoreSettings, target: StoreSettings) -> None:
    """Neither a daemon nor another move starts on it."""
    assert await moved_until(source, target, 4) is None
    with pytest.raises(StoreError, match="run the same `mailbridge migrate` again"):
        opened(target)
    with pytest.raises(StoreError, match="run the same `mailbridge migrate` again"):
        await moved(target, source)


@pytest.mark.parametrize(
    "fault",
    [
        "UPDATE delivery SET reason = 'another' WHERE id = (SELECT max(id) FROM delivery)",
        "DELETE FROM mail_identifier WHERE mail_id = 1",
        "UPDATE mail SET raw = zeroblob(length(raw)) WHERE id = 1",
        "UPDATE large SET octets = zeroblob(length(octets))",
        "INSERT INTO alarm VALUES ('planted', '', 1)",
    ],
)
@looped
async def test_a_row_that_differs_is_noticed(source: StoreSettings, target: StoreSettings, fault: str) -> None:
    """A value that was changed, a row too few, a row too many: the move does not end well, and no daemon starts there."""
    assert await moved_until(source, target, WRITTEN) is None
    with apsw.Connection(str(path_of(target))) as connection:
        connection.execute(fault)
        assert connection.total_changes() > 0
    with pytest.raises(StoreError, match="is not that of"):
        await moved(source, target)
    with pytest.raises(StoreError, match="a move into it is not over"):
        opened(target)


@looped
async def test_a_source_that_has_changed_since_is_noticed(source: StoreSettings, target: StoreSettings) -> None:
    """A daemon that ran on it between two runs of the move: what it wrote is not left out silently."""
    assert await moved_until(source, target, 4) is None
    store = opened(source)
    await store.put(arrival(draft("101010"), at=store.clock.now()))
    await store.close()
    with pytest.raises(StoreError, match="has changed since the move began"):
        await moved(source, target)


@looped
async def test_a_target_with_something_in_it_is_refused(source: StoreSettings, target: StoreSettings) -> None:
    """Its own data, another move's, or that of the database itself after it was used: nothing is mixed, and nothing is written."""
    await moved(source, target)
    store = opened(target)
    await store.put(arrival(draft("101010"), at=store.clock.now()))
    await store.close()
    expected = await read(target)
    with pytest.raises(StoreError, match=r"holds data already|is not that of"):
        await moved(source, target)
    assert await read(target) == expected
    with pytest.raises(StoreError, match="the same database"):
        await moved(source, source)


@looped
async def test_a_target_that_another_key_has_made_is_refused(source: StoreSettings, target: StoreSettings) -> None:
    """One key opens both, so a key that is there already is never replaced."""
    store = opened(target)
    await store.close()
    key = key_path_of(target).read_bytes()
    with pytest.raises(StoreError, match="is another key than"):
        await moved(source, target)
    assert key_path_of(target).read_bytes() == key


@looped
async def test_the_wrong_key_is_refused(source: StoreSettings, target: StoreSettings) -> None:
    """Of the source as well: nothing would be readable in the target."""
    key_path_of(source).write_bytes(b"k" * 32)
    with pytest.raises(StoreError, match="was written with another key file"):
        await moved(source, target)
    assert not path_of(target).exists()


@pytest.mark.parametrize("is_target", [False, True])
@looped
async def test_a_newer_schema_is_refused(source: StoreSettings, target: StoreSettings, is_target: bool) -> None:
    """At either end: what this release does not know of it would be left out."""
    store = opened(StoreSettings(url=target.url, key_file=key_path_of(source)))
    await store.close()
    with apsw.Connection(str(path_of(target if is_target else source))) as connection:
        connection.pragma("user_version", migrations.newest() + 1)
    with pytest.raises(StoreError, match="upgrade mailbridge"):
        await moved(source, StoreSettings(url=target.url, key_file=key_path_of(source)))


@pytest.mark.parametrize("is_target", [False, True])
@looped
async def test_a_daemon_on_either_side_is_left_alone(source: StoreSettings, target: StoreSettings, is_target: bool) -> None:
    """It is told to be stopped first; and while a move has a database, no daemon starts on it."""
    other = StoreSettings(url=target.url, key_file=key_path_of(source))
    store = opened(other if is_target else source)
    with pytest.raises(StoreInUse, match="another mailbridge uses this database"):
        await moved(source, other)
    await store.close()
    side = open_side(source, is_target=False)
    with pytest.raises(StoreInUse):
        opened(source)
    side.close()


@looped
async def test_a_disk_that_is_full_is_said_and_got_over(source: StoreSettings, target: StoreSettings) -> None:
    """What to do is said; with room again the same command goes on."""
    expected = await read(source)
    async with faulty_files() as files:
        assert await moved_until(source, target, 4) is None
        with files.full(), pytest.raises(StoreError, match="the disk is full; make room"):
            await moved(source, target)
    done = await moved(source, target)
    assert done.is_resumed
    assert await read(target) == expected


@looped
async def test_what_release_0_1_0_has_sealed_is_bound_anew(tmp_path: Path, target: StoreSettings) -> None:
    """Its values are bound to row numbers, which another database may not have: in the new one each is bound to a uid, and readable."""
    old = StoreSettings(url=f"sqlite:///{Left(tmp_path).folder}/mailbridge.db")
    await moved(old, target)
    with apsw.Connection(str(path_of(target))) as connection:
        for table in ("mail", "delivery", "totp"):
            assert connection.execute(f"SELECT count(*) FROM {table} WHERE uid IS NULL").fetchall() == [(0,)]
            assert connection.execute(f"SELECT count(*) > 0 FROM {table}").fetchall() == [(1,)]
    assert await read(target) == await read(old)


@looped
async def test_a_key_that_came_after_another_is_no_hindrance(source: StoreSettings, target: StoreSettings) -> None:
    """What the first key has handed on goes with the rows: duplicates stay duplicates, and names stay names."""
    rotate(source, path=path_of(source), key_path=key_path_of(source))
    expected = await read(source)
    await moved(source, target)
    assert await read(target) == expected
    store = opened(target)
    again = await store.put(arrival(draft("888888", identifier="eve@example.com"), at=store.clock.now(), fingerprint="known"))
    await store.close()
    assert again.is_duplicate
    assert expected["name"] == store.names.name(ANN)


@looped
async def test_a_database_between_two_keys_is_not_moved(source: StoreSettings, target: StoreSettings) -> None:
    """What is sealed with the one that goes would be lost."""
    with apsw.Connection(str(path_of(source))) as connection:
        connection.execute("INSERT INTO meta VALUES ('rotation', 'old')")
    with pytest.raises(StoreError, match="its key is being changed"):
        await moved(source, target)


@looped
async def test_permissions_of_mailboxes_go_along(source: StoreSettings, target: StoreSettings) -> None:
    """They lie beside the database, under a key of their own. Once the new one is in use the old ones do not replace its own."""
    open_vault(source).write("gmail", Secret("refresh-1"))
    open_vault(source).write("work", Secret("refresh-2"))
    assert (await moved(source, target)).permissions == 2
    vault = open_vault(target)
    assert [(one, vault.read(one)) for one in vault.accounts()] == [("gmail", Secret("refresh-1")), ("work", Secret("refresh-2"))]
    vault.write("gmail", Secret("refresh-3"))
    await moved(source, target)
    assert open_vault(target).read("gmail") == Secret("refresh-3")
    assert open_vault(source).read("gmail") == Secret("refresh-1")


@looped
async def test_a_permission_that_does_not_open_stops_the_move(source: StoreSettings, target: StoreSettings) -> None:
    """No daemon starts on a database whose mailboxes would be shut; with that mended the same move ends."""
    open_vault(source).write("gmail", Secret("refresh-1"))
    key = path_of(source).parent / "oauth" / "vault.key"
    octets = key.read_bytes()
    key.write_bytes(b"k" * 32)
    with pytest.raises(StoreError, match=r"gmail\.token: cannot be decrypted.*then run the same"):
        await moved(source, target)
    with pytest.raises(StoreError, match="a move into it is not over"):
        opened(target)
    key.write_bytes(octets)
    done = await moved(source, target)
    assert (done.is_resumed, done.permissions) == (True, 1)
    assert open_vault(target).read("gmail") == Secret("refresh-1")


@looped
async def test_a_move_without_permissions_makes_no_folder_for_them(source: StoreSettings, target: StoreSettings) -> None:
    """Neither beside the old database nor beside the new one."""
    assert (await moved(source, target)).permissions == 0
    assert not [one for one in (source, target) if (path_of(one).parent / "oauth").exists()]


def test_every_table_that_one_database_alone_has_is_accounted_for() -> None:
    """Whoever adds one to a schema says what a move makes of it: nothing that is kept can keep a move from starting."""
    lite, post = (
        {name for path in Path(made.__path__[0]).glob("*.sql") for name in CREATED.findall(path.read_text(encoding="utf-8"))}
        for made in (migrations, server_migrations)
    )
    assert post - lite - {"token_new"} <= server_moving.OWN
    assert lite - post - {"token_new"} <= OWN


def test_a_tally_tells_rows_apart_and_not_their_order() -> None:
    """The same rows in another order are the same; one twice and another missing is not."""

    def tally(*rows: Row) -> Tally:
        found = Tally()
        found.add(rows)
        return found

    assert tally((1, "a"), (2, None)) == tally((2, None), (1, "a"))
    assert tally((1, "a"), (2, None)) != tally((1, "a"), (1, "a"))
    assert tally((1, "ab")) != tally((1, b"ab"))
    assert tally() != tally((None,))


def test_where_the_other_database_has_its_key(tmp_path: Path) -> None:
    """A file of SQLite beside itself, a server where the configuration says or in the folder of the state; a password in a URL is refused."""
    here = StoreSettings(url=f"sqlite:///{tmp_path}/one.db")
    server = store_at(here, "postgresql://bridge@db.example/bridge", option="--to", folder=tmp_path / "state")
    assert key_path_of(server) == tmp_path / "state" / "mailbridge.key"
    keyed = StoreSettings(url=server.url, key_file=tmp_path / "etc.key", folder=tmp_path)
    back = store_at(keyed, f"sqlite:///{tmp_path}/two.db", option="--to", folder=tmp_path)
    assert key_path_of(back) == tmp_path / "etc.key"
    (tmp_path / "two.key").touch()
    back = store_at(keyed, f"sqlite:///{tmp_path}/two.db", option="--from", folder=tmp_path)
    assert (key_path_of(back), back.folder) == (tmp_path / "two.key", None)
    for url in ("postgresql://bridge:secret@db.example/bridge", "mysql://db.example/bridge"):
        with pytest.raises(ConfigError, match="--to"):
            store_at(here, url, option="--to", folder=tmp_path)


def test_the_command_tells_what_it_did(source: StoreSettings, target: StoreSettings, tmp_path: Path) -> None:
    """The counts and digests of every table, then what is next; a refusal is one line and its exit code."""
    config = tmp_path / "mailbridge.toml"
    config.write_text(f'[store]\nurl = "{source.url}"\n', encoding="utf-8")
    words = ["migrate", "--to", target.url, "--config", str(config)]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.stderr
    assert "delivery" in done.stdout and "counts and digests are the same" in done.stdout
    assert f"key file is {key_path_of(target)}" in done.stdout
    refused = CliRunner().invoke(cli, ["migrate", "--from", f"sqlite:///{tmp_path}/none.db", "--config", str(config)])
    assert (refused.exit_code, refused.stderr) == (69, f"mailbridge: {tmp_path}/none.db: no database there\n")
    assert CliRunner().invoke(cli, ["migrate", "--config", str(config)]).exit_code == 2
    store = opened(source)
    assert CliRunner().invoke(cli, [*words[:2], f"{target.url}2", *words[3:]]).exit_code == 75
    asyncio.run(store.close())
