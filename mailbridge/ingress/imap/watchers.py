"""The watched mailboxes of a daemon together, and who may log in. Imports nothing of IMAP: a daemon without a mailbox needs none of it."""

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
"""Logins at once to one host: a restart with many mailboxes is no login storm."""


class Permit(Protocol):
    """The right to log in to a host, as a semaphore gives it: what was acquired is released."""

    def acquire(self, *, timeout: float) -> bool: ...

    def release(self) -> None: ...


class Logins(Protocol):
    """Who may log in, by the host."""

    def of(self, host: str) -> Permit: ...


class LoginLimiter:
    """Lets a few log in to a host at once, and the others wait."""

    def __init__(self) -> None:
        self._semaphores: dict[str, threading.BoundedSemaphore] = {}

    def of(self, host: str) -> Permit:
        """The semaphore of a host."""
        return self._semaphores.setdefault(host, threading.BoundedSemaphore(LOGINS))


class Watchers:
    """The mailboxes that are watched, and the canaries of their accounts, by the account's name."""

    def __init__(self, watchers: Sequence[Watcher], schedules: Mapping[str, CanarySchedule] | None = None) -> None:
        self.watchers = tuple(watchers)
        self._named = {one.status.mailbox: one for one in self.watchers}
        self.schedules = dict(schedules or {})

    def start(self) -> None:
        """Begin to watch; what is wrong shows in the health."""
        threads: tuple[Watcher | CanarySchedule, ...] = (*self.watchers, *self.schedules.values())
        for thread in threads:
            thread.start()

    def wake(self, mailbox: str | None = None) -> None:
        """Somebody waits for a code that may come by this mailbox, or by any: it looks at once. Cheap, and safe from any thread."""
        if mailbox is None:
            for watcher in self.watchers:
                watcher.wake()
        elif mailbox in self._named:
            self._named[mailbox].wake()

    def follow(self, former: Watchers) -> None:
        """Take the place of others that watched some of the same mailboxes: those that were well are not red meanwhile."""
        well = {one.mailbox for one in former.health() if one.is_well}
        for watcher in self.watchers:
            if watcher.status.mailbox in well:
                watcher.status.carry_on()

    def health(self) -> tuple[MailboxHealth, ...]:
        """Every mailbox as it is now."""
        return tuple(watcher.status.read() for watcher in self.watchers)

    def canaries(self) -> dict[str, CanaryHealth]:
        """Every account's canary as it is now; none for an account without."""
        return {name: schedule.health() for name, schedule in self.schedules.items()}

    def try_again(self) -> None:
        """A person asks for it: whatever waits after a fault is tried at once."""
        for watcher in self.watchers:
            watcher.retry_now()

    def retry_now(self) -> None:
        """Somebody may have fixed something: canaries that are missing are sent anew."""
        for schedule in self.schedules.values():
            schedule.retry_now()

    async def close(self, drain: timedelta) -> None:
        """Stop all, wait for up to ``drain``; a thread that hangs in a network call is left behind, and nothing is lost by it."""
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
    """Several as one: what is done to it is done to all of them at once."""
    every = tuple(several)
    schedules = {name: one for watchers in every for name, one in watchers.schedules.items()}
    return Watchers([one for watchers in every for one in watchers.watchers], schedules)
