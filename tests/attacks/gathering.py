"""Groups of attacks as one set by name: each is called after its group, and no name stands for two."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

Group = Callable[[], Iterator[tuple[str, T]]]


def gathered(groups: Iterable[Group[T]]) -> dict[str, T]:
    """Every member of every group as ``group: name``."""
    found: dict[str, T] = {}
    for group in groups:
        for name, one in group():
            full = f"{group.__name__}: {name}"
            assert full not in found, full
            found[full] = one
    return found
