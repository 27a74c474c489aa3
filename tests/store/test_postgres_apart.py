"""What of the store on PostgreSQL can be seen without a server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from mailbridge.app.storing import fingerprint, open_store
from mailbridge.clock import SteadyClock
from mailbridge.config.settings import PullSettings, Settings, SmtpSettings, StoreSettings
from mailbridge.store import StoreError, StoreUnavailable
from mailbridge.store.places import key_path_of, label, path_of, socket_path_of
from mailbridge.store.postgres.database import PostgresDatabase, kind_of, locking, numbered
from mailbridge.store.postgres.journal import Horizon
from mailbridge.store.postgres.opening import mistakes
from mailbridge.store.processes import differences, told
from mailbridge.store.rows import storable
from mailbridge.store.sqlite.shared import through
from tests.loop import looped
from tests.moved_time import MovedTime

URL = "postgresql://ann@one.example,two.example:5433/codes?sslmode=verify-full"


def test_nothing_of_it_is_loaded_for_sqlite() -> None:
    """The daemon and every command, but for a postgresql:// URL."""
    code = "import sys, mailbridge.app.daemon, mailbridge.app.alone; print([n for n in sys.modules if 'postgres' in n or 'asyncpg' in n])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A URL of PostgreSQL where the extra is not installed."""
    for name in [one for one in sys.modules if one.startswith(("mailbridge.store.postgres", "asyncpg"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    settings = Settings(store=StoreSettings(url=URL, folder=tmp_path))
    with pytest.raises(StoreError, match=r'install again, .*pip install "\.\[postgres\]"'):
        asyncio.run(open_store(settings, clock=SteadyClock(), grace=timedelta()))


def test_where_things_lie(tmp_path: Path) -> None:
    """Beside each other in the folder, and a message names neither user nor options."""
    store = StoreSettings(url=URL, folder=tmp_path)
    assert [path_of(store).parent, key_path_of(store).parent, socket_path_of(store).parent] == [tmp_path] * 3
    assert label(store) == "postgresql://one.example,two.example:5433/codes"
    assert key_path_of(StoreSettings(url=URL, folder=tmp_path, key_file=Path("/k"))) == Path("/k")


def test_configurations_are_told_apart_by_what_must_be_equal() -> None:
    """Where a replica listens is its own affair; what it pushes, and when, is not."""
    usual = fingerprint(Settings())
    assert fingerprint(Settings(smtp=SmtpSettings(listen=("127.0.0.1:26",)))) == usual
    other = fingerprint(Settings(pull=PullSettings(grace=timedelta(seconds=1))))
    assert differences(usual, other) == ("pull",)
    assert differences(usual, usual) == differences(usual, "") == ()
    assert told({"one:1": ("pull", "trust"), "two:2": ("pull",)}) == "one:1 ([pull] [trust]), two:2 ([pull])"


def test_names_of_queues_cannot_end_their_quotes() -> None:
    """Whatever a mail calls its identifier, the statement that locks its queue holds its octets alone."""
    text = locking([("skyvern", "o'brien'); DROP TABLE mail; --\\"), ("t\0", "\udc80")])
    assert "DROP" not in text
    assert b"o'brien'); DROP TABLE mail; --\\".hex() in text
    assert text.count("'UTF8'") == 4


@pytest.mark.parametrize(
    ("text", "kept"), [("a\0b", "a\N{REPLACEMENT CHARACTER}b"), ("\ud800", "?"), ("ä", "ä"), (b"\0", b"\0"), (None, None)]
)
def test_what_the_server_cannot_keep(text: Any, kept: Any) -> None:
    """NUL and lone surrogates come in mails, and would make them undeliverable."""
    assert storable(text) == kept


def test_parameters_are_numbered() -> None:
    """In their order."""
    assert numbered("SELECT ? WHERE a = ? LIMIT ?") == "SELECT $1 WHERE a = $2 LIMIT $3"


def test_what_faults_are_called() -> None:
    """By the code of the server; whatever has none is away."""

    class ServerError(Exception):
        def __init__(self, code: str) -> None:
            super().__init__(code)
            self.sqlstate = code

    assert [kind_of(ServerError(code)) for code in ("53100", "55P03", "57P01")] == ["full", "locked", "gone"]
    assert kind_of(OSError()) == "gone"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ((130_011, "on", "on", False, 0), "PostgreSQL 13 is too old; mailbridge needs 14"),
        ((150_000, "off", "on", False, 0), "synchronous_commit = off"),
        ((150_000, "on", "off", False, 0), "fsync = off"),
        ((150_000, "on", "on", True, 0), "takes no changes"),
        ((150_000, "on", "on", False, 3), "Skyvern's own database"),
        ((180_000, "remote_apply", "on", False, 2), ""),
    ],
)
def test_servers_that_are_refused(said: tuple[int, str, str, bool, int], told: str) -> None:
    """Each with what is wrong, and nothing of one that is right."""
    found = mistakes(*said)
    assert [told in one for one in found] == ([True] if told else [])


class Said:
    """A transaction that answers what it was given, one after the other."""

    def __init__(self, *answers: tuple[int, list[str]]) -> None:
        self._answers: Iterator[tuple[int, list[str]]] = iter(answers)

    async def rows(self, query: str, values: object = ()) -> list[Any]:
        """See `Transaction.rows`."""
        return [next(self._answers)]


def test_a_number_is_read_once_whoever_wrote_then_is_done() -> None:
    """Not before, although later numbers are drawn meanwhile; what begins to write later holds nothing up."""
    said: Any = Said((3, []), (5, ["1/7"]), (9, ["1/7", "2/1"]), (9, ["2/1"]), (9, ["3/1"]), (9, []))
    horizon = Horizon()
    assert [through(horizon.look(said)) for _ in range(6)] == [3, 3, 3, 5, 9, 9]
    assert not horizon.is_behind


def test_a_clock_that_follows_another_one() -> None:
    """It shows that one's time from then on, and its own wall clock counts no more."""
    time = MovedTime()
    clock = time.clock()
    clock.follow(5_000_000)
    time.pass_by(timedelta(seconds=2))
    time.jump(timedelta(days=1))
    assert (clock.micros(), clock.drift) == (7_000_000, timedelta())
    assert clock.on_wall(9_000_000) == clock.now() + timedelta(seconds=2)


class Pool:
    """Gives connections of which the first ones fail in this way."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[Pool]:
        """One connection, which is the pool itself."""
        yield self

    async def fetch(self, _query: str, *_values: object, timeout: float | None) -> list[tuple[int]]:
        """A row, where nothing fails."""
        if self.faults:
            raise self.faults.pop(0)
        return [(1,)]


@pytest.mark.parametrize(
    ("faults", "is_read"),
    [
        ([asyncpg.InternalClientError()], True),
        ([asyncpg.ConnectionDoesNotExistError()], True),
        ([asyncpg.ConnectionDoesNotExistError(), asyncpg.ConnectionDoesNotExistError()], False),
        ([asyncpg.QueryCanceledError()], False),
    ],
)
@looped
async def test_a_read_is_done_again_once_where_its_connection_had_died(faults: list[Exception], is_read: bool) -> None:
    """A second death, and whatever the server itself refuses, is what the caller is told."""
    database = PostgresDatabase(Pool(*faults), patience=1)
    if is_read:
        assert await database.rows("SELECT 1") == [(1,)]
        return
    with pytest.raises(StoreUnavailable):
        await database.rows("SELECT 1")
