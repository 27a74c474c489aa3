"""HTTP in the daemon: health and metrics at once, and all the rest when the first asks for it."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta

from starlette.types import ASGIApp

from mailbridge import log_events
from mailbridge.app.engine import Engine
from mailbridge.net.listening import LONGEST_NAME
from mailbridge.web.health import health_app
from mailbridge.web.lazily import Lazily
from mailbridge.web.readiness import Health
from mailbridge.web.server import serve_sockets

log = logging.getLogger("mailbridge.app")


async def serve_http(
    stack: AsyncExitStack,
    sockets: Sequence[socket.socket],
    engine: Engine,
    private: os.PathLike[str],
    *,
    ready: Callable[[], Awaitable[Health]],
    metrics: Callable[[], Awaitable[bytes]],
    rest: Callable[[], Awaitable[ASGIApp]],
    patience: Callable[[], timedelta],
) -> str:
    """Serve these sockets, of which one may be at ``private``, until the stack ends; then requests in hand have ``patience``. Returns
    the address of the first, ``host:port`` with the real port."""
    if len(os.fsencode(private)) > LONGEST_NAME:
        log.warning(
            "the path of the socket is longer than %d octets: commands reach it, other programs do not",
            LONGEST_NAME,
            extra={"event": log_events.SOCKET_PATH_TOO_LONG},
        )
    app = health_app(ready=ready, metrics=metrics, rest=Lazily(rest))
    served = await stack.enter_async_context(serve_sockets(app, sockets, patience=patience))
    stack.callback(engine.waiting.close)
    return served.address
