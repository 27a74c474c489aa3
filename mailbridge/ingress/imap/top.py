"""The last mail that was taken from a folder, known again without being read: whether its UID still means it.

Servers differ in what they keep. UIDNEXT may go back with a backup; mailutils dates each mail anew in each session. So the mail is
compared by date and size, and by its own header where those differ.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import astuple
from typing import Any

from mailbridge.core.dataclass import dataclass
from mailbridge.ingress.imap.responses import Fetched

HEAD = 65_536
"""Octets of a mail in which its header is looked for."""
NAMED = re.compile(rb"^(?:message-id|date):.*(?:\n[ \t].*)*", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Top:
    """``at``: the server's date in seconds; ``own``: a digest of the mail's Message-ID and Date, 0 where it is not known."""

    uid: int
    at: int
    size: int
    own: int = 0

    def is_like(self, other: Top) -> bool:
        """Whether it is the same mail as far as the server tells."""
        return (self.uid, self.at, self.size) == (other.uid, other.at, other.size)

    def is_itself(self, other: Top) -> bool:
        """Whether it is the same mail by its own header, whatever the server's date is."""
        return self.uid == other.uid and self.size == other.size and self.own == other.own != 0

    def told(self) -> list[int]:
        """As plain data, to be stored."""
        return list(astuple(self))


def top_of(mail: Fetched) -> Top | None:
    """What is kept of a mail; None where its server does not date it."""
    if mail.at is None:
        return None
    return Top(mail.uid, round(mail.at.timestamp()), mail.size, _own(mail.content or b""))


def stored_top(told: Any) -> Top | None:
    """What `Top.told` gave, also an earlier version's of three numbers."""
    is_one = isinstance(told, list) and len(told) in (3, 4) and all(isinstance(one, int) for one in told)
    return Top(*told) if is_one else None


def _own(content: bytes) -> int:
    head = content[:HEAD].replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    lines = b"\n".join(found.strip() for found in NAMED.findall(head))
    return int.from_bytes(hashlib.blake2b(lines, digest_size=7).digest(), "big") if lines else 0
