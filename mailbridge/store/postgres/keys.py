"""The key of a shared database on this machine, and the next key: ``KEY`` and, during a rotation, ``KEY.new`` next to it.

A process seals with the key that the database names, and opens with both. At its heartbeats it learns of a new file and of the
change.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path

from mailbridge import log_events
from mailbridge.store import StoreError
from mailbridge.store.cipher import Cipher, name_of, read_key
from mailbridge.store.cipher import cipher_of as cipher_of_two

log = logging.getLogger("mailbridge.store")

KEY, ROTATION = "key", "rotation"
"""In the table meta: the name of the key that seals (none before the first rotation), and the name of the key that is being
replaced, while a value may still be sealed with it."""

MISSING_NEW = "the database has a new key, which this machine has not: copy it to {path}, and restart"


def draft_of(path: Path) -> Path:
    """Where the next key after the one at ``path`` is."""
    return path.with_name(path.name + ".new")


def cipher_of(path: Path, seal: bytes | None, *, is_made: bool = False) -> Cipher | None:
    """See `mailbridge.store.cipher.cipher_of`."""
    return cipher_of_two(path, draft_of(path), seal, is_made=is_made)


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
        """The name of the key that seals."""
        return self._cipher.name

    def follow(self, key: str, rotation: str) -> None:
        """Use a key that was put next to the present one, and switch to it when the database has switched (``key``). When no
        value is sealed with the old key any more (no ``rotation``), rename the new key to the old one's name."""
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
    """Rename the key of that name to replace the old one, if it is still next to it."""
    with contextlib.suppress(OSError, StoreError):
        if name_of(read_key(draft_of(path), is_made=False)) == key:
            draft_of(path).replace(path)
