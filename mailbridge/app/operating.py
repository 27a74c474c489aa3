"""What the operator's verbs are made of: the parts of the running daemon, as `mailbridge.operator.parts` asks for them."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx

from mailbridge import __version__
from mailbridge.app.receivers import LiveReceivers
from mailbridge.app.snapshot import Live
from mailbridge.clock import SteadyClock
from mailbridge.config.problems import ConfigError
from mailbridge.config.settings import Settings
from mailbridge.core.dataclass import dataclass
from mailbridge.core.delivery import State
from mailbridge.core.mail import Envelope
from mailbridge.core.recipients import Recipient
from mailbridge.core.secret import Secret
from mailbridge.dispatch.routing import PRACTICE
from mailbridge.intake.admission import Admission
from mailbridge.intake.answer import Answer, Full
from mailbridge.intake.door import Intake
from mailbridge.intake.inboxes import Inboxes
from mailbridge.intake.onetime import LIFETIME, OneTime
from mailbridge.intake.policy import Policy
from mailbridge.intake.vouching import Word
from mailbridge.masks import Masks
from mailbridge.operator.addresses import Addresses, own_recipient
from mailbridge.operator.authenticators import Authenticators
from mailbridge.operator.codes import LiveCodes
from mailbridge.operator.day import DayVerb
from mailbridge.operator.deliveries import Deliveries
from mailbridge.operator.doctor.finding import Probes
from mailbridge.operator.doctor.verb import Clock, Doctor
from mailbridge.operator.entries import EntryVerbs, bad_config
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.gmail import GmailVerbs
from mailbridge.operator.inboxes import InboxVerbs
from mailbridge.operator.journal import JournalVerbs
from mailbridge.operator.mailboxes import Mailboxes, MailboxProbes
from mailbridge.operator.mails import Mails
from mailbridge.operator.parts import Configuration, Daemon, Door
from mailbridge.operator.rules import RuleVerbs
from mailbridge.operator.senders import SenderVerbs
from mailbridge.operator.sessions import SessionVerbs
from mailbridge.operator.setup.verb import SetupVerbs
from mailbridge.operator.setup.world import Looking, Memory, World
from mailbridge.operator.shapes import Reloaded, ReplicaShape, Status, TargetShape, TestAddress
from mailbridge.operator.shown import stamp
from mailbridge.operator.targets import TargetVerbs, shown_url
from mailbridge.operator.tokens import Tokens
from mailbridge.operator.verbs import Operator
from mailbridge.operator.why import Surroundings, WhyVerb
from mailbridge.store import Store, StoreUnavailable
from mailbridge.trust import gmail
from mailbridge.trust.dns import Resolver
from mailbridge.waiting import Waiting

if TYPE_CHECKING:
    from mailbridge.app.daemon import Bridge

Reread = Callable[[], Settings]
"""Reads the configuration again. Raises ConfigError."""


def operator_of(
    *,
    store: Store,
    door: Door,
    configuration: Configuration,
    daemon: Daemon,
    waiting: Waiting,
    surroundings: Surroundings,
    probes: Probes,
    mailboxes: MailboxProbes,
    dns: Callable[[], Resolver],
    clock: SteadyClock,
    masks: Masks | None = None,
    browser: Callable[[], httpx.AsyncClient] = gmail.browser,
    on_due: Callable[[], None] = lambda: None,
    on_taken: Callable[[str], None] = lambda name: None,  # noqa: ARG005
    inboxes: Inboxes | None = None,
) -> Operator:
    """The verbs over these parts. ``on_due`` is told that a delivery has fallen due, ``on_taken`` that a target took a test."""
    now = clock.now
    mails = Mails(store=store, door=door, configuration=configuration, now=now, browser=browser)
    entries = EntryVerbs(entries=store.entries, configuration=configuration)
    sight = Clock(now, lambda: clock.drift)
    doctor = Doctor(store=store, configuration=configuration, daemon=daemon, probes=probes, dns=dns, clock=sight)
    kept = inboxes or Inboxes(kept=store.inboxes, now=now, dice=os.urandom)
    world = World(confirm=_confirming(browser), dice=os.urandom, now=now)
    memory = Memory()
    tokens = Tokens(entries=store.entries, now=now)
    boxes = Mailboxes(kept=store.entries, entries=entries, configuration=configuration, probes=mailboxes, dns=dns)
    looking = Looking(store=store, mails=mails, mailboxes=boxes, doctor=doctor, world=world, memory=memory)
    return Operator(
        mails=mails,
        deliveries=Deliveries(store=store, on_due=on_due),
        codes=LiveCodes(store=store, waiting=waiting),
        inboxes=InboxVerbs(inboxes=kept, configuration=configuration, waiting=waiting),
        addresses=Addresses(configuration=configuration),
        entries=entries,
        senders=SenderVerbs(sites=store.sites, configuration=configuration),
        targets=_targets(configuration, masks or Masks(), on_taken),
        mailboxes=boxes,
        tokens=tokens,
        authenticators=Authenticators(vault=store.vault),
        journal=JournalVerbs(journal=store.journal, waiting=waiting),
        rules=RuleVerbs(configuration=configuration, entries=entries),
        day=DayVerb(journal=store.journal, now=now),
        why=WhyVerb(store=store, configuration=configuration, daemon=daemon, surroundings=surroundings, waiting=waiting, now=now),
        doctor=doctor,
        gmail=GmailVerbs(configuration=configuration),
        setup=SetupVerbs(
            store=store,
            entries=entries,
            mailboxes=boxes,
            configuration=configuration,
            looking=looking,
            world=world,
            tokens=tokens,
        ),
        sessions=SessionVerbs(sessions=store.sessions, configuration=configuration, daemon=daemon, now=now),
        daemon=daemon,
    )


def _targets(configuration: Configuration, masks: Masks, on_taken: Callable[[str], None]) -> TargetVerbs:
    """The verbs of targets and notices."""
    receivers = LiveReceivers(lambda: configuration.now, masks=masks, on_taken=on_taken)
    return TargetVerbs(configuration=configuration, receivers=receivers)


def _confirming(browser: Callable[[], httpx.AsyncClient]) -> Callable[[Secret], Awaitable[str]]:
    """Opens Gmail's link; gives why it did not work, "" where it did."""

    async def confirm(link: Secret) -> str:
        async with browser() as client:
            answer = await gmail.confirm(link, client)
        return "" if isinstance(answer, gmail.Confirmed) else answer.why

    return confirm


@dataclass(frozen=True, slots=True, kw_only=True)
class HandIn:
    """The door for mails that an operator hands in: their memory counts as that of the others does."""

    admission: Admission
    intake: Intake

    def is_ours(self, rcpt: str) -> bool:
        """See `Door.is_ours`."""
        return self.admission.is_ours(rcpt)

    async def hand_in(self, envelope: Envelope, word: Word) -> Answer:
        """See `Door.hand_in`."""
        with self.admission.hold() as hold:
            return await self.intake.accept(envelope, word) if hold.take(len(envelope.content)) else Full()


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """Implements `operator.why.Surroundings`. ``admission`` is None where no way in is open."""

    known: Callable[[str], bool]
    admission: Admission | None = None

    def is_known(self, identifier: str) -> bool:
        """See `Surroundings.is_known`."""
        return self.known(identifier)

    def refused(self, since: datetime) -> Sequence[tuple[str, int]]:
        """See `Surroundings.refused`."""
        return self.admission.refused(since) if self.admission is not None else ()


class LiveConfiguration:
    """The configuration of the daemon. ``take`` brings into force what was added."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    @property
    def now(self) -> Settings:
        """See `Configuration.now`."""
        return self._bridge.live.now.settings

    @property
    def base(self) -> Settings:
        """See `Configuration.base`."""
        return self._bridge.live.base

    async def take_additions(self) -> None:
        """See `Configuration.take_additions`."""
        await self._bridge.take_additions()


class RunningDaemon:
    """Implements `parts.Daemon` for the daemon that runs."""

    def __init__(self, bridge: Bridge, *, live: Live, tests: OneTime, reread: Reread | None) -> None:
        self._bridge = bridge
        self._live = live
        self._tests = tests
        self._reread = reread

    async def status(self) -> Status | Fault:
        """See `parts.Daemon.status`."""
        bridge = self._bridge
        health, engine = await bridge.health(), bridge.engine
        failing = {**engine.dispatcher.failing, **engine.dispatcher.alarms}
        served = engine.targets.served(bridge.settings)
        try:
            counts: dict[State, int] = await engine.store.outbox.counts()
        except StoreUnavailable:
            counts = {}
        return Status(
            version=__version__,
            level=health.level.value,
            checks=health.checks,
            smtp=list(bridge.smtp_addresses),
            http=bridge.http_address,
            targets=[
                TargetShape(
                    name=one.name,
                    kind=one.kind,
                    url=shown_url(one),
                    is_practice=one.name == PRACTICE,
                    reason=engine.masks.masked(failing.get(one.name, "")),
                )
                for one in served.targets
            ],
            mailboxes=[*(dict(one) for one in health.mailboxes), *await bridge.elsewhere()],
            outbox={str(state): count for state, count in counts.items()},
            is_practice=served.is_practice,
            replicas=await self._replicas(),
        )

    async def _replicas(self) -> list[ReplicaShape]:
        try:
            alive = await self._bridge.engine.store.processes.alive()
        except StoreUnavailable:
            return []
        return [
            ReplicaShape(
                name=one.name,
                started_at=stamp(one.started_at),
                is_this=one.is_this,
                mailboxes=one.mailboxes,
                differs=list(one.differs),
            )
            for one in alive
        ]

    async def reload(self, by: str) -> Reloaded | Fault:  # noqa: ARG002  (for the record of a later day)
        """See `parts.Daemon.reload`."""
        if self._reread is None:
            return Fault(kind=Kind.REFUSED, title="this daemon was started without a configuration that it could read again")
        try:
            return Reloaded(after_restart=list(await self._bridge.reload(self._reread())))
        except ConfigError as fault:
            return bad_config(fault)

    async def test_address(self, identifier: str, by: str) -> TestAddress | Fault:
        """See `parts.Daemon.test_address`."""
        settings = self._live.now.settings
        if not self._live.is_known(identifier):
            return Fault(
                kind=Kind.REFUSED,
                title=f"no code can ever come for {identifier}: it is not in [identity] known, nor bound to an address",
            )
        own = own_recipient(settings)
        domain = "mailbridge.localhost" if isinstance(own, Fault) else own.rpartition("@")[2]
        test = await self._tests.make(identifier, domain=domain, by=by)
        return TestAddress(
            rcpt=test.rcpt,
            identifier=identifier,
            expires_at=stamp(datetime.now(UTC) + LIFETIME),
            is_practice=self._bridge.engine.targets.served(settings).is_practice,
            proofs=list(proofs(settings, self._live.now.gate, identifier)),
        )


class NoDaemon:
    """Implements `parts.Daemon` where none runs."""

    async def status(self) -> Status | Fault:
        """NoEvents to ask."""
        return _no_daemon()

    async def reload(self, by: str) -> Reloaded | Fault:  # noqa: ARG002
        """NoEvents to ask."""
        return _no_daemon()

    async def test_address(self, identifier: str, by: str) -> TestAddress | Fault:  # noqa: ARG002
        """NoEvents to ask."""
        return _no_daemon()


def _no_daemon() -> Fault:
    return Fault(kind=Kind.NO_DAEMON, title="no daemon is running with this configuration; `mailbridge serve` starts it")


def proofs(settings: Settings, gate: Policy, identifier: str) -> list[str]:
    """The proofs that a real mail for an identifier needs, a line for each address that it can come by."""
    folded = identifier.casefold()
    addresses = [one.rcpt for one in settings.address if (one.identifier or folded).casefold() == folded]
    addresses += [one.mailbox for one in settings.imap if (one.identifier or folded).casefold() == folded]
    addresses += [f"any address at {domain}" for domain in settings.domains.accept]
    lines = []
    for rcpt in addresses:
        wanted, is_unguessable, senders = gate.of(Recipient(rcpt=rcpt))
        if gate.is_practice:
            needed = "none, because nothing leaves this machine"
        elif "none" in wanted:
            needed = "none"

        elif "token" in wanted and is_unguessable:
            needed = "none for a code, because nobody can guess the address"
        else:
            needed = " or ".join(sorted(wanted - {"token"})) or "an address that nobody can guess"
        lines.append(f"{rcpt}: {needed}" + (f"; from {', '.join(senders)}" if senders and senders != ("*",) else ""))
    return lines
