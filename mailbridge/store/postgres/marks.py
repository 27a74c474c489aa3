"""Marks that transactions leave: by them it is found out whether one was committed whose commit was never answered.

A connection that breaks during COMMIT leaves the client without an answer: the transaction may be done, or undone, or still under way.
Each transaction therefore writes its number into a row that it holds for itself. Whoever asks writes to the same row, and so waits until
that transaction is over; then the row has its number, or not. This is true after a crash of the server and on another server after a
fail-over. `pg_xact_status` is not: a transaction that a crash has undone may leave its id to another one, which then commits.
"""

from __future__ import annotations

import secrets
from dataclasses import field

from mailbridge.core.dataclass import dataclass

NAME = "commit "
"""What the keys of these rows in ``meta`` begin with."""

LEAVE = (
    "INSERT INTO meta (key, value) VALUES ('{name}', '{number} ' || now_micros())"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)
ASK = "INSERT INTO meta (key, value) VALUES ($1, '0 ' || now_micros()) ON CONFLICT (key) DO UPDATE SET value = meta.value RETURNING value"
KEEP = (
    "INSERT INTO meta (key, value) VALUES (?, '0 ' || now_micros() || ' ' || ?::text)"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)
EMPTY = "DELETE FROM meta WHERE key = ?"
KEPT = 86_400_000_000
"""Microseconds after which the rows of processes that are gone are removed."""

FORGET = (
    f"DELETE FROM meta WHERE CASE WHEN key LIKE '{NAME}%'"  # noqa: S608
    f" THEN split_part(value, ' ', 2)::bigint < now_micros() - {KEPT} ELSE false END"
)


def new_name() -> str:
    """The key of a row that no other process has."""
    return NAME + secrets.token_hex(8)


def kept_octets(name: str, octets: int) -> tuple[str, tuple[str, str]]:
    """A statement with its values: so many octets, which cannot be packed, in a row of that name. It is removed as a mark is."""
    return KEEP, (name, secrets.token_hex(octets // 2))


def kept_empty(name: str) -> tuple[str, tuple[str]]:
    """What removes that row."""
    return EMPTY, (name,)


@dataclass(slots=True)
class Mark:
    """A row that one transaction at a time writes its number into."""

    name: str
    number: int = 0

    @property
    def leaving(self) -> str:
        """The statement that leaves the mark of the transaction in hand."""
        return LEAVE.format(name=self.name, number=self.number)

    def is_left(self, value: str) -> bool:
        """Whether the row says that this transaction was committed."""
        return value.partition(" ")[0] == str(self.number)


@dataclass(slots=True)
class Marks:
    """The marks of one process: as many as it has transactions at the same time."""

    _free: list[Mark] = field(default_factory=list)

    def take(self) -> Mark:
        """A mark for the next transaction, with a number that it had never before."""
        mark = self._free.pop() if self._free else Mark(new_name())
        mark.number += 1
        return mark

    def give_back(self, mark: Mark) -> None:
        """Its transaction is over. One whose end is not known keeps its mark for ever: the next one would wait for it."""
        self._free.append(mark)
