"""Notices by Apprise (the extra ``[apprise]``), in a process of its own: it takes 25 MiB, works blocking, and is there only for a moment.

What it sends to is its own affair: no address is checked here, so its URLs stand only in a file that a person wrote.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from datetime import timedelta

from mailbridge.core.delivery import Accepted, Deferred, Doubtful, Outcome, Refused
from mailbridge.core.happening import Event, message_of, title_of
from mailbridge.core.secret import Secret
from mailbridge.sinks.posting import Sent

CHILD = "mailbridge.sinks.apprise_child"
MISSING = 3
"""The child's exit code where Apprise is not installed."""


class AppriseSink:
    """Implements `mailbridge.sinks.Told`."""

    def __init__(self, urls: Sequence[Secret], *, timeout: timedelta, page: str = "") -> None:
        """``urls``: Apprise's own."""
        self._urls = [one.reveal() for one in urls]
        self._timeout = timeout.total_seconds()
        self._page = page

    async def tell(self, event: Event, *, more: int = 0) -> Outcome:
        """See `Told.tell`."""
        return (await self.tried(event, more=more)).outcome

    async def tried(self, event: Event, *, more: int = 0) -> Sent:
        """Send it once, and return what Apprise answers."""
        body = "\n".join(filter(None, (message_of(event, more=more), self._page)))
        job = json.dumps({"urls": self._urls, "title": title_of(event), "body": body}).encode()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                CHILD,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        except OSError as fault:
            return Sent(outcome=Deferred(reason=f"no process starts: {type(fault).__name__}"))
        try:
            async with asyncio.timeout(self._timeout):
                said, _ = await process.communicate(job)
        except TimeoutError:
            return Sent(outcome=Doubtful(reason="no answer of Apprise in time"))
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if process.returncode == MISSING:
            what = 'Apprise is not installed: install again, as you installed it, with the extra: pip install ".[apprise]"'
            return Sent(outcome=Refused(reason=what, is_alarm=True))
        text = said.decode("utf-8", "replace").strip()
        is_sent = process.returncode == 0
        return Sent(outcome=Accepted() if is_sent else Deferred(reason="Apprise could not send it", is_alarm=True), text=text)

    async def aclose(self) -> None:
        """Nothing is open between notices."""
