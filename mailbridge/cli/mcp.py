"""`mcp`: the tools for agents over standard input and output, for a client that starts its own server."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

from mailbridge.cli.client import fail, token_for
from mailbridge.cli.options import config_option, load_or_exit, token_option, url_option
from mailbridge.operator.faults import Fault, Kind


@click.command()
@config_option
@url_option
@token_option
def mcp(*, config: Path | None, url: str | None, token_file: Path | None) -> None:
    """Serve the tools for agents (MCP) on standard input and output.

    Your MCP client starts this command. It asks the running daemon, on the
    same machine by its socket. If the daemon restarts, it continues.
    Needs the extra: pip install ".[mcp]".
    """
    try:
        from mailbridge.web.mcp import stdio
    except ModuleNotFoundError:
        from mailbridge.web.mcp.http import MISSING

        fail(Fault(kind=Kind.REFUSED, title=MISSING))
    # A thread that reads standard input cannot be interrupted, and nothing is open that would have to be closed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    if url is not None:
        asyncio.run(stdio.serve_url(url.rstrip("/"), token_for(url, token_file, config)))
        return
    from mailbridge.store.places import socket_path_of

    path = socket_path_of(load_or_exit(config).settings.store)
    try:
        asyncio.run(stdio.serve_socket(path))
    except OSError as fault:
        fail(Fault(kind=Kind.NO_DAEMON, title=f"{path}: {fault.strerror or type(fault).__name__}"))
