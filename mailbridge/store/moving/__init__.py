"""Moves everything in a store from one database to another, of any two kinds.

Rows are copied as they are: sealed values stay sealed, under the same key. Each batch is one transaction of the target, and the
same transaction records the progress. So a move that was killed continues with the next row. At the end both databases are read
completely and compared: the rows of each table are counted and hashed.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, Protocol

import msgspec

from mailbridge.core.dataclass import dataclass
from mailbridge.store import StoreError
from mailbridge.store.moving.rows import Row, Table, Tally, in_order

__all__ = ["Batch", "Mark", "Moved", "Side", "TableMoved", "move"]

Said = Callable[[str], None]

Beside = Callable[[], Awaitable[int]]
"""Copies what is kept outside the rows, with the same result each time it is called, and returns how much. Raises StoreError."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of a move, stored in its target. ``source`` names the source database, ``state`` its newest numbers at the
    start.

    ``done`` are the tables that are complete. ``table`` is being copied: its rows are there up to ``after``, a key in
    MessagePack. ``is_over``: everything is copied and was compared. Only then does a daemon start on the target.
    """

    source: str
    state: dict[str, int]
    done: tuple[str, ...] = ()
    table: str = ""
    after: bytes | None = None
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows in the order of their key, and the key of the last one as its database has it."""

    rows: list[Row]
    last: tuple[Any, ...]


class Side(Protocol):
    """One of the two databases. No daemon has it during the move. Everything raises only StoreError."""

    @property
    def label(self) -> str:
        """The name of the database in messages."""
        ...

    async def identity(self) -> str:
        """A text that distinguishes this database from every other one."""
        ...

    async def tables(self) -> dict[str, Table]:
        """The tables that are moved, by name."""
        ...

    def read(self, table: Table, after: tuple[Any, ...] | None) -> AsyncGenerator[Batch, None]:
        """The rows of a table after a key, or from the first row if it is None, in a form that every database can store."""
        ...

    async def counters(self) -> dict[str, int]:
        """The last number that was assigned, for each table that assigns numbers."""
        ...

    async def handed_on(self) -> bytes | None:
        """What an earlier key has handed on to the present one; see `Cipher.handed_on`."""
        ...

    async def mark(self) -> Mark | None:
        """The progress of the move into this database; None if there is none."""
        ...

    async def is_empty(self, table: Table) -> bool:
        """Whether a table has no row."""
        ...

    async def write(self, table: Table, rows: list[Row], mark: Mark) -> None:
        """Add rows and record the progress, in one transaction."""
        ...

    async def finish(self, counters: Mapping[str, int], handed_on: bytes | None, mark: Mark) -> None:
        """In one transaction: make sure that no number is assigned again, store what a key has handed on, and record the
        progress."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMoved:
    """The result of comparing one table."""

    name: str
    rows: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What a move did. ``is_resumed``: it continued one that was interrupted. ``copied`` are the rows of this run,
    ``permissions`` the accounts whose permission to read their mailbox this run copied."""

    tables: tuple[TableMoved, ...]
    copied: int
    permissions: int
    is_resumed: bool
    seconds: float


async def _nothing() -> int:
    return 0


async def move(source: Side, target: Side, *, said: Said = lambda _: None, beside: Beside = _nothing) -> Moved:
    """Copy everything, and compare. ``said`` is called with each step. ``beside`` is called before the move ends, never after it:
    a daemon that has run on the target may have changed what it copies.

    Raises:
        StoreError: the target contains something else, the source has changed since the move began, or the written rows differ
            from
            the read ones. Until the comparison is over no daemon starts on the target.
    """
    began = time.monotonic()
    tables = await _common(source, target)
    found = await target.mark()
    mark = await _begun(source, target, tables, found)
    copied = 0
    if not mark.is_over:
        for table in tables:
            if table.name not in mark.done:
                mark, count = await _copied(source, target, table, mark, said)
                copied += count
        await target.finish(await source.counters(), await source.handed_on(), mark)
    compared = [await _compared(source, target, table, said) for table in tables]
    permissions = 0
    if not mark.is_over:
        permissions = await beside()
        await target.finish(await source.counters(), await source.handed_on(), msgspec.structs.replace(mark, is_over=True))
    return Moved(
        tables=tuple(compared),
        copied=copied,
        permissions=permissions,
        is_resumed=found is not None,
        seconds=time.monotonic() - began,
    )


async def _common(source: Side, target: Side) -> list[Table]:
    """The tables, each after the tables that it refers to. Both databases must have the same ones, except an empty one that
    only one of them uses."""
    of_source, of_target = await source.tables(), await target.tables()
    both = []
    for name in sorted({*of_source, *of_target}):
        one, other = of_source.get(name), of_target.get(name)
        if one is not None and other is not None and one.columns == other.columns:
            both.append(one)
        elif one is not None and (other is not None or not await source.is_empty(one)):
            raise StoreError(
                f"{target.label}: has no table for what {source.label} has in {name}; both must be of this release: start the daemon of"
                " this release once on each, and stop it"
            )
    return in_order(both)


async def _begun(source: Side, target: Side, tables: list[Table], mark: Mark | None) -> Mark:
    """The mark to continue with, or a new one if the target is empty."""
    identity, state = await source.identity(), await source.counters()
    if mark is None or (mark.is_over and (mark.source, mark.state) != (identity, state)):
        full = [table.name for table in tables if not await target.is_empty(table)]
        if full:
            raise StoreError(
                f"{target.label}: holds data already ({', '.join(full)}); give the move an empty database, or move that one away"
            )
        return Mark(source=identity, state=state)
    if mark.source != identity:
        raise StoreError(
            f"{target.label}: holds a move from another database than {source.label}; make an empty one and start again"
        )
    if mark.state != state:
        raise StoreError(
            f"{source.label}: has changed since the move began; make an empty target and start again, with the daemon stopped meanwhile"
        )
    return mark


async def _copied(source: Side, target: Side, table: Table, mark: Mark, said: Said) -> tuple[Mark, int]:
    """Copy a whole table. Returns the mark then, and how many rows were copied now."""
    count, told_at = 0, time.monotonic()
    after = msgspec.msgpack.decode(mark.after, type=tuple) if mark.table == table.name and mark.after is not None else None
    async with aclosing(source.read(table, after)) as batches:
        async for batch in batches:
            mark = msgspec.structs.replace(mark, table=table.name, after=msgspec.msgpack.encode(batch.last))
            await target.write(table, batch.rows, mark)
            count += len(batch.rows)
            if time.monotonic() - told_at > TELL_EVERY:
                told_at = time.monotonic()
                said(f"{table.name}: {count} rows copied so far")
    said(f"{table.name}: {count} rows copied")
    return msgspec.structs.replace(mark, done=(*mark.done, table.name), table="", after=None), count


TELL_EVERY = 5.0
"""Seconds between two messages about one table."""


async def _compared(source: Side, target: Side, table: Table, said: Said) -> TableMoved:
    """Read a whole table in both databases, and compare."""
    tallies = []
    for side in (source, target):
        tally = Tally()
        async with aclosing(side.read(table, None)) as batches:
            async for batch in batches:
                tally.add(batch.rows)
        tallies.append(tally)
    one, other = tallies
    if one != other:
        raise StoreError(
            f"{target.label}: its table {table.name} is not that of {source.label} ({other.count} rows of digest {other.digest}, there"
            f" {one.count} of {one.digest}); nothing was removed from {source.label}: make an empty target and start again"
        )
    said(f"{table.name}: {one.count} rows, digest {one.digest}, the same at both")
    return TableMoved(name=table.name, rows=one.count, digest=one.digest)
