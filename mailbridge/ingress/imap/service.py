"""All watched mailboxes of a daemon: created from the settings, started, asked for their state, and stopped."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from concurrent.futures import CancelledError
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from mailbridge import log_events
from mailbridge.config.settings import CanarySettings, ImapSettings
from mailbridge.core.dataclass import dataclass
from mailbridge.core.mail import Envelope
from mailbridge.ingress.imap.ages import Ages
from mailbridge.ingress.imap.canary import Canary, CanarySchedule, CanaryTokens, Connect, Handed, Hold, submit
from mailbridge.ingress.imap.door import Door, NotTaken
from mailbridge.ingress.imap.habits import Habits
from mailbridge.ingress.imap.heat import Heating, Wanted
from mailbridge.ingress.imap.login import LoggedIn, log_in
from mailbridge.ingress.imap.mailbox import Mailbox
from mailbridge.ingress.imap.mailbox_status import MailboxStatus
from mailbridge.ingress.imap.mute import AGAIN, Mute
from mailbridge.ingress.imap.oauth import TokenSource
from mailbridge.ingress.imap.presets import Account, Contexts, account_of
from mailbridge.ingress.imap.stream import SILENCE
from mailbridge.ingress.imap.tempo import Tempo
from mailbridge.ingress.imap.vault import Tokens
from mailbridge.ingress.imap.watcher import Stopped, Watcher
from mailbridge.ingress.imap.watchers import LoginLimiter, Logins, Watchers
from mailbridge.ingress.imap.wire import Wire
from mailbridge.intake.answer import Accept, Answer, Deferred, Full
from mailbridge.store import StoreUnavailable

log = logging.getLogger("mailbridge.imap")

T = TypeVar("T")

ACCEPT_TIMEOUT = 60.0
IDLE_AGAIN = timedelta(seconds=AGAIN)


class Cursors(Protocol):
    """What a mailbox needs of the store, in addition to the intake."""

    async def cursor(self, mailbox: str) -> str | None: ...

    async def advance(self, cursor: str) -> None: ...

    async def pending_actions(self, mailbox: str) -> tuple[str, ...]: ...

    async def actions_done(self, cursors: Sequence[str]) -> None: ...

    async def rewind(self, cursor: str) -> None: ...

    async def notes(self, mailbox: str) -> str: ...

    async def note(self, mailbox: str, notes: str) -> None: ...


class LoopDoor:
    """The intake and the store of the daemon's event loop, for a thread."""

    def __init__(self, accept: Accept, cursors: Cursors, loop: asyncio.AbstractEventLoop) -> None:
        self._accept = accept
        self._cursors = cursors
        self._loop = loop

    def accept(self, envelope: Envelope) -> Answer:
        """See `Door.accept`."""

        async def accepting() -> Answer:
            return await self._accept(envelope)

        try:
            return self._wait_for(accepting())
        except StoreUnavailable as fault:
            return Full() if fault.kind == "full" else Deferred(why=fault.kind, detail=fault.kind)
        except Exception:
            log.exception("mail could not be stored", extra={"event": log_events.MAIL_FAILED})
            raise NotTaken from None

    def cursor(self, mailbox: str) -> str | None:
        """See `Door.cursor`."""
        return self._wait_for(self._cursors.cursor(mailbox))

    def advance(self, cursor: str) -> None:
        """See `Door.advance`."""
        self._wait_for(self._cursors.advance(cursor))

    def pending_actions(self, mailbox: str) -> tuple[str, ...]:
        """See `Door.pending_actions`."""
        return self._wait_for(self._cursors.pending_actions(mailbox))

    def actions_done(self, cursors: Sequence[str]) -> None:
        """See `Door.actions_done`."""
        self._wait_for(self._cursors.actions_done(cursors))

    def rewind(self, cursor: str) -> None:
        """See `Door.rewind`."""
        self._wait_for(self._cursors.rewind(cursor))

    def notes(self, mailbox: str) -> str:
        """See `Door.notes`."""
        return self._wait_for(self._cursors.notes(mailbox))

    def note(self, mailbox: str, notes: str) -> None:
        """See `Door.note`."""
        self._wait_for(self._cursors.note(mailbox, notes))

    def _wait_for(self, doing: Coroutine[Any, Any, T]) -> T:
        try:
            future = asyncio.run_coroutine_threadsafe(doing, self._loop)
        except RuntimeError:
            doing.close()
            raise StoreUnavailable("closed", "the daemon has stopped") from None
        try:
            return future.result(ACCEPT_TIMEOUT)
        except TimeoutError:
            future.cancel()
            raise StoreUnavailable("locked", f"no answer for {ACCEPT_TIMEOUT:g} s") from None
        except (CancelledError, asyncio.CancelledError):
            raise StoreUnavailable("closed", "the daemon stops") from None


def nobody() -> Collection[str]:
    """Nobody waits for a code."""
    return ()


def never() -> bool:
    """There is no permission to give."""
    return False


def bound_to(account: ImapSettings) -> frozenset[str]:
    """The identifiers (folded) of the codes in an account, as far as its settings say: its own identifier, or its address."""
    return frozenset({(account.identifier or account.mailbox).casefold()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Common:
    """What all mailboxes of a daemon share, whenever each of them starts to be watched."""

    contexts: Contexts
    logins: Logins
    heating: Heating


def common_of(settings: Sequence[ImapSettings], *, wanted: Wanted = nobody, logins: Logins | None = None) -> Common:
    """The shared part for these accounts. ``wanted`` gives the identifiers for whose codes somebody waits; many threads call
    it often."""
    bound = {f"{one.label}/{folder}": bound_to(one) for one in settings for folder in one.folders}
    return Common(contexts=Contexts(), logins=logins or LoginLimiter(), heating=Heating(wanted, bound))


def watchers_of(
    settings: Sequence[ImapSettings],
    accept: Accept,
    cursors: Cursors,
    *,
    now: Callable[[], datetime],
    drift: Callable[[], timedelta] = timedelta,
    vault: Tokens | None = None,
    wanted: Wanted = nobody,
    dice: Callable[[], float] = random.random,
    silence: timedelta = SILENCE,
    idle_again: timedelta = IDLE_AGAIN,
    key: bytes = b"",
    common: Common | None = None,
) -> Watchers:
    """Watchers of every folder of every account, each with a thread of its own, not started. Call it in the daemon's event loop.

    ``accept`` returns when a mail is on disk. ``wanted`` gives the identifiers for whose codes somebody waits; many threads call
    it often. ``now`` is steady time, and ``drift`` how far the wall clock is ahead of it. ``silence`` is how long a server may
    say nothing when it should answer. ``idle_again`` is the time until an unanswered IDLE is first tried again. ``key`` is a
    secret of this machine by which canaries are recognised after a restart; with b"" they are not. ``common`` is shared with
    mailboxes that are not among these, and replaces ``wanted``.
    """
    door = LoopDoor(accept, cursors, asyncio.get_running_loop())
    common = common or common_of(settings, wanted=wanted)
    watchers: list[Watcher] = []
    schedules: dict[str, CanarySchedule] = {}
    for entry in settings:
        account = account_of(entry)
        tokens = tokens_of(account, vault)
        habits = habits_of(account, silence, idle_again)
        connect = connector(entry, account, tokens, contexts=common.contexts, login_limiter=common.logins, habits=habits)
        canary = canary_of(entry, account, tokens, connect=connect, contexts=common.contexts, key=key)
        mine = [
            watcher_of(
                account,
                folder,
                canary,
                door=door,
                connect=connect,
                tokens=tokens,
                habits=habits,
                heating=common.heating,
                ages=Ages(now=now, drift=drift),
                dice=dice,
            )
            for folder in account.folders
        ]
        watchers += mine
        if canary is not None and account.canary is not None:
            schedules[account.name] = schedule_of(canary, account.canary, [one.status for one in mine], dice)
    return Watchers(watchers, schedules)


def watcher_of(
    account: Account,
    folder: str,
    canary: Canary | None,
    *,
    door: Door,
    connect: Connect,
    tokens: TokenSource | None,
    habits: Habits,
    heating: Heating,
    ages: Ages,
    dice: Callable[[], float],
) -> Watcher:
    """The watcher of one folder, not started."""
    status = MailboxStatus(f"{account.name}/{folder}", renew=account.renew.total_seconds())
    mailbox = Mailbox(
        key=account.cursor_of(folder),
        rcpt=account.mailbox,
        peer=account.host,
        door=door,
        ages=ages,
        status=status,
        habits=habits,
        with_effect=account.after != "nothing",
        folder=folder,
        canary=canary,
    )
    return Watcher(
        account=account,
        folder=folder,
        mailbox=mailbox,
        status=status,
        connect=connect,
        heating=heating,
        is_consented=tokens.has_changed if tokens is not None else never,
        dice=dice,
    )


def canary_of(
    entry: ImapSettings, account: Account, tokens: TokenSource | None, *, connect: Connect, contexts: Contexts, key: bytes
) -> Canary | None:
    """The canary of an account, with its way of sending; None if the account has none."""
    if account.canary is None:
        return None

    def sent(mail: bytes, hold: Hold) -> Handed:
        return submit(mail, account, contexts.trusting(entry), tokens, hold=hold)

    canary_tokens = CanaryTokens(key or secrets.token_bytes(32), account.mailbox)
    return Canary(
        account=account, canary_tokens=canary_tokens, connect=connect, submit=sent if account.submission is not None else None
    )


def schedule_of(
    canary: Canary, settings: CanarySettings, looks: Sequence[MailboxStatus], dice: Callable[[], float]
) -> CanarySchedule:
    """The schedule of a canary, which appears in the health of each folder."""
    schedule = CanarySchedule(
        canary=canary, settings=settings, is_watched=lambda: any(one.is_watched for one in looks), dice=dice
    )
    for one in looks:
        one.canary = schedule.health
    return schedule


def tokens_of(account: Account, vault: Tokens | None) -> TokenSource | None:
    """The access tokens of an account; None if it has a password."""
    if account.oauth is None or vault is None:
        return None
    return TokenSource(account=account.name, username=account.username, settings=account.oauth, vault=vault)


def habits_of(account: Account, silence: timedelta = SILENCE, idle_again: timedelta = IDLE_AGAIN) -> Habits:
    """An empty record of what is learned about an account's server. ``silence`` and ``idle_again`` as for `watchers_of`."""
    tempo = Tempo(first=silence.total_seconds(), most=max(account.patience, silence).total_seconds())
    return Habits(tempo=tempo, pipelines=account.pipelines, mute=Mute(time.monotonic, first=idle_again.total_seconds()))


def connector(
    entry: ImapSettings,
    account: Account,
    tokens: TokenSource | None,
    *,
    contexts: Contexts,
    login_limiter: Logins,
    habits: Habits,
) -> Connect:
    """A function that connects and logs in when the host has a free login. Its argument says whether to give up waiting."""

    def connect(is_stopping: Callable[[], bool]) -> tuple[Wire, LoggedIn]:
        semaphore = login_limiter.of(account.host)
        while not semaphore.acquire(timeout=0.5):
            if is_stopping():
                raise Stopped
        try:
            if is_stopping():
                raise Stopped
            wire = Wire(account.endpoint(contexts.of(entry), timedelta(seconds=habits.tempo.first)), habits)
            try:
                return wire, log_in(wire, account, tokens)
            except BaseException:
                wire.close()
                raise
        finally:
            semaphore.release()

    return connect
