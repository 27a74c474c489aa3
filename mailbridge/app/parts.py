"""What the daemon is made of beside its own inside: further ways in, a sink for each kind of target, further routes.

Each is one line here, written by hand. Nothing is found by a scan, an entry point or an import that registers itself: whoever reads
this page knows what may take mail in, where codes may go, and what answers over HTTP; and a package that happens to be installed
takes part in none of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import field
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from mailbridge.app.receivers import http_of, webhook_of
from mailbridge.config.settings import Settings, TargetSettings
from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret
from mailbridge.intake.doorway import Doorway
from mailbridge.intake.launch import Launched
from mailbridge.sinks import Sink
from mailbridge.sinks.skyvern import Reach, SkyvernSink

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from mailbridge.web.desk import Desk

Counted = Callable[[int], None]
"""Told the status of every answer of a target."""

SinkMaker = Callable[[TargetSettings, Counted], Sink]
"""Makes the sink of a target, without asking anybody. Raises ValueError or OSError for what cannot work; the message says what to do."""

Ingress = Callable[[Settings, Doorway], AbstractAsyncContextManager[object]]
"""A way in: it brings mails to the doorway for the length of the block, and is done with them when the block has ended."""

Routes: TypeAlias = "Callable[[Desk], Sequence[BaseRoute]]"
"""Pages or routes of the API, over what the desk offers."""


def skyvern(settings: TargetSettings, counted: Counted) -> Sink:
    """Skyvern, the service or one's own."""
    return SkyvernSink(
        base_url=settings.base_url,
        api_key=settings.api_key or Secret(""),
        source=settings.source,
        reach=Reach(timeout=settings.timeout, use_env_proxy=settings.use_env_proxy, connections=settings.senders),
        on_response=counted,
    )


def webhook(settings: TargetSettings, counted: Counted) -> Sink:  # noqa: ARG001  (only Skyvern's answers are counted by their status)
    """A receiver that is told by Standard Webhooks."""
    return webhook_of(settings)


def http(settings: TargetSettings, counted: Counted) -> Sink:  # noqa: ARG001
    """Any HTTP API, told by a template."""
    return http_of(settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """``sinks`` by the ``kind`` of a target. SMTP, LMTP and IMAP are part of every daemon and not listed.
    ``worker`` reads mails, and is loading since before the daemon was."""

    sinks: Mapping[str, SinkMaker] = field(default_factory=lambda: SINKS)
    ingresses: tuple[Ingress, ...] = ()
    routes: tuple[Routes, ...] = ()
    worker: Launched | None = None


SINKS: Mapping[str, SinkMaker] = MappingProxyType(
    {
        "skyvern": skyvern,
        "webhook": webhook,
        "http": http,
    }
)

PARTS = Parts(
    ingresses=(),
    routes=(),
)
"""What `mailbridge serve` runs with."""
