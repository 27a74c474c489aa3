"""The database beside a running daemon: opened as a visitor, read, and closed again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click

from mailbridge.cli.exits import Exit
from mailbridge.cli.options import load_or_exit
from mailbridge.clock import SteadyClock
from mailbridge.config.settings import Settings
from mailbridge.store import Store, StoreError, StoreUnavailable
from mailbridge.store.cipher import read_key
from mailbridge.store.sqlite import key_path_of, open_sqlite
from mailbridge.trust.seal import Sealer

T = TypeVar("T")


def sealer_of(settings: Settings) -> Sealer:
    """The operator's seal, by the key beside the database; a clean message and exit 69 where that cannot be read."""
    try:
        return Sealer(read_key(key_path_of(settings.store), is_made=False))
    except StoreError as fault:
        click.echo(f"mailbridge: {fault}", err=True)
        raise SystemExit(Exit.UNAVAILABLE) from None


def vouched(settings: Settings, content: bytes, *, rcpt: str) -> bytes:
    """A mail under the operator's seal; as it is where there is no key of this machine's to seal it with."""
    now = datetime.now(UTC)
    try:
        sealer = Sealer(read_key(key_path_of(settings.store), is_made=False))
    except StoreError:
        return content
    return sealer.make(content, rcpt=rcpt, mail_id=0, received_at=now, now=now)


def visit(config: Path | None, ask: Callable[[Store], Awaitable[T]]) -> T:
    """What ``ask`` finds in the configured store; a clean message and exit 69 where there is none."""
    settings = load_or_exit(config).settings

    async def visiting() -> T:
        store = open_sqlite(
            settings.store, settings.retention, clock=SteadyClock(), grace=settings.skyvern.grace, is_visitor=True
        )
        try:
            return await ask(store)
        finally:
            await store.close()

    try:
        return asyncio.run(visiting())
    except (StoreError, StoreUnavailable) as fault:
        click.echo(f"mailbridge: {fault}", err=True)
        raise SystemExit(Exit.UNAVAILABLE) from None
