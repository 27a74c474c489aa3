"""Parts of a store whose SQL is the same in every database: written once, over a transaction that the database gives.

A work is a coroutine function of one transaction. PostgreSQL suspends it at every statement; SQLite runs it through in its writer's
thread and never suspends it. So a work awaits its transaction and nothing else. A value stands in SQL as ``?``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

Values = Sequence[Any]


class Transaction(Protocol):
    """One transaction under way: all of it is written, or nothing."""

    async def rows(self, query: str, values: Values = ()) -> list[Any]:
        """The rows of a query, or of a change with RETURNING."""
        ...

    async def change(self, statement: str, values: Values = ()) -> int:
        """Change something; how many rows were changed."""
        ...

    async def change_many(self, statement: str, rows: Iterable[Values]) -> None:
        """The same statement for each of these values."""
        ...

    async def hold(self, line: str) -> None:
        """Until the end of the transaction nobody else changes what is kept of an identifier, given folded."""
        ...

    def erases(self) -> None:
        """No copy of what this transaction takes away is to stay, as far as the database can see to that."""
        ...


Work = Callable[[Transaction], Awaitable[T]]


class Database(Protocol):
    """Runs transactions. Both raise StoreUnavailable and nothing else; of a fault nothing was written."""

    async def write(self, work: Work[T]) -> T:
        """What a work returns, once it is on disk. A caller that is cancelled meanwhile does not undo it."""
        ...

    async def rows(self, query: str, values: Values = ()) -> list[Any]:
        """The rows of a query that changes nothing."""
        ...
