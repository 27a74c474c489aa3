"""What the daemon serves over HTTP: health, metrics, the pull endpoint and the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

from starlette.routing import BaseRoute

from mailbridge.app.engine import Engine
from mailbridge.app.snapshot import Live
from mailbridge.web.auth import Gate as TokenGate
from mailbridge.web.codes import CodesApi
from mailbridge.web.events import EventsApi
from mailbridge.web.health import Health, health_app
from mailbridge.web.openapi import openapi_routes
from mailbridge.web.pull import Pull
from mailbridge.web.server import serve_app


async def serve_http(
    stack: AsyncExitStack,
    engine: Engine,
    live: Live,
    *,
    ready: Callable[[], Awaitable[Health]],
    metrics: Callable[[], Awaitable[bytes]],
) -> str:
    """Listen until the stack ends. Returns the address, ``host:port`` with the real port.

    Raises:
        ListenError: the address cannot be bound.
    """
    app = health_app(ready=ready, metrics=metrics, more=api_routes(engine, live))
    served = await stack.enter_async_context(serve_app(app, listen=live.now.settings.http.listen))
    stack.callback(engine.waiting.close)
    return served.address


def api_routes(engine: Engine, live: Live) -> Sequence[BaseRoute]:
    """What Skyvern and agents ask: the pull endpoint, codes, events, and the description of it all."""
    store, waiting, now = engine.store, engine.waiting, engine.clock.now
    pull = Pull(
        codes=store.codes,
        vault=store.vault,
        names=store.names,
        waiting=waiting,
        now=now,
        metrics=engine.metrics,
        policy=lambda: live.now.pull,
        polled=lambda identifier, ids: live.now.gate.acquaintance.mailing_for(engine.contacts.polled(identifier, ids)),
    )
    gate = TokenGate(entries=store.entries, admin=live.now.settings.http.token)
    codes = CodesApi(
        gate=gate,
        codes=store.codes,
        vault=store.vault,
        waiting=waiting,
        now=now,
        grace=lambda: live.now.pull.grace,
        is_known=lambda identifier: live.now.is_known(identifier),
        totp_left=lambda: live.now.pull.totp_left,
    )
    events = EventsApi(gate=gate, journal=store.journal, waiting=waiting)
    return (*pull.routes(), *codes.routes(), *events.routes(), *openapi_routes())
