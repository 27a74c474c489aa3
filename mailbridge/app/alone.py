"""The operator's verbs where no daemon runs: the same ones, over the database itself.

What only reads opens the database for reading. What changes something takes the lock that a daemon would have; a mail that is handed in
is read by a parser worker as ever, and its codes wait in the outbox for the daemon to start.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from mailbridge.app.operating import Around, HandIn, NoDaemon, operator_of
from mailbridge.app.preparation import Prepared, prepare
from mailbridge.app.probing import LocalMailboxProbes, LocalProbes
from mailbridge.app.snapshot import Live, Snapshot, snapshot
from mailbridge.app.storing import open_store
from mailbridge.app.targets import longest_grace, served_alone
from mailbridge.clock import SteadyClock
from mailbridge.config.added import merged
from mailbridge.config.settings import Settings
from mailbridge.core.mail import Envelope
from mailbridge.intake.admission import Admission
from mailbridge.intake.answer import Answer, Stored
from mailbridge.intake.door import Intake
from mailbridge.intake.events import NoEvents
from mailbridge.intake.gate import Gate
from mailbridge.intake.inboxes import Inboxes
from mailbridge.intake.launch import UNDERSTAND
from mailbridge.intake.meaning import Understanding
from mailbridge.intake.onetime import OneTime
from mailbridge.intake.pool import parser_pool
from mailbridge.intake.vouching import Word
from mailbridge.masks import Masks
from mailbridge.metrics import Metrics
from mailbridge.operator.entries import additions
from mailbridge.operator.verbs import Operator
from mailbridge.store import Store, StoreOutdated
from mailbridge.store.places import is_postgres, path_of
from mailbridge.trust.dns import Dns
from mailbridge.waiting import Waiting


@asynccontextmanager
async def alone(settings: Settings, *, is_change: bool) -> AsyncIterator[Operator]:
    """The verbs for the length of the block.

    Raises:
        StoreInUse: a daemon has the database after all.
        StoreError: it cannot be opened; the message says why.
        ConfigError: what was added contradicts the file.
    """
    clock = SteadyClock()
    async with AsyncExitStack() as stack:
        store = await open_store(settings, clock=clock, grace=longest_grace(settings), is_visitor=not is_change)
        stack.push_async_callback(store.close)
        configuration = _Configuration(settings, merged(settings, await additions(store.entries)), store)
        inboxes = Inboxes(kept=store.inboxes, now=clock.now, dice=os.urandom)
        await inboxes.load()
        yield operator_of(
            store=store,
            door=_Door(stack, configuration, store, inboxes),
            configuration=configuration,
            daemon=NoDaemon(),
            waiting=Waiting(now=clock.now),
            surroundings=Around(known=lambda identifier: _live(configuration, inboxes).is_known(identifier)),
            probes=LocalProbes(lambda: configuration.now, reread=None),
            mailboxes=LocalMailboxProbes(settings.store, Masks()),
            dns=lambda: Dns(timeout=settings.trust.dns_timeout, nameservers=settings.trust.nameservers),
            clock=clock,
            inboxes=inboxes,
        )


async def with_additions(settings: Settings) -> Settings:
    """The settings with what was added by command, read beside a daemon or without one; as they are where there is no database yet,
    or one that the next start brings up to date.

    Raises:
        StoreError, StoreUnavailable: the database cannot be read.
        ConfigError: what was added contradicts the file.
    """
    if not is_postgres(settings.store) and not path_of(settings.store).exists():
        return settings
    try:
        store = await open_store(settings, clock=SteadyClock(), grace=longest_grace(settings), is_visitor=True)
    except StoreOutdated:
        return settings
    try:
        return merged(settings, await additions(store.entries))
    finally:
        await store.close()


class _Configuration:
    """The configuration of the file with what was added; no running daemon uses it."""

    def __init__(self, base: Settings, now: Settings, store: Store) -> None:
        self.base = base
        self.now = now
        self._store = store

    async def take_additions(self) -> None:
        """Whether a daemon could start with it."""
        whole = merged(self.base, await additions(self._store.entries))
        await asyncio.to_thread(prepare, whole)
        self.now = whole

    def snapshot(self) -> Snapshot:
        """The meaning of the settings without their rules, which no question about addresses needs."""
        return _snapshot(Prepared(settings=self.now, rules=()))


class _Door:
    """A door that is built at the first mail that is handed in: a worker takes 0.2 s to start."""

    def __init__(self, stack: AsyncExitStack, configuration: _Configuration, store: Store, inboxes: Inboxes) -> None:
        self._stack = stack
        self._inboxes = inboxes
        self._configuration = configuration
        self._store = store
        self._built: HandIn | None = None

    def is_ours(self, rcpt: str) -> bool:
        """See `Door.is_ours`."""
        return _live(self._configuration, self._inboxes).accepts(rcpt)

    async def hand_in(self, envelope: Envelope, word: Word) -> Answer:
        """See `Door.hand_in`. Claims are released: the daemon sends."""
        if self._built is None:
            self._built = await self._build()
        answer = await self._built.hand_in(envelope, word)
        if isinstance(answer, Stored):
            await self._store.outbox.release(answer.receipt.claims)
        return answer

    async def _build(self) -> HandIn:
        settings = self._configuration.now
        now = _snapshot(await asyncio.to_thread(prepare, settings))
        pool = await self._stack.enter_async_context(
            parser_pool(
                target=UNDERSTAND,
                answer=Understanding,
                config=now.parser_config.encode(),
                workers=1,
                timeout=settings.parser.timeout,
            )
        )
        intake = Intake(
            reader=pool,
            gate=Gate(
                policy=lambda: now.gate,
                dns=Dns(timeout=settings.trust.dns_timeout, nameservers=settings.trust.nameservers),
                deadline=settings.trust.dns_timeout,
                inboxes=self._inboxes,
            ),
            store=self._store,
            tests=OneTime(now=time.monotonic, dice=os.urandom),
            policy=lambda: now.intake,
            events=NoEvents(),
            metrics=Metrics(),
        )
        return HandIn(admission=Admission(is_ours=self.is_ours, memory=settings.smtp.max_memory), intake=intake)


def _live(configuration: _Configuration, inboxes: Inboxes) -> Live:
    return Live(configuration.snapshot(), base=configuration.base, revision=0, inboxes=inboxes)


def _snapshot(prepared: Prepared) -> Snapshot:
    return snapshot(prepared.settings, rules=prepared.rules, served=served_alone(prepared.settings))
