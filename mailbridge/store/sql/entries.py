"""What people add by command or page, with sealed secrets; and tokens by their hash."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from mailbridge.clock import SteadyClock, from_micros, to_micros
from mailbridge.core.secret import Secret
from mailbridge.store.cipher import Cipher, new_uid, place
from mailbridge.store.entries import Entry, Role, Token
from mailbridge.store.sql import Database, Transaction

ENTRY = "SELECT kind, name, settings, secret_names, added_at, added_by FROM entry"
TOKEN = "SELECT id, name, identifiers, created_at, expires_at, role FROM token"  # noqa: S105  (names of columns)
PUT = (
    "INSERT INTO entry (uid, kind, name, settings, secret_names, secrets, added_at, added_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (kind, name) DO UPDATE SET uid = excluded.uid, settings = excluded.settings, secret_names = excluded.secret_names,"
    " secrets = excluded.secrets, added_at = excluded.added_at, added_by = excluded.added_by WHERE ? = 1"
)

COUNT = (
    "INSERT INTO meta (key, value) VALUES ('entries', '1')"
    " ON CONFLICT (key) DO UPDATE SET value = CAST(CAST(meta.value AS integer) + 1 AS text)"
)


class SqlEntries:
    """Implements `mailbridge.store.entries.Entries`."""

    def __init__(self, *, database: Database, cipher: Cipher, clock: SteadyClock) -> None:
        self._database = database
        self._cipher = cipher
        self._clock = clock

    async def put(
        self,
        kind: str,
        name: str,
        settings: Mapping[str, Any],
        *,
        by: str,
        secrets: Mapping[str, Secret] | None = None,
        is_new: bool = False,
    ) -> bool:
        """See `Entries.put`."""
        uid, plain = new_uid(), {key: secret.reveal() for key, secret in (secrets or {}).items()}
        sealed = self._cipher.seal(msgspec.msgpack.encode(plain), place("entry", uid, None)) if plain else None
        values = (uid, kind, name, json.dumps(settings), json.dumps(sorted(plain)), sealed)

        async def work(transaction: Transaction) -> bool:
            if not await transaction.change(PUT, (*values, self._clock.micros(), by, int(not is_new))):
                return False
            await _changed(transaction)
            return True

        return await self._database.write(work)

    async def entries(self, kind: str | None = None) -> tuple[Entry, ...]:
        """See `Entries.entries`."""
        where, values = ("", ()) if kind is None else (" WHERE kind = ?", (kind,))
        return tuple(_entry(row) for row in await self._database.rows(f"{ENTRY}{where} ORDER BY id", values))

    async def secrets(self, kind: str, name: str) -> Mapping[str, Secret]:
        """See `Entries.secrets`."""
        query = "SELECT uid, secrets FROM entry WHERE kind = ? AND name = ? AND secrets IS NOT NULL"
        rows = await self._database.rows(query, (kind, name))
        octets = self._cipher.open(rows[0][1], place("entry", rows[0][0], None)) if rows else None
        plain = {} if octets is None else msgspec.msgpack.decode(octets, type=dict[str, str])
        return {key: Secret(value) for key, value in plain.items()}

    async def remove(self, kind: str, name: str) -> bool:
        """See `Entries.remove`."""

        async def work(transaction: Transaction) -> bool:
            is_there = await transaction.change("DELETE FROM entry WHERE kind = ? AND name = ?", (kind, name)) > 0
            if is_there:
                await _changed(transaction)
            return is_there

        return await self._database.write(work)

    async def revision(self) -> int:
        """See `Entries.revision`."""
        rows = await self._database.rows("SELECT value FROM meta WHERE key = 'entries'")
        return int(rows[0][0]) if rows else 0

    async def add_token(
        self, digest: bytes, *, name: str, identifiers: Sequence[str], expires_at: datetime | None, role: Role = "agent"
    ) -> Token:
        """See `Entries.add_token`."""

        async def work(transaction: Transaction) -> Token:
            over = None if expires_at is None else to_micros(expires_at)
            (row,) = await transaction.rows(
                "INSERT INTO token (name, hash, identifiers, created_at, expires_at, role) VALUES (?, ?, ?, ?, ?, ?) RETURNING"
                " id, name, identifiers, created_at, expires_at, role",
                (name, digest, json.dumps(list(identifiers)), self._clock.micros(), over, role),
            )
            return _token(row)

        return await self._database.write(work)

    async def token(self, digest: bytes) -> Token | None:
        """See `Entries.token`."""
        query = f"{TOKEN} WHERE hash = ? AND (expires_at IS NULL OR expires_at > ?)"
        rows = await self._database.rows(query, (digest, self._clock.micros()))
        return _token(rows[0]) if rows else None

    async def tokens(self) -> tuple[Token, ...]:
        """See `Entries.tokens`."""
        return tuple(_token(row) for row in await self._database.rows(f"{TOKEN} ORDER BY id"))

    async def remove_token(self, number: int) -> bool:
        """See `Entries.remove_token`."""

        async def work(transaction: Transaction) -> bool:
            return await transaction.change("DELETE FROM token WHERE id = ?", (number,)) > 0

        return await self._database.write(work)


async def _changed(transaction: Transaction) -> None:
    """Count the change, and leave no copy of an old secret."""
    await transaction.change(COUNT)
    transaction.erases()


def _entry(row: Any) -> Entry:
    kind, name, settings, secret_names, added_at, added_by = row
    return Entry(
        kind=kind,
        name=name,
        settings=json.loads(settings),
        secrets=tuple(json.loads(secret_names)),
        added_at=from_micros(added_at),
        added_by=added_by,
    )


def _token(row: Any) -> Token:
    number, name, identifiers, created_at, expires_at, role = row
    return Token(
        id=number,
        name=name,
        identifiers=tuple(json.loads(identifiers)),
        created_at=from_micros(created_at),
        expires_at=None if expires_at is None else from_micros(expires_at),
        role=role,
    )
