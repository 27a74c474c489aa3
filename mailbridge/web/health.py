"""`/healthz`, `/readyz`, `/metrics`: what machines ask. A target that is down is *degraded*, not unready."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from mailbridge.store import StoreUnavailable
from mailbridge.web.readiness import Health, Level

__all__ = ["NO_STORE", "Health", "Level", "health_app", "problem"]

NO_STORE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def health_app(
    *,
    ready: Callable[[], Awaitable[Health]],
    metrics: Callable[[], Awaitable[bytes]],
    more: Sequence[BaseRoute] = (),
    rest: ASGIApp | None = None,
) -> Starlette:
    """The routes for machines, and ``more``. ``ready`` and ``metrics`` are asked at each request; nothing ever redirects. ``rest``
    answers whatever has no route here."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "alive"}, headers=NO_STORE)

    async def readyz(_: Request) -> Response:
        health = await ready()
        status = 503 if health.level is Level.UNREADY else 200
        answer: dict[str, object] = {"status": health.level, "checks": health.checks}
        if health.strangers:
            answer["strangers"] = health.strangers
        if health.mailboxes:
            answer["mailboxes"] = health.mailboxes
        return JSONResponse(answer, status_code=status, headers=NO_STORE)

    async def show_metrics(_: Request) -> Response:
        return Response(await metrics(), media_type="text/plain; version=0.0.4; charset=utf-8", headers=NO_STORE)

    routes = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", show_metrics)]
    app = Starlette(
        routes=[*routes, *more], exception_handlers={HTTPException: problem, StoreUnavailable: problem, Exception: problem}
    )
    app.router.redirect_slashes = False
    if rest is not None:
        app.router.default = rest
    return app


async def problem(_: Request, error: Exception) -> Response:
    """An HTTP error as problem+json (RFC 9457), without internals."""
    status, title, headers = 500, "internal error", {}
    if isinstance(error, StoreUnavailable):
        status, title, headers = 503, f"the store is {error.kind}; try again", {"Retry-After": "1"}
    elif isinstance(error, HTTPException):
        status, title, headers = error.status_code, error.detail, dict(error.headers or {})
    return JSONResponse(
        {"type": "about:blank", "title": title, "status": status},
        status_code=status,
        media_type="application/problem+json",
        headers={**NO_STORE, **headers},
    )
