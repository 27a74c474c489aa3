"""A mail is judged and sent by settings that belong together."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from mailbridge.clock import SteadyClock
from mailbridge.config.settings import RetentionSettings, StoreSettings
from mailbridge.core.mail import Envelope
from mailbridge.intake.answer import Stored
from mailbridge.intake.door import Intake
from mailbridge.intake.drafts import IntakePolicy
from mailbridge.intake.events import NoEvents
from mailbridge.intake.judgement import Judgement, Kind, Passed
from mailbridge.intake.onetime import OneTime
from mailbridge.intake.strangers import NoContacts, introduced_by_hand
from mailbridge.intake.understand import Understanding
from mailbridge.metrics import Metrics
from mailbridge.store.sqlite import open_sqlite
from mailbridge.trust import Proven, Unproven
from tests.ingress.imap.watched import ANN, Inline, code_mail
from tests.loop import looped


@dataclass
class To:
    """Everything goes to one target."""

    name: str

    def targets(self, identifier: str) -> Sequence[str]:
        """That one."""
        return (self.name,)


class Switching:
    """Lets everything pass, as while there is only the practice receiver; meanwhile a real target is added."""

    def __init__(self, policy: IntakePolicy) -> None:
        self.policy = policy

    contacts = NoContacts()
    inboxes = None

    async def judge(self, envelope: Envelope, understood: Understanding, kind: Kind) -> tuple[Judgement, ...]:
        """Passed, and everything after it goes to the real target."""
        self.policy = replace(self.policy, routes=To("real"))
        return tuple(
            Passed(
                by="practice",
                detail="",
                identification=entry.identification,
                introduction=introduced_by_hand(entry.identification.identifiers, understood),
            )
            for entry in understood.addressed
        )

    async def confirmation(self, envelope: Envelope, understood: Understanding) -> Proven | Unproven:
        """Not asked here."""
        raise AssertionError


@looped
async def test_a_mail_that_need_not_prove_itself_goes_to_no_target_that_comes_meanwhile(tmp_path: Path) -> None:
    """It was judged while nothing could leave this machine; a target that is added before it is stored does not get it."""
    clock = SteadyClock()
    store = open_sqlite(
        StoreSettings(url=f"sqlite:///{tmp_path}/mailbridge.db"), RetentionSettings(), clock=clock, grace=timedelta(seconds=5)
    )
    gate = Switching(IntakePolicy(routes=To("skyvern"), lifetime=timedelta(minutes=10)))
    intake = Intake(
        reader=Inline(),
        gate=gate,
        store=store,
        tests=OneTime(now=time.monotonic, dice=os.urandom),
        policy=lambda: gate.policy,
        events=NoEvents(),
        metrics=Metrics(),
    )
    for code, target in (("482913", "skyvern"), ("482914", "real")):
        mail = Envelope(
            content=code_mail(code), mail_from="a@acme.example", rcpt_to=(ANN,), received_at=clock.now(), ingress="smtp"
        )
        assert isinstance(await intake.accept(mail), Stored)
        (newest,) = await store.outbox.deliveries(limit=1)
        assert newest.draft.target == target
    await store.close()
