"""The last mail that was taken from a folder: recognised without being read, to see whether its UID still means it.

Servers differ in what they keep. UIDNEXT may go back with a backup, and mailutils dates each mail again in each session. So the
mail is compared by date and size, and by its own header if those differ.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import astuple
from typing import Any

from mailbridge.core.dataclass import dataclass
from mailbridge.ingress.imap.responses import Fetched

HEAD = 65_536
"""Octets of a mail in which its header is searched."""
NAMED = re.compile(rb"^(?:message-id|date):.*(?:\n[ \t].*)*", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Top:
    """``at`` is the server's date in seconds. ``own`` is a digest of the mail's Message-ID and Date, 0 if it is not known."""

    uid: int
    at: int
    size: int
    own: int = 0

    def is_like(self, other: Top) -> bool:
        """Whether it is the same mail, as far as the server's data show."""
        return (self.uid, self.at, self.size) == (other.uid, other.at, other.size)

    def is_itself(self, other: Top) -> bool:
        """Whether it is the same mail by its own header, whatever the server's date is."""
        return self.uid == other.uid and self.size == other.size and self.own == other.own != 0

    def told(self) -> list[int]:
        """The values as plain data, for the store."""
        return list(astuple(self))


def top_of(mail: Fetched) -> Top | None:
    """What is stored about a mail; None if its server does not date it."""
    if mail.at is None:
        return None
    return Top(mail.uid, round(mail.at.timestamp()), mail.size, _own(mail.content or b""))


def stored_top(told: Any) -> Top | None:
    """The result of `Top.told`, also that of an earlier version with three numbers."""
    is_one = isinstance(told, list) and len(told) in (3, 4) and all(isinstance(one, int) for one in told)
    return Top(*told) if is_one else None


def _own(content: bytes) -> int:
    head = content[:HEAD].replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    lines = b"\n".join(found.strip() for found in NAMED.findall(head))
    return int.from_bytes(hashlib.blake2b(lines, digest_size=7).digest(), "big") if lines else 0
