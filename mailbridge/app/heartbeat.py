"""A dead man's switch: an address is asked while all is well, so that whoever watches it learns from its silence."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from mailbridge import log_events
from mailbridge.app.receivers import heartbeat_of
from mailbridge.config.settings import HeartbeatSettings
from mailbridge.core.delivery import Accepted
from mailbridge.web.health import Health

if TYPE_CHECKING:
    from mailbridge.sinks.posting import Poster

log = logging.getLogger("mailbridge.app")

IDLE = 1.0
"""Seconds between two looks at the settings while there is no address."""

NO_HARM = frozenset({"practice"})
"""Checks that are no trouble: somebody tries mailbridge out."""


class Heartbeat:
    """Beats by the settings that count, which may change at any time. ``trouble`` is why the last beat did not arrive, "" where it did."""

    def __init__(self, settings: Callable[[], HeartbeatSettings], health: Callable[[], Awaitable[Health]]) -> None:
        self._settings = settings
        self._health = health
        self.trouble = ""

    async def run(self) -> None:
        """Beat for ever."""
        settings: HeartbeatSettings | None = None
        poster: Poster | None = None
        try:
            while True:
                if self._settings() != settings:
                    settings = self._settings()
                    if poster is not None:
                        await poster.aclose()
                    poster, self.trouble = heartbeat_of(settings), ""
                if poster is None:
                    await asyncio.sleep(IDLE)
                    continue
                health = await self._health()
                if not health.checks.keys() - NO_HARM:
                    await self._beat(poster)
                await asyncio.sleep(settings.every.total_seconds())
        finally:
            if poster is not None:
                await poster.aclose()

    async def _beat(self, poster: Poster) -> None:
        outcome = (await poster.send(None, [])).outcome
        trouble = "" if isinstance(outcome, Accepted) else outcome.reason
        if trouble and trouble != self.trouble:
            log.warning("the heartbeat did not arrive: %s", trouble, extra={"event": log_events.HEARTBEAT_FAILED})
        self.trouble = trouble
