"""What a daemon takes of its machine, sampled over a soak, and whether any of it grows."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from tests.bench.memory import family, memory_of
from tests.bench.plot import Chart, Points, sheet

SETTLED = 10.0
"""Minutes after which nothing may grow any more."""

MOST_GROWTH = 0.02
SHORTEST = 20.0
"""Minutes that a soak needs to tell growth from what a start brings."""

TITLES = {
    "memory": ("Memory of the daemon and its workers", "MB, proportional (PSS)"),
    "descriptors": ("Open files", "descriptors"),
    "threads": ("Threads", "threads"),
    "database": ("Database with its log", "MB"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One look: minutes since the start, megabytes, and numbers of the daemon with its children."""

    minute: float
    memory: float
    descriptors: float
    threads: float
    database: float


def sample(pid: int, database: Path, began: float) -> Sample | None:
    """Look now; None where a process ended in the middle of the look."""
    descriptors = threads = 0
    try:
        for one in family(pid):
            descriptors += len(list(Path(f"/proc/{one}/fd").iterdir()))
            threads += len(list(Path(f"/proc/{one}/task").iterdir()))
        memory = memory_of(pid, database, "")
    except OSError:
        return None
    minute = (time.monotonic() - began) / 60
    return Sample(minute=minute, memory=memory.pss, descriptors=descriptors, threads=threads, database=memory.database)


def growth(samples: Sequence[Sample], name: str) -> float | None:
    """How much more there is at the end than at the tenth minute, as a share: medians of a tenth of that time, at its beginning and at
    its end. None where the soak is too short to tell."""
    if not samples or samples[-1].minute < SHORTEST:
        return None
    span = (samples[-1].minute - SETTLED) / 10
    first = [getattr(one, name) for one in samples if SETTLED <= one.minute <= SETTLED + span]
    last = [getattr(one, name) for one in samples if one.minute >= samples[-1].minute - span]
    before, after = statistics.median(first), statistics.median(last)
    return float(after / before - 1) if before else 0.0


def plots(samples: Sequence[Sample], faults: Sequence[tuple[float, float]]) -> str:
    """The four of them below one another; the times of faults are shaded."""
    names = [one.name for one in fields(Sample) if one.name in TITLES]

    def line(name: str) -> Points:
        return [(one.minute, getattr(one, name)) for one in samples]

    return sheet(
        [
            Chart(title=TITLES[name][0], x="minutes (shaded: a fault)", y=TITLES[name][1], lines={name: line(name)}, bands=faults)
            for name in names
        ]
    )
