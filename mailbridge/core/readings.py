"""How else a body could be read, where the headers that say so may have been changed on the way.

A signature covers a mail's body and the headers that it lists, and many leave out Content-Type or Content-Transfer-Encoding. Then
somebody can send a genuine mail on with others: name an inner boundary to hide a part, call a text base64 or UTF-16, join lines
with ``format=flowed``. What the author wrote there is not known, but the body is his, octet for octet, and hardly any body fits
more than one description. So the descriptions that fit are worked out from the body alone; whoever asks reads the mail by each of
them too, and where they do not agree nothing is certain. For nearly every honest mail the only description that fits is its own,
and then there is nothing to read again.
"""

from __future__ import annotations

import base64
import binascii
import email
import quopri
import re
from collections.abc import Iterator
from dataclasses import field
from email.message import Message as Headers

from mailbridge.core.charsets import ALIASES, WIDE
from mailbridge.core.dataclass import dataclass
from mailbridge.core.limits import split_head
from mailbridge.core.tree import ENGINE_FAULTS

DESCRIBING = re.compile(
    rb"(?im)^content-(?:type|transfer-encoding|disposition)[ \t]*:[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*(?:\r?\n|\Z)"
)
MOST_DESCRIBING = 4_096
"""Octets of such headers; longer ones fit nothing."""

DELIMITER = re.compile(rb"(?m)^--([^\r\n]{1,70}?)[ \t]*\r?$")
MOST_DELIMITERS = 200
PART_HEADER = re.compile(rb"\r?\n(?:[!-9;-~]{1,60}:|\r?\n)")
TYPED = re.compile(rb"\r?\ncontent-[a-z-]{1,40}[ \t]*:", re.IGNORECASE)
PREAMBLE = re.compile(rb"(?i)[^0-9]{0,300}\b(?:multi-?part|mime)\b[^0-9]{0,300}")
"""What mailers write above the first part for readers of the eighties. No digit, so no code."""

TEXT = re.compile(rb"(?i)\ncontent-type[ \t]*:\s*text/(?:plain|html)")
NAMED = re.compile(
    rb"(?i)\ncontent-(?:disposition[ \t]*:|type[ \t]*:[^\n]{0,998}(?:\n[ \t][^\n]{0,998}){0,20}?name\*?[0-9*]{0,6}=)"
)
"""A part that is called by the name of a file, or says where it is shown, as programs write it of files."""

MOST_CHOICES = 2
"""Texts that an honest choice of one body has: plain text and HTML."""

BASE64_LINE = re.compile(rb"[A-Za-z0-9+/]{1,998}={0,2}")
LEAST_BASE64 = 16
SURE_BASE64 = 40
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
RUNS = re.compile(rb"[\x80-\xff]+")
ESCAPED = re.compile(rb"=(?:[0-9A-Fa-f]{2}|[ \t]*\r?\n)")
ENCODED = re.compile(rb"(?m)^[^\r\n]{60,75}=\r?$|=[89A-F][0-9A-F]=[89A-F][0-9A-F]")
ENCODERS = re.compile(
    rb"=(?:[ \t]*\r?\n|3D|0[9AD]|1B|20[ \t]*\r?(?:\n|\Z))|(?<![^\s>(])[A-Za-z]{0,30}=[89A-F][0-9A-F][a-z]{0,30}(?![^\s.,;:!?<)])"
)
"""What only an encoder of quoted-printable writes: a long line with a soft end, or a character of several octets, is proof enough.
Short soft ends, a written "=", white space at an end and a letter of one octet within a word are so together."""

TAGS = re.compile(
    r"(?i)<(?:!--|!doctype|/?(?:html|head|body|meta|style|title|div|p|br|table|tr|td|span|a|b|i|strong|em|h[1-6]|img|ul|li|center|font)\b)"
)
SEVEN_BIT = re.compile(rb"\x1b[$(]")
WITHOUT_ASCII = ("utf-16", "utf-16le", "utf-16be", "iso-2022-jp", "iso-2022-kr")

OPEN_LINE = re.compile(rb"(?<!\n--) \r?\n(?=[^\r\n])")
"""A line that goes on in the next if the text is flowed (RFC 3676 4.1)."""

HALVING = ("gb18030", "big5hkscs", "cp932", "cp949")
PLAIN, HTML = "text/plain", "text/html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Other:
    """The mail under another description of the same body. ``is_loose``: one that fits hardly, so that it counts only where it
    shows another value, and not where it shows none."""

    content: bytes = field(repr=False)
    is_loose: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Single:
    """A body that is one text: its type, its transfer encoding (``""`` for none), its charset, and how well that fits."""

    kind: str
    encoding: str = ""
    charset: str = "utf-8"
    is_flowed: bool = False
    is_loose: bool = False


def others(content: bytes) -> Iterator[Other]:
    """The mail as it would stand under each description that its body fits and that is not read as its own headers are. Total."""
    head, separator, body = split_head(content)
    if not separator:
        return
    describing: list[bytes] = []

    def set_aside(header: re.Match[bytes]) -> bytes:
        describing.append(header.group().rstrip(b"\r\n") + b"\r\n")
        return b""

    rest = DESCRIBING.sub(set_aside, head + b"\r\n")
    described = b"".join(describing)
    own = email.message_from_bytes(described[:MOST_DESCRIBING])
    is_odd = len(described) > MOST_DESCRIBING
    boundary, is_all = _boundary(body)
    if boundary is not None and (is_odd or not _is_multipart(own, boundary) or _may_add(own, body)):
        yield Other(content=rest + b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n' + body)
    if is_all:
        return
    for one in _singles(body, own):
        if is_odd or not _is_single(own, one, body):
            text = f"Content-Type: {one.kind}; charset={one.charset}{'; format=flowed' if one.is_flowed else ''}\r\n"
            text += f"Content-Transfer-Encoding: {one.encoding or '8bit'}\r\n\r\n"
            yield Other(content=rest + text.encode("ascii") + body, is_loose=one.is_loose)


def _may_add(own: Headers, body: bytes) -> bool:
    """Whether parts that are said to be a choice of one body may be texts beside it: there are more than two, or one is a file."""
    return own.get_content_type() == "multipart/alternative" and (
        len(TEXT.findall(body)) > MOST_CHOICES or NAMED.search(body) is not None
    )


def _boundary(body: bytes) -> tuple[bytes | None, bool]:
    """The outermost boundary that a body is written with, and whether all of the body stands within it."""
    lines = []
    for number, one in enumerate(DELIMITER.finditer(body)):
        if number >= MOST_DELIMITERS:
            break
        lines.append(one)
    closed = {one[1][:-2]: one for one in lines if one[1].endswith(b"--")}
    for one in lines:
        end, before = closed.get(one[1]), body[: one.start()].strip()
        is_first = not before or PREAMBLE.fullmatch(before) is not None
        if b'"' in one[1] or b"\\" in one[1] or not PART_HEADER.match(body, one.end()):
            continue
        if end is not None and end.start() > one.start():
            return one[1], is_first and not body[end.end() :].strip()
        if is_first and end is None and TYPED.match(body, one.end()):
            return one[1], True  # some mailers forget to close
    return None, False


def _is_multipart(own: Headers, boundary: bytes) -> bool:
    """Whether the mail's own headers have it read by that boundary. In a digest parts without a type would be whole mails."""
    kind = own.get_content_type()
    try:
        named = (own.get_boundary() or "").encode()
    except ENGINE_FAULTS:
        return False
    return kind.startswith("multipart/") and kind != "multipart/digest" and named == boundary


def _singles(body: bytes, own: Headers) -> Iterator[_Single]:
    """The descriptions as one text that a body fits."""
    for encoding, is_unlikely in _encodings(body):
        octets = _decoded(body, encoding)
        for charset, is_odd in _charsets(octets, own):
            is_loose = is_unlikely or is_odd
            kinds = _kinds(octets.decode("utf-8", "replace"))
            for kind in kinds:
                yield _Single(kind=kind, encoding=encoding, charset=charset, is_loose=is_loose)
            if PLAIN in kinds:
                yield _Single(kind=PLAIN, encoding=encoding, charset=charset, is_flowed=True, is_loose=True)


def _encodings(body: bytes) -> tuple[tuple[str, bool], ...]:
    """The transfer encodings that a body can be written in, and whether each fits only loosely."""
    if b" " not in body.strip() and len(packed := b"".join(body.split())) >= LEAST_BASE64 and _are_packed(body):
        try:
            octets = base64.b64decode(packed, validate=True)
        except binascii.Error:
            octets = b"\0"
        if not CONTROL.search(octets):
            # A line of letters may be both by chance; many lines of them are no text that anybody writes.
            is_sure = len(packed) >= SURE_BASE64 or _is_utf8(octets)
            return (("base64", False),) if is_sure else (("base64", False), ("", True))
    escapes = body.count(b"=")
    if not escapes or len(ESCAPED.findall(body)) < escapes:
        return (("", False),)
    marks = 2 if ENCODED.search(body) else len(ENCODERS.findall(body))
    if not marks:
        return (("", False),)
    return (("quoted-printable", False),) if marks > 1 else (("quoted-printable", False), ("", True))


def _are_packed(body: bytes) -> bool:
    return all(BASE64_LINE.fullmatch(line) for line in body.split())


def _decoded(body: bytes, encoding: str) -> bytes:
    if encoding == "base64":
        return base64.b64decode(b"".join(body.split()))
    return quopri.decodestring(body) if encoding else body


def _charsets(octets: bytes, own: Headers) -> Iterator[tuple[str, bool]]:
    """The charsets that octets can be text in, and whether each fits only loosely."""
    if octets.isascii():
        yield ("iso-2022-jp" if SEVEN_BIT.search(octets) else "utf-8"), False
        return
    if _is_utf8(octets):
        yield "utf-8", False
        return
    # Nearly all charsets have digits and letters where ASCII has them, and then the mail's own is as good as any other. Those of
    # East Asia take some for halves of characters: read as another, a letter would stand before a code that is not of it.
    charset = _charset(own)
    yield ("windows-1252" if charset in WITHOUT_ASCII or charset == "utf-8" else charset), False
    if charset in WIDE:
        if charset not in WITHOUT_ASCII and not _decodes(octets, charset):
            yield "windows-1252", True
    elif any(len(run) % 2 for run in RUNS.findall(octets)):
        for other in HALVING:
            if _decodes(octets, other):
                yield other, True


def _is_utf8(octets: bytes) -> bool:
    return _decodes(octets, "utf-8")


def _decodes(octets: bytes, charset: str) -> bool:
    try:
        octets.decode(charset)
    except UnicodeDecodeError:
        return False
    return True


def _charset(own: Headers) -> str:
    """The charset that the mail's own headers name, as `decode` takes it."""
    try:
        name = (own.get_content_charset("") or "utf-8").replace("_", "-")
    except ENGINE_FAULTS:
        return "utf-8"
    name = ALIASES.get(name, name)
    return name if re.fullmatch(r"[a-z0-9-]{1,40}", name) else "utf-8"


def _kinds(text: str) -> tuple[str, ...]:
    """What a text can be: a page where all of it stands in tags, either where tags stand in it, plain where none does."""
    if not TAGS.search(text):
        return (PLAIN,)
    bare = text.strip().lstrip("\ufeff")
    return (HTML,) if TAGS.match(bare) and bare.endswith(">") else (PLAIN, HTML)


def _is_single(own: Headers, one: _Single, body: bytes) -> bool:
    """Whether the mail's own headers have it read exactly so."""
    kind = own.get_content_type()
    try:
        is_file = bool(own.get_filename("")) or own.get_content_disposition() == "attachment"
    except ENGINE_FAULTS:
        return False
    if kind != one.kind or is_file:
        return False
    octets = _decoded(body, one.encoding)
    is_flowed = kind == PLAIN and "flowed" in str(own.get("content-type", "")).lower()
    if is_flowed != one.is_flowed and OPEN_LINE.search(octets):
        return False
    encoding = str(own.get("content-transfer-encoding", "")).strip().lower()
    encoding = encoding if encoding in ("base64", "quoted-printable") else ""
    if encoding != one.encoding and not ({encoding, one.encoding} == {"", "quoted-printable"} and b"=" not in body):
        return False
    charset = _charset(own)
    if octets.isascii() and not SEVEN_BIT.search(octets):
        return charset not in WITHOUT_ASCII
    return charset == one.charset or (one.charset == "utf-8" and charset == "ascii")
