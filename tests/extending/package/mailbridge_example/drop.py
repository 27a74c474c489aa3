"""A way in: a folder. A program of this machine writes a mail there and renames it to ``*.eml``; it is taken, and the file removed.

The file is the sender's memory. It goes only after the mail is stored, so whatever happens in between, the mail is still there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from mailbridge.config.settings import Settings
from mailbridge.core.mail import Envelope
from mailbridge.intake.answer import Stored
from mailbridge.intake.doorway import Doorway

log = logging.getLogger("mailbridge_example.drop")

LOOK_EVERY = 0.2
"""Seconds between two looks into the folder."""


def drop(folder: Path, *, rcpt: str) -> Callable[[Settings, Doorway], AbstractAsyncContextManager[object]]:
    """The ingress for `app.parts`: mails of a folder, all for one recipient."""

    @asynccontextmanager
    async def serve(settings: Settings, doorway: Doorway) -> AsyncIterator[None]:
        largest = settings.smtp.max_size
        async with asyncio.TaskGroup() as group:
            task = group.create_task(_watch(folder, rcpt, largest, doorway))
            try:
                yield
            finally:
                task.cancel()

    return serve


async def _watch(folder: Path, rcpt: str, largest: int, doorway: Doorway) -> None:
    while True:
        for path in sorted(folder.glob("*.eml")):
            await _take(path, rcpt, largest, doorway)
        await asyncio.sleep(LOOK_EVERY)


async def _take(path: Path, rcpt: str, largest: int, doorway: Doorway) -> None:
    """Bring one mail. Anything but `Stored` leaves the file where it is, for the next look."""
    if not doorway.admission.is_ours(rcpt):
        return
    try:
        if path.stat().st_size > largest:
            log.warning("larger than [smtp] max_size, and left there: %s", path.name)
            return
        content = await asyncio.to_thread(path.read_bytes)
    except OSError as fault:
        log.warning("cannot be read: %s: %s", path.name, fault.strerror)
        return
    envelope = Envelope(
        mail_from="",
        rcpt_to=(rcpt,),
        content=content,
        received_at=doorway.now(),
        ingress="lmtp",  # handed over by a program of this machine
        peer="127.0.0.1",
    )
    try:
        answer = await doorway.bring(envelope)
    except Exception:  # a bug behind the door is no yes, and must not end the watch
        log.exception("not taken: %s", path.name)
        return
    if isinstance(answer, Stored):
        await asyncio.to_thread(path.unlink)
