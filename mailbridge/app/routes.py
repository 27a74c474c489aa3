"""What the daemon serves over HTTP, and on its unix socket: health, metrics, the pull endpoint, the API, MCP and the page."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta

from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from mailbridge import log_events
from mailbridge.app.engine import Engine
from mailbridge.app.parts import Routes
from mailbridge.app.snapshot import Live
from mailbridge.net.listening import LONGEST_NAME
from mailbridge.operator.verbs import Operator
from mailbridge.store.places import socket_path_of
from mailbridge.web.auth import TokenAuth
from mailbridge.web.codes import CodesApi
from mailbridge.web.desk import Desk
from mailbridge.web.events import EventsApi
from mailbridge.web.health import Health, health_app
from mailbridge.web.inboxes import InboxesApi
from mailbridge.web.mcp.http import McpApi
from mailbridge.web.openapi import openapi_routes
from mailbridge.web.operator import OperatorApi
from mailbridge.web.pages.entrance import PageParts, page_routes
from mailbridge.web.pull import Pull
from mailbridge.web.server import serve_sockets

log = logging.getLogger("mailbridge.app")


async def serve_http(
    stack: AsyncExitStack,
    sockets: Sequence[socket.socket],
    engine: Engine,
    live: Live,
    *,
    ready: Callable[[], Awaitable[Health]],
    metrics: Callable[[], Awaitable[bytes]],
    operator: Operator,
    more: Sequence[Routes] = (),
    auth: TokenAuth | None = None,
    posts: Sequence[BaseRoute] = (),
    patience: Callable[[], timedelta] = timedelta,
) -> str:
    """Serve these sockets until the stack ends; then requests in hand have ``patience``. Returns the address of the first,
    ``host:port`` with the real port."""

    def build() -> ASGIApp:  # its 200 paths are compiled, which takes 40 ms
        return health_app(ready=ready, metrics=metrics, more=(*posts, *api_routes(engine, live, operator, more, auth)))

    app = await asyncio.to_thread(build)
    private = socket_path_of(live.now.settings.store)
    if len(os.fsencode(private)) > LONGEST_NAME:
        log.warning(
            "the path of the socket is longer than %d octets: commands reach it, other programs do not",
            LONGEST_NAME,
            extra={"event": log_events.SOCKET_PATH_TOO_LONG},
        )
    served = await stack.enter_async_context(serve_sockets(app, sockets, patience=patience))
    stack.callback(engine.waiting.close)
    return served.address


def auth_of(engine: Engine, live: Live) -> TokenAuth:
    """Who asks, told by the tokens of the store."""
    return TokenAuth(entries=engine.store.entries, admin=live.now.settings.http.token)


def api_routes(
    engine: Engine, live: Live, operator: Operator, more: Sequence[Routes] = (), auth: TokenAuth | None = None
) -> Sequence[BaseRoute]:
    """What Skyvern, agents and operators ask: the pull endpoint, codes, events, every verb, and the description of it all; and what was
    added in `app.parts`."""
    store, waiting, now = engine.store, engine.waiting, engine.clock.now
    pull = Pull(
        store=store,
        waiting=waiting,
        now=now,
        metrics=engine.metrics,
        policy=lambda: live.now.pull,
        polled=lambda identifier, ids: live.now.gate.acquaintance.mailing_for(engine.contacts.polled(identifier, ids)),
    )
    auth = auth or auth_of(engine, live)
    codes = CodesApi(
        auth=auth,
        store=store,
        waiting=waiting,
        now=now,
        since=lambda identifier: _wanted_since(live, identifier, now()),
        is_known=live.is_known,
        totp_left=lambda: live.now.pull.totp_left,
    )
    inboxes = InboxesApi(auth=auth, verbs=operator.inboxes)
    mcp = McpApi(auth=auth, public_url=live.now.settings.http.public_url)
    events = EventsApi(auth=auth, journal=store.journal, waiting=waiting)
    verbs = OperatorApi(auth=auth, operator=operator, answers=store.answers)
    desk = Desk(auth=auth, store=store, waiting=waiting, now=now)
    page = page_routes(PageParts(operator=operator, public_url=live.now.settings.http.public_url, now=now))
    added = [route for routes in more for route in routes(desk)]
    return (
        *added,
        *pull.routes(),
        *codes.routes(),
        *inboxes.routes(),
        *mcp.routes(),
        *events.routes(),
        *verbs.routes(),
        *openapi_routes(),
        *page,
    )


def _wanted_since(live: Live, identifier: str, now: datetime) -> datetime:
    """The oldest code that a wait takes if it does not say: one of an inbox however old, of others one that came within the grace."""
    inbox = live.inboxes.named(identifier)
    return inbox.created_at if inbox is not None else now - live.now.pull.grace
