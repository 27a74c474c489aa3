"""The tools over standard input and output, in a process of its own that asks a daemon. The SDK is imported with this module."""

from __future__ import annotations

from pathlib import Path

import httpx
from mcp.server.stdio import stdio_server

from mailbridge.net.listening import short
from mailbridge.web.mcp.asking import Far
from mailbridge.web.mcp.server import server_of


async def serve_socket(path: Path) -> None:
    """Ask the daemon at a unix socket, which may start later, until standard input ends. Raises OSError where the path cannot be used."""
    with short(path) as name:
        async with httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=name), base_url="http://mailbridge", trust_env=False
        ) as client:
            await _serve(Far(client, name=str(path)))


async def serve_url(url: str, token: str) -> None:
    """Ask the daemon at ``url`` with a token, until standard input ends."""
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as client:
        await _serve(Far(client, name=url))


async def _serve(asker: Far) -> None:
    server = server_of(asker)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())
