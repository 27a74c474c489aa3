"""Refresh tokens of mailboxes in PostgreSQL, for threads and commands. Each call has its own connection, and calls are rare.

They are sealed with the key of the database, so that a login on one machine serves all replicas.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from mailbridge.config.settings import StoreSettings
from mailbridge.store import StoreError, StoreUnavailable
from mailbridge.store.cipher import Cipher, new_uid, place
from mailbridge.store.places import label
from mailbridge.store.postgres.database import FAULTS, unavailable
from mailbridge.store.postgres.keys import cipher_of
from mailbridge.store.postgres.opening import CONNECT, connector

READ = "SELECT uid, sealed FROM oauth_token WHERE account = $1"
WRITE = (
    "INSERT INTO oauth_token (account, uid, sealed, stamp) VALUES ($1, $2, $3, now_micros())"
    " ON CONFLICT (account) DO UPDATE SET uid = excluded.uid, sealed = excluded.sealed,"
    " stamp = greatest(oauth_token.stamp + 1, excluded.stamp)"
)


def oauth_place(uid: bytes | None, account: object) -> str:
    """What a permission is bound to: its row, and its account."""
    return f"{place('oauth', uid, account)} {account}"


class PostgresTokens:
    """Secrets by their account. Every method blocks, and raises StoreUnavailable if the server does not answer."""

    def __init__(self, settings: StoreSettings, key_path: Path) -> None:
        self._settings = settings
        self._key_path = key_path

    def accounts(self) -> list[str]:
        """The accounts with a stored secret, in alphabetical order."""
        return [account for (account,) in self._asked('SELECT account FROM oauth_token ORDER BY account COLLATE "C"')]

    def read(self, account: str) -> bytes | None:
        """The stored secret of an account; None if there is none.

        Raises:
            StoreError: it does not open with the key.
        """
        rows = self._asked(READ, account)
        if not rows:
            return None
        uid, sealed = rows[0]
        found = self._cipher().open(sealed, oauth_place(uid, account))
        if found is None:
            raise StoreError(
                f"{label(self._settings)}: the permission of {account} cannot be decrypted; log in again: mailbridge oauth login {account}"
            )
        return found

    def write(self, account: str, token: bytes) -> None:
        """Store the secret; committed on return."""
        uid = new_uid()
        self._asked(WRITE, account, uid, self._cipher().seal(token, oauth_place(uid, account)))

    def forget(self, account: str) -> None:
        """Erase the stored secret of an account."""
        self._asked("DELETE FROM oauth_token WHERE account = $1", account)

    def stamp(self, account: str) -> int:
        """A number that changes with every `write`; 0 if nothing is stored."""
        rows = self._asked("SELECT stamp FROM oauth_token WHERE account = $1", account)
        return int(rows[0][0]) if rows else 0

    def _cipher(self) -> Cipher:
        rows = self._asked("SELECT value FROM meta WHERE key = 'seal'")
        found = cipher_of(self._key_path, bytes.fromhex(rows[0][0]) if rows else None)
        if found is None:
            raise StoreError(f"{self._key_path}: is another key than the one that the database was written with")
        return found

    def _asked(self, query: str, *values: Any) -> list[Any]:
        return asyncio.run(self._ask(query, *values))

    async def _ask(self, query: str, *values: Any) -> list[Any]:
        try:
            connection = await connector(self._settings)()
            try:
                return [tuple(row) for row in await connection.fetch(query, *values)]
            finally:
                await connection.close(timeout=CONNECT)
        except FAULTS as fault:
            raise unavailable(fault) from None
        except ValueError as fault:
            raise StoreUnavailable("gone", str(fault)) from None
