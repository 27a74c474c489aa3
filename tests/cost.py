"""What work costs, as a multiple of work that everybody knows: the processor's time for both, in the same run, never the wall clock.

So a slow machine makes both slower, and a busy one neither: `time.thread_time` stands still while another process has the processor.
"""

from __future__ import annotations

import time
from collections.abc import Callable

LOOP = 100_000


def seconds(work: Callable[[], object], rounds: int = 3) -> float:
    """The processor's seconds that a piece of work takes in this thread: the best of the rounds."""
    best = float("inf")
    for _ in range(rounds):
        began = time.thread_time()
        work()
        best = min(best, time.thread_time() - began)
    return best


def loops(spent: float) -> float:
    """How many of Python's own empty loops of 100,000 rounds (3 ms on a machine of 2023) fit into so many seconds of the processor."""
    return spent / seconds(_loop, rounds=5)


def _loop() -> int:
    total = 0
    for number in range(LOOP):
        total += number & 7
    return total
