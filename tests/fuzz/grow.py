"""Grows the corpus: ``python -m tests.fuzz.grow [--kind http] [--seconds 120]``.

A mutation is kept where it takes a step (from one line to the next) through mailbridge that neither the seeds nor what is kept take,
and takes it again. It is cut down as long as it still takes it; in the end as few stay as take all the steps, within a kind's share.
What a fault has left (``fault-…``) is never sifted out. Seeds hold keys that are new in each process, so a second run with
``--seconds 0`` drops what was only of use beside those of the first.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import CodeType, FrameType
from typing import Any

import uvloop

import mailbridge
from tests.fuzz.fuzz import CORPUS, SEEDS, corpus, is_fault, keep, mutations, path_of, worker
from tests.fuzz.kinds import Work

OURS = mailbridge.__path__[0]
MOST_FILES = 60
MOST_OCTETS = 150_000
Step = tuple[CodeType, int, int]


class Steps:
    """Notes every step through mailbridge, in all threads, from `watch` on."""

    def __init__(self) -> None:
        self.taken: set[Step] = set()

    def watch(self) -> None:
        """Begin; threads that run already are not seen."""
        threading.settrace(self._entered)
        sys.settrace(self._entered)

    def forget(self) -> None:
        """End."""
        sys.settrace(None)
        threading.settrace(None)

    def _entered(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(OURS):
            return None
        last = 0

        def walked(frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:
            nonlocal last
            if event == "line":
                self.taken.add((code, last, frame.f_lineno))
                last = frame.f_lineno
            return walked

        return walked


class Grower:
    """The kept inputs of a kind, and what they reach; ``beyond`` counts the steps that the seeds do not take."""

    def __init__(self, kind: str, work: Work, steps: Steps) -> None:
        self._kind = kind
        self._work = work
        self._steps = steps
        self._known: set[Step] = set()
        self.kept: list[bytes] = []
        self.beyond = 0

    async def learn(self, inputs: Sequence[bytes]) -> None:
        """Take what these reach for granted. Twice, since some steps are taken at the first time only."""
        for octets in (*inputs, *inputs):
            self._known |= await self._reached(octets)

    async def consider(self, octets: bytes) -> None:
        """Keep an input, cut down, where it leads to something new."""
        fresh = await self._reached(octets) - self._known
        if fresh:
            fresh &= await self._reached(octets)
        if fresh:
            octets = await self._cut(octets, fresh)
            self._known |= await self._reached(octets) | fresh
            self.kept.append(octets)

    async def sift(self, inputs: Sequence[bytes]) -> list[bytes]:
        """Of these as few as lead to all that they lead to, or as much of it as the share of a kind holds; of equals the shortest."""
        reach = {octets: (await self._reached(octets) & await self._reached(octets)) - self._known for octets in inputs}
        found: list[bytes] = []
        size = 0
        while len(found) < MOST_FILES:
            best = max(reach, key=lambda octets: (len(reach[octets]), -len(octets), octets), default=b"")
            gain = reach.pop(best, set())
            if not gain:
                break
            if size + len(best) > MOST_OCTETS:
                continue
            found.append(best)
            size += len(best)
            self.beyond += len(gain)
            for octets in reach:
                reach[octets] -= gain
        return found

    async def _cut(self, octets: bytes, needed: set[Step]) -> bytes:
        """The input without whatever can be left out, in halves, quarters and so on down to sixty-fourths."""
        for parts in (2, 4, 8, 16, 32, 64):
            length = max(len(octets) // parts, 1)
            at = 0
            while at < len(octets):
                shorter = octets[:at] + octets[at + length :]
                if needed <= await self._reached(shorter):
                    octets = shorter
                else:
                    at += length
        return octets

    async def _reached(self, octets: bytes) -> set[Step]:
        self._steps.taken = set()
        try:
            await self._work(octets)
        except Exception:
            keep(path_of(self._kind, octets, is_fault=True), octets)
            raise
        return self._steps.taken


async def grow(kind: str, *, seconds: float, seed: int) -> str:
    """Grow the corpus of a kind for so long. Returns what came of it, for people."""
    steps = Steps()
    steps.watch()
    before = corpus(kind)
    try:
        async with worker(kind) as work:
            grower = Grower(kind, work, steps)
            await grower.learn(SEEDS[kind])
            grower.kept = list(before)
            await grower.learn(before)
            fresh = mutations(kind, grower.kept, random.Random(seed))
            until = time.monotonic() + seconds
            tried = 0
            while time.monotonic() < until:
                tried += 1
                await grower.consider(next(fresh))
            sifter = Grower(kind, work, steps)
            await sifter.learn(SEEDS[kind])
            found = await sifter.sift(grower.kept)
    finally:
        steps.forget()
    for path in (CORPUS / kind).glob("*"):
        if not is_fault(path):
            path.unlink()
    for octets in found:
        keep(path_of(kind, octets), octets)
    return f"{tried} inputs tried, {len(found)} in the corpus, {sifter.beyond} steps beyond those of the seeds"


def main() -> None:
    """The command."""
    reader = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    reader.add_argument("--kind", choices=sorted(SEEDS), action="append")
    reader.add_argument("--seconds", type=float, default=60.0, help="for each kind")
    reader.add_argument("--seed", type=int, default=0)
    chosen = reader.parse_args()
    for kind in chosen.kind or sorted(SEEDS):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            sys.stdout.write(f"{kind}: {runner.run(grow(kind, seconds=chosen.seconds, seed=chosen.seed))}\n")


if __name__ == "__main__":
    main()
