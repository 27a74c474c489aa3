"""Rows on their way between two databases: their tables, how many go at once, and how they are compared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from mailbridge.core.dataclass import dataclass

Row = tuple[Any, ...]
"""The values of a row, in the order of `Table.columns`: None, whole numbers, texts and octets."""

ROWS = 2_000
"""Rows in one transaction of the target at the most."""

OCTETS = 4_000_000
"""Octets of mails in one transaction of the target; a mail that is larger goes alone."""

DIGEST = 16
"""Octets of a digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that is moved. ``columns`` in the order of the alphabet, ``key`` those that tell its rows apart."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]

    def place(self, column: str) -> int:
        """Where a column stands in a row."""
        return self.columns.index(column)


class Tally:
    """How many rows, and the sum of their hashes: the same in whatever order they come."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0

    def add(self, rows: Iterable[Row]) -> None:
        """Count some more."""
        encode, hashed = msgspec.msgpack.encode, hashlib.blake2b
        for row in rows:
            self._sum += int.from_bytes(hashed(encode(row), digest_size=DIGEST).digest(), "big")
            self.count += 1

    @property
    def digest(self) -> str:
        """The sum, in hexadecimal."""
        return f"{self._sum % 2 ** (8 * DIGEST):0{2 * DIGEST}x}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tally) and (self.count, self.digest) == (other.count, other.digest)

    def __hash__(self) -> int:
        return hash((self.count, self.digest))


class Full:
    """Says when a batch is large enough."""

    def __init__(self) -> None:
        self._rows = self._octets = 0

    def is_full(self, row: Row) -> bool:
        """Whether the batch is to end behind this row; the next row is another batch's first then."""
        self._rows += 1
        self._octets += sum(len(value) for value in row if isinstance(value, bytes))
        if self._rows < ROWS and self._octets < OCTETS:
            return False
        self._rows = self._octets = 0
        return True


def in_order(tables: Iterable[Table]) -> list[Table]:
    """Mails before their deliveries, which name them, and all else by name."""
    return sorted(tables, key=lambda one: (one.name != "mail", one.name))
