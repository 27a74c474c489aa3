"""``POST /mcp``: the tools over streamable HTTP, with our tokens. The SDK is imported at the first request that has one."""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from mailbridge.web.auth import TokenAuth
from mailbridge.web.limits import body_of
from mailbridge.web.mcp.asking import Here

MISSING = 'MCP needs more packages: install again, as you installed it, with the extra: pip install ".[mcp]"'


class McpApi:
    """The route. ``public_url`` is our address behind a proxy, "" for none."""

    def __init__(self, *, auth: TokenAuth, public_url: str) -> None:
        self._auth = auth
        self._public = urlsplit(public_url)
        self._server: Any = None

    def routes(self) -> Sequence[BaseRoute]:
        """The route."""
        return [Route("/mcp", self.serve, methods=["POST"])]

    async def serve(self, request: Request) -> Any:
        """The answer to a request, as an ASGI app.

        Raises:
            HTTPException: 421 for a Host that is none of ours, 403 for a page of somebody else's, 401 and 403 of `TokenAuth.caller`, 501
                where the extra is not installed.
        """
        self._must_be_ours(request)
        await self._auth.caller(request)
        body = await body_of(request)
        if self._server is None:
            try:  # in a thread: it takes about a second, in which mail is to come in
                self._server = await asyncio.to_thread(importlib.import_module, "mailbridge.web.mcp.server")
            except ModuleNotFoundError:
                raise HTTPException(501, MISSING) from None
        return self._server.Exchange(Here(request), body)

    def _must_be_ours(self, request: Request) -> None:
        """Refuse a page of a stranger's, also one whose name leads to this machine (DNS rebinding)."""
        host, origin = request.headers.get("host", "").casefold(), request.headers.get("origin", "").casefold()
        if not (_cannot_be_bought(host) or self._is_public(host)):
            raise HTTPException(421, "the Host is none of ours; [http] public_url says by which name mailbridge is reached")
        if origin and urlsplit(origin).netloc != host and not self._is_public(urlsplit(origin).netloc):
            raise HTTPException(403, "a page of another origin may not ask here")

    def _is_public(self, netloc: str) -> bool:
        """Whether it is the name that the world reaches us by, with its port or the one that goes without saying."""
        port = {"https": 443, "http": 80}.get(self._public.scheme)
        own = self._public.netloc.casefold()
        return bool(own) and netloc.removesuffix(f":{port}") == own.removesuffix(f":{port}")


def _cannot_be_bought(host: str) -> bool:
    """Whether a Host is an address, or a name without a dot, such as that of a container: no stranger's DNS answers for those."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        _ = urlsplit(f"//{host}").port
    except ValueError:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return bool(name) and "." not in name
    return True
