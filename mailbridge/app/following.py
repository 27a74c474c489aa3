"""What a running daemon checks regularly: what people add by command, and what Skyvern's credentials name."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from mailbridge import log_events
from mailbridge.config.problems import ConfigError
from mailbridge.sinks import KnowsLogins, Sink
from mailbridge.sinks.skyvern_pages import Login
from mailbridge.store import StoreUnavailable

if TYPE_CHECKING:
    from mailbridge.app.daemon import Bridge

log = logging.getLogger("mailbridge.app")

LEARN_EVERY = timedelta(minutes=10)
FOLLOW_EVERY = timedelta(milliseconds=200)
"""Interval of the check for additions; a check takes 0.1 ms of a reader's thread."""


async def follow_additions(here: Bridge) -> None:
    """Use what people add by command soon after they add it."""
    entries, live = here.engine.store.entries, here.live
    revision = live.revision
    while True:
        await asyncio.sleep(FOLLOW_EVERY.total_seconds())
        try:
            revision = await entries.revision()
            if revision == live.revision:
                continue
            await here.take_additions()
            log.info("entries that were added by command are in force", extra={"event": log_events.ADDITIONS_APPLIED})
        except StoreUnavailable as fault:
            log.warning(
                "entries not read: the store is %s",
                fault.kind,
                extra={"event": log_events.STORE_UNAVAILABLE},
            )
        except ConfigError as fault:
            live.revision = revision  # it is not tried again before something changes
            for problem in fault.problems:
                log.error(
                    "entries that were added by command are not in force: %s",
                    problem,
                    extra={"event": log_events.ADDITIONS_REFUSED},
                )


async def learn(here: Bridge) -> None:
    """Ask Skyvern now and then which identifiers its credentials name, and for which sites, and push under those spellings.

    The sites of a target that cannot be asked now stay as they were.
    """
    heard: dict[str, tuple[Login, ...]] = {}
    while True:
        sinks = {one.target.name: one.target.sink for one in here.engine.targets.made}
        heard = {name: found for name, found in heard.items() if name in sinks}
        for name, sink in sinks.items():
            logins = await sink.logins() if isinstance(sink, KnowsLogins) else ()
            heard |= {name: logins} if logins is not None else {}
        try:
            every = [one for listed in heard.values() for one in listed]
            await here.engine.contacts.learn(every, is_whole=heard.keys() == sinks.keys())
        except StoreUnavailable as fault:
            log.warning("sites not learned: the store is %s", fault.kind, extra={"event": log_events.STORE_UNAVAILABLE})
        main = next(iter(sinks.items()))
        known = heard.get(main[0]) if isinstance(main[1], KnowsLogins) else None
        found = tuple(dict.fromkeys(one.identifier for one in known)) if known is not None else await _identifiers(main[1])
        if found is not None and found != here.live.now.parser_config.learned:
            try:
                await here.learn(found)
                log.info("identifiers learned from Skyvern", extra={"event": log_events.IDENTIFIERS_LEARNED, "count": len(found)})
            except (OSError, TimeoutError) as fault:
                log.warning(
                    "identifiers not learned: no parser worker starts: %s",
                    type(fault).__name__,
                    extra={"event": log_events.IDENTIFIERS_NOT_LEARNED},
                )
        await asyncio.sleep(LEARN_EVERY.total_seconds())


async def _identifiers(sink: Sink) -> tuple[str, ...] | None:
    """The names that a target expects; none for a target without logins, and for a Skyvern that did not answer."""
    return None if isinstance(sink, KnowsLogins) else await sink.identifiers()
