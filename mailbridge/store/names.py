"""Names for identifiers that can stand in an address."""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV


class Names:
    """Names for identifiers that nobody can guess or read: the identifier itself, encrypted (AES-SIV, RFC 5297).

    An identifier keeps its name as long as the database exists. Nothing is stored. ``key`` is `Cipher.names_key`.
    """

    PREFIX = "t-"

    def __init__(self, key: bytes) -> None:
        self._siv = AESSIV(key)

    def name(self, identifier: str) -> str:
        """The name of an identifier: letters, digits, ``-`` and ``_``."""
        sealed = self._siv.encrypt(identifier.encode(), None)
        return self.PREFIX + base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def identifier(self, name: str) -> str | None:
        """The identifier of a name; None if it is not one of our names."""
        if not name.startswith(self.PREFIX) or not name.isascii():
            return None
        bare = name.removeprefix(self.PREFIX)
        try:
            return self._siv.decrypt(base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4)), None).decode()
        except (InvalidTag, binascii.Error, ValueError):
            return None
