"""The canary's mail: its text, and the token in it that nobody else can make.

It is in a mailbox in which others look for codes. So our text has no digit and no link: nobody can take it for a code.
"""

from __future__ import annotations

import hmac
import re
import secrets
from datetime import datetime
from email.utils import format_datetime

SUBJECT = "Mailbridge canary"
LETTERS = "bcdfghjklmnpqrst"
"""One letter for each half octet. Only consonants, so that they form no words."""
NONCE, MAC = 8, 12
"""Octets of a token: the part that makes it unique, and the part that only the holder of the key can make (96 bits)."""
LENGTH = 2 * (NONCE + MAC)
HEAD = 65_536
"""Octets of a mail that are searched for a token."""
FOUND = re.compile(
    rb"^(?:X-Mailbridge-Canary:|Subject:[ \t]*Mailbridge canary)[ \t]*(?:\r?\n[ \t]+)?([%b]{%d})[ \t]*\r?$"
    % (LETTERS.encode(), LENGTH),
    re.MULTILINE | re.IGNORECASE,
)
BLANK = re.compile(rb"^\r?\n", re.MULTILINE)

MAIL = """\
From: <{address}>\r
To: <{address}>\r
Subject: Mailbridge canary {token}\r
Date: {date}\r
Message-ID: <{token}@{domain}>\r
X-Mailbridge-Canary: {token}\r
Auto-Submitted: auto-generated\r
X-Auto-Response-Suppress: All\r
MIME-Version: 1.0\r
Content-Type: text/plain; charset=us-ascii\r
\r
mailbridge has sent this mail to its own mailbox, to see whether mail arrives here and how long it takes.\r
There is nothing to do. It is removed again by itself.\r
"""


class CanaryTokens:
    """Makes tokens, and recognises its own after a restart. ``key`` is a secret of this machine."""

    def __init__(self, key: bytes, account: str) -> None:
        self._key = hmac.digest(key, f"mailbridge: the canary of {account}".encode(), "sha256")

    def token(self) -> str:
        """A new token. It has only letters."""
        nonce = secrets.token_bytes(NONCE)
        return _lettered(nonce + self._mac(nonce))

    def is_genuine(self, token: str) -> bool:
        """Whether it was made with this key, at any time."""
        if len(token) != LENGTH or not set(token) <= set(LETTERS):
            return False
        octets = bytes(LETTERS.index(high) * 16 + LETTERS.index(low) for high, low in zip(token[::2], token[1::2], strict=True))
        return hmac.compare_digest(self._mac(octets[:NONCE]), octets[NONCE:])

    def _mac(self, nonce: bytes) -> bytes:
        return hmac.digest(self._key, nonce, "sha256")[:MAC]


def canary_mail(token: str, *, address: str, at: datetime) -> bytes:
    """The mail, from ``address`` to itself. It says that a machine wrote it (RFC 3834), so that no machine answers."""
    domain = address.rpartition("@")[2]
    return MAIL.format(address=address, token=token, date=format_datetime(at), domain=domain).encode("ascii")


def token_of(content: bytes) -> str | None:
    """The canary token that the header of a mail claims to have, in a field of its own or in the subject. None for any other
    mail."""
    head = content[:HEAD]
    if b"ailbridge" not in head:
        return None
    blank = BLANK.search(head)
    found = FOUND.search(head, 0, blank.start() if blank else len(head))
    return found[1].decode("ascii").lower() if found else None


def _lettered(octets: bytes) -> str:
    return "".join(LETTERS[octet >> 4] + LETTERS[octet & 15] for octet in octets)
