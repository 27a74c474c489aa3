"""A program: more mailboxes than this process may have threads. Prints how many are parked and how many are not, and their reason."""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from tests.ingress.imap.watched import account, house, watching
from tests.peers.scripted_imap import ScriptedImap

FOLDERS = 60
ROOM = 4_000_000
"""Octets: room for some stacks, and not for all."""


async def main() -> None:
    """Start them, look, and stop them."""
    with ScriptedImap() as server, tempfile.TemporaryDirectory() as folder:
        one = account(server.port, folders=tuple(f"F{number}" for number in range(FOLDERS)))
        async with house(Path(folder)) as home:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limit = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, limit[1]))
            async with watching(home, one) as watchers:
                resource.setrlimit(resource.RLIMIT_AS, limit)
                modes = [health.mode for health in watchers.health()]
                reasons = {health.reason for health in watchers.health() if health.mode == "parked"}
                sys.stdout.write(f"{modes.count('parked')} {FOLDERS - modes.count('parked')} {reasons}\n")
                await watchers.close(timedelta(seconds=10))


asyncio.run(main())
