"""Authenticator secrets, sealed with the store's key."""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from mailbridge import log_events
from mailbridge.clock import SteadyClock, from_micros
from mailbridge.core.secret import Secret
from mailbridge.core.totp import Authenticator
from mailbridge.store.cipher import Cipher, new_uid
from mailbridge.store.reading import StoredTotp
from mailbridge.store.sql import Database, Transaction

log = logging.getLogger("mailbridge.store")

TOTP = "SELECT name, identifier, sealed, created_at, uid FROM totp"

ADD = "INSERT INTO totp (uid, name, line, identifier, sealed, created_at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
BIND = (
    "UPDATE totp SET line = ?, identifier = ? WHERE name = ?"
    " AND NOT EXISTS (SELECT 1 FROM totp AS other WHERE other.line = ? AND other.name != ?)"
)


class SqlVault:
    """Implements `mailbridge.store.reading.Vault`."""

    def __init__(self, *, database: Database, cipher: Cipher, clock: SteadyClock) -> None:
        self._database = database
        self._cipher = cipher
        self._clock = clock

    async def add_totp(self, name: str, authenticator: Authenticator, *, identifier: str | None) -> bool:
        """See `Vault.add_totp`."""
        uid = new_uid()
        sealed = self._cipher.seal(_encode(authenticator), totp_place(uid, name))
        line = None if identifier is None else identifier.casefold()

        async def work(transaction: Transaction) -> bool:
            return await transaction.change(ADD, (uid, name, line, identifier, sealed, self._clock.micros())) > 0

        return await self._database.write(work)

    async def totps(self) -> tuple[StoredTotp, ...]:
        """See `Vault.totps`."""
        found = [self._totp(row) for row in await self._database.rows(f"{TOTP} ORDER BY name")]
        return tuple(one for one in found if one is not None)

    async def totp(self, name: str) -> StoredTotp | None:
        """See `Vault.totp`."""
        rows = await self._database.rows(f"{TOTP} WHERE name = ?", (name,))
        return self._totp(rows[0]) if rows else None

    async def bound(self, identifier: str) -> StoredTotp | None:
        """See `Vault.bound`."""
        rows = await self._database.rows(f"{TOTP} WHERE line = ?", (identifier.casefold(),))
        return self._totp(rows[0]) if rows else None

    async def bind_totp(self, name: str, identifier: str | None) -> bool:
        """See `Vault.bind_totp`."""
        line = None if identifier is None else identifier.casefold()

        async def work(transaction: Transaction) -> bool:
            return await transaction.change(BIND, (line, identifier, name, line, name)) > 0

        return await self._database.write(work)

    async def remove_totp(self, name: str) -> bool:
        """See `Vault.remove_totp`. No copy stays."""

        async def work(transaction: Transaction) -> bool:
            is_there = await transaction.change("DELETE FROM totp WHERE name = ?", (name,)) > 0
            if is_there:
                transaction.erases()
            return is_there

        return await self._database.write(work)

    def _totp(self, row: Any) -> StoredTotp | None:
        """An authenticator of a row. None if it was damaged, or belongs to another row or key."""
        name, identifier, sealed, created_at, uid = row
        octets = self._cipher.open(sealed, totp_place(uid, name))
        if octets is None:
            log.error(
                "a stored authenticator cannot be decrypted: remove it, and add it again",
                extra={"event": log_events.AUTHENTICATOR_UNREADABLE},
            )
            return None
        return StoredTotp(
            name=name,
            identifier=identifier,
            authenticator=_decode(octets),
            created_at=from_micros(created_at),
        )


def totp_place(uid: bytes | None, name: str) -> str:
    """What an authenticator is bound to: its row, and also the name by which it is looked up."""
    return f"totp {name}" if uid is None else f"totp {uid.hex()} {name}"


def _encode(authenticator: Authenticator) -> bytes:
    """The authenticator as octets, before they are sealed."""
    return msgspec.msgpack.encode(authenticator, enc_hook=_revealed)


def _decode(octets: bytes) -> Authenticator:
    """The reverse of `_encode`."""
    return msgspec.msgpack.decode(octets, type=Authenticator, dec_hook=_secret)


def _revealed(value: object) -> str:
    """The text of a Secret, the only type here that msgspec does not know."""
    if not isinstance(value, Secret):
        raise NotImplementedError
    return value.reveal()


def _secret(kind: type, value: str) -> Secret:
    """The reverse of `_revealed`."""
    if kind is not Secret:
        raise NotImplementedError
    return Secret(value)
