"""A reverse proxy under a path, as people put one before the page: it hands the name on, and holds nothing back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from mailbridge.web.server import serve_app

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "content-encoding"})
"""Headers of one connection alone (RFC 9110 7.6.1)."""


@dataclass
class Proxy:
    """Where it listens, and what it was asked for that does not lie under its path."""

    address: str
    outside: list[str] = field(default_factory=list)


@contextmanager
def running_proxy(listen: str, upstream: Callable[[], str], *, path: str, is_stripped: bool) -> Iterator[Proxy]:
    """Serve what ``upstream`` serves (``host:port``) under ``path``, until the block ends; with ``is_stripped`` the path is taken off."""
    proxy = Proxy(listen)
    ready, ending, loop = threading.Event(), asyncio.Event(), asyncio.new_event_loop()

    async def serve() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=None) as client:

            async def passed(request: Request) -> Response:
                target = request.url.path
                if not target.startswith(f"{path}/"):
                    proxy.outside.append(target)
                    return PlainTextResponse("nothing here\n", status_code=404)
                target = target.removeprefix(path) if is_stripped else target
                url = f"http://{upstream()}{target}{f'?{request.url.query}' if request.url.query else ''}"
                headers = [(name, value) for name, value in request.headers.raw if name.decode().lower() not in HOP_BY_HOP]
                sent = client.build_request(request.method, url, headers=headers, content=await request.body())
                answer = await client.send(sent, stream=True)

                async def parts() -> AsyncIterator[bytes]:
                    try:
                        async for part in answer.aiter_raw():
                            yield part
                    finally:
                        await answer.aclose()

                response = StreamingResponse(parts(), status_code=answer.status_code)
                response.raw_headers = [
                    (name, value) for name, value in answer.headers.raw if name.decode().lower() not in HOP_BY_HOP
                ]
                return response

            app = Starlette(routes=[Route("/{path:path}", passed, methods=["GET", "POST"])])
            async with serve_app(app, listen=listen):
                ready.set()
                await ending.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join(30)
