"""What one case of a public suite says, what mailbridge says, and whether the difference opens or closes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """``wanted`` is what the suite has (several where it leaves the choice), ``is_pass`` whether mailbridge would believe it."""

    name: str
    wanted: tuple[str, ...]
    got: str
    is_pass: bool
    may_pass: bool

    @property
    def is_right(self) -> bool:
        """Whether mailbridge agrees with the suite."""
        return self.got in self.wanted

    @property
    def opens(self) -> bool:
        """Whether mailbridge believes what the suite says nobody should."""
        return self.is_pass and not self.may_pass


class Missing(Exception):  # noqa: N818  (a condition rather than a fault)
    """A suite is not in the folder: what is missing, and where it can be had."""


def found(folder: Path, name: str, source: str) -> Path:
    """The file of that name anywhere under the folder.

    Raises:
        Missing: it is not there.
    """
    file = next(iter(sorted(folder.rglob(name))), None)
    if file is None:
        raise Missing(f"no {name} under {folder}: it is in {source}")
    return file


def documents(file: Path) -> list[dict[str, Any]]:
    """The documents of a YAML file."""
    return [one for one in yaml.safe_load_all(file.read_text(encoding="utf-8")) if one]
