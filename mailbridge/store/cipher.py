"""Secrets at rest: AES-GCM with the row as associated data, so that moving a value to another row is always noticed.

A row is identified by its uid: 128 random bits that the process draws before the row is written. The number of a row is assigned
by the database, and changes when rows are copied to another database.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import ciphers, hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import GCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mailbridge.store import StoreError

KEY_LENGTH = 32
NONCE_LENGTH = 12
DIGEST_LENGTH = 20
TAG_LENGTH = 16
UID_LENGTH = 16

MOUNTED = Path("/run/secrets")
"""Where Docker and Kubernetes put secrets."""

PIECE = 1 << 18
"""Octets that are sealed at a time, of values that are too large to be in memory twice."""


def new_uid() -> bytes:
    """A uid for a new row."""
    return os.urandom(UID_LENGTH)


def place(word: str, uid: bytes | None, name: object) -> str:
    """What a value is bound to: its kind and its row. A row of release 0.1.0 has no uid, and is identified by its ``name``."""
    return f"{word} {name}" if uid is None else f"{word} {uid.hex()}"


def sealed_length(value: bytes) -> int:
    """How many octets a value has after sealing."""
    return NONCE_LENGTH + len(value) + TAG_LENGTH


def name_of(key: bytes) -> str:
    """An identifier of a key that does not reveal the key."""
    return hashlib.sha256(b"mailbridge: the name of a key" + key).hexdigest()[:16]


class Cipher:
    """Seals and opens values of one database. During a key rotation it opens with two keys. Safe to use from several threads."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._gcm = AESGCM(key)
        self._name = name_of(key)
        self._keys = {self._name: key}
        self._digest_key = hashlib.blake2b(b"fingerprint", key=key, digest_size=KEY_LENGTH).digest()
        derivation = HKDF(algorithm=hashes.SHA256(), length=KEY_LENGTH, salt=None, info=b"mailbridge names of identifiers")
        self.names_key = derivation.derive(key)

    @property
    def name(self) -> str:
        """The name of the key that seals."""
        return self._name

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all keys that open."""
        return tuple(self._keys)

    def opens_with(self, key: bytes) -> None:
        """Also open values that are sealed with this key."""
        if name_of(key) not in self._keys:
            self._keys = {**self._keys, name_of(key): key}

    def seal_with(self, name: str) -> None:
        """Seal with the key of that name from now on. What is kept for longer than a key does not change."""
        self._name, self._key = name, self._keys[name]
        self._gcm = AESGCM(self._key)

    def open_with_one(self) -> None:
        """Drop the other keys: no value is sealed with them any more."""
        self._keys = {self._name: self._key}

    def is_newest(self, sealed: bytes, row: str) -> bool:
        """Whether a value is sealed with the present key."""
        return _opened(self._gcm, sealed, row) is not None

    def seal(self, value: bytes, row: str) -> bytes:
        """The sealed value. It can be opened only with the key, and only as part of ``row``."""
        nonce = os.urandom(NONCE_LENGTH)
        return nonce + self._gcm.encrypt(nonce, value, row.encode())

    def seal_in_pieces(self, value: bytes, row: str) -> Iterator[bytes]:
        """Like `seal`, one piece at a time. Together the pieces have `sealed_length` octets."""
        nonce = os.urandom(NONCE_LENGTH)
        sealing = ciphers.Cipher(AES(self._key), GCM(nonce)).encryptor()
        sealing.authenticate_additional_data(row.encode())
        yield nonce
        octets = memoryview(value)
        for start in range(0, len(octets), PIECE):
            yield sealing.update(octets[start : start + PIECE])
        yield sealing.finalize() + sealing.tag

    def open(self, sealed: bytes, row: str) -> bytes | None:
        """The opened value. None if key or row do not match, or the value is damaged."""
        found = _opened(self._gcm, sealed, row)
        if found is None and len(self._keys) > 1:
            others = [key for name, key in self._keys.items() if name != self._name]
            found = next((one for key in others if (one := _opened(AESGCM(key), sealed, row)) is not None), None)
        return found

    def seal_alike(self, value: bytes, row: str) -> bytes:
        """Like `seal`, but the same value in the same row always gives the same octets: the nonce is a keyed hash of both."""
        keyed = hashlib.blake2b(row.encode() + b"\0" + value, key=self._digest_key, digest_size=NONCE_LENGTH, person=b"nonce")
        nonce = keyed.digest()
        return nonce + self._gcm.encrypt(nonce, value, row.encode())

    def uid_of(self, word: str) -> bytes:
        """The uid of a row that was written without one and is identified by ``word``. It is always the same, and nobody can
        guess it without the key."""
        return hashlib.blake2b(word.encode(), key=self._digest_key, digest_size=UID_LENGTH, person=b"uid").digest()

    def handed_on(self, successor: Cipher) -> bytes:
        """What must survive a change of the key, sealed for the next key. So duplicates are still recognised, and names of
        identifiers stay."""
        return successor.seal(self._digest_key + self.names_key, "handed on")

    def adopt(self, handed_on: bytes) -> None:
        """Take over what an earlier key has handed on. Raises StoreError if it does not open."""
        found = self.open(handed_on, "handed on")
        if found is None or len(found) != 2 * KEY_LENGTH:
            raise StoreError("what the key before this one has handed on does not open; restore the database from the backup")
        self._digest_key, self.names_key = found[:KEY_LENGTH], found[KEY_LENGTH:]

    def digest(self, fingerprint: str) -> bytes:
        """The fingerprint as it is stored. It is keyed, so that nobody without the key can find the code in it by trying all
        codes."""
        return hashlib.blake2b(fingerprint.encode(), key=self._digest_key, digest_size=DIGEST_LENGTH).digest()


def _opened(gcm: AESGCM, sealed: bytes, row: str) -> bytes | None:
    try:
        return gcm.decrypt(sealed[:NONCE_LENGTH], sealed[NONCE_LENGTH:], row.encode())
    except (InvalidTag, ValueError):
        return None


def read_key(path: Path, *, is_made: bool) -> bytes:
    """The key in a file of 32 octets. If the file does not exist and ``is_made``, it is created (0600).

    Below `MOUNTED` the group may read the file: an orchestrator's secret belongs to root there, and a pod reads it as its group.

    Raises:
        StoreError: the file is missing, has another length, or others can read it.
    """
    if is_made and not path.exists():
        write_key(path, os.urandom(KEY_LENGTH))
    try:
        if path.stat().st_mode & (0o037 if MOUNTED in path.absolute().parents else 0o077):
            raise StoreError(f"{path}: the key file can be read by others: chmod 600 {path}")
        key = path.read_bytes()
    except FileNotFoundError:
        raise StoreError(
            f"{path}: the key file of the database is missing; copy it from another machine that uses this database, or restore it from the"
            " backup. Without the key nothing encrypted in the database can be read"
        ) from None
    except OSError as fault:
        raise StoreError(f"{path}: the key file cannot be read: {fault.strerror}") from None
    if len(key) != KEY_LENGTH:
        raise StoreError(f"{path}: the key file must hold {KEY_LENGTH} octets, not {len(key)}; restore it from the backup")
    return key


def cipher_of(path: Path, other: Path, seal: bytes | None, *, is_made: bool = False) -> Cipher | None:
    """The cipher that seals with the key that made ``seal``, one of two files, and opens with both. None if neither key made it.

    ``other`` may be missing. ``seal`` None means the first key. Raises StoreError.
    """
    keys = [read_key(path, is_made=is_made)]
    if other.exists():
        keys.append(read_key(other, is_made=False))
    for key in keys:
        cipher = Cipher(key)
        if seal is None or cipher.open(seal, "meta") is not None:
            for one in keys:
                cipher.opens_with(one)
            return cipher
    return None


def write_key(path: Path, key: bytes) -> None:
    """Write a key to a file (0600), completely or not at all: a crash in the middle leaves no short key behind.

    Raises:
        StoreError: the file cannot be written.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(key)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as fault:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise StoreError(f"{path}: the key file cannot be made: {fault.strerror}") from None
