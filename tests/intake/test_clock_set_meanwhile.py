"""The machine's clock is set while a mail is read: what is in hand then is no older for it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from mailbridge.clock import SteadyClock, wall
from mailbridge.config.settings import RetentionSettings, Settings, StoreSettings, TrustSettings
from mailbridge.core.delivery import State
from mailbridge.core.mail import Envelope
from mailbridge.intake.answer import Stored
from mailbridge.intake.door import Intake
from mailbridge.intake.drafts import IntakePolicy
from mailbridge.intake.events import NoEvents
from mailbridge.intake.gate import Gate
from mailbridge.intake.onetime import OneTime
from mailbridge.intake.policy import policy_of
from mailbridge.intake.understand import Understanding
from mailbridge.metrics import Metrics
from mailbridge.store.sqlite import SqliteStore, open_sqlite
from mailbridge.trust.dns import Dns
from tests.ingress.imap.watched import ANN, Everything, Inline, code_mail
from tests.loop import looped

DAY = timedelta(days=1)


class Meanwhile(Inline):
    """Reads a mail; meanwhile somebody sets the clock, and the store, in which nothing waits, follows it."""

    def __init__(self, by: timedelta) -> None:
        self.ahead, self._by = timedelta(), by
        self.stores: Sequence[SqliteStore] = ()

    def wall(self) -> int:
        """The wall clock, microseconds since 1970."""
        return wall() + self.ahead // timedelta(microseconds=1)

    async def understand(self, envelope: Envelope) -> Understanding | None:
        """See `Reader.understand`."""
        self.ahead += self._by
        for store in self.stores:
            await store.sweep()
        return await super().understand(envelope)


@pytest.mark.parametrize("by", [DAY, -DAY], ids=["ahead", "back"])
@looped
async def test_a_mail_in_hand_does_not_expire_by_a_clock_that_is_set(tmp_path: Path, by: timedelta) -> None:
    """Its code is claimed at once, and lives as long as any other from when it came."""
    meanwhile = Meanwhile(by)
    clock = SteadyClock(wall=meanwhile.wall)
    settings = StoreSettings(url=f"sqlite:///{tmp_path}/mailbridge.db")
    store = open_sqlite(settings, RetentionSettings(), clock=clock, grace=timedelta(seconds=5))
    meanwhile.stores = (store,)
    trusting = policy_of(Settings(trust=TrustSettings(default="none")), is_practice=False)
    intake = Intake(
        reader=meanwhile,
        gate=Gate(policy=lambda: trusting, dns=Dns(timeout=timedelta(seconds=3))),
        store=store,
        tests=OneTime(now=time.monotonic, dice=os.urandom),
        policy=lambda: IntakePolicy(routes=Everything(), lifetime=timedelta(minutes=10)),
        events=NoEvents(),
        metrics=Metrics(),
    )
    before = clock.base
    mail = Envelope(
        content=code_mail("482913"), mail_from="a@acme.example", rcpt_to=(ANN,), received_at=clock.now(), ingress="smtp"
    )
    assert isinstance(await intake.accept(mail), Stored)
    (newest,) = await store.outbox.deliveries(limit=1)
    await store.close()
    assert abs(clock.base - before - by // timedelta(microseconds=1)) < 10_000_000, "the store followed the clock"
    assert newest.state is State.IN_FLIGHT
    assert timedelta(minutes=8) < newest.deadline - clock.now() <= timedelta(minutes=10)
