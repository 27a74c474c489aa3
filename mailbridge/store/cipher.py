"""Secrets at rest: AES-GCM with the row as associated data, under a key that lies in a file of its own.

Associated data binds each ciphertext to its row and column: one that is copied elsewhere does not open there.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mailbridge.store import StoreError

KEY_SIZE = 32
NONCE_SIZE = 12


class Cipher:
    """Seals and opens what must not be readable in the database file. Safe to use from any thread."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def seal(self, column: str, row: int, clear: bytes) -> bytes:
        """Nonce and ciphertext for that column of that row."""
        nonce = os.urandom(NONCE_SIZE)
        return nonce + self._aead.encrypt(nonce, clear, f"{column}:{row}".encode())

    def open(self, column: str, row: int, sealed: bytes) -> bytes:
        """The clear octets. Raises StoreError where key, row or octets are not those that it was sealed with."""
        try:
            return self._aead.decrypt(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], f"{column}:{row}".encode())
        except InvalidTag:
            raise StoreError(f"{column} of row {row} does not open with this key") from None


def load_key(path: Path, *, may_create: bool) -> bytes:
    """The key in that file (32 octets as base64); a new one, mode 0600 and fsynced, if there is none and it may be.

    Raises:
        StoreError: it is missing and must not be made anew, is open to others, or is not a key.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        if not may_create:
            raise StoreError(
                f"{path}: the key of the database is missing; put it back from the backup, "
                "or move the database away to begin with an empty one"
            ) from None
        return _new_key(path)
    except OSError as fault:
        raise StoreError(f"{path}: cannot read the key: {fault.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        text = file.read(1_024)
    if mode & 0o077:
        raise StoreError(f"{path}: the key may be read by others (mode {mode:04o}); run: chmod 600 {path}")
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_SIZE:
        raise StoreError(f"{path}: not a key: it must hold {KEY_SIZE} octets as base64 in one line")
    return key


def _new_key(path: Path) -> bytes:
    key = os.urandom(KEY_SIZE)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(base64.b64encode(key) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        sync_directory(path.parent)
    except OSError as fault:
        raise StoreError(f"{path}: cannot make the key: {fault.strerror}") from None
    return key


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
