"""Refresh tokens at rest: one sealed file an account in the state folder, replaced whole, on disk before a token is used.

They have a key of their own beside them, so that a rotation of the database's key leaves them alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from mailbridge.config.settings import StoreSettings
from mailbridge.core.secret import Secret
from mailbridge.masks import Masks
from mailbridge.store import StoreError
from mailbridge.store.cipher import Cipher, read_key
from mailbridge.store.places import path_of


class Tokens(Protocol):
    """Where the refresh tokens of accounts are kept. ``masks`` learns what is read."""

    masks: Masks

    def read(self, account: str) -> Secret | None:
        """What is kept for an account; None: nobody has logged in yet. Raises StoreError."""
        ...

    def write(self, account: str, token: Secret) -> None:
        """Keep it."""
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


def open_vault(settings: StoreSettings, masks: Masks | None = None) -> TokenVault:
    """The vault in the folder of the database; its key is made while there is nothing in it.

    Raises:
        StoreError: the key cannot be made or used, or is missing.
    """
    folder = _folder(settings)
    return TokenVault(folder, read_key(folder / "vault.key", is_made=_is_empty(folder)), masks)


def check_vault(settings: StoreSettings) -> None:
    """Whether `open_vault` would work, without making anything.

    Raises:
        StoreError: the key cannot be used, or is missing while there are tokens; the message says which file and what to do.
    """
    folder = _folder(settings)
    key = folder / "vault.key"
    if key.exists() or not _is_empty(folder):
        read_key(key, is_made=False)


def _folder(settings: StoreSettings) -> Path:
    return path_of(settings).parent / "oauth"


def _is_empty(folder: Path) -> bool:
    return next(folder.glob("*.token"), None) is None
