"""HTTP in our own loop, with our own signals: uvicorn for the length of an ``async with``."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from mailbridge.net.listening import bind, name_of
from mailbridge.web.connection import BOUNDS, MOST_INCOMPLETE, Bounds, Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A server that runs; ``address`` is ``host:port`` with the real port."""

    address: str


@asynccontextmanager
async def serve_app(app: ASGIApp, *, listen: str, bounds: Bounds = BOUNDS) -> AsyncIterator[Bound]:
    """Serve an ASGI app on ``host:port`` (port 0: any free one) until the block ends.

    Raises:
        ListenError: the address cannot be bound; the message says why and what to do.
    """
    connection: Any = functools.partial(Connection, bounds)
    config = uvicorn.Config(
        app,
        http=connection,
        log_config=None,
        log_level=logging.ERROR,  # its warnings are what strangers send, a line each
        access_log=False,
        lifespan="off",
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=MOST_INCOMPLETE,
        ws="none",
    )
    bound = bind(listen)
    # Not `serve`, which would take the signals: they are the daemon's.
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[bound])
    ticking = asyncio.create_task(server.main_loop(), name=f"http-{listen}")
    try:
        yield Bound(address=name_of(bound))
    finally:
        server.should_exit = True
        await ticking
        await server.shutdown(sockets=[bound])
