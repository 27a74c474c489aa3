"""Leases on mailboxes, logins at their hosts, and who waits where: replicas of one PostgreSQL, without a daemon around them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.mail import Lease
from mailbridge.store import LeaseLost
from tests.loop import until
from tests.peers.postgres import Postgres
from tests.store.contract import GRACE
from tests.store.mails import arrival, draft

pytestmark = pytest.mark.e2e

BOXES = tuple(f"box-{number}" for number in range(10))
EXPIRE = "UPDATE replica SET alive_until = now_micros() - 1 WHERE id = {}"


@asynccontextmanager
async def replicas(server: Postgres, name: str, folder: Path, count: int) -> AsyncIterator[list[Any]]:
    """Replicas on a database."""
    from mailbridge.store.postgres import open_postgres  # only where there is a server

    found = []
    for number in range(count):
        found.append(
            await open_postgres(
                StoreSettings(url=server.url(name), busy_timeout=timedelta(seconds=5)),
                RetentionSettings(),
                key_path=folder / "shared.key",
                clock=SteadyClock(),
                grace=GRACE,
                name=f"replica-{number}",
            )
        )
    try:
        yield found
    finally:
        for one in found:
            await one.close()


async def shares(stores: Sequence[Any], accounts: Sequence[str] = BOXES) -> list[set[str]]:
    """Who watches what, once each has looked often enough for all to be settled."""
    for _ in range(5):
        held = [set(await one.leases.share(accounts)) for one in stores]
    return held


def test_mailboxes_are_shared_evenly(server: Postgres, name: str, tmp_path: Path) -> None:
    """The first one has all; each that comes gets its share from those who have more, and one that stops leaves its share at once."""

    async def use() -> None:
        async with replicas(server, name, tmp_path, 3) as stores:
            assert await shares(stores[:1]) == [set(BOXES)]
            held = await shares(stores)
            assert sorted(map(len, held)) == [3, 3, 4]
            assert set().union(*held) == set(BOXES)
            await stores[0].leases.give_back()
            left = await shares(stores[1:])
            assert sorted(map(len, left)) == [5, 5]
            assert all(before <= after for before, after in zip(held[1:], left, strict=True)), (
                "nobody gives up what he has to keep"
            )

    asyncio.run(use())


def test_what_a_dead_replica_had_is_free(server: Postgres, name: str, tmp_path: Path) -> None:
    """Once its heartbeat is too old by the server's clock, and not before."""

    async def use() -> None:
        async with replicas(server, name, tmp_path, 2) as stores:
            held = await shares(stores)
            await stores[0].replicas.stop()
            assert await shares(stores[1:]) == held[1:]
            await server.asked(EXPIRE.format(stores[0].replicas.number), database=name)
            assert await shares(stores[1:]) == [set(BOXES)]

    asyncio.run(use())


def test_accounts_that_only_one_knows(server: Postgres, name: str, tmp_path: Path) -> None:
    """While one replica has a new configuration and the others do not, every account is watched, and none moves to and fro."""

    async def use() -> None:
        more = (*BOXES, "new")
        async with replicas(server, name, tmp_path, 3) as stores:
            await shares(stores[:2])
            for _ in range(3):
                old = [set(await one.leases.share(BOXES)) for one in stores[:2]]
                new = set(await stores[2].leases.share(more))
                assert new == {"new"}
                assert [len(one) for one in old] == [5, 5]
            held = await shares(stores, more)
            assert sorted(map(len, held)) == [3, 4, 4]
            assert set().union(*held) == set(more)

    asyncio.run(use())


def test_an_account_that_is_gone_is_given_back(server: Postgres, name: str, tmp_path: Path) -> None:
    """And so is all of it where a replica knows none any more."""

    async def use() -> None:
        async with replicas(server, name, tmp_path, 1) as (store,):
            await store.leases.share(BOXES)
            assert set(await store.leases.share(BOXES[:2])) == set(BOXES[:2])
            assert await store.leases.share(()) == {}
            owned = await server.asked("SELECT count(*) FROM mailbox_lease WHERE owner IS NOT NULL", database=name)
            assert owned == [(0,)]

    asyncio.run(use())


def test_late_results_of_a_lost_lease_are_refused(server: Postgres, name: str, tmp_path: Path) -> None:
    """A mail, a place, notes and after-effects: none is written under an epoch that is over, and all are under the newest."""

    async def use() -> None:
        async with replicas(server, name, tmp_path, 2) as (first, second):
            old = (await first.leases.share(["box"]))["box"]
            await first.leases.mailboxes(old).advance("imap/box/7/5")
            await first.replicas.stop()
            await server.asked(EXPIRE.format(first.replicas.number), database=name)
            new = (await second.leases.share(["box"]))["box"]
            assert new.epoch > old.epoch
            late, kept = first.leases.mailboxes(old), second.leases.mailboxes(new)
            mail = arrival(draft(), at=SteadyClock().now())
            fetched = replace(mail, envelope=replace(mail.envelope, ingress="imap", cursor="imap/box/7/6", lease=old))
            for refused in (
                first.put(fetched),
                late.advance("imap/box/7/9"),
                late.rewind("imap/box/7/1"),
                late.note("imap/box", '{"late": 1}'),
                late.actions_done(["imap/box/7/5"]),
            ):
                with pytest.raises(LeaseLost):
                    await refused
            assert (await kept.cursor("imap/box"), await kept.notes("imap/box")) == ("imap/box/7/5", "{}")
            assert list(await second.mails.page()) == []
            assert (first.trouble, second.trouble) == (None, None), "a lease that is over is no fault of the store"
            await second.put(replace(fetched, envelope=replace(fetched.envelope, lease=new)))
            assert await kept.cursor("imap/box") == "imap/box/7/6"
            await second.leases.give_back()
            with pytest.raises(LeaseLost):
                await kept.advance("imap/box/7/7")

    asyncio.run(use())


def test_what_is_watched_elsewhere_is_shown(server: Postgres, name: str, tmp_path: Path) -> None:
    """With the name of the replica that watches it and what that one says of it."""

    async def use() -> None:
        async with replicas(server, name, tmp_path, 2) as (first, second):
            await first.leases.share(["box"])
            await first.leases.share(["box"], {"box": '[{"is_well": true}]', "other": "[]"})
            (shown,) = await second.leases.elsewhere()
            assert (shown.account, shown.by, shown.state) == ("box", "replica-0", '[{"is_well": true}]')
            assert await first.leases.elsewhere() == ()

    asyncio.run(use())


def test_a_heartbeat_waits_for_nothing_else_of_its_process(server: Postgres, name: str, tmp_path: Path) -> None:
    """While more is under way than there are connections, heartbeats come on time, and nobody takes the replica for gone."""

    async def use() -> None:
        async with replicas(server, name, tmp_path, 1) as (store,):
            await until(lambda: store.replicas.is_listening)
            over = asyncio.Event()

            async def busy(_: object) -> None:
                await over.wait()

            async def alive_until() -> int:
                ((moment,),) = await server.asked("SELECT alive_until FROM replica", database=name)
                return int(moment)

            under_way = [asyncio.create_task(store.database.transact(busy)) for _ in range(20)]
            try:
                async with asyncio.timeout(9):  # then the server ends those transactions
                    for _ in range(2):
                        before = await alive_until()
                        while await alive_until() == before:
                            await asyncio.sleep(0.05)
                assert store.replicas.is_alive
            finally:
                over.set()
                await asyncio.gather(*under_way)

    asyncio.run(use())


def test_logins_at_a_host_are_counted_over_all_replicas(server: Postgres, name: str, tmp_path: Path) -> None:
    """As many at once as are allowed, each host by itself; a login that was never given back is free when its replica is gone."""

    async def use() -> None:
        async with replicas(server, name, tmp_path, 3) as stores:

            async def tried(host: str) -> list[Any]:
                found = []
                for _ in range(30):
                    for one in stores:
                        slot = await one.leases.log_in(host, at_once=4)
                        found += [(one, slot)] if slot is not None else []
                return found

            taken = await tried("imap.one.example")
            assert sorted(slot.number for _, slot in taken) == [1, 2, 3, 4]
            assert len(await tried("imap.two.example")) == 4
            holder, slot = taken[0]
            await holder.leases.logged_in(slot)
            assert len(await tried("imap.one.example")) == 1
            gone = next(one for one, _ in taken[1:])
            count = sum(one is gone for one, _ in taken[1:])
            await gone.replicas.stop()
            await server.asked(EXPIRE.format(gone.replicas.number), database=name)
            stores.remove(gone)
            assert len(await tried("imap.one.example")) >= count
            stores.append(gone)

    asyncio.run(use())


def test_a_wait_is_known_at_the_others(server: Postgres, name: str, tmp_path: Path) -> None:
    """A bell rings there when it begins, and it is known until it ends, or its replica says nothing more of it."""

    async def use() -> None:
        async with replicas(server, name, tmp_path, 2) as (first, second):
            await until(lambda: second.replicas.is_listening)
            with second.leases.bell() as bell:
                await first.leases.await_codes({"ann@corp.example", "bad\0name"})
                assert await bell.wait(5)
                assert "ann@corp.example" in await second.leases.awaited()
                assert await first.leases.awaited() == frozenset()
                bell.clear()
                await first.leases.await_codes({"ann@corp.example"})
                assert await second.leases.awaited() == {"ann@corp.example"}
                await server.asked("UPDATE awaited SET until = now_micros() - 1", database=name)
                assert await second.leases.awaited() == frozenset()
                await first.leases.await_codes(())
                assert await server.asked("SELECT count(*) FROM awaited", database=name) == [(0,)]

    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(use())


def test_a_lease_without_an_epoch_needs_none(server: Postgres, name: str, tmp_path: Path) -> None:
    """What no replica shares is written as ever."""

    async def use() -> None:
        async with replicas(server, name, tmp_path, 1) as (store,):
            await store.leases.mailboxes(Lease(account="box")).advance("imap/box/1/1")
            assert await store.mailboxes.cursor("imap/box") == "imap/box/1/1"

    asyncio.run(use())
