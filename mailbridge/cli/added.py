"""What commands add to the store in place of a file: checked with the configuration as a whole, then kept with who and when."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from mailbridge.cli.exits import Exit
from mailbridge.cli.faults import tell
from mailbridge.cli.options import load_or_exit
from mailbridge.clock import SteadyClock
from mailbridge.config.added import Added, merged
from mailbridge.config.load import Loaded
from mailbridge.config.problems import ConfigError
from mailbridge.config.settings import Section
from mailbridge.core.secret import Secret
from mailbridge.store import Store, StoreError, StoreUnavailable
from mailbridge.store.sqlite import open_sqlite, path_of

T = TypeVar("T")


def add(
    config: Path | None, kind: str, name: str, values: Mapping[str, Any], secrets: Mapping[str, Secret] | None = None
) -> None:
    """Keep a table, if the configuration with it is one that would be taken; one message and an exit code where it is not.

    Exit 78 for a mistake, 1 where there is one of that name already, 69 without the store.
    """
    loaded = load_or_exit(config)
    by = _who()
    mine = Added(kind=kind, name=name, values=values, secrets=secrets or {}, at=datetime.now(UTC), by=by)

    async def adding(store: Store) -> bool:
        known = await _added(store)
        if any(one.kind == kind and one.name.casefold() == name.casefold() for one in known):
            return False
        merged(loaded.settings, (*known, mine))
        return await store.entries.put(kind, name, values, by=by, secrets=secrets, is_new=True)

    try:
        is_added = _change(loaded, adding)
    except ConfigError as fault:
        raise SystemExit(tell(fault.problems)) from None
    if not is_added:
        click.echo(f"mailbridge: {kind} {name} is there already; `mailbridge {kind} remove {name}` first", err=True)
        raise SystemExit(Exit.GENERAL)


def remove(config: Path | None, kind: str, name: str) -> None:
    """Forget a table that was added; exit 4 where there is none, also where it stands in a file, which is said."""
    loaded = load_or_exit(config)

    async def removing(store: Store) -> bool:
        known = [one.name for one in await _added(store) if one.kind == kind and one.name.casefold() == name.casefold()]
        return bool(known) and await store.entries.remove(kind, known[0])

    if not _change(loaded, removing):
        click.echo(
            f"mailbridge: no {kind} {name} was added by command; `mailbridge {kind} list` shows what there is, and what stands in a file",
            err=True,
        )
        raise SystemExit(Exit.NOT_FOUND)


def every(config: Path | None, kind: str) -> Iterator[tuple[Section, str]]:
    """Every table of a kind with where it is from: the file's first, then those that were added, with who and when."""
    loaded = load_or_exit(config)
    for table in getattr(loaded.settings, kind):
        yield table, loaded.origins.get(kind, "")
    added = [one for one in added_to(loaded) if one.kind == kind]
    try:
        tables = getattr(merged(loaded.settings, added), kind)[len(getattr(loaded.settings, kind)) :]
    except ConfigError as fault:
        raise SystemExit(tell(fault.problems)) from None
    yield from zip(tables, (f"added by {one.by}, {one.at:%Y-%m-%d %H:%M}Z" for one in added), strict=True)


def added_to(loaded: Loaded) -> Sequence[Added]:
    """Everything that was added; nothing where there is no database yet."""
    return _change(loaded, _added) if path_of(loaded.settings.store).exists() else ()


async def _added(store: Store) -> tuple[Added, ...]:
    from mailbridge.app.additions import additions

    return await additions(store.entries)


def _change(loaded: Loaded, work: Callable[[Store], Awaitable[T]]) -> T:
    """Work on the store, beside a running daemon or alone; where there is none yet it is made. Exit 69 where that fails."""
    settings = loaded.settings
    is_there = path_of(settings.store).exists()

    async def working() -> T:
        store = open_sqlite(
            settings.store, settings.retention, clock=SteadyClock(), grace=settings.skyvern.grace, is_visitor=is_there
        )
        try:
            return await work(store)
        finally:
            await store.close()

    try:
        return asyncio.run(working())
    except (StoreError, StoreUnavailable) as fault:
        click.echo(f"mailbridge: {fault}", err=True)
        raise SystemExit(Exit.UNAVAILABLE) from None


def _who() -> str:
    """The user of the machine who adds something; his number where he has no name (in a container)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        import os

        return f"uid {os.getuid()}"
