"""Runs the public suites that are in folders: ``python -m tests.suites.run FOLDER…``, or ``make suites SUITES=FOLDER``.

Their files may lie anywhere in them; one that is missing is named with where it can be had. Nothing of them is part of mailbridge.
Exits 1 where a failure opens, or the others are not exactly those that `explained.toml` explains.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.suites import openspf, results, suffixes, valimail, vectors
from tests.suites.outcome import Missing, Outcome

SUITES: Mapping[str, Callable[[Path], Iterator[Outcome]]] = {
    "openspf": openspf.outcomes,
    "valimail": valimail.outcomes,
    "vectors": vectors.outcomes,
    "results": results.outcomes,
    "suffixes": suffixes.outcomes,
}
EXPLAINED = Path(__file__).parent / "explained.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What came of one suite. ``opening`` believe what nobody should; ``closing`` are all other differences, by name."""

    name: str
    count: int
    opening: tuple[str, ...]
    closing: frozenset[str]
    explained: frozenset[str]

    @property
    def faults(self) -> tuple[str, ...]:
        """What must not be."""
        return (
            *(f"{self.name}: {one} opens" for one in self.opening),
            *(f"{self.name}: {one} fails, and explained.toml does not say why" for one in sorted(self.closing - self.explained)),
            *(f"{self.name}: {one} is explained, and does not fail" for one in sorted(self.explained - self.closing)),
        )

    def __str__(self) -> str:
        right = self.count - len(self.opening) - len(self.closing)
        return f"{self.name}: {right} of {self.count} as the suite has it, {len(self.opening)} open, {len(self.closing)} close"


def explained() -> dict[str, frozenset[str]]:
    """The cases of each suite that are known to close."""
    table = tomllib.loads(EXPLAINED.read_text(encoding="utf-8"))
    return {name: frozenset(case for group in groups for case in group["cases"]) for name, groups in table.items()}


def run(name: str, folder: Path) -> Report:
    """One suite of a folder.

    Raises:
        Missing: it is not there.
    """
    outcomes = list(SUITES[name](folder))
    if not outcomes:
        raise Missing(f"no case of {name} under {folder}")
    return Report(
        name=name,
        count=len(outcomes),
        opening=tuple(one.name for one in outcomes if one.opens),
        closing=frozenset(one.name for one in outcomes if not one.is_right and not one.opens),
        explained=explained().get(name, frozenset()),
    )


def first(name: str, folders: Sequence[Path]) -> Report | Missing:
    """One suite of the first folder that has it."""
    missing = Missing("no folder is named")
    for folder in folders:
        try:
            return run(name, folder)
        except Missing as fault:
            missing = fault
    return missing


def main() -> int:
    """See the module."""
    folders = [Path(one) for one in sys.argv[1:] if one]
    faults: list[str] = []
    for name in SUITES:
        report = first(name, folders)
        print(report if isinstance(report, Report) else f"{name}: skipped, {report}")
        faults += report.faults if isinstance(report, Report) else ()
    print(*faults, sep="\n", end="\n" if faults else "")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
