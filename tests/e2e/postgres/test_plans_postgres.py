"""How PostgreSQL goes about it: nothing that a daemon asks all the time reads a whole table, by the server's own count."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from mailbridge.app.moving import moved
from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.store.places import key_path_of
from tests.bench.filling import a_day_ago, erase, fill
from tests.bench.filling import opened as opened_lite
from tests.peers.postgres import Postgres
from tests.store.looking import GRACE, use

pytestmark = pytest.mark.e2e

LARGE = 6_000
READ = (
    "SELECT relname::text, seq_tup_read FROM pg_stat_user_tables"
    " WHERE relname IN ('mail', 'delivery', 'journal', 'mail_identifier', 'given', 'queue')"
)
HOT = {
    "erase codes": "SELECT id FROM delivery WHERE content IS NOT NULL AND final_at IS NOT NULL AND greatest(final_at, deadline) < 1 LIMIT 500",
    "erase subjects": "SELECT id FROM mail WHERE received_at < 1 AND private IS NOT NULL LIMIT 500",
    "erase mails": "SELECT id FROM mail WHERE received_at < 1 AND raw IS NOT NULL LIMIT 500",
}


@pytest.fixture(scope="module")
def filled(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> StoreSettings:
    """A day's mails on it."""
    folder = tmp_path_factory.mktemp("filled")
    post = StoreSettings(url=server.url(), folder=folder)

    async def make() -> None:
        time = a_day_ago()
        async with opened_lite(folder / "one.db", time) as store:
            await fill(store, time, LARGE)
            await erase(store, time)
        await moved(StoreSettings(url=f"sqlite:///{folder}/one.db"), post)

    asyncio.run(make())
    return post


def test_nothing_that_is_asked_all_the_time_reads_a_table(server: Postgres, filled: StoreSettings) -> None:
    """Mails, deliveries, the journal and what belongs to them are reached by indexes alone."""
    from mailbridge.store.postgres import open_postgres  # only where there is a server

    async def look() -> dict[str, int]:
        clock = SteadyClock()
        before = dict(await server.asked(READ))
        store = await open_postgres(
            filled, RetentionSettings(mail=timedelta(days=30)), key_path=key_path_of(filled), clock=clock, grace=GRACE
        )
        await use(store, clock)
        await store.close()
        after = dict(await server.asked("SELECT pg_stat_force_next_flush()" if await _is_15(server) else "SELECT 1", READ))
        return {name: after[name] - before[name] for name in after if after[name] - before[name] > LARGE // 4}

    assert asyncio.run(look()) == {}


async def _is_15(server: Postgres) -> bool:
    ((version,),) = await server.asked("SELECT current_setting('server_version_num')::int")
    return bool(version >= 150_000)


@pytest.mark.parametrize("name", HOT)
def test_what_is_to_be_erased_is_found_by_an_index_of_its_own(server: Postgres, filled: StoreSettings, name: str) -> None:
    """A sweep looks at what is over and still there, however much was erased or is kept for longer."""
    assert filled.folder is not None
    steps = "\n".join(row[0] for row in server.ask("SET enable_seqscan = off", f"EXPLAIN {HOT[name]}"))
    rows = "\n".join(row[0] for row in server.ask(f"EXPLAIN {HOT[name]}"))
    assert "Filter" not in rows, rows
    assert "Index" in steps, steps
