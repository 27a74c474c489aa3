"""Survivors that were looked at: why no test can notice, or need not. One TOML file a module, in ``tests/mutation/explained``.

An entry names the function, the line and what becomes of it, so that it outlives changes elsewhere; one that fits no mutant any more
is a failure, since the code that it speaks of is gone.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.mutants import Mutant, mutants_of

FOLDER = Path(__file__).parent / "explained"


@dataclass(frozen=True, slots=True)
class Place:
    """Function, line before, line after; without indents."""

    where: str
    line: str
    becomes: str


def place_of(mutant: Mutant, source: bytes) -> Place:
    """What an entry says of a mutant."""
    line, becomes = mutant.shown(source)
    return Place(mutant.where, line, becomes)


def read(module: str, folder: Path = FOLDER) -> dict[Place, str]:
    """The explanations for a module by their place; none where there is no file.

    Raises:
        ValueError: an entry is incomplete, stands twice, or explains nothing.
    """
    file = folder / f"{module}.toml"
    if not file.exists():
        return {}
    found: dict[Place, str] = {}
    for entry in tomllib.loads(file.read_text()).get("survivor", []):
        try:
            place, why = Place(str(entry["in"]), str(entry["line"]), str(entry["becomes"])), str(entry["why"])
        except KeyError as fault:
            raise ValueError(f"{file}: an entry has no {fault}") from None
        if place in found:
            raise ValueError(f"{file}: {place.line!r} to {place.becomes!r} stands twice")
        if len(why.split()) < 3:
            raise ValueError(f"{file}: {place.line!r} to {place.becomes!r} is not explained")
        found[place] = why
    return found


def gone(explained: Collection[Place], mutants: Collection[Mutant], source: bytes) -> list[Place]:
    """Entries that fit no mutant of the module as it is now."""
    there = {place_of(mutant, source) for mutant in mutants}
    return [place for place in explained if place not in there]


def gone_from(explained: Collection[Place], source: bytes) -> list[Place]:
    """Entries that fit no mutant of a source, those of its patterns included, of which there are very many."""
    left = list(explained)
    for with_regexes in (False, True):
        wanted = set(left)
        there = mutants_of(source, with_regexes=with_regexes, is_wanted=lambda one: place_of(one, source) in wanted)  # noqa: B023
        left = gone(left, there, source)
        if not left:
            break
    return left


def entry(place: Place) -> str:
    """An entry to be completed."""
    return (
        f'[[survivor]]\nin = {_quoted(place.where)}\nline = {_quoted(place.line)}\nbecomes = {_quoted(place.becomes)}\nwhy = ""\n'
    )


def _quoted(text: str) -> str:
    if "'" not in text:
        return f"'{text}'"
    if "'''" not in text:
        return f"'''{text}'''"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
