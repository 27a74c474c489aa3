"""The octets of one long JSON text (RFC 8259), without a text copy of the whole in between. So a mail of 25 MB is in memory
three times."""

from __future__ import annotations

import io

import msgspec

PIECE = 1 << 20
LONGEST_ESCAPE = 12
"""Octets of the longest escape: two UTF-16 halves such as ``\\ud83d\\ude00``."""


def octets_of(value: msgspec.Raw) -> bytes:
    """A JSON string, decoded, as UTF-8. It is decoded piece by piece.

    Raises:
        msgspec.DecodeError: it is not a JSON string.
    """
    text = memoryview(value).cast("B")
    if len(text) < 2 or text[0] != 0x22 or text[-1] != 0x22:
        raise msgspec.DecodeError("no text")
    text = text[1:-1]
    made, start = io.BytesIO(), 0
    while start < len(text):
        end = _cut(text, start)
        made.write(msgspec.json.decode(b'"' + bytes(text[start:end]) + b'"', type=str).encode())
        start = end
    return made.getvalue()


def _cut(text: memoryview, start: int) -> int:
    """Where the piece that begins here may end: after an ASCII octet that belongs to no escape, or at the end of the text."""
    end = start + PIECE
    while end < len(text):
        near = bytes(text[max(end - LONGEST_ESCAPE, start) : end])
        if near[-1] < 0x80 and b"\\" not in near:
            return end
        end += 1
    return len(text)
