"""What crosses the pipe between the daemon and its parser worker: MessagePack frames of plain values, never pickles."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime
from typing import TypeVar

import msgspec

from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret

T = TypeVar("T")

HEADER = 4
"""A frame is its length as four octets, big end first, and then its octets."""

LAST_WORDS = b"!"
"""Begins what a worker says in place of an answer when it failed: the place in the code. No MessagePack of ours begins so."""

MAX_FRAME = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One mail to be understood. ``now`` is the moment of its arrival, aware UTC; ``is_read_out``: what a person sees of it is wanted too."""

    content: bytes = field(repr=False)
    rcpt_to: tuple[str, ...]
    mail_from: str
    now: datetime
    is_truncated: bool = False
    is_read_out: bool = False


def _encode_secret(value: object) -> str:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError(type(value).__name__)


def _decode_secret(kind: type, value: object) -> object:
    if kind is Secret and isinstance(value, str):
        return Secret(value)
    raise NotImplementedError(kind.__name__)


def encoder() -> msgspec.msgpack.Encoder:
    """Encodes dataclasses of the core as octets; secrets cross in clear, since the pipe is the daemon's own."""
    return msgspec.msgpack.Encoder(enc_hook=_encode_secret)


def decoder(kind: type[T]) -> msgspec.msgpack.Decoder[T]:
    """Decodes octets as a ``kind``.

    Raises (when called): msgspec.ValidationError for octets that are none.
    """
    return msgspec.msgpack.Decoder(kind, dec_hook=_decode_secret)


def frame(octets: bytes) -> bytes:
    """The octets with their length before them."""
    return len(octets).to_bytes(HEADER, "big") + octets
