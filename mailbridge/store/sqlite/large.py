"""The octets of large mails are sealed and written in pieces, so that a mail of 25 MB is in memory once and not four times."""

from __future__ import annotations

from typing import Any

import apsw

from mailbridge.store.cipher import Cipher, place, sealed_length

LARGE = 1 << 20
"""Octets. A mail of this size or more is written in pieces."""


def write_large(connection: apsw.Connection, cipher: Cipher, mail_id: int, uid: bytes, content: bytes) -> None:
    """Store the octets of a mail whose row exists, with an empty ``raw``. Raises apsw.Error."""
    room = apsw.zeroblob(sealed_length(content))
    connection.execute("INSERT INTO large VALUES (?, ?, ?)", (mail_id, uid, room))
    with connection.blob_open("main", "large", "octets", mail_id, True) as octets:
        for piece in cipher.seal_in_pieces(content, place("raw", uid, None)):
            octets.write(piece)


def large_octets(rows: list[Any], cipher: Cipher) -> bytes | None:
    """The octets from a row of ``uid, octets``. None if there is no row, or it does not open."""
    return cipher.open(rows[0][1], place("raw", rows[0][0], None)) if rows else None
