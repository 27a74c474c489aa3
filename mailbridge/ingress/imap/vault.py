"""Refresh tokens at rest: one sealed file an account in the state folder, replaced whole, on disk before a token is used.

They have a key of their own beside them, so that a rotation of the database's key leaves them alone. With PostgreSQL they are rows of it,
so that a login on one machine serves all.
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
    """Where the refresh tokens of accounts are kept. ``masks`` learns what is read."""

    masks: Masks

    def read(self, account: str) -> Secret | None:
        """What is kept for an account; None: nobody has logged in yet. Raises StoreError."""
        ...

    def write(self, account: str, token: Secret) -> None:
        """Keep it."""
        ...

    def forget(self, account: str) -> None:
        """Erase what is kept for an account."""
        ...

    def stamp(self, account: str) -> int:
        """Changes whenever somebody logs in anew."""
        ...


class OneToken:
    """A refresh token that is not kept yet: for a try of its account. What the provider puts in its place is the token from then on."""

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
        """See `Tokens.forget`. It is kept nowhere."""

    def stamp(self, account: str) -> int:  # noqa: ARG002
        """See `Tokens.stamp`."""
        return 0


class TokenVault:
    """Keeps one secret an account, sealed with the vault's key and the account's name. ``masks`` learns what is read."""

    def __init__(self, folder: Path, key: bytes, masks: Masks | None = None) -> None:
        self._folder = folder
        self._cipher = Cipher(key)
        self.masks = masks or Masks()
        self.masks.guard(key)

    def accounts(self) -> list[str]:
        """Those of which something is kept, in the order of the alphabet."""
        return sorted(path.stem for path in self._folder.glob("*.token"))

    def read(self, account: str) -> Secret | None:
        """What is kept for an account; None: nobody has logged in yet.

        Raises:
            StoreError: the file is not readable with this key.
        """
        try:
            sealed = self._path(account).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as fault:
            raise StoreError(f"{self._path(account)}: {fault.strerror}") from None
        token = self._cipher.open(sealed, f"oauth {account}")
        if token is None:
            raise StoreError(f"{self._path(account)}: cannot be decrypted; log in anew: mailbridge oauth login {account}")
        found = Secret(token.decode())
        self.masks.guard_for_now(found)
        return found

    def write(self, account: str, token: Secret) -> None:
        """Keep it; on return it is on disk, whole."""
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
        """Erase what is kept for an account."""
        self._path(account).unlink(missing_ok=True)

    def stamp(self, account: str) -> int:
        """Changes whenever somebody logs in anew; 0 where nobody has."""
        try:
            return self._path(account).stat().st_mtime_ns
        except OSError:
            return 0

    def _path(self, account: str) -> Path:
        return self._folder / f"{account}.token"


class SharedVault:
    """Keeps the secrets in a PostgreSQL. ``masks`` learns what is read."""

    def __init__(self, rows: PostgresTokens, masks: Masks | None = None) -> None:
        self._rows = rows
        self._stamps: dict[str, int] = {}
        self.masks = masks or Masks()

    def accounts(self) -> list[str]:
        """Those of which something is kept, in the order of the alphabet. Raises StoreError."""
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
        """See `Tokens.stamp`. While the server does not answer nobody has logged in anew."""
        with contextlib.suppress(StoreUnavailable):
            self._stamps[account] = self._rows.stamp(account)
        return self._stamps.get(account, 0)


def open_vault(settings: StoreSettings, masks: Masks | None = None) -> TokenVault | SharedVault:
    """The vault in the folder of the database, whose key is made while there is nothing in it; or in the database, where that is a server's.

    Raises:
        StoreError: the key cannot be made or used, or is missing.
    """
    if is_postgres(settings):
        from mailbridge.store.postgres.tokens import PostgresTokens

        return SharedVault(PostgresTokens(settings, key_path_of(settings)), masks)
    folder = _folder(settings)
    return TokenVault(folder, read_key(folder / "vault.key", is_made=_is_empty(folder)), masks)


def check_vault(settings: StoreSettings) -> None:
    """Whether `open_vault` would work, without making anything.

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
    """Whether anything is kept. Makes nothing, unlike `open_vault`. Raises StoreError."""
    return bool(open_vault(settings).accounts()) if is_postgres(settings) else not _is_empty(_folder(settings))


def _folder(settings: StoreSettings) -> Path:
    return path_of(settings).parent / "oauth"


def _is_empty(folder: Path) -> bool:
    return next(folder.glob("*.token"), None) is None
