"""Signatures of Standard Webhooks 1.0.0: an id that stays, the time of the attempt, and HMAC-SHA256 over both and the body.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime

from mailbridge.core.secret import Secret

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64
"""Octets of a secret."""


def key_of(secret: Secret) -> bytes:
    """The key that a secret stands for: what is behind ``whsec_``, decoded.

    Raises:
        ValueError: it is none; the message does not hold it.
    """
    text = secret.reveal().strip()
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not text.startswith(PREFIX) or not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(f"must be {PREFIX} and {SHORTEST} to {LONGEST} octets in Base64, as `mailbridge target add` makes one")
    return key


def new_secret() -> Secret:
    """A new one, of 32 octets."""
    return Secret(PREFIX + base64.b64encode(secrets.token_bytes(32)).decode())


def signed(keys: Sequence[bytes], event_id: str, at: datetime, body: bytes) -> list[tuple[bytes, bytes]]:
    """The three headers of an attempt. Every key signs, so that a receiver that knows one of them is content while it is changed."""
    stamp = str(int(at.timestamp()))
    text = f"{event_id}.{stamp}.".encode() + body
    marks = [f"v1,{base64.b64encode(hmac.digest(key, text, 'sha256')).decode()}" for key in keys]
    return [
        (b"webhook-id", event_id.encode()),
        (b"webhook-timestamp", stamp.encode()),
        (b"webhook-signature", " ".join(marks).encode()),
    ]
