"""Parts of a store whose SQL is the same in every database. They are written once, over a transaction that the database provides.

A work is a coroutine function of one transaction. PostgreSQL suspends it at every statement. SQLite runs it in its writer's
thread without suspending it. So a work may await only its transaction. ``?`` stands for a value in SQL.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

Values = Sequence[Any]


class Transaction(Protocol):
    """One running transaction: all of it is written, or nothing."""

    async def rows(self, query: str, values: Values = ()) -> list[Any]:
        """The rows of a query, or of a change with RETURNING."""
        ...

    async def change(self, statement: str, values: Values = ()) -> int:
        """Run one change. Returns how many rows were changed."""
        ...

    async def change_many(self, statement: str, rows: Iterable[Values]) -> None:
        """Run the same statement with each of these values."""
        ...

    async def hold(self, line: str) -> None:
        """Until the end of the transaction nobody else can change what is stored of an identifier (folded)."""
        ...

    def erases(self) -> None:
        """Note that no copy of what this transaction removes may stay, as far as the database can control that."""
        ...


Work = Callable[[Transaction], Awaitable[T]]


class Database(Protocol):
    """Runs transactions. Both methods raise only StoreUnavailable. After an error nothing was written."""

    async def write(self, work: Work[T]) -> T:
        """Run a work, and return its result after it is on disk. Cancelling the caller does not undo it."""
        ...

    async def rows(self, query: str, values: Values = ()) -> list[Any]:
        """The rows of a query that changes nothing."""
        ...
