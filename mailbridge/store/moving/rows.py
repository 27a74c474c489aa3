"""Rows that are moved between two databases: their tables, how many go at a time, and how they are compared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from mailbridge.core.dataclass import dataclass

Row = tuple[Any, ...]
"""The values of a row, in the order of `Table.columns`: None, whole numbers, texts and octets."""

ROWS = 2_000
"""The largest number of rows in one transaction of the target."""

OCTETS = 4_000_000
"""Octets of mails in one transaction of the target. A larger mail goes alone."""

DIGEST = 16
"""Octets of a digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that is moved. ``columns`` are in alphabetical order. ``key`` are the columns that identify a row."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]

    def place(self, column: str) -> int:
        """The position of a column in a row."""
        return self.columns.index(column)


class Tally:
    """The number of rows, and the sum of their hashes. The order of the rows does not matter."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0

    def add(self, rows: Iterable[Row]) -> None:
        """Count some more rows."""
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
    """Decides when a batch is large enough."""

    def __init__(self) -> None:
        self._rows = self._octets = 0

    def is_full(self, row: Row) -> bool:
        """Whether the batch ends after this row. Then the next row is the first of another batch."""
        self._rows += 1
        self._octets += sum(len(value) for value in row if isinstance(value, bytes))
        if self._rows < ROWS and self._octets < OCTETS:
            return False
        self._rows = self._octets = 0
        return True


def in_order(tables: Iterable[Table]) -> list[Table]:
    """Mails before the deliveries that refer to them, and everything else by name."""
    return sorted(tables, key=lambda one: (one.name != "mail", one.name))
