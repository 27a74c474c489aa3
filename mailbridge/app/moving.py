"""Moving what is stored from one database to another: both taken, with one key, and let go at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from mailbridge.app.storing import MISSING
from mailbridge.config.problems import ConfigError, Problem
from mailbridge.config.settings import StoreSettings
from mailbridge.config.stores import URL, store_mistakes
from mailbridge.store import StoreError
from mailbridge.store.cipher import read_key, write_key
from mailbridge.store.moving import Moved, Side, move
from mailbridge.store.places import is_postgres, key_path_of, label, path_of


def store_at(store: StoreSettings, url: str | None, *, option: str, folder: Path) -> StoreSettings:
    """The ``[store]`` of a database that an option names, by that of the configuration; ``folder`` is for state that has no other place.

    The key of a file of SQLite is the one beside it, where there is one.

    Raises:
        ConfigError: it is no URL of a database.
    """
    if url is None or url == store.url:
        return store
    bare = msgspec.structs.replace(store, url=url, folder=None, password=None)
    problems = [Problem(where=option, what=what) for _, what in store_mistakes(bare)]
    if not url:
        problems.append(Problem(where=option, what=URL))
    if problems:
        raise ConfigError(tuple(problems))
    if is_postgres(bare):
        return msgspec.structs.replace(bare, folder=store.folder or folder, password=store.password)
    beside = path_of(bare).with_suffix(".key")
    return msgspec.structs.replace(bare, key_file=None if beside.exists() else store.key_file)


async def moved(source: StoreSettings, target: StoreSettings, *, said: Callable[[str], None] = lambda _: None) -> Moved:
    """Copy everything of one database into another, and compare; see `mailbridge.store.moving.move`.

    Raises:
        StoreInUse: a daemon has one of them.
        StoreError: it cannot be done, or not be finished now; the message says why.
    """
    if _place(source) == _place(target):
        raise StoreError(f"{label(source)}: source and target are the same database")
    async with _taken(source, is_target=False) as one:
        share_key(source, target)
        async with _taken(target, is_target=True) as other:
            return await move(one, other, said=said, beside=lambda: asyncio.to_thread(_permissions_moved, source, target, said))


def _permissions_moved(source: StoreSettings, target: StoreSettings, said: Callable[[str], None]) -> int:
    """Carry over the permissions to read mailboxes (OAuth): files beside an SQLite database, rows of a PostgreSQL. Each is sealed anew, for
    each place has a key of its own; then all are read again and compared. Returns how many there are.

    Raises:
        StoreError: one cannot be read or kept; the message says which.
    """
    from mailbridge.ingress.imap.faults import MailboxFault
    from mailbridge.ingress.imap.vault import has_permissions, open_vault

    if not has_permissions(source) or _permissions_place(source) == _permissions_place(target):
        return 0
    try:
        one = open_vault(source)
        kept = {account: one.read(account) for account in one.accounts()}
        other = open_vault(target)
        for account, permission in kept.items():
            if permission is not None:
                other.write(account, permission)
        differing = [account for account, permission in kept.items() if other.read(account) != permission]
    except (MailboxFault, OSError) as fault:
        raise StoreError(f"{label(target)}: permissions of mailboxes (OAuth): {fault}") from None
    except StoreError as fault:
        raise StoreError(f"{fault}; then run the same `mailbridge migrate` again") from None
    if differing:
        raise StoreError(f"{label(target)}: the permission of {', '.join(differing)} is not what was written; run the same again")
    said(f"permissions of mailboxes (OAuth): {len(kept)}, the same at both")
    return len(kept)


def _permissions_place(settings: StoreSettings) -> str:
    return label(settings) if is_postgres(settings) else str(path_of(settings).resolve().parent)


def share_key(source: StoreSettings, target: StoreSettings) -> None:
    """See that the target has the key of the source: what is sealed stays as it is.

    Raises:
        StoreError: the target has another key already, or its key file cannot be written.
    """
    key, path = read_key(key_path_of(source), is_made=False), key_path_of(target)
    if not path.exists():
        write_key(path, key)
    elif read_key(path, is_made=False) != key:
        raise StoreError(
            f"{path}: is another key than {key_path_of(source)}, and one key opens both databases; move it away if nothing needs it"
        )


@asynccontextmanager
async def _taken(settings: StoreSettings, *, is_target: bool) -> AsyncIterator[Side]:
    if not is_postgres(settings):
        from mailbridge.store.sqlite.moving import open_side

        lite = open_side(settings, is_target=is_target)
        try:
            yield lite
        finally:
            lite.close()
        return
    try:
        from mailbridge.store.postgres.moving import open_side as open_server
    except ModuleNotFoundError as fault:
        if fault.name != "asyncpg":
            raise
        raise StoreError(MISSING) from None
    server = await open_server(settings, key_path=key_path_of(settings), is_target=is_target)
    try:
        yield server
    finally:
        await server.close()


def _place(settings: StoreSettings) -> str:
    return label(settings) if is_postgres(settings) else str(path_of(settings).resolve())
