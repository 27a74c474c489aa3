"""The daemon in a thread of its own, with DNS and Google's pages played, so that a terminal can be driven beside it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from mailbridge.app.daemon import Bridge, bridge, state_dir
from mailbridge.config.load import load
from tests.peers.zone import Zone


class Running:
    """One daemon, by the configuration that is found at its start, as `mailbridge serve` finds it."""

    def __init__(self, folder: Path, env: Mapping[str, str], *, zone: Zone, browser: Callable[[], httpx.AsyncClient]) -> None:
        self.settings = load(None, environ=env, cwd=folder).settings
        self.bridge: Bridge | None = None
        self._reread = lambda: load(None, environ=env, cwd=folder).settings
        self._zone = zone
        self._browser = browser
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._ready = threading.Event()
        self._fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Running:
        self._thread.start()
        assert self._ready.wait(60), "the daemon does not start"
        if self._fault is not None:
            raise self._fault
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join(60)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as fault:
            self._fault = fault
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        async with bridge(
            self.settings, state_dir=state_dir(self.settings), dns=self._zone, browser=self._browser, reread=self._reread
        ) as self.bridge:
            self._ready.set()
            await self._ending.wait()


def environment(folder: Path, **more: str) -> dict[str, str]:
    """What a person's shell has: a home, no settings of ours but where the database lies."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH", "VIRTUAL_ENV") if name in os.environ}
    return {
        **kept,
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config-home"),
        "TERM": "dumb",
        "MAILBRIDGE_STORE__URL": f"sqlite:///{folder}/state/mailbridge.db",
        **more,
    }
