"""Arguments of commands in the form that a server expects: folders, sets of UIDs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from imapclient import imap_utf7

from mailbridge.ingress.imap.responses import MONTHS


def day(at: datetime) -> bytes:
    """A date for SEARCH (RFC 3501 9, date): ``5-May-2020``."""
    return f"{at.day}-{MONTHS[at.month - 1]}-{at.year}".encode("ascii")


def folder_argument(folder: str) -> bytes:
    """A folder's name for a command: modified UTF-7 (RFC 3501 5.1.3), quoted."""
    encoded: bytes = imap_utf7.encode(folder)
    return b'"' + encoded.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def uid_set(uids: Iterable[int]) -> bytes:
    """A set of UIDs such as ``1:3,5``."""
    return span_set(spans_of(uids))


def span_set(spans: Iterable[tuple[int, int]]) -> bytes:
    """Spans of UIDs, both ends included, as a set such as ``1:3,5``."""
    return b",".join(b"%d" % low if low == high else b"%d:%d" % (low, high) for low, high in spans)


def spans_of(uids: Iterable[int]) -> list[tuple[int, int]]:
    """UIDs as spans, both ends included, ascending."""
    spans: list[tuple[int, int]] = []
    for uid in sorted(set(uids)):
        if spans and uid == spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], uid)
        else:
            spans.append((uid, uid))
    return spans
