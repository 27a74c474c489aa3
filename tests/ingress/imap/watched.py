"""What the tests of watched mailboxes share: a store with its intake, watchers, and a way to wait for something."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest

from mailbridge.clock import SteadyClock, wall
from mailbridge.config.rulepack import rule_texts
from mailbridge.config.settings import ImapSettings, RetentionSettings, Settings, StoreSettings, TrustSettings
from mailbridge.core.mail import Envelope
from mailbridge.core.secret import Secret
from mailbridge.ingress.imap.heat import Wanted
from mailbridge.ingress.imap.service import IDLE_AGAIN, never, watchers_of
from mailbridge.ingress.imap.stream import SILENCE
from mailbridge.ingress.imap.vault import Tokens
from mailbridge.ingress.imap.watchers import Watchers
from mailbridge.intake.answer import Answer
from mailbridge.intake.door import Intake
from mailbridge.intake.drafts import IntakePolicy
from mailbridge.intake.events import NoEvents
from mailbridge.intake.gate import Gate
from mailbridge.intake.onetime import OneTime
from mailbridge.intake.parser_config import parser_config_of
from mailbridge.intake.policy import policy_of
from mailbridge.intake.understand import Understander, Understanding
from mailbridge.intake.worker_protocol import Request
from mailbridge.metrics import Metrics
from mailbridge.store.sqlite import SqliteStore, open_sqlite
from mailbridge.trust.dns import Dns
from tests.peers.scripted_imap import ScriptedImap, Session

ANN = "ann@corp.example"


def code_mail(code: str, *, to: str = ANN, message_id: str = "", extra: str = "") -> bytes:
    """A mail with a code, as a service sends it."""
    return (
        f"From: Acme <no-reply@acme.example>\r\nTo: {to}\r\nSubject: Your code\r\n"
        f"Message-ID: <{message_id or code}@acme.example>\r\n{extra}\r\nYour verification code is {code}\r\n"
    ).encode()


@cache
def understander() -> Understander:
    """Reads mails by the shipped rules, for the mailbox of `ANN`."""
    return Understander(parser_config_of(Settings(imap=(account(993),)), rules=rule_texts(Settings().rules)))


class Inline:
    """Reads mails in this process, as the worker process does."""

    async def understand(self, envelope: Envelope) -> Understanding | None:
        request = Request(
            content=envelope.content, rcpt_to=envelope.rcpt_to, mail_from=envelope.mail_from, now=envelope.received_at
        )
        return understander()(request)


class Everything:
    """One target for every identifier."""

    def targets(self, identifier: str) -> Sequence[str]:
        return ("skyvern",)


@dataclass
class House:
    """A store and its intake, and the mails that were brought to the door, in order."""

    store: SqliteStore
    intake: Intake
    clock: SteadyClock
    brought: list[Envelope] = field(default_factory=list)
    in_hand: int = 0

    async def accept(self, envelope: Envelope) -> Answer:
        """The door, with a note of who came."""
        self.brought.append(envelope)
        self.in_hand += 1
        try:
            return await self.intake.accept(envelope)
        finally:
            self.in_hand -= 1

    async def codes(self) -> list[str]:
        """Every code in the store, oldest first, those of mails that were brought already included."""
        while self.in_hand:
            await asyncio.sleep(0.005)
        return [delivery.draft.content.reveal() for delivery in reversed(await self.store.outbox.deliveries(limit=5000))]


@asynccontextmanager
async def house(folder: Path, *, wall: Callable[[], int] = wall) -> AsyncIterator[House]:
    """A store in ``folder`` and its intake, where the wall clock shows ``wall`` (microseconds since 1970)."""
    clock = SteadyClock(wall=wall)
    store = open_sqlite(
        StoreSettings(url=f"sqlite:///{folder}/mailbridge.db"), RetentionSettings(), clock=clock, grace=timedelta(seconds=5)
    )
    trusting = policy_of(Settings(trust=TrustSettings(default="none")), is_practice=False)
    intake = Intake(
        reader=Inline(),
        gate=Gate(policy=lambda: trusting, dns=Dns(timeout=timedelta(seconds=3))),
        store=store,
        tests=OneTime(now=time.monotonic, dice=os.urandom),
        policy=lambda: IntakePolicy(routes=Everything(), lifetime=timedelta(minutes=10)),
        events=NoEvents(),
        metrics=Metrics(),
    )
    try:
        yield House(store=store, intake=intake, clock=clock)
    finally:
        await store.close()


def account(port: int, **changes: object) -> ImapSettings:
    """An account on a server of the tests."""
    usual: dict[str, object] = {
        "name": "box",
        "host": "127.0.0.1",
        "port": port,
        "tls": "none",
        "username": ANN,
        "password": Secret("pw"),
        "renew": timedelta(seconds=55),
    }
    usual.update(changes)
    if usual.get("oauth") is not None:
        usual["password"] = None
    return ImapSettings(**usual)  # type: ignore[arg-type]


@asynccontextmanager
async def watching(
    home: House,
    *accounts: ImapSettings,
    hot: Callable[[], bool] = never,
    wanted: Wanted | None = None,
    vault: Tokens | None = None,
    silence: timedelta = SILENCE,
    idle_again: timedelta = IDLE_AGAIN,
    key: bytes = b"",
) -> AsyncIterator[Watchers]:
    """Watch the accounts for the length of the block."""
    watchers = watchers_of(
        accounts,
        home.accept,
        home.store.mailboxes,
        now=home.clock.now,
        drift=lambda: home.clock.drift,
        wanted=wanted or (lambda: (ANN,) if hot() else ()),
        vault=vault,
        silence=silence,
        idle_again=idle_again,
        key=key,
    )
    watchers.start()
    try:
        yield watchers
    finally:
        await watchers.close(timedelta(seconds=3))


async def until(is_so: Callable[[], bool] | Callable[[], Awaitable[bool]], *, within: float = 30.0, what: str = "it") -> float:
    """Wait for a condition; how long it took in seconds. Fails when the time is over."""
    began = time.monotonic()
    while time.monotonic() - began < within:
        answer = is_so()
        if answer is True or (not isinstance(answer, bool) and await answer):
            return time.monotonic() - began
        await asyncio.sleep(0.002)
    pytest.fail(f"{what} did not come within {within} s")


async def has(home: House, *codes: str, within: float = 30.0) -> float:
    """Wait until exactly these codes are in the store, each once; how long that took. The next renewal (55 s) would find them later."""

    async def is_so() -> bool:
        return sorted(await home.codes()) == sorted(codes)

    return await until(is_so, within=within, what=f"{len(codes)} codes")


async def in_mode(watchers: Watchers, mode: str, within: float = 30.0) -> float:
    """Wait until the first mailbox is in a mode."""
    return await until(lambda: watchers.health()[0].mode == mode, within=within, what=f"mode {mode}")


def once(server: ScriptedImap, name: str, answer: Callable[[Session, str, str], None]) -> None:
    """Replace the answer to the next command of that name."""

    def hook(session: Session, tag: str, arguments: str) -> bool:
        del server.hooks[name]
        answer(session, tag, arguments)
        return True

    server.hooks[name] = hook
