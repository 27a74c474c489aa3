"""Octets are made harmless before a parser sees them: cut to size, with honest line ends, and without structure that never ends.

The engine recurses for each level of nesting and reads parameters in quadratic time, so what no honest mail has is taken out here.
"""

from __future__ import annotations

import re

MAX_CONTENT = 1_048_576
"""Octets of a mail that are looked at; code mails are a few kB, and what is beyond are attachments' tails."""

MAX_HEADERS = 262_144
MAX_HEADER_LINES = 2_000
MAX_HEADER = 16_384
MAX_LINES = 100_000
MAX_PARTS = 200
MAX_DEPTH = 20
MAX_MIME_HEADER = 4_096
MAX_PARAMETERS = 40
"""Limits of a Content-… header in octets and semicolons: the engine's reading of parameters is quadratic."""

BOUNDARY = re.compile(rb"(?i)\bboundary\s*=")
ATTACHED_MAIL = re.compile(rb"(?i)\bmessage\s{0,9}/\s{0,9}[a-z0-9.+-]+")
OTHER_MESSAGE = re.compile(rb"(?i)\bmessage\s{0,9}/\s{0,9}(?!rfc822\b)[a-z0-9.+-]+")
MIME_HEADER = re.compile(rb"\n(?i:content-[a-z-]{1,40})[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*")
"""Begins with the end of the line before: a pattern that begins with a fixed octet is looked for ten times as fast."""

MIME_NAME = b"\ncontent-"
MIME_LINE = re.compile(rb"\ncontent-[^\n]*(?:\n[ \t][^\n]*)*")
"""How every MIME_HEADER begins, and what may be one, in small letters."""

HEAD_END = re.compile(rb"\n\r?\n")
"""The end of a head; a CR may stand before it."""

IN_LINES = bytes(octet for octet in range(256) if octet not in b"\r\n")
BARE_LF = re.compile(rb"(?<!\r)\n")
BARE_CR = re.compile(rb"\r(?!\n)")
CR_AND_MORE = re.compile(rb"\r[^\n]")
"""A bare CR that is not the last octet: it is found twice as fast as by looking ahead."""


def limited(content: bytes, defects: dict[str, None]) -> bytes:
    """The part of a mail's octets that is worth reading, with honest line ends. Total; what was cut or repaired goes into ``defects``."""
    if len(content) > MAX_CONTENT:
        defects["truncated"] = None
        content = content[:MAX_CONTENT]
    if b"\0" in content:
        defects["nul"] = None
        head, separator, body = split_head(content)
        # In a header it becomes a blank: without it, the two halves of an address or of a name would grow together.
        content = head.replace(b"\0", b" ") + separator + body.replace(b"\0", b"")
    if has_bare_cr(content):
        # A bare CR is no line end (RFC 5321 2.3.8), but Python's parser takes it for one: a header could be hidden behind it.
        defects["bare-cr"] = None
        content = BARE_CR.sub(b" ", content)
    line_ends = content.translate(None, IN_LINES)
    lines = line_ends.count(b"\n")
    if len(line_ends) not in (lines, 2 * lines):
        defects["bare-lf"] = None
        content = _without_bare_lf(content)
    if lines > MAX_LINES:
        defects["too-many-lines"] = None
        content = b"\n".join(content.split(b"\n", MAX_LINES)[:MAX_LINES])
    head, separator, body = split_head(content)
    folded = content.lower()
    is_cut = len(head) > MAX_HEADER_LINES and _has_long_head(head)
    if is_cut:
        defects["headers-cut"] = None
        head = _cut_headers(head)
    is_branched = _has_more(body, b"\n--", MAX_PARTS * 4) or _is_nested(content, folded)
    if is_branched:
        defects["too-many-parts"] = None
        head, body = _without_structure(head), _without_structure(body)
    if not (is_cut or is_branched) and _has_plain_mime_headers(folded):
        return content
    return _with_short_mime_headers(head, defects) + separator + _with_short_mime_headers(body, defects)


def has_bare_cr(content: bytes) -> bool:
    """Whether a CR stands anywhere but before a LF."""
    return CR_AND_MORE.search(content) is not None or content.endswith(b"\r")


def _without_bare_lf(content: bytes) -> bytes:
    """A bare LF ends no line (RFC 5321 2.3.8). In a header of a mail with honest line ends it is a blank, since somebody may have
    put it there to add a header of his own; in a body, where it only breaks a line, it stays. A head without any CRLF, as files on
    a disk have it, is ended by its own line ends, and a body with others takes nothing from it."""
    if 0 <= content.find(b"\n\n") < content.find(b"\r\n"):
        return content
    head, separator, body = content.partition(b"\r\n\r\n")
    return BARE_LF.sub(b" ", head) + separator + body if separator else content


def _has_long_head(head: bytes) -> bool:
    return len(head) > MAX_HEADERS or head.count(b"\n") > MAX_HEADER_LINES or _longest_line(head) > MAX_HEADER


def _has_plain_mime_headers(folded: bytes) -> bool:
    """Whether what names the parts' types is short, even all of it together, and names no message: then none of it has to be cut.
    ``folded`` is the mail in small letters."""
    found = []
    at = len(folded)
    while (at := folded.rfind(MIME_NAME, 0, at)) >= 0:
        found.append(MIME_LINE.match(folded, at))
    lines = b"".join([one.group() for one in found if one is not None])
    is_short = len(lines) <= MAX_MIME_HEADER and lines.count(b";") <= MAX_PARAMETERS
    return is_short and b"message" not in lines and not folded.startswith(MIME_NAME[1:])


def _with_short_mime_headers(octets: bytes, defects: dict[str, None]) -> bytes:
    """What names a part's type, in the mail's head or in a part's, and is longer than any honest one is cut.

    Of the message types only a whole mail is read: a delivery status holds no code, and may have 100,000 blocks.
    """

    def cut(found: re.Match[bytes]) -> bytes:
        line = found.group()
        if b"message" in line.lower():
            line = OTHER_MESSAGE.sub(b"application/octet-stream", line)
        if len(line) <= MAX_MIME_HEADER and line.count(b";") <= MAX_PARAMETERS:
            return line
        defects["headers-cut"] = None
        return b";".join(line[:MAX_MIME_HEADER].split(b";", MAX_PARAMETERS)[:MAX_PARAMETERS]).rstrip(b"\r\n")

    return MIME_HEADER.sub(cut, b"\n" + octets)[1:]


def _is_nested(content: bytes, folded: bytes) -> bool:
    """Whether it names more boundaries or attached mails than any honest mail; the cheap count comes first, in the mail in small letters."""
    return (_has_more(folded, b"boundary", MAX_DEPTH) and len(BOUNDARY.findall(content)) > MAX_DEPTH) or (
        _has_more(folded, b"message", MAX_DEPTH) and len(ATTACHED_MAIL.findall(content)) > MAX_DEPTH
    )


def _has_more(octets: bytes, word: bytes, most: int) -> bool:
    """Whether a word stands there more than ``most`` times. From behind, since `bytes.rfind` skips more than `bytes.count` does."""
    at = len(octets)
    for _ in range(most + 1):
        at = octets.rfind(word, 0, at)
        if at < 0:
            return False
    return True


def split_head(content: bytes) -> tuple[bytes, bytes, bytes]:
    """Head, the first empty line, and body; without such a line all of it is head."""
    found = HEAD_END.search(content)
    if found is None:
        return content, b"", b""
    start = found.start() - content.endswith(b"\r", 0, found.start())
    return content[:start], content[start : found.end()], content[found.end() :]


def _longest_line(head: bytes) -> int:
    return max((len(line) for line in head.split(b"\n")), default=0)


def _cut_headers(head: bytes) -> bytes:
    """Every header up to its limit, the first of them up to theirs; none that lost its last lines, since half an address is another."""
    kept: list[bytes] = []
    size = 0
    for number, line in enumerate(head.split(b"\n")):
        short = line if len(line) <= MAX_HEADER else line[:MAX_HEADER]
        size += len(short) + 1
        if size > MAX_HEADERS or number >= MAX_HEADER_LINES:
            if line[:1] in (b" ", b"\t"):
                while kept and kept[-1][:1] in (b" ", b"\t"):
                    kept.pop()
                kept = kept[:-1]
            break
        kept.append(short)
    return b"\n".join(kept)


def _without_structure(body: bytes) -> bytes:
    """Take the teeth out of a body that is all boundaries: the engine recurses once for each level of nesting."""
    return BOUNDARY.sub(b"x-cut=", ATTACHED_MAIL.sub(b"text/plain", body))
