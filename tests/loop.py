"""Async tests without a plugin: each runs in a loop of its own, under a deadline."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")

PATIENCE = 120.0
"""Seconds that a whole test may take. Like every such time here it ends what hangs; nothing is judged by it."""


def looped(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a test of a coroutine function; it fails where it does not come to an end."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def limited() -> None:
            async with asyncio.timeout(PATIENCE):
                await test(*args, **kwargs)

        asyncio.run(limited())

    return run


async def until(holds: Callable[[], object], *, patience: float = 60.0) -> None:
    """Wait for a condition. Raises TimeoutError."""
    async with asyncio.timeout(patience):
        while not holds():
            await asyncio.sleep(0.005)
