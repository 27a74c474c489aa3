"""Marks that transactions leave. They show whether a transaction was committed if its commit was never answered.

A connection that breaks during COMMIT leaves the client without an answer: the transaction may be done, undone, or still running.
So each transaction writes its number into a row that it holds for itself. To find out, the client writes to the same row, and
therefore waits until that transaction has ended. Then the row has its number, or not. This also holds after a crash of the server
and, after a fail-over, on another server. `pg_xact_status` does not work there: after a crash the id of an undone transaction may
be given to another one, which then commits.
"""

from __future__ import annotations

import secrets
from dataclasses import field

from mailbridge.core.dataclass import dataclass

NAME = "commit "
"""The beginning of the keys of these rows in ``meta``."""

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
    """A key for a row that no other process has."""
    return NAME + secrets.token_hex(8)


def kept_octets(name: str, octets: int) -> tuple[str, tuple[str, str]]:
    """A statement with its values. It stores this many incompressible octets in a row of that name. The row is removed like a
    mark."""
    return KEEP, (name, secrets.token_hex(octets // 2))


def kept_empty(name: str) -> tuple[str, tuple[str]]:
    """The statement that removes that row."""
    return EMPTY, (name,)


@dataclass(slots=True)
class Mark:
    """A row into which one transaction at a time writes its number."""

    name: str
    number: int = 0

    @property
    def leaving(self) -> str:
        """The statement that leaves the mark of the current transaction."""
        return LEAVE.format(name=self.name, number=self.number)

    def is_left(self, value: str) -> bool:
        """Whether the row says that this transaction was committed."""
        return value.partition(" ")[0] == str(self.number)


@dataclass(slots=True)
class Marks:
    """The marks of one process: as many as it has transactions at a time."""

    _free: list[Mark] = field(default_factory=list)

    def take(self) -> Mark:
        """A mark for the next transaction, with a number that it never had before."""
        mark = self._free.pop() if self._free else Mark(new_name())
        mark.number += 1
        return mark

    def give_back(self, mark: Mark) -> None:
        """Return the mark of a transaction that has ended. A mark whose transaction has an unknown end is never returned,
        because the next transaction would wait for it."""
        self._free.append(mark)
