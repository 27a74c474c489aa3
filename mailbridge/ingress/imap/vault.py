"""Refresh tokens at rest: one sealed file for each account in the state folder. A file is replaced as a whole, and is on disk
before its token is used.

They have a key of their own next to them, so that a rotation of the database's key does not touch them. With PostgreSQL they are
rows of the database, so that a login on one machine serves all.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mailbridge.config.settings import StoreSettings
from mailbridge.core.secret import Secret
from mailbridge.ingress.imap.faults import Kind, MailboxFault
from mailbridge.masks import Masks
from mailbridge.store import StoreError, StoreUnavailable
from mailbridge.store.cipher import Cipher, read_key
from mailbridge.store.places import is_postgres, key_path_of, path_of

if TYPE_CHECKING:
    from mailbridge.store.postgres.tokens import PostgresTokens


class Tokens(Protocol):
    """Where the refresh tokens of accounts are stored. ``masks`` learns the tokens that are read."""

    masks: Masks

    def read(self, account: str) -> Secret | None:
        """The token of an account; None: nobody has logged in yet. Raises StoreError."""
        ...

    def write(self, account: str, token: Secret) -> None:
        """Store the token."""
        ...

    def forget(self, account: str) -> None:
        """Erase the token of an account."""
        ...

    def stamp(self, account: str) -> int:
        """A number that changes whenever somebody logs in again."""
        ...


class OneToken:
    """A refresh token that is not stored yet, for a test of its account. If the provider replaces it, the replacement is the
    token from then on."""

    def __init__(self, token: Secret, masks: Masks | None = None) -> None:
        self.masks = masks or Masks()
        self.masks.guard_for_now(token)
        self.token = token

    def read(self, account: str) -> Secret | None:  # noqa: ARG002  (a vault's method)
        """See `Tokens.read`."""
        return self.token

    def write(self, account: str, token: Secret) -> None:  # noqa: ARG002
        """See `Tokens.write`."""
        self.token = token

    def forget(self, account: str) -> None:
        """See `Tokens.forget`. Nothing is stored."""

    def stamp(self, account: str) -> int:  # noqa: ARG002
        """See `Tokens.stamp`."""
        return 0


class TokenVault:
    """Stores one secret for each account, sealed with the vault's key and the account's name. ``masks`` learns the secrets
    that are read."""

    def __init__(self, folder: Path, key: bytes, masks: Masks | None = None) -> None:
        self._folder = folder
        self._cipher = Cipher(key)
        self.masks = masks or Masks()
        self.masks.guard(key)

    def accounts(self) -> list[str]:
        """The accounts with a stored secret, in alphabetical order."""
        return sorted(path.stem for path in self._folder.glob("*.token"))

    def read(self, account: str) -> Secret | None:
        """The token of an account; None: nobody has logged in yet.

        Raises:
            StoreError: the file cannot be read with this key.
        """
        try:
            sealed = self._path(account).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as fault:
            raise StoreError(f"{self._path(account)}: {fault.strerror}") from None
        token = self._cipher.open(sealed, f"oauth {account}")
        if token is None:
            raise StoreError(f"{self._path(account)}: cannot be decrypted; log in again: mailbridge oauth login {account}")
        found = Secret(token.decode())
        self.masks.guard_for_now(found)
        return found

    def write(self, account: str, token: Secret) -> None:
        """Store the token. On return it is on disk, complete."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._path(account)
        draft = path.with_suffix(f".{os.getpid()}.new")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(self._cipher.seal(token.reveal().encode(), f"oauth {account}"))
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def forget(self, account: str) -> None:
        """Erase the token of an account."""
        self._path(account).unlink(missing_ok=True)

    def stamp(self, account: str) -> int:
        """A number that changes whenever somebody logs in again; 0 if nobody has."""
        try:
            return self._path(account).stat().st_mtime_ns
        except OSError:
            return 0

    def _path(self, account: str) -> Path:
        return self._folder / f"{account}.token"


class SharedVault:
    """Stores the secrets in PostgreSQL. ``masks`` learns the secrets that are read."""

    def __init__(self, rows: PostgresTokens, masks: Masks | None = None) -> None:
        self._rows = rows
        self._stamps: dict[str, int] = {}
        self.masks = masks or Masks()

    def accounts(self) -> list[str]:
        """The accounts with a stored secret, in alphabetical order. Raises StoreError."""
        try:
            return self._rows.accounts()
        except StoreUnavailable as fault:
            raise StoreError(f"the permissions cannot be read: {fault}") from None

    def read(self, account: str) -> Secret | None:
        """See `Tokens.read`.

        Raises:
            MailboxFault: the server does not answer now.
        """
        try:
            octets = self._rows.read(account)
        except StoreUnavailable as fault:
            raise MailboxFault(Kind.NETWORK, f"the permission cannot be read: {fault}") from None
        found = None if octets is None else Secret(octets.decode())
        self.masks.guard_for_now(found)
        return found

    def write(self, account: str, token: Secret) -> None:
        """See `Tokens.write`. Raises StoreError."""
        try:
            self._rows.write(account, token.reveal().encode())
        except StoreUnavailable as fault:
            raise StoreError(f"the permission of {account} cannot be kept: {fault}") from None

    def forget(self, account: str) -> None:
        """See `Tokens.forget`. Raises StoreError."""
        try:
            self._rows.forget(account)
        except StoreUnavailable as fault:
            raise StoreError(f"the permission of {account} cannot be erased: {fault}") from None

    def stamp(self, account: str) -> int:
        """See `Tokens.stamp`. While the server does not answer, it counts as if nobody had logged in again."""
        with contextlib.suppress(StoreUnavailable):
            self._stamps[account] = self._rows.stamp(account)
        return self._stamps.get(account, 0)


def open_vault(settings: StoreSettings, masks: Masks | None = None) -> TokenVault | SharedVault:
    """The vault in the folder of the database, or in the database if that is on a server. The key is made only while the vault is
    empty.

    Raises:
        StoreError: the key cannot be made or used, or is missing.
    """
    if is_postgres(settings):
        from mailbridge.store.postgres.tokens import PostgresTokens

        return SharedVault(PostgresTokens(settings, key_path_of(settings)), masks)
    folder = _folder(settings)
    return TokenVault(folder, read_key(folder / "vault.key", is_made=_is_empty(folder)), masks)


def check_vault(settings: StoreSettings) -> None:
    """Check that `open_vault` would work, without creating anything.

    Raises:
        StoreError: the key cannot be used, or is missing while there are tokens; the message says which file and what to do.
    """
    if is_postgres(settings):
        return
    folder = _folder(settings)
    key = folder / "vault.key"
    if key.exists() or not _is_empty(folder):
        read_key(key, is_made=False)


def has_permissions(settings: StoreSettings) -> bool:
    """Whether any token is stored. Unlike `open_vault` it creates nothing. Raises StoreError."""
    return bool(open_vault(settings).accounts()) if is_postgres(settings) else not _is_empty(_folder(settings))


def _folder(settings: StoreSettings) -> Path:
    return path_of(settings).parent / "oauth"


def _is_empty(folder: Path) -> bool:
    return next(folder.glob("*.token"), None) is None
