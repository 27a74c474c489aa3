"""Arguments of commands as a server wants them: folders, sets of UIDs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from imapclient import imap_utf7

from mailbridge.ingress.imap.responses import MONTHS


def day(at: datetime) -> bytes:
    """A date for SEARCH (RFC 3501 9, date): ``5-May-2020``."""
    return f"{at.day}-{MONTHS[at.month - 1]}-{at.year}".encode("ascii")


def folder_argument(folder: str) -> bytes:
    """A folder's name as a command wants it: modified UTF-7 (RFC 3501 5.1.3), quoted."""
    encoded: bytes = imap_utf7.encode(folder)
    return b'"' + encoded.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def uid_set(uids: Iterable[int]) -> bytes:
    """``1:3,5``."""
    spans: list[list[int]] = []
    for uid in sorted(set(uids)):
        if spans and uid == spans[-1][1] + 1:
            spans[-1][1] = uid
        else:
            spans.append([uid, uid])
    return b",".join(b"%d" % a if a == b else b"%d:%d" % (a, b) for a, b in spans)
