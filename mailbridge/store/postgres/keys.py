"""The key of a shared database on this machine, and the one that follows it: ``KEY`` and, while it is rotated, ``KEY.new`` beside it.

A process seals with the key that the database names, and opens with both. It learns of a new file, and of the change, at its heartbeats.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

from mailbridge import log_events
from mailbridge.store import StoreError
from mailbridge.store.cipher import Cipher, name_of, read_key

log = logging.getLogger("mailbridge.store")

KEY, ROTATION = "key", "rotation"
"""In the table meta: the name of the key that is sealed with (none before the first rotation), and of the one that is given up, while
something may be sealed with that still."""

MISSING_NEW = "the database has a new key, which this machine has not: copy it to {path}, and restart"


def draft_of(path: Path) -> Path:
    """Where the key lies that follows the one at ``path``."""
    return path.with_name(path.name + ".new")


def keys_of(path: Path, *, is_made: bool = False) -> dict[str, bytes]:
    """The keys that are there by their names, the present one first. Raises StoreError."""
    keys = [read_key(path, is_made=is_made)]
    if draft_of(path).exists():
        keys.append(read_key(draft_of(path), is_made=False))
    return {name_of(one): one for one in keys}


def cipher_of(path: Path, seal: bytes | None, *, is_made: bool = False) -> Cipher | None:
    """The cipher that seals with the key that ``seal`` was made with, and opens with both; None where that key is not there.

    Raises:
        StoreError: a file cannot be used.
    """
    keys = list(keys_of(path, is_made=is_made).values())
    for key in keys:
        cipher = Cipher(key)
        if seal is None or cipher.open(seal, "meta") is not None:
            for other in keys:
                cipher.opens_with(other)
            return cipher
    return None


class Keys:
    """Keeps a cipher as the database wants it. ``path`` is the key file."""

    def __init__(self, cipher: Cipher, path: Path) -> None:
        self._cipher = cipher
        self._path = path
        self.is_missing = False

    @property
    def opens(self) -> str:
        """The names of all keys that are there."""
        return " ".join(self._cipher.names)

    @property
    def seals(self) -> str:
        """The name of the key that is sealed with."""
        return self._cipher.name

    def follow(self, key: str, rotation: str) -> None:
        """Take up a key that was laid beside the present one, and go over to it once the database has (``key``); when nothing is sealed
        with the former one any more (no ``rotation``), it takes its name."""
        draft = draft_of(self._path)
        if draft.exists():
            with contextlib.suppress(StoreError):  # it is just being copied
                self._cipher.opens_with(read_key(draft, is_made=False))
        if key and key != self.seals:
            if key not in self._cipher.names:
                if not self.is_missing:
                    log.error(MISSING_NEW.format(path=draft), extra={"event": log_events.KEY_MISSING})
                self.is_missing = True
                return
            self._cipher.seal_with(key)
            log.info("codes and mails are sealed with the new key", extra={"event": log_events.KEY_CHANGED})
        self.is_missing = False
        if key and not rotation:
            finish(self._path, key)
            self._cipher.open_with_one()


def finish(path: Path, key: str) -> None:
    """The key of that name takes the place of the former one, if it lies beside it still."""
    with contextlib.suppress(OSError, StoreError):
        if name_of(read_key(draft_of(path), is_made=False)) == key:
            draft_of(path).replace(path)
