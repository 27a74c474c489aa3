"""The practice receiver on a real socket, in a loop of its own, so that tests that wait can ask it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from mailbridge.practice.receiver import Practice, practice_app
from mailbridge.web.server import serve_app
from tests.peers.receiver import Found, Kind, Mood


class PracticePeer:
    """A running practice receiver. Implements `tests.peers.receiver.Receiver`."""

    def __init__(self, practice: Practice, address: str) -> None:
        self.practice = practice
        self.base_url = f"http://{address}"
        self.api_key = practice.api_key

    def resolve(self, identifier: str, *, workflow_run_id: str | None = None, kind: Kind | None = None) -> Found:
        """What its own lookup gives for an identifier, to a run where one is named."""
        value = self.practice.resolve(identifier, workflow_run_id=workflow_run_id, kind=kind)
        if value is None:
            return Found(value=None, kind=None)
        return Found(value=value, kind="magic_link" if value.lower().startswith("http") else "totp")

    def make_run(self) -> str:
        """The id of a new workflow run."""
        return self.practice.make_run()

    def age(self, identifier: str, by: timedelta) -> None:
        """Make everything that it holds for an identifier so much older."""
        self.practice.age(identifier, by)

    def language_model(self, mood: Mood) -> None:
        """It has one that looks for six digits, or has none."""
        self.practice.has_model = mood != "is down"


@contextmanager
def running_practice(listen: str = "127.0.0.1:0") -> Iterator[PracticePeer]:
    """A practice receiver, on a free port unless one is named, for the length of the block."""
    ready: asyncio.Queue[PracticePeer] = asyncio.Queue()
    loop = asyncio.new_event_loop()
    ending = asyncio.Event()

    async def serve() -> None:
        practice = Practice()
        async with serve_app(practice_app(practice), listen=listen) as bound:
            ready.put_nowait(PracticePeer(practice, bound.address))
            await ending.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(ready.get(), loop).result(timeout=10)
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join(timeout=10)
        loop.close()
