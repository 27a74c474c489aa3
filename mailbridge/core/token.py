"""Bearer tokens: text that nobody guesses, of which only a hash is kept."""

from __future__ import annotations

import base64
import hashlib

PREFIX = "mbt_"
"""So that a token that has leaked somewhere is known for what it is."""

RANDOM = 24
"""Octets of chance in a token: 192 bits, so that a plain hash of it is enough (no salt, no slow hash)."""


def token_text(random: bytes) -> str:
    """A token from at least 16 random octets (the caller's dice). Raises ValueError for fewer."""
    if len(random) < 16:
        raise ValueError(f"needs 16 random octets, got {len(random)}")
    return PREFIX + base64.urlsafe_b64encode(random).decode().rstrip("=")


def token_digest(text: str) -> bytes:
    """What is kept of a token: SHA-256 of its text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
