"""The answer to Google's question whether an account may forward to us: given at once where the account is listed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import assert_never

import httpx

from mailbridge.config.settings import TrustSettings
from mailbridge.intake.door import Asked
from mailbridge.trust import gmail
from mailbridge.trust.spf import is_listed

log = logging.getLogger("mailbridge.intake")


class Confirming:
    """Answers Google's question for the accounts that are listed, one at a time; any other waits for a person, loudly."""

    def __init__(self, settings: TrustSettings, browser: Callable[[], httpx.AsyncClient], *, is_practice: bool) -> None:
        self._is_practice = is_practice
        self._browser = browser
        self._asked: asyncio.Queue[Asked] = asyncio.Queue(maxsize=100)
        self.follow(settings)

    def follow(self, settings: TrustSettings) -> None:
        """Take the accounts that are listed now."""
        self._accounts = settings.accounts
        self._is_on = settings.confirm and not self._is_practice

    def take(self, asked: Asked) -> None:
        """Note a confirmation that is proven to be Google's."""
        if self._is_on and asked.requester is not None and is_listed(asked.requester, self._accounts):
            with contextlib.suppress(asyncio.QueueFull):
                self._asked.put_nowait(asked)
                return
        log.warning(
            "Gmail asks whether an account may forward here: `mailbridge gmail confirm` says yes",
            extra={"mail": asked.mail_id, "account": asked.requester},
        )

    async def run(self) -> None:
        """Confirm for ever."""
        while True:
            asked = await self._asked.get()
            async with self._browser() as client:
                answer = await gmail.confirm(asked.link, client)
            extra = {"mail": asked.mail_id, "account": asked.requester}
            match answer:
                case gmail.Confirmed():
                    log.info("Gmail may forward here now", extra=extra)
                case gmail.NotConfirmed():
                    log.warning("Gmail's confirmation did not work: %s; try `mailbridge gmail confirm`", answer.why, extra=extra)
                case _:
                    assert_never(answer)
