"""Arguments of commands as a server wants them: folders, sets of UIDs."""

from __future__ import annotations

from collections.abc import Iterable

from imapclient import imap_utf7


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
