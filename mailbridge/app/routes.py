"""What the daemon answers over HTTP, and on its unix socket, beside health and metrics: the pull endpoint, the API, MCP and the page.

It is loaded when the first asks (`app.serving`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp

from mailbridge.app.engine import Engine
from mailbridge.app.ingesting import IngestRoutes
from mailbridge.app.parts import Routes
from mailbridge.app.snapshot import Live
from mailbridge.operator.verbs import Operator
from mailbridge.web.auth import TokenAuth
from mailbridge.web.codes import CodesApi
from mailbridge.web.desk import Desk
from mailbridge.web.events import EventsApi
from mailbridge.web.inboxes import InboxesApi
from mailbridge.web.mcp.http import McpApi
from mailbridge.web.openapi import openapi_routes
from mailbridge.web.operator import OperatorApi
from mailbridge.web.pages.entrance import PageParts, page_routes
from mailbridge.web.pull import Pull

if TYPE_CHECKING:
    from mailbridge.app.daemon import Bridge


def rest_of(here: Bridge, operator: Operator, more: Sequence[Routes]) -> ASGIApp:
    """Everything but health and metrics, ways in for mail among it. Its 200 paths are compiled, which takes 40 ms."""
    auth = TokenAuth(entries=here.engine.store.entries, admin=here.live.now.settings.http.token)
    posts = IngestRoutes(here.engine, here.live, auth=auth, way=here.door.way, intake=here.door.intake)
    return Router(
        routes=[*posts.routes(), *api_routes(here.engine, here.live, operator, more, auth)],
        redirect_slashes=False,
    )


def api_routes(engine: Engine, live: Live, operator: Operator, more: Sequence[Routes], auth: TokenAuth) -> Sequence[BaseRoute]:
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
