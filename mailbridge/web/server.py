"""HTTP in our own loop, with our own signals: uvicorn for the length of an ``async with``."""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from mailbridge.core.dataclass import dataclass
from mailbridge.net.listening import bound, name_of
from mailbridge.web.connection import BOUNDS, MOST_INCOMPLETE, Bounds
from mailbridge.web.peer import PeerConnection


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A server that runs; ``address`` is ``host:port`` with the real port."""

    address: str


LEAST_PATIENCE = timedelta(seconds=1)
"""What a request that is being answered always has to come to its end."""


@asynccontextmanager
async def serve_app(
    app: ASGIApp,
    *,
    listen: str,
    private: Path | None = None,
    bounds: Bounds = BOUNDS,
    patience: Callable[[], timedelta] = timedelta,
) -> AsyncIterator[Bound]:
    """Serve an ASGI app on ``host:port`` (port 0: any free one) until the block ends; on a unix socket for operators of this machine too,
    where ``private`` names its path. See `serve_sockets`.

    Raises:
        ListenError: an address cannot be bound; the message says why and what to do.
    """
    with bound(listen, private) as sockets:
        async with serve_sockets(app, sockets, bounds=bounds, patience=patience) as served:
            yield served


@asynccontextmanager
async def serve_sockets(
    app: ASGIApp, sockets: Sequence[socket.socket], *, bounds: Bounds = BOUNDS, patience: Callable[[], timedelta] = timedelta
) -> AsyncIterator[Bound]:
    """Serve an ASGI app on sockets that are bound until the block ends; then requests in hand are finished, for ``patience`` and
    LEAST_PATIENCE at the least. The address is that of the first."""
    connection = functools.partial(PeerConnection, bounds)
    name = name_of(sockets[0])
    async with _served(app, list(sockets), connection, name=name, patience=patience):
        yield Bound(address=name)


@asynccontextmanager
async def _served(
    app: ASGIApp, sockets: list[socket.socket], connection: Any, *, name: str, patience: Callable[[], timedelta]
) -> AsyncIterator[None]:
    config = uvicorn.Config(
        app,
        http=connection,
        log_config=None,
        log_level=logging.ERROR,  # its warnings are what strangers send, a line each
        access_log=False,
        lifespan="off",
        server_header=False,
        date_header=True,
        h11_max_incomplete_event_size=MOST_INCOMPLETE,
        ws="none",
    )
    # Not `serve`, which would take the signals: they are the daemon's.
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=sockets)
    ticking = asyncio.create_task(server.main_loop(), name=f"http-{name}")
    try:
        yield
    finally:
        server.should_exit = True
        await ticking
        config.timeout_graceful_shutdown = math.ceil(max(patience(), LEAST_PATIENCE).total_seconds())
        await server.shutdown(sockets=sockets)
