"""Old copies put back on the real thing: a daemon on SQLite, and a PostgreSQL by pg_dump and to a point in time."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.delivery import State
from mailbridge.store import Store, StoreInUse
from mailbridge.store.places import key_path_of
from tests.peers import postgres as peer
from tests.peers.daemon import House, rows_of, wait_for
from tests.peers.faulty import Temper, running_faulty
from tests.peers.postgres import NOBODY, Postgres, given, running_postgres
from tests.store.everything import fill
from tests.store.mails import arrival, draft

pytestmark = pytest.mark.e2e

GRACE = timedelta(seconds=1)


def test_a_daemon_on_an_old_copy_pushes_nothing_old(tmp_path: Path) -> None:
    """Copied by the command while it runs and a code waits; the code goes out, the copy is put back: it does not go out again, and the
    next code does."""
    with running_faulty(Temper(refuses=1.0, status=503)) as away:
        house = House(tmp_path, away.base_url)
        with house.running() as daemon:
            assert house.send("11111111", identifier="ann@example.com")[0] == 250
            assert house.visit("backup", str(tmp_path / "copy.db")).returncode == 0
            daemon.terminate()
    with running_faulty(Temper()) as receiver:
        house.base_url = receiver.base_url
        house.configure()
        with house.running() as daemon:
            wait_for(lambda: [row.code for row in receiver.rows] == ["11111111"], "the code goes out")
            daemon.kill()
        done = house.visit("restore", str(tmp_path / "copy.db"), "--replace")
        assert (done.returncode, "1 codes that waited are ended" in done.stdout) == (0, True), done.stderr
        with house.running() as daemon:
            assert house.send("22222222", identifier="ann@example.com")[0] == 250
            wait_for(lambda: len(receiver.rows) > 1, "the new code goes out")
            wait_for(lambda: daemon.waiting() == 0, "nothing waits")
        assert [row.code for row in receiver.rows] == ["11111111", "22222222"]


@pytest.fixture
def folder(tmp_path: Path) -> StoreSettings:
    """Where the key lies."""
    return StoreSettings(url="postgresql://", folder=tmp_path / "state")


async def opened(url: str, folder: StoreSettings) -> Store:
    """A replica."""
    from mailbridge.store.postgres import open_postgres  # only where there is a server

    return await open_postgres(
        StoreSettings(url=url), RetentionSettings(), key_path=key_path_of(folder), clock=SteadyClock(), grace=GRACE
    )


async def put(url: str, folder: StoreSettings, *codes: str) -> int:
    """Mails for one person; the number of the last line of the journal."""
    store = await opened(url, folder)
    for code in codes:
        await store.put(arrival(draft(code, identifier="zoe@example.com"), at=SteadyClock().now(), fingerprint=code))
    last = (await store.journal.after(0, limit=1_000))[-1].id
    await store.close()
    return last


async def assert_goes_on(url: str, folder: StoreSettings, *, seen: int, is_known: str, is_not_known: str) -> None:
    """Nothing old is pushed or shown, numbers go on behind what was seen, and what the copy knows is known."""
    store = await opened(url, folder)
    try:
        assert (await store.outbox.claim(limit=100)).claims == ()
        assert await store.codes.live(identifiers=["*"]) == ()
        assert {one.state for one in await store.outbox.deliveries(limit=100)} <= {
            State.EXPIRED,
            State.DEAD,
            State.DELIVERED,
            State.SUPERSEDED,
        }
        known = await store.put(
            arrival(draft(is_known, identifier="zoe@example.com"), at=SteadyClock().now(), fingerprint=is_known)
        )
        assert (known.is_duplicate, known.claims) == (True, ())
        fresh = await store.put(
            arrival(draft(is_not_known, identifier="zoe@example.com"), at=SteadyClock().now(), fingerprint=is_not_known)
        )
        assert [one.delivery.draft.content.reveal() for one in fresh.claims] == [is_not_known]
        lines = await store.journal.after(seen, limit=100)
        assert [line.event for line in lines] == ["restored", "duplicate", "stored"]
    finally:
        await store.close()


def went_back(url: str, folder: StoreSettings) -> int:
    """What the command does after the server was put back."""
    from mailbridge.store.postgres.returning import gone_back  # only where there is a server

    return asyncio.run(gone_back(StoreSettings(url=url), key_path=key_path_of(folder)))


def program(server: Postgres, name: str) -> str:
    """One of the programs that come with a server."""
    found = server.installed / "bin" / name
    if not found.exists():
        pytest.skip(f"{found} is missing: apt-get install postgresql")
    return str(found)


def run(*words: str, **more: Any) -> None:
    """A program of the server."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd="/", timeout=120, **more)
    assert done.returncode == 0, done.stderr


def test_a_dump_put_back(folder: StoreSettings, tmp_path: Path) -> None:
    """pg_dump of a database in use, pg_restore into a new one, then `restore`: as if it had never been away, and nothing old goes out."""
    if not peer.found():
        pytest.skip(peer.MEND)
    with running_postgres() as server:
        server.ask("CREATE DATABASE one", "CREATE DATABASE two")
        one, two, dump = server.url("one"), server.url("two"), str(tmp_path / "dump")

        async def use() -> None:
            store = await opened(one, folder)
            await fill(store, SteadyClock())
            await store.put(
                arrival(draft("11111111", identifier="zoe@example.com"), at=SteadyClock().now(), fingerprint="11111111")
            )
            await asyncio.to_thread(run, program(server, "pg_dump"), "--format=custom", f"--file={dump}", one)
            await store.close()

        asyncio.run(use())
        seen = asyncio.run(put(one, folder, "22222222", "33333333"))
        run(program(server, "pg_restore"), "--no-owner", f"--dbname={two}", dump)
        house = House(tmp_path, "http://127.0.0.1:9", url=two, key_file=key_path_of(folder))

        def is_taken() -> bool:
            done = house.visit("restore", "--json")
            assert done.returncode in {0, 75}, done.stderr
            return done.returncode == 0 and rows_of(done.stdout)[0]["ended"] >= 1

        wait_for(is_taken, "the replica of the dump counts as gone")
        asyncio.run(assert_goes_on(two, folder, seen=seen, is_known="11111111", is_not_known="33333333"))


@pytest.fixture
def archiving(tmp_path: Path) -> Iterator[Postgres]:
    """A server that archives its log."""
    if not peer.found():
        pytest.skip(peer.MEND)
    base = Path(tempfile.mkdtemp(prefix="mailbridge-archive-"))
    base.chmod(0o755)
    given(base / "archive")
    server = Postgres(folder=given(base / "server"), installed=peer.found()[0])
    try:
        server.prepare()
        with (server.data / "postgresql.conf").open("a", encoding="utf-8") as stream:
            stream.write(
                f"wal_level = replica\narchive_mode = on\narchive_command = 'cp %p {base}/archive/%f'\nmax_wal_senders = 4\n"
            )
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(base, ignore_errors=True)


def as_server() -> dict[str, Any]:
    """PostgreSQL's files belong to who runs it."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}


def test_a_point_in_time(archiving: Postgres, folder: StoreSettings) -> None:
    """A base backup and the archived log, back to a moment: what came later is not known, its numbers are not given again, and nothing
    old goes out."""
    base = archiving.folder.parent
    asyncio.run(put(archiving.url(), folder, "11111111"))
    words = [
        program(archiving, "pg_basebackup"),
        "-D",
        str(base / "server" / "base"),
        "-d",
        archiving.url("postgres"),
        "-X",
        "none",
    ]
    run(*words, **as_server())
    asyncio.run(put(archiving.url(), folder, "22222222"))
    archiving.ask("SELECT pg_create_restore_point('before')")
    seen = asyncio.run(put(archiving.url(), folder, "33333333", "44444444"))
    archiving.ask("SELECT pg_switch_wal()")
    wait_for(lambda: archiving.ask("SELECT last_archived_wal IS NOT NULL FROM pg_stat_archiver")[0][0], "the log is archived")
    archiving.stop()
    shutil.rmtree(archiving.data)
    (base / "server" / "base").rename(archiving.data)
    with (archiving.data / "postgresql.conf").open("a", encoding="utf-8") as stream:
        stream.write(
            f"restore_command = 'cp {base}/archive/%f %p'\nrecovery_target_name = 'before'\nrecovery_target_action = 'promote'\n"
        )
    (archiving.data / "recovery.signal").touch()
    archiving.start()
    wait_for(lambda: not archiving.ask("SELECT pg_is_in_recovery()")[0][0], "the server has gone back")

    def is_gone_back() -> bool:
        try:
            return went_back(archiving.url(), folder) >= 1
        except StoreInUse:  # a replica of that time counts as alive for ten seconds
            return False

    wait_for(is_gone_back, "it is made fit")
    asyncio.run(assert_goes_on(archiving.url(), folder, seen=seen, is_known="22222222", is_not_known="44444444"))


def test_a_server_in_use_is_left_alone(folder: StoreSettings) -> None:
    """`restore` beside a daemon ends nothing."""
    if not peer.found():
        pytest.skip(peer.MEND)
    with running_postgres() as server:

        async def use() -> None:
            store = await opened(server.url(), folder)
            with pytest.raises(StoreInUse):
                await asyncio.to_thread(went_back, server.url(), folder)
            await store.close()

        asyncio.run(use())
