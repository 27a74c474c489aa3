"""The watched mailboxes of a daemon together, and who may log in. Imports no IMAP code, because a daemon without a mailbox
does not need it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from mailbridge import log_events

if TYPE_CHECKING:
    from mailbridge.ingress.imap.canary import CanaryHealth, CanarySchedule
    from mailbridge.ingress.imap.mailbox_status import MailboxHealth
    from mailbridge.ingress.imap.watcher import Watcher

log = logging.getLogger("mailbridge.imap")

LOGINS = 4
"""Logins at a time to one host, so that a restart with many mailboxes causes no flood of logins."""


class Permit(Protocol):
    """The right to log in to a host, like that of a semaphore: what was acquired must be released."""

    def acquire(self, *, timeout: float) -> bool: ...

    def release(self) -> None: ...


class Logins(Protocol):
    """Who may log in, by host."""

    def of(self, host: str) -> Permit: ...


class LoginLimiter:
    """Lets a few log in to a host at a time; the others wait."""

    def __init__(self) -> None:
        self._semaphores: dict[str, threading.BoundedSemaphore] = {}

    def of(self, host: str) -> Permit:
        """The semaphore of a host."""
        return self._semaphores.setdefault(host, threading.BoundedSemaphore(LOGINS))


class Watchers:
    """The watched mailboxes, and the canaries of their accounts, by the account's name."""

    def __init__(self, watchers: Sequence[Watcher], schedules: Mapping[str, CanarySchedule] | None = None) -> None:
        self.watchers = tuple(watchers)
        self._named = {one.status.mailbox: one for one in self.watchers}
        self.schedules = dict(schedules or {})

    def start(self) -> None:
        """Begin to watch. Problems appear in the health."""
        threads: tuple[Watcher | CanarySchedule, ...] = (*self.watchers, *self.schedules.values())
        for thread in threads:
            thread.start()

    def wake(self, mailbox: str | None = None) -> None:
        """Somebody waits for a code that may come by this mailbox, or by any if None: it looks at once. Cheap, and safe from
        any thread."""
        if mailbox is None:
            for watcher in self.watchers:
                watcher.wake()
        elif mailbox in self._named:
            self._named[mailbox].wake()

    def follow(self, former: Watchers) -> None:
        """Take the place of other watchers of some of the same mailboxes. Mailboxes that were well do not become red
        meanwhile."""
        well = {one.mailbox for one in former.health() if one.is_well}
        for watcher in self.watchers:
            if watcher.status.mailbox in well:
                watcher.status.carry_on()

    def health(self) -> tuple[MailboxHealth, ...]:
        """The present state of every mailbox."""
        return tuple(watcher.status.read() for watcher in self.watchers)

    def canaries(self) -> dict[str, CanaryHealth]:
        """The present state of every account's canary. Accounts without a canary are left out."""
        return {name: schedule.health() for name, schedule in self.schedules.items()}

    def try_again(self) -> None:
        """A person asks for it: retry at once everything that waits after a fault."""
        for watcher in self.watchers:
            watcher.retry_now()

    def retry_now(self) -> None:
        """Somebody may have fixed something: send missing canaries again."""
        for schedule in self.schedules.values():
            schedule.retry_now()

    async def close(self, drain: timedelta) -> None:
        """Stop all, and wait for up to ``drain``. A thread that hangs in a network call is left behind; nothing is lost by
        that."""
        threads: tuple[CanarySchedule | Watcher, ...] = (*self.schedules.values(), *self.watchers)
        for thread in threads:
            thread.stop()
        until = time.monotonic() + drain.total_seconds()
        ended = await asyncio.to_thread(lambda: [thread.join(until) for thread in threads])
        if not all(ended):
            log.warning(
                "mailbox threads left behind", extra={"event": log_events.MAILBOX_THREADS_LEFT, "count": ended.count(False)}
            )


def joined(several: Iterable[Watchers]) -> Watchers:
    """Several as one: each call is done on all of them at once."""
    every = tuple(several)
    schedules = {name: one for watchers in every for name, one in watchers.schedules.items()}
    return Watchers([one for watchers in every for one in watchers.watchers], schedules)
