"""Moving everything of a store from one database to another, whichever two they are.

The rows are copied as they lie: what is sealed stays sealed, under the same key. Each batch is one transaction of the target, and the
same transaction writes how far it is. So a move that was killed goes on with the next row. At the end both databases are read whole and
compared: the rows of each table are counted and hashed.
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
"""Carries over what is kept beside the rows, the same each time it is called, and says of how much. Raises StoreError."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """How far a move is, kept in its target. ``source`` names the database that it comes from, ``state`` its newest numbers then.

    ``done`` are the tables that are there whole. ``table`` is under way: its rows are there up to ``after``, a key in MessagePack.
    ``is_over``: everything is there and was compared. Only then a daemon starts on it.
    """

    source: str
    state: dict[str, int]
    done: tuple[str, ...] = ()
    table: str = ""
    after: bytes | None = None
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows in the order of their key, and the key of the last one as it lies in its database."""

    rows: list[Row]
    last: tuple[Any, ...]


class Side(Protocol):
    """One of the two databases, which no daemon has meanwhile. Everything raises StoreError and nothing else."""

    @property
    def label(self) -> str:
        """The database as messages name it."""
        ...

    async def identity(self) -> str:
        """What tells this database from every other one."""
        ...

    async def tables(self) -> dict[str, Table]:
        """What is moved, by name."""
        ...

    def read(self, table: Table, after: tuple[Any, ...] | None) -> AsyncGenerator[Batch, None]:
        """The rows of a table behind a key, from the first where there is none, as every database can keep them."""
        ...

    async def counters(self) -> dict[str, int]:
        """The last number that was given out, of each table that gives numbers."""
        ...

    async def handed_on(self) -> bytes | None:
        """What an earlier key has handed on to the one in use; see `Cipher.handed_on`."""
        ...

    async def mark(self) -> Mark | None:
        """How far the move into this database is; None where there is none."""
        ...

    async def is_empty(self, table: Table) -> bool:
        """Whether a table has no row."""
        ...

    async def write(self, table: Table, rows: list[Row], mark: Mark) -> None:
        """Add rows, and keep how far it is, in one transaction."""
        ...

    async def finish(self, counters: Mapping[str, int], handed_on: bytes | None, mark: Mark) -> None:
        """In one transaction: give out no number that was given out before, take up what a key has handed on, and keep the mark."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMoved:
    """What was compared of a table."""

    name: str
    rows: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What a move did. ``is_resumed``: it went on with one that was interrupted. ``copied`` are the rows of this run, ``permissions``
    the accounts whose permission to read their mailbox was carried over by it."""

    tables: tuple[TableMoved, ...]
    copied: int
    permissions: int
    is_resumed: bool
    seconds: float


async def _nothing() -> int:
    return 0


async def move(source: Side, target: Side, *, said: Said = lambda _: None, beside: Beside = _nothing) -> Moved:
    """Copy everything, and compare. ``said`` is told of each step. ``beside`` is called before the move is over, not after it: what it
    carries has changed in the target once a daemon ran there.

    Raises:
        StoreError: the target holds something else, the source has changed since the move began, or what was written is not what was
            read. Until the comparison is over no daemon starts on the target.
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
    """The tables, in an order in which each comes after those that it names. Both databases must have the same, except for what only one
    of them has a use for, and which is empty."""
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
    """The mark to go on with; a new one where the target is empty."""
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
    """A table whole; the mark then, and how many rows were copied now."""
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
    """Read a table whole at both ends."""
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
