"""A page and a route: how many mails were held lately, for a person and for a script. No code, no subject, no address."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from mailbridge.store import Filter
from mailbridge.web.desk import Desk

MOST = 100
NO_STORE = {"Cache-Control": "no-store"}
PAGE = "<!doctype html><meta charset=utf-8><title>held</title><p>Held mails: {count}</p>"


def held(desk: Desk) -> Sequence[BaseRoute]:
    """The routes for `app.parts`."""

    async def count(request: Request) -> int:
        """Who asks comes first. The token must be one for everybody: the count is over everybody's mails."""
        (await desk.auth.caller(request)).must_read("*")
        return len(await desk.store.mails.page(Filter(is_held=True), limit=MOST))

    async def api(request: Request) -> Response:
        return JSONResponse({"held": await count(request)}, headers=NO_STORE)

    async def page(request: Request) -> Response:
        return HTMLResponse(PAGE.format(count=await count(request)), headers=NO_STORE)

    return [Route("/example/held.json", api), Route("/example/held", page)]
