"""The mailboxes that a daemon watches, all of them: what it asks of them and tells them.

The daemon has one also where no mailbox is configured. What watches a mailbox, and imapclient with it, is imported with the first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from mailbridge import log_events

if TYPE_CHECKING:
    from mailbridge.ingress.imap.canary import CanaryHealth, CanarySchedule
    from mailbridge.ingress.imap.mailbox_status import MailboxHealth
    from mailbridge.ingress.imap.watcher import Watcher

log = logging.getLogger("mailbridge.imap")


class Watchers:
    """The mailboxes that are watched, and the canaries of their accounts, by the account's name."""

    def __init__(self, watchers: Sequence[Watcher], schedules: Mapping[str, CanarySchedule] | None = None) -> None:
        self._watchers = tuple(watchers)
        self._schedules = dict(schedules or {})

    def start(self) -> None:
        """Begin to watch; what is wrong shows in the health."""
        threads: tuple[Watcher | CanarySchedule, ...] = (*self._watchers, *self._schedules.values())
        for thread in threads:
            thread.start()

    def wake(self) -> None:
        """Somebody waits for a code: the mailboxes that it may come by look at once. Cheap, and safe from any thread."""
        for watcher in self._watchers:
            watcher.wake()

    def follow(self, former: Watchers) -> None:
        """Take the place of others that watched some of the same mailboxes: those that were well are not red meanwhile."""
        well = {one.mailbox for one in former.health() if one.is_well}
        for watcher in self._watchers:
            if watcher.status.mailbox in well:
                watcher.status.carry_on()

    def health(self) -> tuple[MailboxHealth, ...]:
        """Every mailbox as it is now."""
        return tuple(watcher.status.read() for watcher in self._watchers)

    def canaries(self) -> dict[str, CanaryHealth]:
        """Every account's canary as it is now; none for an account without."""
        return {name: schedule.health() for name, schedule in self._schedules.items()}

    def try_again(self) -> None:
        """A person asks for it: whatever waits after a fault is tried at once."""
        for watcher in self._watchers:
            watcher.retry_now()

    def retry_now(self) -> None:
        """Somebody may have fixed something: canaries that are missing are sent anew."""
        for schedule in self._schedules.values():
            schedule.retry_now()

    async def close(self, drain: timedelta) -> None:
        """Stop all, wait for up to ``drain``; a thread that hangs in a network call is left behind, and nothing is lost by it."""
        threads: tuple[CanarySchedule | Watcher, ...] = (*self._schedules.values(), *self._watchers)
        for thread in threads:
            thread.stop()
        until = time.monotonic() + drain.total_seconds()
        ended = await asyncio.to_thread(lambda: [thread.join(until) for thread in threads])
        if not all(ended):
            log.warning(
                "mailbox threads left behind", extra={"event": log_events.MAILBOX_THREADS_LEFT, "count": ended.count(False)}
            )
