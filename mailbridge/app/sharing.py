"""What a daemon does beside others on one database: it wakes who waits here for what came in there, watches its share of the mailboxes,
and takes up what was changed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import Protocol

from mailbridge import log_events
from mailbridge.app.contacts import AppContacts
from mailbridge.intake.inboxes import Inboxes
from mailbridge.store import Store, StoreUnavailable
from mailbridge.store.leases import HOLD, Leases
from mailbridge.waiting import Bell, Waiting

log = logging.getLogger("mailbridge.app")

LONGEST = 10.0
"""Seconds after which it is looked whether or not a bell has rung."""

AT_ONCE = 1_000
AGAIN = 1.0
"""Seconds after which an unavailable store is asked again, and those after which the inboxes of others are known here."""

SHARE_EVERY = 1.0
"""Seconds between two looks for mailboxes that are free, or beyond the share of this process."""

STATES_EVERY = 5
"""Of so many looks one tells the other processes how the mailboxes are."""

CONTACTS_EVERY = 10
"""Of so many looks for inboxes one is for known senders too, who are many more."""


async def wake_waiting(store: Store, waiting: Waiting) -> None:
    """Wake whoever waits here for a code that another process has stored, for ever. While nobody waits nothing is read."""
    with store.journal.bell() as bell:
        while True:
            try:
                await _wake_while_waited(store, waiting, bell)
            except StoreUnavailable as fault:
                log.warning("store unavailable", extra={"event": log_events.STORE_UNAVAILABLE, "kind": fault.kind})
                await asyncio.sleep(AGAIN)
            await bell.wait(LONGEST)


async def _wake_while_waited(store: Store, waiting: Waiting, bell: Bell) -> None:
    """Clear the bell, look, and only then wait. What came before the first look may be what they wait for: then they all look."""
    number: int | None = None
    bell.clear()
    while waiting.is_anyone():
        if number is None:
            number = await store.journal.newest()
            waiting.wake(waiting.identifiers())
        bell.clear()
        lines = await store.journal.after(number, limit=AT_ONCE)
        if lines:
            number = lines[-1].id
            waiting.wake({one for line in lines if line.event == "stored" for one in line.identifiers})
        else:
            await bell.wait(LONGEST)


async def follow_others(inboxes: Inboxes, contacts: AppContacts) -> None:
    """Know the throw-away inboxes and the known senders that others have added, for ever."""
    looks = 0
    while True:
        await asyncio.sleep(AGAIN)
        looks += 1
        try:
            await inboxes.load()
            if looks % CONTACTS_EVERY == 0:
                await contacts.load()
        except StoreUnavailable as fault:
            log.warning("store unavailable", extra={"event": log_events.STORE_UNAVAILABLE, "kind": fault.kind})


class Share(Protocol):
    """Watch this process's share of the mailboxes; ``with_states``: and tell the others how they are."""

    def __call__(self, *, with_states: bool = False) -> Awaitable[None]: ...


async def share_again(share: Share) -> None:
    """Watch this process's share of the mailboxes, for ever."""
    for look in count(1):
        await asyncio.sleep(SHARE_EVERY)
        await share(with_states=look % STATES_EVERY == 0)


async def give_back(leases: Leases) -> None:
    """Before the mailboxes are hung up on: another process connects meanwhile."""
    with suppress(StoreUnavailable):
        await leases.give_back()


async def tell_waits(leases: Leases, waiting: Waiting, is_wanted: Callable[[], bool]) -> None:
    """Tell the other processes for whom somebody waits here, as soon as it begins, for ever. ``is_wanted``: there are mailboxes."""
    bell, told, told_at = Bell(), frozenset[str](), 0.0
    end = waiting.subscribe(lambda _: bell.ring())
    try:
        while True:
            await bell.wait(HOLD / 4)
            bell.clear()
            here = waiting.identifiers() if is_wanted() else frozenset()
            if here == told and (not here or time.monotonic() - told_at < HOLD / 2):
                continue
            try:
                await leases.await_codes(here)
            except StoreUnavailable as fault:
                log.warning("store unavailable", extra={"event": log_events.STORE_UNAVAILABLE, "kind": fault.kind})
                await asyncio.sleep(AGAIN)
                bell.ring()
                continue
            told, told_at = here, time.monotonic()
    finally:
        end()


async def hear_waits(leases: Leases, waiting: Waiting, wake: Callable[[frozenset[str]], None]) -> None:
    """Know for whom somebody waits at other processes, and wake the mailboxes here that a code for another one may come by, for ever."""
    with leases.bell() as bell:
        while True:
            bell.clear()
            try:
                found = await leases.awaited()
            except StoreUnavailable:
                found = frozenset()
            more = found - waiting.elsewhere
            waiting.elsewhere = found
            if more:
                wake(more)
            await bell.wait(AGAIN)
