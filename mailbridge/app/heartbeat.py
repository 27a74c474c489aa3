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
from mailbridge.web.readiness import Health

if TYPE_CHECKING:
    from mailbridge.sinks.posting import Poster

log = logging.getLogger("mailbridge.app")

IDLE = 1.0
"""Seconds between two looks at the settings while there is no address."""

NAME = "heartbeat"
NO_HARM = frozenset({"practice", "replicas", NAME})
"""Checks that are no trouble here: somebody tries mailbridge out, replicas are given a new configuration one by one, or the last beat did
not arrive."""


class Heartbeat:
    """Beats by the settings that count, which may change at any time. ``failing`` holds, under NAME, why the last beat did not arrive."""

    def __init__(
        self, settings: Callable[[], HeartbeatSettings], health: Callable[[], Awaitable[Health]], failing: dict[str, str]
    ) -> None:
        self._settings = settings
        self._health = health
        self._failing = failing

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
