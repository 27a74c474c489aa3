"""The answer to Google's question whether an account may forward to us: given at once where the account is listed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import assert_never

import httpx

from mailbridge import log_events
from mailbridge.core.dataclass import dataclass
from mailbridge.intake.events import ConfirmationRequest
from mailbridge.store import StoreUnavailable
from mailbridge.trust import gmail
from mailbridge.trust.spf import is_listed

log = logging.getLogger("mailbridge.intake")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmingPolicy:
    """What a reload may change: the accounts that may forward here without a person's yes, and whether any may."""

    accounts: tuple[str, ...]
    is_on: bool


class Confirming:
    """Answers Google's question for the accounts that are listed, one at a time; any other waits for a person, loudly.

    ``keep`` writes down that what a mail asks for was allowed.
    """

    def __init__(
        self,
        policy: Callable[[], ConfirmingPolicy],
        browser: Callable[[], httpx.AsyncClient],
        keep: Callable[[int], Awaitable[None]],
    ) -> None:
        self._policy = policy
        self._browser = browser
        self._keep = keep
        self._asked: asyncio.Queue[ConfirmationRequest] = asyncio.Queue(maxsize=100)

    def take(self, asked: ConfirmationRequest) -> None:
        """Note a confirmation that is proven to be Google's."""
        policy = self._policy()
        if policy.is_on and asked.requester is not None and is_listed(asked.requester, policy.accounts):
            with contextlib.suppress(asyncio.QueueFull):
                self._asked.put_nowait(asked)
                return
        log.warning(
            "Gmail asks whether an account may forward here: `mailbridge gmail confirm` says yes",
            extra={"event": log_events.CONFIRMATION_REQUESTED, "mail": asked.mail_id, "account": asked.requester},
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
                    log.info("Gmail may forward here now", extra={"event": log_events.CONFIRMATION_DONE, **extra})
                    with contextlib.suppress(StoreUnavailable):  # it is allowed all the same
                        await self._keep(asked.mail_id)
                case gmail.NotConfirmed():
                    log.warning(
                        "Gmail's confirmation did not work: %s; try `mailbridge gmail confirm`",
                        answer.why,
                        extra={"event": log_events.CONFIRMATION_FAILED, **extra},
                    )
                case _:
                    assert_never(answer)
