"""What the daemon serves over HTTP: health, metrics, the pull endpoint and the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

from starlette.routing import BaseRoute

from mailbridge.app.engine import Engine
from mailbridge.app.parts import Routes
from mailbridge.app.snapshot import Live
from mailbridge.web.auth import Gate as TokenGate
from mailbridge.web.codes import CodesApi
from mailbridge.web.desk import Desk
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
    more: Sequence[Routes] = (),
) -> str:
    """Listen until the stack ends. Returns the address, ``host:port`` with the real port.

    Raises:
        ListenError: the address cannot be bound.
    """
    app = health_app(ready=ready, metrics=metrics, more=api_routes(engine, live, more))
    served = await stack.enter_async_context(serve_app(app, listen=live.now.settings.http.listen))
    stack.callback(engine.waiting.close)
    return served.address


def api_routes(engine: Engine, live: Live, more: Sequence[Routes] = ()) -> Sequence[BaseRoute]:
    """What Skyvern and agents ask: the pull endpoint, codes, events, the description of it all; and what was added in `app.parts`."""
    store, waiting, now = engine.store, engine.waiting, engine.clock.now
    pull = Pull(
        store=store,
        waiting=waiting,
        now=now,
        metrics=engine.metrics,
        policy=lambda: live.now.pull,
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
    )
    events = EventsApi(gate=gate, journal=store.journal, waiting=waiting)
    desk = Desk(gate=gate, store=store, waiting=waiting, now=now)
    added = [route for routes in more for route in routes(desk)]
    return (*added, *pull.routes(), *codes.routes(), *events.routes(), *openapi_routes())
