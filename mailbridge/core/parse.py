"""Any octets become a Message: bounded work, no exception, and what was odd is named.

The engine is the standard library's; mail-parser reads the address and date headers, which it does more carefully than the
library. Around both stand limits that were measured to be needed: nested parts raise, a header of 100,000 parameters takes
seconds, and a charset can name a codec that never ends.
"""

from __future__ import annotations

import binascii
import email
import email.message
import quopri
import re
from collections.abc import Iterator
from datetime import datetime

from mailparser.dates import parse_mail_date
from mailparser.utils import get_addresses

from mailbridge.core.addresses import parse_mailbox, split
from mailbridge.core.charsets import decode, decode_header
from mailbridge.core.mail import Body, Line, Link, Message, Page
from mailbridge.core.text import page_from_html, page_from_plain

MAX_CONTENT = 1_048_576
"""Octets of a mail that are looked at; code mails are a few kB, and what is beyond are attachments' tails."""

MAX_HEADERS = 262_144
MAX_HEADER_LINES = 2_000
MAX_HEADER = 16_384
MAX_LINES = 100_000
MAX_PARTS = 200
MAX_DEPTH = 20
MAX_ATTACHED = 5
MAX_ATTACHED_DEPTH = 3
MAX_BODY = 524_288
MAX_MIME_HEADER = 4_096
MAX_PARAMETERS = 40
"""Limits of a Content-… header in octets and semicolons: the engine's reading of parameters is quadratic."""

BOUNDARY = re.compile(rb"(?i)\bboundary\s*=")
ATTACHED_MAIL = re.compile(rb"(?i)\bmessage\s{0,9}/\s{0,9}[a-z0-9.+-]+")
OTHER_MESSAGE = re.compile(rb"(?i)\bmessage\s{0,9}/\s{0,9}(?!rfc822\b)[a-z0-9.+-]+")
MIME_HEADER = re.compile(rb"(?im)^content-[a-z-]{1,40}[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*")
BARE_LF = re.compile(rb"(?<!\r)\n")
ESCAPED = re.compile("[\udc80-\udcff]")
FOLD = re.compile(r"\r?\n[ \t]?|\r")
CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
ID = re.compile(r"<([^<>\s]{1,512})>")
SIMPLE_ADDRESS = re.compile(
    r"(?:([A-Za-z0-9 _-]{0,100}?) ?<([A-Za-z0-9.+_-]{1,64}@[A-Za-z0-9.-]{1,253})>|([A-Za-z0-9.+_-]{1,64}@[A-Za-z0-9.-]{1,253}))"
)
"""``Name <address>`` or a bare address, of characters that mean nothing else in any address syntax."""

TEXTS = ("text/plain", "text/html")


def parse(content: bytes) -> Message:
    """Total: any octets give a Message; ``defects`` names what was cut, mended or refused."""
    return _parse(content, attached_depth=0)


def _parse(content: bytes, *, attached_depth: int) -> Message:
    defects: dict[str, None] = {}
    content = _tamed(content, defects)
    try:
        tree = email.message_from_bytes(content)
    except (RecursionError, ValueError, IndexError, TypeError, AttributeError, LookupError, AssertionError):
        defects["unparsable"] = None
        return Message(plain=page_from_plain(decode(content[:MAX_BODY], "utf-8")[0]), defects=tuple(defects))
    return _read(tree, defects, attached_depth=attached_depth)


def _read(tree: email.message.Message, defects: dict[str, None], *, attached_depth: int) -> Message:
    headers = tuple(_headers(tree, defects))
    plain, html, attached = _bodies(tree, defects, attached_depth=attached_depth)
    sender, sender_name = _sender(headers, defects)
    return Message(
        headers=headers,
        subject=_first(headers, "subject"),
        sender=sender,
        sender_name=sender_name,
        to=_recipients(headers),
        message_id=_message_id(headers),
        date=_date(headers, defects),
        plain=plain,
        html_body=html,
        attached=attached,
        defects=tuple(defects),
    )


def _tamed(content: bytes, defects: dict[str, None]) -> bytes:
    """The part of the octets that is worth reading, with honest line ends."""
    if len(content) > MAX_CONTENT:
        defects["truncated"] = None
        content = content[:MAX_CONTENT]
    if b"\0" in content:
        defects["nul"] = None
        content = content.replace(b"\0", b"")
    line_ends = content.count(b"\r\n")
    if content.count(b"\r") != line_ends:
        # A bare CR is no line end (RFC 5321 2.3.8), but Python's parser takes it for one: a header could be hidden behind it.
        defects["bare-cr"] = None
        content = re.sub(rb"\r(?!\n)", b" ", content)
    lines = content.count(b"\n")
    if line_ends and lines != line_ends:
        defects["bare-lf"] = None
        content = _without_bare_lf(content)
    if lines > MAX_LINES:
        defects["too-many-lines"] = None
        content = b"\n".join(content.split(b"\n", MAX_LINES)[:MAX_LINES])
    head, separator, body = _split(content)
    if len(head) > MAX_HEADERS or head.count(b"\n") > MAX_HEADER_LINES or _longest_line(head) > MAX_HEADER:
        defects["headers-cut"] = None
        head = _cut_headers(head)
    if body.count(b"\n--") > MAX_PARTS * 4 or _is_nested(content):
        defects["too-many-parts"] = None
        head, body = _without_structure(head), _without_structure(body)
    return _with_short_mime_headers(head, defects) + separator + _with_short_mime_headers(body, defects)


def _without_bare_lf(content: bytes) -> bytes:
    """A bare LF ends no line (RFC 5321 2.3.8). In a header of a mail with honest line ends it is a blank, since somebody may have
    put it there to add a header of his own; in a body, where it only breaks a line, it stays."""
    head, separator, body = content.partition(b"\r\n\r\n")
    return BARE_LF.sub(b" ", head) + separator + body if separator else content


def _with_short_mime_headers(octets: bytes, defects: dict[str, None]) -> bytes:
    """What names a part's type, in the mail's head or in a part's, and is longer than any honest one is cut.

    Of the message types only a whole mail is read: a delivery status holds no code, and may have 100,000 blocks.
    """

    def cut(found: re.Match[bytes]) -> bytes:
        line = OTHER_MESSAGE.sub(b"application/octet-stream", found.group())
        if len(line) <= MAX_MIME_HEADER and line.count(b";") <= MAX_PARAMETERS:
            return line
        defects["headers-cut"] = None
        return b";".join(line[:MAX_MIME_HEADER].split(b";", MAX_PARAMETERS)[:MAX_PARAMETERS]).rstrip(b"\r\n")

    return MIME_HEADER.sub(cut, octets)


def _is_nested(content: bytes) -> bool:
    """Whether it names more boundaries or attached mails than any honest mail; the cheap count comes first."""
    folded = content.lower()
    return (folded.count(b"boundary") > MAX_DEPTH and len(BOUNDARY.findall(content)) > MAX_DEPTH) or (
        folded.count(b"message") > MAX_DEPTH and len(ATTACHED_MAIL.findall(content)) > MAX_DEPTH
    )


def _split(content: bytes) -> tuple[bytes, bytes, bytes]:
    found = re.search(rb"\r?\n\r?\n", content)
    if found is None:
        return content, b"", b""
    return content[: found.start()], found.group(), content[found.end() :]


def _longest_line(head: bytes) -> int:
    return max((len(line) for line in head.split(b"\n")), default=0)


def _cut_headers(head: bytes) -> bytes:
    """Every header up to its limit, the first of them up to theirs."""
    kept: list[bytes] = []
    size = 0
    for line in head.split(b"\n")[:MAX_HEADER_LINES]:
        short = line if len(line) <= MAX_HEADER else line[:MAX_HEADER]
        size += len(short) + 1
        if size > MAX_HEADERS:
            break
        kept.append(short)
    return b"\n".join(kept)


def _without_structure(body: bytes) -> bytes:
    """Take the teeth out of a body that is all boundaries: the engine recurses once for each level of nesting."""
    return BOUNDARY.sub(b"x-cut=", ATTACHED_MAIL.sub(b"text/plain", body))


def _headers(tree: email.message.Message, defects: dict[str, None]) -> Iterator[tuple[str, str]]:
    budget = MAX_HEADERS
    for name, raw in list(tree.raw_items())[:MAX_HEADER_LINES]:
        whole = str(raw)
        value = whole[: min(MAX_HEADER, budget)]
        if len(whole) > len(value):
            defects["headers-cut"] = None
        budget -= len(value)
        if not value.isascii() and ESCAPED.search(value):
            value, fault = decode(value.encode("utf-8", "surrogateescape"), "utf-8")
            defects[fault or "raw-8bit-header"] = None
        text, fault = decode_header(FOLD.sub(" ", value))
        if fault:
            defects[fault] = None
        seen = CONTROLS.sub(" ", text)
        if seen != text:
            defects["control-in-header"] = None
        yield name, seen.strip()
        if budget <= 0:
            return


def _first(headers: tuple[tuple[str, str], ...], name: str) -> str:
    return next((value for key, value in headers if key.casefold() == name), "")


def _addresses(value: str, defects: list[dict[str, object]]) -> list[tuple[str, str]]:
    simple = SIMPLE_ADDRESS.fullmatch(value)
    if simple is not None:  # what nearly every mail has needs no parser
        return [(simple[1] or "", simple[2] or simple[3])]
    try:
        found: list[tuple[str, str]] = get_addresses(value, defects=defects)
    except (ValueError, IndexError, TypeError, AttributeError, RecursionError, LookupError):
        defects.append({"reason": "unreadable"})
        return []
    return found


def _sender(headers: tuple[tuple[str, str], ...], defects: dict[str, None]) -> tuple[str, str]:
    """The one address of the one From header; anything else is nobody (CVE-2023-27043: never the parser's best guess)."""
    values = [value for key, value in headers if key.casefold() == "from"]
    if len(values) != 1:
        defects["no-from" if not values else "several-from"] = None
        return "", ""
    faults: list[dict[str, object]] = []
    found = _addresses(values[0], faults)
    mailbox = parse_mailbox(found[0][1]) if len(found) == 1 and not faults else None
    if mailbox is None:
        defects["bad-from"] = None
        return "", ""
    local, domain = split(mailbox)
    return f"{local}@{domain.lower()}", found[0][0]


def _recipients(headers: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for key, value in headers:
        if key.casefold() == "to":
            for _, address in _addresses(value, [])[:100]:
                mailbox = parse_mailbox(address)
                if mailbox is not None:
                    found[mailbox] = None
    return tuple(found)


def _message_id(headers: tuple[tuple[str, str], ...]) -> str:
    value = _first(headers, "message-id")
    found = ID.search(value)
    return found[1] if found else value[:512]


def _date(headers: tuple[tuple[str, str], ...], defects: dict[str, None]) -> datetime | None:
    value = _first(headers, "date")
    if not value:
        return None
    try:
        moment: datetime | None = parse_mail_date(value[:200]).value
    except (ValueError, OverflowError, TypeError, AttributeError, IndexError):
        moment = None
    if moment is None or moment.tzinfo is None:
        defects["bad-date"] = None
        return None
    return moment


def _bodies(
    tree: email.message.Message, defects: dict[str, None], *, attached_depth: int
) -> tuple[Page | None, Body | None, tuple[Message, ...]]:
    plain: list[Page] = []
    html: list[str] = []
    attached: list[Message] = []
    budget = MAX_BODY
    for part in _walk(tree, defects):
        kind = part.get_content_type()
        inner = _attached_mail(part, kind, defects)
        if inner is not None:
            if attached_depth < MAX_ATTACHED_DEPTH and len(attached) < MAX_ATTACHED:
                if isinstance(inner, bytes):
                    attached.append(_parse(inner, attached_depth=attached_depth + 1))
                else:
                    attached.append(_read(inner, {}, attached_depth=attached_depth + 1))
            else:
                defects["too-many-attached"] = None
            continue
        if kind not in TEXTS or part.get_content_disposition() == "attachment" or budget <= 0:
            continue
        text = _text(part, defects, budget)
        budget -= len(text)
        if kind == "text/html":
            html.append(text)
        else:
            plain.append(page_from_plain(text))
    body = Body(lambda: _joined([page_from_html(text) for text in html]) or Page()) if html else None
    return _joined(plain), body, tuple(attached)


def _walk(tree: email.message.Message, defects: dict[str, None]) -> Iterator[email.message.Message]:
    """Every leaf in order, without recursion; message/rfc822 counts as a leaf."""
    stack = [(tree, 0)]
    seen = 0
    while stack:
        part, depth = stack.pop()
        seen += 1
        if seen > MAX_PARTS or depth > MAX_DEPTH:
            defects["too-many-parts"] = None
            return
        payload = _raw(part)
        if part.is_multipart() and part.get_content_type() != "message/rfc822" and isinstance(payload, list):
            stack.extend((one, depth + 1) for one in reversed(payload) if isinstance(one, email.message.Message))
        else:
            yield part


def _attached_mail(part: email.message.Message, kind: str, defects: dict[str, None]) -> email.message.Message | bytes | None:
    """A mail that is attached: as message/rfc822, as the engine has read it or encoded against RFC 2046 5.2.1, or as a file."""
    payload = _raw(part)
    if kind == "message/rfc822" and isinstance(payload, list) and payload:
        inner = payload[0]
        if not isinstance(inner, email.message.Message):
            return None
        encoding = str(part.get("content-transfer-encoding", "")).strip().lower()
        if encoding in ("base64", "quoted-printable") and not inner.keys():
            return _decoded(_payload(inner), encoding, defects)[:MAX_CONTENT]
        return inner
    name = part.get_filename() or ""
    if kind not in TEXTS and isinstance(name, str) and name.lower().endswith(".eml"):
        return _octets(part, defects)[:MAX_CONTENT]
    return None


def _text(part: email.message.Message, defects: dict[str, None], budget: int) -> str:
    octets = _octets(part, defects)
    try:
        charset = part.get_content_charset() or ""
        is_flowable = "flowed" in str(part.get("content-type", "")).lower()
        is_flowed = is_flowable and str(part.get_param("format", "")).lower() == "flowed"
        is_delsp = is_flowed and str(part.get_param("delsp", "")).lower() == "yes"
    except (ValueError, IndexError, TypeError, AttributeError, LookupError, UnicodeError):
        charset, is_flowed, is_delsp = "", False, False
        defects["bad-content-type"] = None
    text, fault = decode(octets[: budget * 4], charset)
    if fault:
        defects[fault] = None
    text = text[:budget]
    return _unflowed(text, is_delsp=is_delsp) if is_flowed and part.get_content_type() == "text/plain" else text


def _octets(part: email.message.Message, defects: dict[str, None]) -> bytes:
    """A part's payload with its transfer encoding undone; broken base64 gives what can be saved."""
    return _decoded(_payload(part), str(part.get("content-transfer-encoding", "")).strip().lower(), defects)


def _raw(part: email.message.Message) -> object:
    """What the engine has put into a part: a list of parts, or text with every octet over 127 escaped.

    The engine's own `get_payload` decodes such text by whatever codec the mail names, however long that takes.
    """
    payload: object = part._payload  # type: ignore[attr-defined]  # noqa: SLF001
    return payload


def _payload(part: email.message.Message) -> bytes:
    payload = _raw(part)
    return payload.encode("utf-8", "surrogateescape") if isinstance(payload, str) else b""


def _decoded(raw: bytes, encoding: str, defects: dict[str, None]) -> bytes:
    if encoding == "base64":
        try:
            return binascii.a2b_base64(raw)
        except binascii.Error:
            defects["bad-base64"] = None
            kept = re.sub(rb"[^A-Za-z0-9+/]", b"", raw)
            kept = kept[: len(kept) - len(kept) % 4]
            return binascii.a2b_base64(kept)
    if encoding == "quoted-printable":
        return quopri.decodestring(raw)
    if encoding not in ("", "7bit", "8bit", "binary"):
        defects["unknown-encoding"] = None
    return raw


def _unflowed(text: str, *, is_delsp: bool) -> str:
    """format=flowed (RFC 3676): a line that ends in a blank goes on in the next, signatures and quotes excepted."""
    pieces: list[str] = []
    is_open = False
    for line in text.splitlines():
        if pieces and not (is_open and not line.startswith(">")):
            pieces.append("\n")
        is_open = line.endswith(" ") and line != "-- "
        pieces.append(line[:-1] if is_open and is_delsp else line)
    return "".join(pieces)


def _joined(pages: list[Page]) -> Page | None:
    if len(pages) <= 1:
        return pages[0] if pages else None
    lines: list[Line] = []
    hidden: list[str] = []
    links: list[Link] = []
    images: list[str] = []
    for page in pages:
        lines += page.lines
        hidden += page.hidden
        links += page.links
        images += page.images
    return Page(lines=tuple(lines), hidden=tuple(hidden), links=tuple(links), images=tuple(images))
