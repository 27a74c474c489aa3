"""Rotates the key of a shared database while its replicas run: new values use it at once, and existing values are sealed again
later.

The steps: the new key is put next to the old one on every machine; one transaction makes it the database's key; every replica
switches to it; every value is sealed again, each by itself, unless it has changed meanwhile; only then is the old key dropped. A
rotation that was killed continues when it is called again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mailbridge.config.settings import StoreSettings
from mailbridge.store import StoreError, StoreInUse, StoreUnavailable
from mailbridge.store.cipher import Cipher, read_key
from mailbridge.store.places import label
from mailbridge.store.postgres.database import FAULTS, unavailable
from mailbridge.store.postgres.keys import KEY, ROTATION, cipher_of, draft_of, finish
from mailbridge.store.postgres.migrations import MIGRATE
from mailbridge.store.postgres.opening import CONNECT, checked, connector, hint_of
from mailbridge.store.postgres.tokens import oauth_place
from mailbridge.store.sql.sealed import SEALED, Sealed

EVERYTHING: tuple[Sealed, ...] = (*SEALED, ("oauth_token", "sealed", "account", oauth_place))

AT_ONCE = 50
PATIENCE = 15.0
"""Seconds that replicas have to see a new key next to theirs, and to switch to it: some heartbeats."""

LOOK_EVERY = 0.5
ALIVE = "SELECT name, opens, seals FROM replica WHERE alive_until > now_micros() ORDER BY id"
KEEP = "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"

Step = Callable[[str], None]


def rotate_shared(settings: StoreSettings, *, key_path: Path, step: Step = lambda _: None, patience: float = PATIENCE) -> int:
    """Give the database another key. Returns how many values were sealed again.

    ``step`` is called with what was just done, at the points where an interruption would matter.

    Raises:
        StoreInUse: a replica does not have the new key yet, or has not switched to it; nothing is lost: run the command again.
        StoreError: anything else that prevents it.
    """
    try:
        return asyncio.run(_rotated(settings, key_path, step, patience))
    except StoreUnavailable as fault:
        raise StoreError(f"{label(settings)}: {fault}; nothing is lost: run the command again") from None


async def _rotated(settings: StoreSettings, key_path: Path, step: Step, patience: float) -> int:
    connect = connector(settings)
    try:
        await checked(settings, connect, key_path, is_visitor=True)
        connection = await connect()
    except (*FAULTS, ValueError) as fault:
        raise StoreError(f"{label(settings)}: {hint_of(fault)}") from None
    try:
        meta = await _meta(connection)
        if ROTATION not in meta:
            meta = await _begun(connection, meta, key_path, step, patience)
        cipher = cipher_of(key_path, bytes.fromhex(meta["seal"]))
        if cipher is None:
            raise StoreError(f"{draft_of(key_path)}: the new key of the database is missing; it lies on another machine")
        await _agreed(connection, lambda _, seals: seals == meta[KEY], "does not use the new key yet", patience)
        step("every replica seals with the new key")
        count = 0
        while done := sum([await _resealed(connection, one, cipher, step) for one in EVERYTHING]):
            count += done
        step("everything is sealed anew")
        await connection.execute("DELETE FROM meta WHERE key = $1", ROTATION)
        step("the old key is given up")
        finish(key_path, meta[KEY])
        return count
    except FAULTS as fault:
        raise unavailable(fault) from None
    finally:
        await connection.close(timeout=CONNECT)


async def _meta(connection: Any) -> dict[str, str]:
    return {str(key): str(value) for key, value in await connection.fetch("SELECT key, value FROM meta")}


async def _begun(connection: Any, meta: dict[str, str], key_path: Path, step: Step, patience: float) -> dict[str, str]:
    """Make a new key, wait until every replica has it, and make it the database's key."""
    draft = draft_of(key_path)
    fresh = Cipher(read_key(draft, is_made=True))
    old = Cipher(read_key(key_path, is_made=False))
    if "handed on" in meta:
        old.adopt(bytes.fromhex(meta["handed on"]))
    step("the new key is written")
    await _agreed(
        connection,
        lambda opens, _: fresh.name in opens.split(),
        f"does not have the new key yet: copy {draft} beside the key there, with the same owner and mode 0600; then run this command again",
        patience,
    )
    async with connection.transaction():
        await connection.execute(f"SELECT pg_advisory_xact_lock({MIGRATE})")
        now = await _meta(connection)
        if now.get("seal") != meta["seal"]:
            raise StoreInUse("somebody else has just rotated the key; call it again")
        for name, value in (
            ("seal", fresh.seal(b"mailbridge", "meta").hex()),
            ("handed on", old.handed_on(fresh).hex()),
            (KEY, fresh.name),
            (ROTATION, old.name),
        ):
            await connection.execute(KEEP, name, value)
    step("the database has the new key")
    return await _meta(connection)


async def _agreed(connection: Any, is_so: Callable[[str, str], bool], what: str, patience: float) -> None:
    """Wait until the condition holds at every live replica. Raises StoreInUse naming those where it does not."""
    until = time.monotonic() + patience
    while True:
        rows = await connection.fetch(ALIVE)
        missing = [str(name) for name, opens, seals in rows if not is_so(opens, seals)]
        if not missing:
            return
        if time.monotonic() > until:
            raise StoreInUse(f"{', '.join(missing)} {what}")
        await asyncio.sleep(LOOK_EVERY)


async def _resealed(connection: Any, one: Sealed, cipher: Cipher, step: Step) -> int:
    """Seal the values of a column again that are sealed with the old key. Returns their number. A value that opens with
    neither key stays."""
    table, column, key, bound_to = one
    page = f"SELECT {key}, uid, {column} FROM {table} WHERE {column} IS NOT NULL AND {{}} ORDER BY {key} LIMIT {AT_ONCE}"  # noqa: S608
    write = f"UPDATE {table} SET {column} = $1 WHERE {key} = $2 AND {column} = $3"  # noqa: S608
    count, last = 0, None
    while True:
        rows = await (
            connection.fetch(page.format("true")) if last is None else connection.fetch(page.format(f"{key} > $1"), last)
        )
        for name, uid, sealed in rows:
            last, place = name, bound_to(uid, name)
            if cipher.is_newest(sealed, place):
                continue
            value = cipher.open(sealed, place)
            if value is not None:
                count += (await connection.execute(write, cipher.seal(value, place), name, sealed)).endswith(" 1")
        if rows:
            step(f"some of {table} are sealed anew")
        if len(rows) < AT_ONCE:
            return count
