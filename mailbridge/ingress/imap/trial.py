"""`imap test --canary`: one canary through the daemon's own code, with the time that each step takes.

The folders are watched like the daemon watches them, but with a door that stores nothing. Mails that are there or come meanwhile
are left for the daemon, whose place in the mailbox does not change.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from msgspec.structs import replace

from mailbridge.config.settings import CanarySettings, ImapSettings
from mailbridge.core.mail import Envelope
from mailbridge.ingress.imap.ages import Ages
from mailbridge.ingress.imap.canary import Canary, missing
from mailbridge.ingress.imap.faults import MailboxFault
from mailbridge.ingress.imap.heat import Heating
from mailbridge.ingress.imap.presets import Contexts, account_of
from mailbridge.ingress.imap.probe import Finding
from mailbridge.ingress.imap.service import canary_of, connector, habits_of, nobody, tokens_of, watcher_of
from mailbridge.ingress.imap.vault import Tokens
from mailbridge.ingress.imap.watcher import Watcher
from mailbridge.ingress.imap.watchers import LoginLimiter
from mailbridge.intake.answer import Answer, Stored
from mailbridge.store import Receipt

WATCHED_WITHIN = 30.0
HANG_UP = 3.0


class _BlindDoor:
    """A door that stores nothing."""

    def accept(self, envelope: Envelope) -> Answer:  # noqa: ARG002  (a door's method)
        """Answer as if the mail were already known."""
        return Stored(receipt=Receipt(mail_id=0, is_duplicate=True))

    def cursor(self, mailbox: str) -> str | None:  # noqa: ARG002
        """There is no place in the mailbox."""
        return None

    def advance(self, cursor: str) -> None:
        """Nothing is written."""

    def pending_actions(self, mailbox: str) -> tuple[str, ...]:  # noqa: ARG002
        """Nothing is pending."""
        return ()

    def actions_done(self, cursors: Sequence[str]) -> None:
        """Nothing is written."""

    def rewind(self, cursor: str) -> None:
        """Nothing is written."""

    def notes(self, mailbox: str) -> str:  # noqa: ARG002
        """Nothing is known."""
        return "{}"

    def note(self, mailbox: str, notes: str) -> None:
        """Nothing is written."""


def trial(settings: ImapSettings, vault: Tokens | None) -> Iterator[Finding]:
    """Watch, send, see, remove, by the account's own settings or the usual ones."""
    entry = replace(settings, canary=settings.canary or CanarySettings())
    account, contexts = account_of(entry), Contexts()
    tokens = tokens_of(account, vault)
    habits = habits_of(account)
    connect = connector(entry, account, tokens, contexts=contexts, login_limiter=LoginLimiter(), habits=habits)
    canary = canary_of(entry, account, tokens, connect=connect, contexts=contexts, key=secrets.token_bytes(32))
    if canary is None or account.canary is None:
        return
    watchers = [
        watcher_of(
            account,
            folder,
            canary,
            door=_BlindDoor(),
            connect=connect,
            tokens=tokens,
            habits=habits,
            heating=Heating(nobody),
            ages=Ages(now=lambda: datetime.now(UTC)),
            dice=random.random,
        )
        for folder in account.folders
    ]
    with _running(watchers):
        began = time.monotonic()
        while not all(one.status.is_watched for one in watchers) and time.monotonic() - began < WATCHED_WITHIN:
            time.sleep(0.02)
        if not all(one.status.is_watched for one in watchers):
            reason = next((one.status.reason for one in watchers if one.status.reason), "no answer")
            yield Finding(step="canary", is_good=False, text=f"the folders cannot be watched: {reason}")
            return
        yield from _followed(canary, account.canary)


def _followed(canary: Canary, settings: CanarySettings) -> Iterator[Finding]:
    began = time.monotonic()
    try:
        run = canary.send()
    except MailboxFault as fault:
        yield Finding(step="canary sent", is_good=False, text=f"by {canary.by}: {fault}")
        return
    handed = run.handed
    if handed is None:
        return
    login, taking = handed.ready - began, handed.taken - handed.ready
    yield Finding(step="canary sent", is_good=True, text=f"by {canary.by}: {_ms(login)} to log in, {_ms(taking)} to hand it in")
    within = settings.deadline.total_seconds()
    canary.wait(run, handed.ready + within)
    if run.seen_at is not None and run.latency is not None:
        text = f"in {run.locations[0].folder}, {_ms(run.latency)} after it was handed in"
        yield Finding(step="canary seen", is_good=run.latency <= within, text=text)
    else:
        yield Finding(step="canary seen", is_good=False, text=missing(canary, run, within=within)[1])
    began = time.monotonic()
    is_clear = canary.clear(run)
    text = f"in {_ms(time.monotonic() - began)}" if is_clear else "the server does not let us: it stays in the mailbox"
    yield Finding(step="canary removed", is_good=True, text=text)


@contextmanager
def _running(watchers: Sequence[Watcher]) -> Iterator[None]:
    for one in watchers:
        one.start()
    try:
        yield
    finally:
        for one in watchers:
            one.stop()
        for one in watchers:
            one.join(time.monotonic() + HANG_UP)


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"
