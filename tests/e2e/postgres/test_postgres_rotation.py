"""Another key for a shared database: while replicas run, with an interruption anywhere, and with a machine that has not got it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.secret import Secret
from mailbridge.ingress.imap.vault import open_vault
from mailbridge.store import StoreError, StoreInUse, StoreUnavailable
from mailbridge.store.cipher import name_of
from tests.loop import until
from tests.peers.postgres import Postgres
from tests.store.contract import GRACE
from tests.store.mails import arrival, draft

pytestmark = pytest.mark.e2e

CODES = 6
SECRETS = {"password": Secret("of a mailbox")}


def settings_of(server: Postgres, name: str, machine: Path) -> StoreSettings:
    """The store as one machine has it."""
    return StoreSettings(url=server.url(name), folder=machine, key_file=machine / "mailbridge.key")


async def opened(settings: StoreSettings) -> Any:
    """A replica."""
    from mailbridge.store.postgres import open_postgres  # only where there is a server

    assert settings.key_file is not None
    return await open_postgres(settings, RetentionSettings(), key_path=settings.key_file, clock=SteadyClock(), grace=GRACE)


async def filled(settings: StoreSettings) -> None:
    """A database with something of everything in it."""
    store = await opened(settings)
    for number in range(CODES):
        code = f"1000{number:02d}"
        await store.put(arrival(draft(code, identifier=f"u{number}@example.com"), at=SteadyClock().now(), fingerprint=code))
    await store.entries.put("imap", "box", {"host": "h"}, by="ann", secrets=SECRETS)
    await store.close()
    await asyncio.to_thread(open_vault(settings).write, "box", Secret("refresh"))


async def check(store: Any, settings: StoreSettings, *, total: int = CODES) -> None:
    """Everything opens, and what was there is known for a duplicate."""
    rows = list(await store.outbox.deliveries())
    assert len(rows) == total
    raws = [await store.mails.raw(row.mail_id) for row in rows]
    assert all(raw is not None and raw.content for raw in raws)
    assert all(row.draft.content.reveal() for row in rows)
    assert await store.entries.secrets("imap", "box") == SECRETS
    assert await asyncio.to_thread(open_vault(settings).read, "box") == Secret("refresh")
    again = await store.put(arrival(draft("100000", identifier="u0@example.com"), at=SteadyClock().now(), fingerprint="100000"))
    assert again.is_duplicate


def rotated(settings: StoreSettings, step: Callable[[str], None] = lambda _: None, *, patience: float = 15.0) -> int:
    """Give the database another key."""
    from mailbridge.store.postgres.rotation import rotate_shared

    assert settings.key_file is not None
    return rotate_shared(settings, key_path=settings.key_file, step=step, patience=patience)


def test_a_key_is_rotated_while_replicas_run(server: Postgres, name: str, tmp_path: Path) -> None:
    """On two machines: what is there and what comes meanwhile opens everywhere, each key file is the new one in the end, and the old key
    opens nothing."""
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    first, second = settings_of(server, name, one), settings_of(server, name, two)

    async def use() -> None:
        await filled(first)
        shutil.copy(one / "mailbridge.key", two / "mailbridge.key")
        old = (one / "mailbridge.key").read_bytes()
        stores = [await opened(first), await opened(second)]
        with pytest.raises(StoreInUse, match="does not have the new key yet: copy"):
            await asyncio.to_thread(rotated, first, patience=6.0)
        await check(stores[1], second)
        shutil.copy(one / "mailbridge.key.new", two / "mailbridge.key.new")
        numbers = count(1)
        loop = asyncio.get_running_loop()

        def meanwhile(_: str) -> None:
            number = next(numbers)
            code = f"2000{number:02d}"
            mail = arrival(draft(code, identifier=f"m{number}@example.com"), at=SteadyClock().now(), fingerprint=code)
            if number <= 4:
                asyncio.run_coroutine_threadsafe(stores[number % 2].put(mail), loop).result(30)

        assert await asyncio.to_thread(rotated, first, meanwhile) >= 3 * CODES
        for store, settings in zip(stores, (first, second), strict=True):
            assert settings.key_file is not None
            path = settings.key_file
            await until(lambda path=path: not path.with_name("mailbridge.key.new").exists(), patience=30)  # type: ignore[misc]
            assert path.read_bytes() != old
            await check(store, settings, total=CODES + 4)
        for store in stores:
            await store.close()
        fresh = await opened(second)
        await check(fresh, second, total=CODES + 4)
        await fresh.close()
        (two / "mailbridge.key").write_bytes(old)
        with pytest.raises(StoreError, match="another key file"):
            await opened(second)
        assert await server.asked("SELECT value FROM meta WHERE key = 'key'", database=name) == [
            (name_of((one / "mailbridge.key").read_bytes()),)
        ]

    asyncio.run(use())


class Interrupted(BaseException):
    """The process is gone."""


STEPS = (
    "the new key is written",
    "the database has the new key",
    "every replica seals with the new key",
    "some of mail are sealed anew",
    "some of oauth_token are sealed anew",
    "everything is sealed anew",
    "the old key is given up",
)


@pytest.mark.parametrize("at", STEPS)
def test_an_interruption_loses_nothing(server: Postgres, name: str, tmp_path: Path, at: str) -> None:
    """Wherever it is: a start in between opens everything, and another try ends it."""
    settings = settings_of(server, name, tmp_path)
    asyncio.run(filled(settings))

    def interrupt(step: str) -> None:
        if step == at:
            raise Interrupted

    with pytest.raises(Interrupted):
        rotated(settings, interrupt)

    async def use() -> None:
        store = await opened(settings)
        await check(store, settings)
        await store.close()

    asyncio.run(use())
    is_over = at == "the old key is given up"
    before = (tmp_path / "mailbridge.key").read_bytes()
    rotated(settings)
    assert not (tmp_path / "mailbridge.key.new").exists()
    assert is_over or (tmp_path / "mailbridge.key").read_bytes() != before
    asyncio.run(use())


def test_a_replica_without_the_new_key_writes_nothing(server: Postgres, name: str, tmp_path: Path) -> None:
    """It joined while the key was changed: nothing of it is sealed with the old one, and it goes on once it has the new one."""
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    first, second = settings_of(server, name, one), settings_of(server, name, two)

    async def use() -> None:
        await filled(first)
        shutil.copy(one / "mailbridge.key", two / "mailbridge.key")

        def late(step: str) -> None:
            if step == "the database has the new key":
                raise Interrupted

        with pytest.raises(Interrupted):
            await asyncio.to_thread(rotated, first, late)
        with pytest.raises(StoreError, match="another key file"):
            await opened(second)
        shutil.copy(one / "mailbridge.key.new", two / "mailbridge.key.new")
        store = await opened(second)
        (two / "mailbridge.key.new").rename(two / "kept")
        await server.asked("UPDATE meta SET value = 'of nobody' WHERE key = 'key'", database=name)
        with pytest.raises(StoreUnavailable, match="new key"):
            await store.replicas.beat()
        with pytest.raises(StoreUnavailable, match="new key"):
            await store.mailboxes.advance("imap/box/1/1")
        key = name_of((two / "kept").read_bytes())
        await server.asked(f"UPDATE meta SET value = '{key}' WHERE key = 'key'", database=name)
        await store.replicas.beat()
        await store.mailboxes.advance("imap/box/1/1")
        await store.close()

    asyncio.run(use())
