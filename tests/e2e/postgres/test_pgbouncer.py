"""A pooler between the daemons and PostgreSQL: a real PgBouncer, in transaction mode and in session mode."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mailbridge import log_events
from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.delivery import Accepted
from tests.loop import until
from tests.peers import pgbouncer
from tests.peers.postgres import Postgres
from tests.store.contract import GRACE
from tests.store.mails import arrival, draft

pytestmark = pytest.mark.e2e

ROUNDS = 40


@pytest.fixture(scope="module", autouse=True)
def _is_installed() -> None:
    if not pgbouncer.found():
        pytest.skip(pgbouncer.MEND)


async def opened(port: int, name: str, folder: Path, *, listen_url: str = "") -> Any:
    """A replica behind a pooler."""
    from mailbridge.store.postgres import open_postgres  # only where there is a server

    return await open_postgres(
        StoreSettings(
            url=f"postgresql://postgres@127.0.0.1:{port}/{name}", listen_url=listen_url, busy_timeout=timedelta(seconds=5)
        ),
        RetentionSettings(),
        key_path=folder / "shared.key",
        clock=SteadyClock(),
        grace=GRACE,
    )


async def used(first: Any, second: Any) -> None:
    """Mails by two replicas at once, over more connections than the pooler has, each settled; and who hears of them."""

    async def one(store: Any, number: int) -> None:
        mail = arrival(draft(identifier=f"u{number}@example.com"), at=SteadyClock().now(), fingerprint=f"{id(store)}-{number}")
        receipt = await store.put(replace(mail))
        assert len(receipt.claims) == 1
        await store.outbox.settle(receipt.claims[0], Accepted(), jitter=1.0, grace=GRACE)

    with second.journal.bell() as bell:
        await asyncio.gather(
            *(one(store, 1_000 * n + number) for n, store in enumerate((first, second)) for number in range(ROUNDS))
        )
        bell.clear()
        await one(first, 9_999)
        assert await bell.wait(10)
    await first.leases.share(["box"])
    await first.sweep()
    counted = await first.journal.newest()
    assert counted == await second.journal.newest() >= 2 * ROUNDS


@pytest.mark.parametrize(
    ("mode", "is_direct", "hears"), [("transaction", False, False), ("transaction", True, True), ("session", True, True)]
)
def test_a_pooler(
    server: Postgres, tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: str, is_direct: bool, hears: bool
) -> None:
    """Everything works through it; where it loses notifications that is said once, and the server itself can be named for them."""
    name = f"pooled_{mode}_{is_direct}".lower()
    server.ask(f"CREATE DATABASE {name}")
    caplog.set_level(logging.WARNING, "mailbridge.store")

    async def use(port: int) -> None:
        listen_url = server.url(name) if is_direct else ""
        stores = [await opened(port, name, tmp_path, listen_url=listen_url) for _ in range(2)]
        deaf = [one for one in caplog.records if getattr(one, "event", "") == log_events.LISTENER_DEAF]
        if hears:
            await until(lambda: all(one.replicas.is_listening for one in stores))
            assert deaf == []
        else:
            await until(
                lambda: sum(getattr(one, "event", "") == log_events.LISTENER_DEAF for one in caplog.records) == 2, patience=30
            )
            assert not any(one.replicas.is_listening for one in stores)
        await used(*stores)
        for one in stores:
            await one.close()

    with pgbouncer.pooled(server, mode) as port:
        asyncio.run(use(port))
