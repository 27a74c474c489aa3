"""Reads DATA up to its only valid end, in bounded memory, and removes its transparency dots.

The end is CRLF.CRLF and nothing else (RFC 5321 4.1.1.4). Other forms that some servers accept as an end are content here, so that
no second mail can be smuggled in behind it (CVE-2023-51764 and similar).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes

from mailbridge.core.dataclass import dataclass
from mailbridge.ingress import reply as r
from mailbridge.ingress.reply import Reply
from mailbridge.intake.admission import Hold

READ_SIZE = 65_536
DRAIN_LIMIT = 8 * 1_048_576
"""Octets that are read and discarded after a refusal, so that the client gets to read the refusal."""

END = b"\r\n.\r\n"
M_MMAP_THRESHOLD = -3
LARGE = 131_072


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A mail that is not accepted. ``is_over`` is False if its end never came. Then the session must end with it."""

    reply: Reply
    is_over: bool


def give_large_buffers_back() -> None:
    """Make the C library map large buffers by themselves, for the whole process. Such a buffer grows without being copied, and
    goes back to the system when it is freed. By default glibc learns to keep large buffers on its heap, where they leave
    holes: after 50 unfinished mails the daemon stayed at twice its size (measured). Does nothing if there is no mallopt(3)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)


async def receive(reader: asyncio.StreamReader, hold: Hold, *, max_size: int) -> bytes | Refusal:
    """The content of one mail, or why it is refused. A refused mail has given its memory back.

    The buffer starts with a CRLF of our own, so that a lone dot in the first line is an end too.

    Raises:
        IncompleteReadError: the client left before the end. OSError: the connection broke.
    """
    buffer = bytearray(b"\r\n")
    while True:
        chunk = await _read(reader)
        is_room = hold.take(len(chunk))
        seen = max(len(buffer) - len(END) + 1, 0)
        buffer += chunk
        end = buffer.find(END, seen)
        if end >= 0:
            put_back(reader, bytes(memoryview(buffer)[end + len(END) :]))
            if end > max_size or not is_room:
                return Refusal(reply=r.TOO_BIG if end > max_size else r.FULL, is_over=True)
            del buffer[end + 2 :]
            return _unstuffed(buffer)
        if not is_room or len(buffer) > max_size + len(END):
            tail = bytes(buffer[-len(END) :])
            del buffer
            hold.release()
            return Refusal(reply=r.TOO_BIG if is_room else r.FULL, is_over=await _reaches_end(reader, tail))


async def _reaches_end(reader: asyncio.StreamReader, tail: bytes) -> bool:
    """Discard the rest of a refused mail. False if it does not end within DRAIN_LIMIT octets."""
    left = DRAIN_LIMIT
    while left > 0:
        chunk = await _read(reader)
        left -= len(chunk)
        window = tail + chunk
        end = window.find(END)
        if end >= 0:
            put_back(reader, window[end + len(END) :])
            return True
        tail = window[-len(END) :]
    return False


async def _read(reader: asyncio.StreamReader) -> bytes:
    chunk = await reader.read(READ_SIZE)
    if not chunk:
        raise asyncio.IncompleteReadError(b"", None)
    return chunk


def put_back(reader: asyncio.StreamReader, octets: bytes) -> None:
    """Put octets back, so that they are read again before everything that has come in since (also after the end of the input)."""
    if octets:
        reader._buffer[:0] = octets  # type: ignore[attr-defined]  # noqa: SLF001  (StreamReader has no door for this)


def _unstuffed(buffer: bytearray) -> bytes:
    """The content without our leading CRLF and without transparency dots (RFC 5321 4.5.2)."""
    if buffer.find(b"\r\n.") >= 0:
        buffer = buffer.replace(b"\r\n.", b"\r\n")
    return bytes(memoryview(buffer)[2:])
