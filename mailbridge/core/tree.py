"""A mail's tree of parts, as the standard library's engine makes it, but quicker where every line is in its place.

The engine (`email.feedparser`) reads line by line, which is half of what parsing a code mail costs. Here a well-formed mail is cut at its
boundaries as octets, and only heads are read by line; what is odd in any way is the engine's, from its first octet on. The tree is the
same in both cases: `tests/core/test_tree.py` compares the two over mails and mutations of mails.
"""

from __future__ import annotations

import email.message
import email.policy
import re
from collections.abc import Iterator
from email.parser import BytesParser

from mailbridge.core.limits import HEAD_END, has_bare_cr
from mailbridge.core.media import UNTOLD, Media, media_of

ENGINE_FAULTS = (RecursionError, ValueError, LookupError, TypeError, AttributeError, AssertionError)
"""What the standard library's parser has been seen to raise on octets that are no mail."""

MOST_PARTS = 100
"""Parts beyond which a mail is the engine's."""

FIELD = re.compile(r"(?<![^\n])[!-9;-~]+:[^\n]*(?:\n[ \t][^\n]*)*(?:\n|\Z)")
"""A header with its continuations (RFC 5322, 2.2.3). Looked for at the beginning of a line only, so that a long line costs no more than
its length."""

DELIMITER_END = re.compile(rb"(--)?[ \t]*\r?(?:\n|\Z)")
NEWLINE = 0x0A
POLICY = email.policy.compat32


class Part(email.message.Message):
    """A part of a mail in which every line is in its place. ``media`` is what its Content-Type says; None where only the library can tell."""

    media: Media | None = UNTOLD


def tree_of(content: bytes, *, is_sound: bool = False) -> email.message.Message:
    """The tree of a mail; ``is_sound``: it is known that no CR stands in it but before a LF.

    Raises:
        ENGINE_FAULTS: as the engine does, on octets that are no mail.
    """
    found = plain_tree(content, is_sound=is_sound)
    return BytesParser().parsebytes(content) if found is None else found


def plain_tree(content: bytes, *, is_sound: bool = False) -> email.message.Message | None:
    """The tree of a mail in which every line is in its place; None for any other. Total."""
    if not is_sound and has_bare_cr(content):
        return None
    try:
        return _read(content, frozenset(), [MOST_PARTS])
    except ENGINE_FAULTS:
        return None


def _read(content: bytes, outer: frozenset[str], room: list[int]) -> email.message.Message | None:
    """A mail or a part of one; None where anything in it is odd. ``outer`` are the boundaries around it, ``room`` the parts left."""
    end = HEAD_END.search(content)
    room[0] -= 1
    if end is None or room[0] < 0:
        return None
    part = _headed(content[: end.start() + 1].decode("ascii", "surrogateescape"))
    if part is None:
        return None
    media = part.media or Media(part.get_content_type())
    if media.kind.startswith("message/"):
        return None
    body = content[end.end() :]
    if not media.kind.startswith("multipart/"):
        part.set_payload(body.decode("ascii", "surrogateescape"))
        return part
    return part if _fill(part, media, body, outer, room) else None


def _headed(head: str) -> Part | None:
    """A part with its headers; None where a line of its head is neither a header nor the continuation of one."""
    fields: list[str] = FIELD.findall(head)
    if sum(map(len, fields)) != len(head):
        return None
    part = Part(policy=POLICY)
    is_told = False
    for field in fields:
        name, _, value = field.partition(":")
        value = value.lstrip(" \t").rstrip("\r\n")
        if not value or value[0] in "\r\n":  # some versions of the engine take off a first fold, too
            name, value = POLICY.header_source_parse([field])
        part.set_raw(name, value)
        if not is_told and name.lower() == "content-type":
            part.media, is_told = media_of(value), True
    return part


def _fill(part: email.message.Message, media: Media, body: bytes, outer: frozenset[str], room: list[int]) -> bool:
    """Give a multipart its parts; whether they could be told apart without a doubt (RFC 2046, 5.1.1)."""
    boundary = media.boundary or part.get_boundary()
    if not boundary or not boundary.isascii() or boundary.endswith("--") or boundary in outer or media.kind == "multipart/digest":
        return False
    inner = outer | {boundary}
    start = -1
    for begin, end, is_last in _delimiters(body, b"--" + boundary.encode("ascii")):
        if start >= 0:
            content = body[start:begin]
            found = _read(content[: -2 if content.endswith(b"\r\n") else -1], inner, room) if content else None
            if found is None:
                return False
            part.attach(found)
        elif is_last:
            return False
        if is_last:
            return True
        start = end
    return False


def _delimiters(body: bytes, delimiter: bytes) -> Iterator[tuple[int, int, bool]]:
    """Where each line begins and ends that is a delimiter and nothing more, and whether it is the last one of its part."""
    at = body.find(delimiter)
    while at >= 0:
        rest = DELIMITER_END.match(body, at + len(delimiter)) if at == 0 or body[at - 1] == NEWLINE else None
        if rest is not None:
            yield at, rest.end(), bool(rest[1])
        at = body.find(delimiter, at + len(delimiter))
