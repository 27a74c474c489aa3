"""The mailboxes of the configuration, those of them watched that this process has a lease on, and how the others are."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import threading
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError
from dataclasses import asdict, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from mailbridge import log_events
from mailbridge.app.engine import Engine
from mailbridge.config.settings import ImapSettings, Settings
from mailbridge.core.mail import Envelope, Lease
from mailbridge.ingress.imap.modes import Mode
from mailbridge.ingress.imap.watchers import LOGINS, Permit, Watchers, joined
from mailbridge.intake.answer import Answer
from mailbridge.intake.doorway import Doorway
from mailbridge.store import StoreUnavailable
from mailbridge.store.leases import Elsewhere, Leases, LoginSlot

if TYPE_CHECKING:
    from mailbridge.ingress.imap.canary import CanaryHealth
    from mailbridge.ingress.imap.mailbox_status import MailboxHealth

log = logging.getLogger("mailbridge.app")

T = TypeVar("T")

HANG_UP = timedelta(seconds=3)
"""How long to wait for the threads of mailboxes that are no longer watched: what they have not handed in is fetched again."""

UNSURE = 60.0
"""Seconds after which mailboxes are disconnected if the database does not say who watches them."""

ASK = 10.0
"""Seconds to wait for the database to say whether a login is free."""

NOBODY = "no replica watches it"
SHOWN = ("mailbox", "mode", "is_well", "reason", "notes", "mails", "reconnects", "deaf", "skipped", "gone", "drift")
"""The fields of a mailbox that other replicas show: those that rarely change."""

Make = Callable[[ImapSettings, Lease], Watchers]
ToWake = Callable[[str], Collection[str] | None]
"""The mailboxes through which a code of an identifier may come; None: any."""


async def mailboxes_of(settings: Settings, engine: Engine, way: Doorway) -> Mailboxes:
    """The mailboxes of these settings, those that this process has a lease on ready to be watched.

    Raises:
        StoreError: the vault of OAuth tokens, or the key of the database, cannot be used.
        StoreUnavailable: the database does not say which they are.
    """
    accounts = settings.imap
    make, to_wake = _make(settings, engine, way) if accounts else (nothing_watched, every_one)
    found = Mailboxes(accounts, make, to_wake=to_wake)
    found.hold(await engine.store.leases.share([one.label for one in accounts]))
    return found


def _make(settings: Settings, engine: Engine, way: Doorway) -> tuple[Make, ToWake]:
    from mailbridge.ingress.imap import service as imap
    from mailbridge.ingress.imap.vault import open_vault

    store, accounts, logins = engine.store, settings.imap, None
    vault = open_vault(settings.store, engine.masks) if any(one.oauth is not None for one in accounts) else None
    if store.is_shared:
        logins = SharedLogins(store.leases, asyncio.get_running_loop())
    common = imap.common_of(accounts, wanted=engine.waiting.anywhere, logins=logins)

    def make(account: ImapSettings, lease: Lease) -> Watchers:
        async def bring(envelope: Envelope) -> Answer:
            return await way.bring(replace(envelope, lease=lease))

        return imap.watchers_of(
            (account,),
            bring,
            store.leases.mailboxes(lease),
            now=engine.clock.now,
            drift=lambda: engine.clock.drift,
            vault=vault,
            key=engine.key,
            common=common,
        )

    return make, common.heating.to_wake


def nothing_watched(_account: ImapSettings, _lease: Lease) -> Watchers:
    """Implements `Make` without an account."""
    return Watchers(())


def every_one(_identifier: str) -> None:
    """Implements `ToWake` if nothing is known."""


class Mailboxes:
    """Accounts by their names, each watched under its lease for as long as that is held. Belongs to the event loop.

    ``make`` gives the watchers of an account, not started; ``to_wake`` says which mailboxes a waited code may come by.
    """

    def __init__(
        self, accounts: Sequence[ImapSettings], make: Make, *, to_wake: ToWake = every_one, unsure: float = UNSURE
    ) -> None:
        self._accounts = {one.label: one for one in accounts}
        self._make = make
        self._to_wake = to_wake
        self._held: dict[str, tuple[Lease, Watchers]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._is_started = False
        self._unsure = unsure
        self._sure_at = time.monotonic()

    def start(self) -> None:
        """Begin to watch what is held."""
        self._is_started = True
        self._all().start()

    def hold(self, leases: Mapping[str, Lease]) -> tuple[int, int]:
        """Watch what these leases are for and nothing else; how many accounts came and went. A lease that is another one than before is
        that of a new watcher."""
        lost = [name for name, (lease, _) in self._held.items() if leases.get(name) != lease]
        if lost:
            leaving = joined([self._held.pop(name)[1] for name in lost])
            task = asyncio.create_task(leaving.close(HANG_UP))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
        new = [name for name in leases if name in self._accounts and name not in self._held]
        for name in new:
            watchers = self._make(self._accounts[name], leases[name])
            self._held[name] = (leases[name], watchers)
            if self._is_started:
                watchers.start()
        return len(new), len(lost)

    def shared(self, leases: Mapping[str, Lease] | None) -> tuple[int, int]:
        """As `hold`. None: it is not known now what is held. Then the connections are kept for ``unsure`` seconds: what is handed in under a lease that is over is refused, and to log in everywhere anew costs more than to wait."""
        if leases is not None:
            self._sure_at = time.monotonic()
            return self.hold(leases)
        return self.hold({}) if time.monotonic() > self._sure_at + self._unsure else (0, 0)

    def wake(self, identifiers: Iterable[str]) -> None:
        """Somebody waits for codes of these: the mailboxes that they may come by look at once, and no other one is touched."""
        for identifier in identifiers:
            found = self._to_wake(identifier)
            if found is None:
                for _, watchers in self._held.values():
                    watchers.wake()
            for mailbox in found or ():
                if (held := self._held.get(mailbox.partition("/")[0])) is not None:
                    held[1].wake(mailbox)

    def follow(self, former: Mailboxes) -> None:
        """Take the place of others that watched some of the same mailboxes: those that were well are not red meanwhile."""
        self._all().follow(former._all())

    def health(self) -> tuple[MailboxHealth, ...]:
        """Every mailbox that is watched here as it is now, in the order of the configuration."""
        return self._all().health()

    def canaries(self) -> dict[str, CanaryHealth]:
        """The canary of every account that is watched here and has one."""
        return self._all().canaries()

    def names(self) -> tuple[str, ...]:
        """Every mailbox of the configuration, whoever watches it."""
        return tuple(f"{one.label}/{folder}" for one in self._accounts.values() for folder in one.folders)

    def with_canary(self) -> tuple[str, ...]:
        """The accounts that have a canary, whoever watches them."""
        return tuple(name for name, one in self._accounts.items() if one.canary is not None)

    def try_again(self) -> None:
        """A person asks for it: whatever waits after a fault is tried at once."""
        self._all().try_again()

    def retry_now(self) -> None:
        """Somebody may have fixed something: canaries that are missing are sent anew."""
        self._all().retry_now()

    async def close(self, drain: timedelta) -> None:
        """Stop all, wait for up to ``drain``."""
        held, self._held = self._all(), {}
        await held.close(drain)
        await asyncio.gather(*self._leaving, return_exceptions=True)

    def states(self, masked: Callable[[str], str]) -> dict[str, str]:
        """What is to be shown at other replicas of each account that is watched here, JSON without secrets."""
        return {name: json.dumps([_told(one, masked) for one in watchers.health()]) for name, (_, watchers) in self._held.items()}

    def others(self, elsewhere: Sequence[Elsewhere]) -> list[dict[str, Any]]:
        """The mailboxes of the configuration that are not watched here, as their watchers have told; or that nobody watches them."""
        known = {one.account: one for one in elsewhere}
        rows: list[dict[str, Any]] = []
        for name, account in self._accounts.items():
            if name in self._held:
                continue
            if name not in known:
                rows += [_row(f"{name}/{folder}", is_well=False, reason=NOBODY) for folder in account.folders]
                continue
            rows += [_row(str(one["mailbox"])) | one | {"watched_by": known[name].by} for one in json.loads(known[name].state)]
        return rows

    def _all(self) -> Watchers:
        return joined([self._held[name][1] for name in self._accounts if name in self._held])


def shown_here(one: MailboxHealth, masked: Callable[[str], str]) -> dict[str, Any]:
    """A mailbox that is watched here, as every status shows it. Its server may have repeated what it was told.

    ``watched_by`` is None here; of the mailboxes that are not watched here it is the replica that watches them, or "".
    """
    told = {name: masked(value) if isinstance(value, str) else value for name, value in asdict(one).items()}
    return told | {"mode": str(one.mode), "notes": tuple(masked(note) for note in one.notes), "watched_by": None}


def _told(one: MailboxHealth, masked: Callable[[str], str]) -> dict[str, Any]:
    told = {name: getattr(one, name) for name in SHOWN}
    return told | {"mode": str(one.mode), "reason": masked(one.reason), "notes": [masked(note) for note in one.notes]}


def _row(mailbox: str, *, is_well: bool = True, reason: str = "") -> dict[str, Any]:
    """A mailbox of another replica that has not reported its state yet."""
    unknown = dict.fromkeys(("age", "last_roundtrip", "last_mail", "drift", "canary"))
    counted = dict.fromkeys(("mails", "reconnects", "deaf", "skipped", "gone"), 0)
    told = {"mailbox": mailbox, "mode": str(Mode.WAITING), "is_well": is_well, "reason": reason, "notes": []}
    return {**told, **unknown, **counted, "watched_by": ""}


class SharedLogins:
    """Implements `Logins` for threads: a few logins at once to a host, of all replicas together. Of one replica no more of its
    threads than that ask the database."""

    def __init__(self, leases: Leases, loop: asyncio.AbstractEventLoop) -> None:
        self._leases = leases
        self._loop = loop
        self._lock = threading.Lock()
        self._permits: dict[str, _SharedPermit] = {}

    def of(self, host: str) -> Permit:
        """That of a host."""
        with self._lock:
            return self._permits.setdefault(host, _SharedPermit(host, self._leases, self._loop))


class _SharedPermit:
    PAUSE, LONGEST = 0.1, 1.0
    """Seconds between two checks whether a login is free: first, and at most after many checks."""

    def __init__(self, host: str, leases: Leases, loop: asyncio.AbstractEventLoop) -> None:
        self._host = host
        self._leases = leases
        self._loop = loop
        self._here = threading.BoundedSemaphore(LOGINS)
        self._slots: list[LoginSlot] = []
        self._in_vain = 0

    def acquire(self, *, timeout: float) -> bool:
        until = time.monotonic() + timeout
        if not self._here.acquire(timeout=timeout):
            return False
        while True:
            slot = self._asked(self._leases.log_in(self._host, at_once=LOGINS))
            if slot is not None:
                self._slots.append(slot)
                self._in_vain = 0
                return True
            self._in_vain += 1
            if time.monotonic() >= until:
                self._here.release()
                return False
            pause = min(self.PAUSE * self._in_vain, self.LONGEST) * random.uniform(0.5, 1)  # noqa: S311  (no secret)
            time.sleep(min(pause, max(0.0, until - time.monotonic())))

    def release(self) -> None:
        self._asked(self._leases.logged_in(self._slots.pop()))
        self._here.release()

    def _asked(self, doing: Coroutine[Any, Any, T]) -> T | None:
        """What the database says; None where it does not answer, or the daemon stops."""
        try:
            future = asyncio.run_coroutine_threadsafe(doing, self._loop)
        except RuntimeError:
            doing.close()
            return None
        try:
            return future.result(ASK)
        except TimeoutError:
            future.cancel()
        except (StoreUnavailable, asyncio.CancelledError, CancelledError):
            pass
        return None


def note_change(came: int, went: int) -> None:
    """Say in the log that this process watches other mailboxes than before."""
    if came or went:
        log.info(
            "mailboxes shared out anew: %d more are watched here, %d no longer",
            came,
            went,
            extra={"event": log_events.WATCH_CHANGED},
        )
