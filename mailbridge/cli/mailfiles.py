"""Mails from files: an ``.eml``, a folder of them, an mbox, or standard input; one at a time, in a stable order."""

from __future__ import annotations

import mailbox
import sys
from collections.abc import Iterator
from pathlib import Path

SUFFIXES = ("", ".eml", ".mbox", ".txt")
"""What is read in a folder; a file that is named itself is read whatever it is called."""


def mails(path: str) -> Iterator[tuple[str, bytes]]:
    """Name and octets of every mail of one argument; ``-`` is standard input. Raises OSError."""
    if path == "-":
        yield from _split(sys.stdin.buffer.read())
        return
    place = Path(path)
    if not place.is_dir():
        yield from _of_file(place)
        return
    for file in sorted(one for one in place.rglob("*") if one.is_file()):
        if file.suffix.lower() in SUFFIXES:
            yield from _of_file(file)


def _of_file(file: Path) -> Iterator[tuple[str, bytes]]:
    with file.open("rb") as stream:
        is_mbox = stream.read(5) == b"From "
    if is_mbox:
        for number, message in enumerate(mailbox.mbox(file, create=False), 1):
            yield f"{file}#{number}", message.as_bytes()
    else:
        yield str(file), file.read_bytes()


def _split(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Standard input: one mail, or an mbox."""
    if not content.startswith(b"From "):
        yield "-", content
        return
    for number, part in enumerate((b"\n" + content).split(b"\nFrom ")[1:], 1):
        yield f"-#{number}", part.partition(b"\n")[2]
