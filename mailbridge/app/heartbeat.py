"""A dead man's switch: a request is sent while all is well, so that the service that receives it notices when none comes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from mailbridge import log_events
from mailbridge.app.receivers import heartbeat_of
from mailbridge.config.settings import HeartbeatSettings
from mailbridge.core.delivery import Accepted
from mailbridge.web.readiness import Health

if TYPE_CHECKING:
    from mailbridge.sinks.posting import Poster

log = logging.getLogger("mailbridge.app")

IDLE = 1.0
"""Seconds between two checks of the settings while there is no address."""

NAME = "heartbeat"
NO_HARM = frozenset({"practice", "replicas", NAME})
"""Checks that do not stop the heartbeat: practice, replicas that get a new configuration one by one, and a heartbeat that
failed."""


class Heartbeat:
    """Sends heartbeats by the current settings. ``failing`` holds, under NAME, why the last one failed."""

    def __init__(
        self, settings: Callable[[], HeartbeatSettings], health: Callable[[], Awaitable[Health]], failing: dict[str, str]
    ) -> None:
        self._settings = settings
        self._health = health
        self._failing = failing

    async def run(self) -> None:
        """Send heartbeats. Never returns."""
        settings: HeartbeatSettings | None = None
        poster: Poster | None = None
        try:
            while True:
                if self._settings() != settings:
                    settings = self._settings()
                    if poster is not None:
                        await poster.aclose()
                    poster = heartbeat_of(settings)
                    self._failing.pop(NAME, None)
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
        if isinstance(outcome, Accepted):
            self._failing.pop(NAME, None)
            return
        if self._failing.get(NAME) != outcome.reason:
            log.warning("the heartbeat did not arrive: %s", outcome.reason, extra={"event": log_events.HEARTBEAT_FAILED})
        self._failing[NAME] = outcome.reason
