"""An ASGI app that is made at its first request, so that it takes no memory and no start time before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Receive, Scope, Send


class Lazily:
    """Passes every request to the app that ``make`` returns. If ``make`` fails, the next request tries again."""

    def __init__(self, make: Callable[[], Awaitable[ASGIApp]]) -> None:
        self._make = make
        self._made: asyncio.Future[ASGIApp] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._made is None or (self._made.done() and (self._made.cancelled() or self._made.exception() is not None)):
            self._made = asyncio.ensure_future(self._make())
        app = await asyncio.shield(self._made)
        await app(scope, receive, send)
