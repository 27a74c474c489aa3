"""Secrets at rest: AES-GCM with the row as associated data, so that no value can be moved to another row unseen.

A row is known by its uid: 128 bits that the process draws before the row is written. The number of a row is the database's affair,
and another one after a copy from database to database.
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
"""Octets that are sealed at a time of what is too large to be in memory twice."""


def new_uid() -> bytes:
    """What a new row is known by."""
    return os.urandom(UID_LENGTH)


def place(word: str, uid: bytes | None, name: object) -> str:
    """What a value is bound to: which one of its row, and the row. A row of release 0.1.0 has no uid, and is known by its ``name``."""
    return f"{word} {name}" if uid is None else f"{word} {uid.hex()}"


def sealed_length(value: bytes) -> int:
    """How many octets a value has when it is sealed."""
    return NONCE_LENGTH + len(value) + TAG_LENGTH


def name_of(key: bytes) -> str:
    """What tells one key from another and gives neither away."""
    return hashlib.sha256(b"mailbridge: the name of a key" + key).hexdigest()[:16]


class Cipher:
    """Seals and opens values of one database. While its key is rotated it opens with two. Safe to use from several threads."""

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
        """That of the key which is sealed with."""
        return self._name

    @property
    def names(self) -> tuple[str, ...]:
        """Those of all keys that are opened with."""
        return tuple(self._keys)

    def opens_with(self, key: bytes) -> None:
        """Open what is sealed with this one too."""
        if name_of(key) not in self._keys:
            self._keys = {**self._keys, name_of(key): key}

    def seal_with(self, name: str) -> None:
        """Seal with the key of that name from now on; what outlives a key stays as it is."""
        self._name, self._key = name, self._keys[name]
        self._gcm = AESGCM(self._key)

    def open_with_one(self) -> None:
        """Nothing is sealed with another key than the present one any more."""
        self._keys = {self._name: self._key}

    def is_newest(self, sealed: bytes, row: str) -> bool:
        """Whether a value is sealed with the present key."""
        return _opened(self._gcm, sealed, row) is not None

    def seal(self, value: bytes, row: str) -> bytes:
        """The value, readable only with the key and only as belonging to ``row``."""
        nonce = os.urandom(NONCE_LENGTH)
        return nonce + self._gcm.encrypt(nonce, value, row.encode())

    def seal_in_pieces(self, value: bytes, row: str) -> Iterator[bytes]:
        """As `seal`, a piece at a time; together they are `sealed_length` octets."""
        nonce = os.urandom(NONCE_LENGTH)
        sealing = ciphers.Cipher(AES(self._key), GCM(nonce)).encryptor()
        sealing.authenticate_additional_data(row.encode())
        yield nonce
        octets = memoryview(value)
        for start in range(0, len(octets), PIECE):
            yield sealing.update(octets[start : start + PIECE])
        yield sealing.finalize() + sealing.tag

    def open(self, sealed: bytes, row: str) -> bytes | None:
        """The value again; None where key or row are not its own, or it was damaged."""
        found = _opened(self._gcm, sealed, row)
        if found is None and len(self._keys) > 1:
            others = [key for name, key in self._keys.items() if name != self._name]
            found = next((one for key in others if (one := _opened(AESGCM(key), sealed, row)) is not None), None)
        return found

    def seal_alike(self, value: bytes, row: str) -> bytes:
        """As `seal`, and the same value of the same row gives the same octets each time: the nonce is a keyed hash of both."""
        keyed = hashlib.blake2b(row.encode() + b"\0" + value, key=self._digest_key, digest_size=NONCE_LENGTH, person=b"nonce")
        nonce = keyed.digest()
        return nonce + self._gcm.encrypt(nonce, value, row.encode())

    def uid_of(self, word: str) -> bytes:
        """The uid of a row that was written without one, known by ``word``: always the same, and guessed by nobody without the key."""
        return hashlib.blake2b(word.encode(), key=self._digest_key, digest_size=UID_LENGTH, person=b"uid").digest()

    def handed_on(self, successor: Cipher) -> bytes:
        """What outlives a key, sealed for the one after it: duplicates stay duplicates, and the names of identifiers stay."""
        return successor.seal(self._digest_key + self.names_key, "handed on")

    def adopt(self, handed_on: bytes) -> None:
        """Take on what an earlier key has handed on. Raises StoreError where it does not open."""
        found = self.open(handed_on, "handed on")
        if found is None or len(found) != 2 * KEY_LENGTH:
            raise StoreError("what the key before this one has handed on does not open; restore the database from the backup")
        self._digest_key, self.names_key = found[:KEY_LENGTH], found[KEY_LENGTH:]

    def digest(self, fingerprint: str) -> bytes:
        """The fingerprint as it is kept: without the key nobody can find the code that went into it by trying all of them."""
        return hashlib.blake2b(fingerprint.encode(), key=self._digest_key, digest_size=DIGEST_LENGTH).digest()


def _opened(gcm: AESGCM, sealed: bytes, row: str) -> bytes | None:
    try:
        return gcm.decrypt(sealed[:NONCE_LENGTH], sealed[NONCE_LENGTH:], row.encode())
    except (InvalidTag, ValueError):
        return None


def read_key(path: Path, *, is_made: bool) -> bytes:
    """The key in a file of 32 octets, made (0600) if it is not there and ``is_made``.

    Below `MOUNTED` a file may be readable by its group: an orchestrator's secret belongs to root there, and a pod reads it by its group.

    Raises:
        StoreError: it is missing, of another length, or others can read it.
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
    """The cipher that seals with that key of two files which ``seal`` was made with, and opens with both; None where it is neither.

    ``other`` may not be there. ``seal`` None: the first one. Raises StoreError.
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
    """Keep a key in a file (0600), all of it or nothing: a crash in the middle leaves no short key behind.

    Raises:
        StoreError: it cannot be written.
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
