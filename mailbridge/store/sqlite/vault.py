"""Tokens by their hash and authenticator secrets under the store's key, in the SQLite store."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import apsw
import msgspec

from mailbridge.clock import SteadyClock, from_micros, to_micros
from mailbridge.core.secret import Secret
from mailbridge.core.totp import Algorithm, Authenticator
from mailbridge.store.cipher import Cipher
from mailbridge.store.reading import StoredTotp, Token
from mailbridge.store.sqlite.writer import Writer

log = logging.getLogger("mailbridge.store")

TOKEN = "SELECT id, name, identifiers, created_at, expires_at FROM token"  # noqa: S105  (names of columns)
TOTP = "SELECT name, identifier, sealed, created_at FROM totp"


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticator as it is written before it is sealed."""

    secret: str
    algorithm: Algorithm
    digits: int
    period: int
    is_steam: bool
    issuer: str
    account: str


class SqliteVault:
    """Implements `mailbridge.store.reading.Vault` in the writer's transactions."""

    def __init__(self, *, writer: Writer, cipher: Cipher, clock: SteadyClock) -> None:
        self._writer = writer
        self._cipher = cipher
        self._clock = clock

    async def add_token(self, digest: bytes, *, name: str, identifiers: Sequence[str], expires_at: datetime | None) -> Token:
        """See `Vault.add_token`."""

        def work(connection: apsw.Connection) -> Token:
            over = None if expires_at is None else to_micros(expires_at)
            row: Any = connection.execute(
                "INSERT INTO token (name, hash, identifiers, created_at, expires_at) VALUES (?, ?, ?, ?, ?) RETURNING"
                " id, name, identifiers, created_at, expires_at",
                (name, digest, json.dumps(list(identifiers)), self._clock.micros(), over),
            ).fetchone()
            return _token(row)

        return await self._writer.do(work)

    async def token(self, digest: bytes) -> Token | None:
        """See `Vault.token`."""
        query = f"{TOKEN} WHERE hash = ? AND (expires_at IS NULL OR expires_at > ?)"
        rows = await self._rows(query, (digest, self._clock.micros()), is_read=True)
        return _token(rows[0]) if rows else None

    async def tokens(self) -> tuple[Token, ...]:
        """See `Vault.tokens`."""
        return tuple(_token(row) for row in await self._rows(f"{TOKEN} ORDER BY id", is_read=True))

    async def remove_token(self, number: int) -> bool:
        """See `Vault.remove_token`."""
        return bool(await self._rows("DELETE FROM token WHERE id = ? RETURNING id", (number,)))

    async def add_totp(self, name: str, authenticator: Authenticator, *, identifier: str | None) -> bool:
        """See `Vault.add_totp`."""
        sealed = self._cipher.seal(_encode(authenticator), f"totp {name}")
        line = None if identifier is None else identifier.casefold()
        rows = await self._rows(
            "INSERT INTO totp VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING name",
            (name, line, identifier, sealed, self._clock.micros()),
        )
        return bool(rows)

    async def totps(self) -> tuple[StoredTotp, ...]:
        """See `Vault.totps`."""
        found = [self._totp(row) for row in await self._rows(f"{TOTP} ORDER BY name", is_read=True)]
        return tuple(one for one in found if one is not None)

    async def totp(self, name: str) -> StoredTotp | None:
        """See `Vault.totp`."""
        rows = await self._rows(f"{TOTP} WHERE name = ?", (name,), is_read=True)
        return self._totp(rows[0]) if rows else None

    async def bound(self, identifier: str) -> StoredTotp | None:
        """See `Vault.bound`."""
        rows = await self._rows(f"{TOTP} WHERE line = ?", (identifier.casefold(),), is_read=True)
        return self._totp(rows[0]) if rows else None

    async def bind_totp(self, name: str, identifier: str | None) -> bool:
        """See `Vault.bind_totp`."""
        line = None if identifier is None else identifier.casefold()
        query = "UPDATE OR IGNORE totp SET line = ?, identifier = ? WHERE name = ? RETURNING name"
        return bool(await self._rows(query, (line, identifier, name)))

    async def remove_totp(self, name: str) -> bool:
        """See `Vault.remove_totp`. The log is cut at once, so that no copy stays in it."""

        def work(connection: apsw.Connection) -> bool:
            is_there = connection.execute("DELETE FROM totp WHERE name = ? RETURNING name", (name,)).fetchone() is not None
            if is_there:
                self._writer.truncate()
            return is_there

        return await self._writer.do(work)

    def _totp(self, row: Any) -> StoredTotp | None:
        """None where it was damaged, or belongs to another row or key."""
        name, identifier, sealed, created_at = row
        octets = self._cipher.open(sealed, f"totp {name}")
        if octets is None:
            log.error("a stored authenticator cannot be decrypted: remove it, and add it again")
            return None
        return StoredTotp(
            name=name,
            identifier=identifier,
            authenticator=_decode(octets),
            created_at=from_micros(created_at),
        )

    async def _rows(self, query: str, values: Sequence[Any] = (), *, is_read: bool = False) -> list[Any]:
        return await self._writer.do(lambda connection: list(connection.execute(query, tuple(values))), is_read=is_read)


def _token(row: Any) -> Token:
    number, name, identifiers, created_at, expires_at = row
    return Token(
        id=number,
        name=name,
        identifiers=tuple(json.loads(identifiers)),
        created_at=from_micros(created_at),
        expires_at=None if expires_at is None else from_micros(expires_at),
    )


def _encode(authenticator: Authenticator) -> bytes:
    one = authenticator
    return msgspec.msgpack.encode(
        Sealed(
            secret=one.secret.reveal(),
            algorithm=one.algorithm,
            digits=one.digits,
            period=one.period,
            is_steam=one.is_steam,
            issuer=one.issuer,
            account=one.account,
        )
    )


def _decode(octets: bytes) -> Authenticator:
    one = msgspec.msgpack.decode(octets, type=Sealed)
    return Authenticator(
        secret=Secret(one.secret),
        algorithm=one.algorithm,
        digits=one.digits,
        period=one.period,
        is_steam=one.is_steam,
        issuer=one.issuer,
        account=one.account,
    )
