"""A fail-over to a real standby (pg_basebackup, streaming) while mail comes in: with synchronous commits nothing acknowledged is lost.

One here; `make soak` has several (MAILBRIDGE_FAILOVERS).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.store import StoreError
from tests.peers import postgres as peer
from tests.peers.daemon import wait_for
from tests.peers.faulty import running_faulty
from tests.peers.postgres import running_postgres
from tests.replicas.fleet import FAILING, Fleet, furnished
from tests.store.contract import GRACE

pytestmark = pytest.mark.e2e

FAILOVERS = int(os.environ.get("MAILBRIDGE_FAILOVERS", "1"))
SEED = int(os.environ.get("MAILBRIDGE_SEED", "0")) or time.time_ns() % 1_000_000
REPLICAS = 2
FEW = 25
"""Mails between two fail-overs, at least."""

PAUSE = threading.Event()
"""Never set: what is waited for with it is time that passes while mail comes in."""


def opened_at(hosts: str, folder: Path, options: str = "") -> str:
    """Open and close the database at these hosts. Returns the port of the server that was found."""
    from mailbridge.store.postgres import open_postgres  # only where there is a server

    async def use() -> str:
        store = await open_postgres(
            StoreSettings(url=f"postgresql://postgres@{hosts}/postgres{options}"),
            RetentionSettings(),
            key_path=folder / "shared.key",
            clock=SteadyClock(),
            grace=GRACE,
        )
        ((port,),) = await store.database.rows("SELECT current_setting('port')")
        await store.close()
        return str(port)

    return asyncio.run(use())


def test_a_standby_is_refused_and_beside_its_primary_passed_over(tmp_path: Path) -> None:
    """Alone it takes no changes, which is said; of both hosts the one that does is found, whichever is named first."""
    if not peer.found():
        pytest.skip(peer.MEND)
    with running_postgres() as primary, primary.standby() as standby:
        one, other = (f"{server.host}:{server.port}" for server in (primary, standby))
        with pytest.raises(StoreError, match="takes changes"):
            opened_at(other, tmp_path)
        with pytest.raises(StoreError, match="takes no changes"):
            opened_at(other, tmp_path, "?target_session_attrs=any")
        assert opened_at(f"{other},{one}", tmp_path) == str(primary.port)
        assert opened_at(f"{one},{other}", tmp_path) == str(primary.port)
        primary.crash()
        standby.promote()
        assert opened_at(f"{one},{other}", tmp_path) == str(standby.port)


def test_a_fail_over_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """The primary is killed while commits wait for the standby, which takes over: its replicas find it, and the history has no fault."""
    if not peer.found():
        pytest.skip(peer.MEND)
    dice = random.Random(SEED)
    with ExitStack() as stack:
        primary = stack.enter_context(running_postgres())
        standby = stack.enter_context(primary.standby())
        primary.wait_for_standby(is_synchronous=True)
        receiver = stack.enter_context(running_faulty(FAILING))
        fleet = Fleet(furnished(primary, receiver, tmp_path, REPLICAS, or_at=[standby]), primary, receiver)
        with fleet.running():
            for serial in range(FAILOVERS):
                wanted = fleet.acknowledged() + FEW
                wait_for(lambda wanted=wanted: fleet.acknowledged() >= wanted, "some mail has come in", patience=240)  # type: ignore[misc]
                PAUSE.wait(dice.uniform(0.0, 1.0))
                with fleet.disturbance():
                    primary.crash()
                    PAUSE.wait(dice.uniform(0.0, 2.0))
                    standby.promote()
                    PAUSE.wait(1.0)
                fleet.server = standby
                fleet.crashes += 1
                if serial + 1 < FAILOVERS:
                    primary, standby = standby, stack.enter_context(standby.standby(primary.port))
                    primary.wait_for_standby(is_synchronous=True)
            verdict = fleet.finished()
            print("seed", SEED, json.dumps(fleet.told() | verdict.counts))
            assert verdict.faults == {}
            assert verdict.failed == 0
            assert [one for sender in fleet.senders for one in sender.refused] == []
            assert verdict.acknowledged > 0
            assert fleet.has_no_traceback()
