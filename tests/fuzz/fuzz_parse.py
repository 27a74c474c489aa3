"""Mutated mails through parse, identify and extract: ``python -m tests.fuzz.fuzz_parse --count N [--seed S] [--seconds S]``.

Every mutation has a number, and ``--seed N --count 1`` reads that one again (on a machine with the same mails to start from);
``--keep FOLDER`` writes those that fail or are slow. The mails are those in ``seeds`` and, where it is there, the folder of real
ones (MAILBRIDGE_SHARED). Exit 1 when a mail raised an exception or took longer than a worker has.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import ROOT
from tests.fuzz.mutate import mutated
from tests.fuzz.reading import Reading, reader

SEEDS = Path(__file__).parent / "seeds"
SLOW = 0.5
"""Seconds from which a mail is told of; only `reading.LIMIT` is a failure."""


@dataclass(slots=True)
class Tally:
    """What a run found. ``defects`` shows how deep the mutations got."""

    count: int = 0
    seconds: float = 0.0
    failed: list[tuple[int, str]] = field(default_factory=list)
    slow: list[tuple[int, float]] = field(default_factory=list)
    worst: float = 0.0
    verdicts: Counter[str] = field(default_factory=Counter)
    defects: Counter[str] = field(default_factory=Counter)

    def note(self, number: int, reading: Reading) -> None:
        """Count one reading."""
        self.count += 1
        self.worst = max(self.worst, reading.seconds)
        if reading.fault is not None:
            self.failed.append((number, reading.fault))
        elif reading.seconds > SLOW:
            self.slow.append((number, reading.seconds))
        if reading.understanding is not None:
            self.verdicts[str(reading.understanding.extraction.verdict)] += 1
            self.defects.update(reading.understanding.defects)


def seeds() -> Sequence[bytes]:
    """The mails to start from: ours, and the real ones of this machine."""
    real = Path(os.environ.get("MAILBRIDGE_SHARED", ROOT.parent / "shared")) / "eml"
    return [path.read_bytes() for folder in (SEEDS, real) for path in sorted(folder.glob("*.eml"))]


def fuzz(*, count: int, seed: int, seconds: float | None = None, keep: Path | None = None) -> Tally:
    """Read ``count`` mutations, or as many as there is time for."""
    read, start, tally = reader(), seeds(), Tally()
    began = time.perf_counter()
    for number in range(seed, seed + count):
        content = mutated(number, start)
        reading = read(content)
        tally.note(number, reading)
        if keep is not None and (reading.fault is not None or reading.seconds > SLOW):
            (keep / f"{number}.eml").write_bytes(content)
        if seconds is not None and time.perf_counter() - began > seconds:
            break
    tally.seconds = time.perf_counter() - began
    return tally


def main() -> int:
    """Run, tell, and give the exit code."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--seconds", type=float)
    options.add_argument("--keep", type=Path)
    chosen = options.parse_args()
    tally = fuzz(count=chosen.count, seed=chosen.seed, seconds=chosen.seconds, keep=chosen.keep)
    print(f"{tally.count} mutations of {len(seeds())} mails in {tally.seconds:.0f} s, the slowest {tally.worst:.2f} s")
    print("verdicts:", ", ".join(f"{name} {count}" for name, count in tally.verdicts.most_common()))
    print("defects:", ", ".join(f"{name} {count}" for name, count in tally.defects.most_common()))
    for number, taken in tally.slow[:20]:
        print(f"slow: {taken:.2f} s, --seed {number} --count 1")
    for number, fault in tally.failed[:20]:
        print(f"FAILED: {fault}, --seed {number} --count 1")
    print(f"{len(tally.failed)} failed, {len(tally.slow)} over {SLOW} s")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
