"""Receivers of intake events: the dispatcher, everybody who waits, and the answer to Gmail's confirmation."""

from __future__ import annotations

from collections.abc import Sequence

from mailbridge.core.delivery import Claim
from mailbridge.dispatch.dispatcher import Dispatcher
from mailbridge.intake.confirming import Confirming
from mailbridge.intake.events import ConfirmationRequest
from mailbridge.metrics import Metrics
from mailbridge.waiting import Waiting


class DaemonEvents:
    """Implements `intake.events.Events`."""

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        waiting: Waiting,
        confirming: Confirming,
        metrics: Metrics,
    ) -> None:
        self._dispatcher = dispatcher
        self._waiting = waiting
        self._confirming = confirming
        self._metrics = metrics

    def on_recipient(self) -> None:
        """The connections to the targets are opened while the mail is still coming in."""
        self._dispatcher.prewarm()

    def on_stored(self, identifiers: Sequence[str], claims: Sequence[Claim]) -> None:
        """Wake those who wait, and the dispatcher."""
        if identifiers:
            self._waiting.wake(identifiers)
        self._dispatcher.offer(claims)

    def on_confirmation(self, request: ConfirmationRequest) -> None:
        """Confirm it, or leave it for a person."""
        self._confirming.take(request)

    def on_flood(self, by: str) -> None:
        """Count it."""
        self._metrics.flooded(by)
