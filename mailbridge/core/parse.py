"""Any octets become a Message: bounded work, no exception, and what was odd is named.

The engine is the standard library's; `core.dates` reads the Date header, and `core.address_list` the addresses. Around them stand limits
that were measured to be needed: nested parts raise, a header of 100,000 parameters takes seconds, and a charset can name a codec that
never ends.
"""

from __future__ import annotations

import binascii
import email.message
import quopri
import re
from collections.abc import Iterator
from dataclasses import field

from mailbridge.core.address_list import may_hold_an_address, read_author, read_recipients
from mailbridge.core.addresses import split
from mailbridge.core.charsets import decode, decode_header
from mailbridge.core.dataclass import dataclass
from mailbridge.core.dates import read_date
from mailbridge.core.head import repaired
from mailbridge.core.head_readings import settled
from mailbridge.core.kinds import is_bounce, is_listed
from mailbridge.core.limits import (
    MAX_CONTENT,
    MAX_DEPTH,
    MAX_HEADER,
    MAX_HEADER_LINES,
    MAX_HEADERS,
    MAX_PARTS,
    limited,
    split_head,
)
from mailbridge.core.mail import Body, Line, Link, Message, Page, by_name
from mailbridge.core.media import Media, plain_media
from mailbridge.core.places import Path, Places, Step
from mailbridge.core.stamps import ADDRESS_HEADERS
from mailbridge.core.text import page_from_html, page_from_plain
from mailbridge.core.tree import ENGINE_FAULTS, Part, tree_of

MAX_ATTACHED = 5
MAX_ATTACHED_DEPTH = 3
MAX_ADDED = 20
MAX_BODY = 524_288
ESCAPED = re.compile("[\udc80-\udcff]")
FOLD = re.compile(r"\r?\n[ \t]?|\r")
LF_FOLD = re.compile(r"\n[ \t]?")
"""A fold, where no CR is left: a pattern that begins with a fixed letter is looked for several times as fast."""

CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
STATEFUL = re.compile(r"(?i)iso[-_]?2022|utf[-_]?16")
BLANK_CONTROLS = bytes(32 if (octet < 32 and octet not in b"\t\n\r") or octet == 127 else octet for octet in range(256))
NO_CONTROLS = bytes(octet for octet in range(256) if BLANK_CONTROLS[octet] == octet)
ID = re.compile(r"<([^<>\s]{1,512})>")
TEXTS = ("text/plain", "text/html")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Manner:
    """How a part wants to be read, by its own headers."""

    kind: str
    name: str = ""
    charset: str = ""
    is_flowed: bool = False
    is_delsp: bool = False


def parse(content: bytes) -> Message:
    """Total: any octets give a Message; ``defects`` names what was cut, repaired or refused."""
    return _parse(content, attached_depth=0)


def _parse(content: bytes, *, attached_depth: int) -> Message:
    defects: dict[str, None] = {}
    content = limited(content, defects)
    is_sound = not defects
    content, disputed = _with_mended_head(content, defects)
    try:
        tree = tree_of(content, is_sound=is_sound)
    except ENGINE_FAULTS:
        defects["unparsable"] = None
        return Message(plain=page_from_plain(decode(content[:MAX_BODY], "utf-8")[0]), defects=tuple(defects))
    return _read(tree, defects, attached_depth=attached_depth, disputed=disputed)


def _with_mended_head(content: bytes, defects: dict[str, None]) -> tuple[bytes, frozenset[str]]:
    """The content with a head that the engine reads to its end, and the names of headers whose two readings name different mailboxes."""
    head, separator, body = split_head(content)
    found = repaired(head, defects)
    if found is None:
        return content, frozenset()
    switched, disputed = settled(found)
    if disputed:
        defects["two-readings"] = None
    return found.octets(switched) + separator + body, disputed


def _read(
    tree: email.message.Message, defects: dict[str, None], *, attached_depth: int, disputed: frozenset[str] = frozenset()
) -> Message:
    headers: list[tuple[str, str]] = []
    written: list[tuple[str, str]] = []
    typed: dict[str, list[str]] = {"from": [], "to": []}
    for name, value in _headers(tree, defects):
        headers.append((name, _shown(value, defects)))
        key = name.lower()
        if key in ADDRESS_HEADERS:
            written.append((key, value))
        elif key in typed:
            typed[key].append(value)
    named = by_name(headers)
    to, is_to_unclear = _recipients(typed["to"], defects)
    found = _bodies(tree, defects, attached_depth=attached_depth)
    sender, sender_name = _sender(typed["from"], defects) if "from" not in disputed else ("", "")
    return Message(
        headers=tuple(headers),
        written=tuple(written),
        subject=_first(named, "subject"),
        sender=sender,
        sender_name=sender_name,
        to=to,
        is_to_unclear=is_to_unclear,
        is_twofold=bool(disputed),
        message_id=_message_id(named),
        date=read_date(_first(named, "date"), defects),
        plain=found.plain,
        html_body=found.html,
        attached=tuple(found.attached),
        added=tuple(found.added),
        defects=tuple(defects),
        is_bounce=is_bounce(named, sender),
        has_calendar=found.has_calendar,
        is_listed=is_listed(named),
        has_files=found.has_files,
    )


def _headers(tree: email.message.Message, defects: dict[str, None]) -> list[tuple[str, str]]:
    """Names and values, unfolded; encoded words as they are, since an address may not hide in one (RFC 2047 5)."""
    found = []
    budget = MAX_HEADERS
    for name, raw in list(tree.raw_items())[:MAX_HEADER_LINES]:
        value = str(raw)
        if len(value) > MAX_HEADER or len(value) > budget:
            defects["headers-cut"] = None
            value = value[: min(MAX_HEADER, budget)]
        budget -= len(value)
        if not value.isascii() and ESCAPED.search(value):
            value, fault = decode(value.encode("utf-8", "surrogateescape"), "utf-8")
            defects[fault or "raw-8bit-header"] = None
        found.append((name, _unfolded(value) if "\n" in value or "\r" in value else value))
        if budget <= 0:
            break
    return found


def _unfolded(value: str) -> str:
    """A header's value in one line, a blank for each fold (RFC 5322, 2.2.3)."""
    plain = value.replace("\r\n", "\n")
    return LF_FOLD.sub(" ", plain) if "\r" not in plain else FOLD.sub(" ", value)


def _shown(value: str, defects: dict[str, None]) -> str:
    """A header's value as a person sees it: encoded words read, no control characters."""
    if value.isascii() and value.isprintable() and "=?" not in value:
        return value.strip()
    text, fault = decode_header(value)
    if fault:
        defects[fault] = None
    if not text.isprintable() and CONTROLS.search(text) is not None:
        defects["control-in-header"] = None
        text = CONTROLS.sub(" ", text)
    return text.strip()


def _first(named: dict[str, list[str]], name: str) -> str:
    found = named.get(name)
    return found[0] if found else ""


def _sender(values: list[str], defects: dict[str, None]) -> tuple[str, str]:
    """The one address of the one From header; anything else is nobody (CVE-2023-27043: never the parser's best guess)."""
    if len(values) != 1:
        defects["no-from" if not values else "several-from"] = None
        return "", ""
    found = read_author(values[0])
    if not found.entries:
        defects["bad-from"] = None
    defects.update(dict.fromkeys(f"from-{defect}" for defect in found.defects))
    if not found.entries:
        return "", ""
    local, domain = split(found.entries[0].address)
    return f"{local}@{domain.lower()}", _shown(found.entries[0].name, defects)


def _recipients(values: list[str], defects: dict[str, None]) -> tuple[tuple[str, ...], bool]:
    """The To header's mailboxes, and whether it names somebody beside them who could not be read.

    A To that names nobody at all (``undisclosed-recipients:;``, or words without an address) is not unclear.
    """
    found: dict[str, None] = {}
    is_unclear = False
    for value in values:
        read = read_recipients(value)
        found.update(dict.fromkeys(read.addresses))
        defects.update(dict.fromkeys([f"to-{defect}" for defect in read.defects]))
        is_unclear = is_unclear or (len(read.entries) < max(read.count, 1) and may_hold_an_address(value))
    return tuple(found), is_unclear


def _message_id(named: dict[str, list[str]]) -> str:
    value = _first(named, "message-id")
    found = ID.search(value)
    return found[1] if found else value[:512]


@dataclass(slots=True, kw_only=True)
class _Bodies:
    """What the parts of a mail hold."""

    plain: Page | None = None
    html: Body | None = None
    attached: list[Message] = field(default_factory=list)
    added: list[tuple[Page | None, Body | None]] = field(default_factory=list)
    has_calendar: bool = False
    has_files: bool = False


def _bodies(tree: email.message.Message, defects: dict[str, None], *, attached_depth: int) -> _Bodies:
    found = _Bodies()
    plain: list[Page] = []
    html: list[str] = []
    kept_back = False
    budget = MAX_BODY
    places = Places()
    for part, path in _walk(tree, defects):
        manner = _manner(part, defects)
        if _attach(part, manner, defects, found, attached_depth=attached_depth):
            continue
        disposition = part.get_content_disposition()
        is_attachment = disposition == "attachment"
        found.has_calendar = found.has_calendar or manner.kind == "text/calendar"
        found.has_files = found.has_files or is_attachment
        if manner.kind not in TEXTS or is_attachment or budget <= 0:
            kept_back = kept_back or (manner.kind in TEXTS and is_attachment)
            continue
        text = _text(part, manner, defects, budget)
        budget -= len(text)
        if places.is_added(path, manner.kind, is_file=_is_file(part, disposition), is_placed=disposition is not None):
            if len(found.added) < MAX_ADDED:
                found.added.append(_added(text, manner.kind))
        elif manner.kind == "text/html":
            html.append(text)
        else:
            plain.append(page_from_plain(text))
    if kept_back and not plain and not html:
        defects["body-as-attachment"] = None
    if html:
        found.html = Body(lambda: _joined([page_from_html(text) for text in html]) or Page(), source="\n".join(html))
    found.plain = _joined(plain)
    return found


def _is_file(part: email.message.Message, disposition: str | None) -> bool:
    """Whether a part is shown in its place and is a file all the same (RFC 2183 2.3)."""
    if disposition is None:
        return False
    try:
        return bool(part.get_param("filename", "", "content-disposition"))
    except ENGINE_FAULTS:
        return True


def _added(text: str, kind: str) -> tuple[Page | None, Body | None]:
    """A further text of a mail, as plain text or as HTML."""
    if kind == "text/html":
        return None, Body(lambda: page_from_html(text), source=text)
    return page_from_plain(text), None


def _attach(
    part: email.message.Message, manner: _Manner, defects: dict[str, None], found: _Bodies, *, attached_depth: int
) -> bool:
    """Whether a part is a mail of its own; it is read and kept, as far as the limits allow."""
    inner = _attached_mail(part, manner, defects)
    if inner is None:
        return False
    if attached_depth >= MAX_ATTACHED_DEPTH or len(found.attached) >= MAX_ATTACHED:
        defects["too-many-attached"] = None
    elif isinstance(inner, bytes):
        found.attached.append(_parse(inner, attached_depth=attached_depth + 1))
    else:
        found.attached.append(_read(inner, {}, attached_depth=attached_depth + 1))
    return True


def _walk(tree: email.message.Message, defects: dict[str, None]) -> Iterator[tuple[email.message.Message, Path]]:
    """Every leaf in order with its place, without recursion; message/rfc822 counts as a leaf."""
    stack: list[tuple[email.message.Message, int, Path]] = [(tree, 0, ())]
    seen = 0
    while stack:
        part, depth, path = stack.pop()
        seen += 1
        if seen > MAX_PARTS or depth > MAX_DEPTH:
            defects["too-many-parts"] = None
            return
        payload = _raw(part)
        kind = _kind(part) if isinstance(payload, list) else ""
        if isinstance(payload, list) and kind != "message/rfc822":
            is_choice = kind == "multipart/alternative"
            inner = [(one, (*path, Step(seen, number, is_choice))) for number, one in enumerate(payload)]
            stack.extend((one, depth + 1, way) for one, way in reversed(inner) if isinstance(one, email.message.Message))
        else:
            yield part, path


def _media(part: email.message.Message) -> Media | None:
    return part.media if isinstance(part, Part) else plain_media(part)


def _kind(part: email.message.Message) -> str:
    media = _media(part)
    return part.get_content_type() if media is None else media.kind


def _manner(part: email.message.Message, defects: dict[str, None]) -> _Manner:
    media = _media(part)
    if media is not None and media.kind in TEXTS:
        return _Manner(kind=media.kind, charset=media.charset)
    kind = part.get_content_type()
    if kind.startswith("multipart/"):
        defects["no-parts"] = None
        kind = "text/plain"
    try:
        name = part.get_filename("") if kind not in TEXTS else ""
        charset = part.get_content_charset("") if kind in TEXTS else ""
        is_flowable = kind == "text/plain" and "flowed" in str(part.get("content-type", "")).lower()
        is_flowed = is_flowable and str(part.get_param("format", "")).lower() == "flowed"
        is_delsp = is_flowed and str(part.get_param("delsp", "")).lower() == "yes"
    except ENGINE_FAULTS:
        defects["bad-content-type"] = None
        return _Manner(kind=kind)
    return _Manner(kind=kind, name=str(name), charset=charset, is_flowed=is_flowed, is_delsp=is_delsp)


def _attached_mail(
    part: email.message.Message, manner: _Manner, defects: dict[str, None]
) -> email.message.Message | bytes | None:
    """A mail that is attached: as message/rfc822, as the engine has read it or encoded against RFC 2046 5.2.1, or as a file."""
    payload = _raw(part)
    if manner.kind == "message/rfc822" and isinstance(payload, list) and payload:
        inner = payload[0]
        if not isinstance(inner, email.message.Message):
            return None
        encoding = str(part.get("content-transfer-encoding", "")).strip().lower()
        if not inner.keys() and isinstance(_raw(inner), str):
            return _decoded(_payload(inner), encoding, defects)[:MAX_CONTENT]
        return inner
    if manner.name.lower().endswith(".eml"):
        return _octets(part, defects)[:MAX_CONTENT]
    return None


def _text(part: email.message.Message, manner: _Manner, defects: dict[str, None], budget: int) -> str:
    octets = _octets(part, defects)[: budget * 4]
    if not STATEFUL.match(manner.charset) and octets.translate(None, NO_CONTROLS):  # there they are parts of characters
        defects["control-in-body"] = None
        octets = octets.translate(BLANK_CONTROLS)
    text, fault = decode(octets, manner.charset)
    if fault:
        defects[fault] = None
    if len(text) > budget:
        defects["html-cut" if manner.kind == "text/html" else "text-cut"] = None
        text = text[:budget]
    return _unflowed(text, is_delsp=manner.is_delsp) if manner.is_flowed else text


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
            kept = re.sub(rb"[^A-Za-z0-9+/]", b"", raw.partition(b"=")[0])  # what stands after the padding is somebody's footer
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
    is_bare = any(page.bare is not None for page in pages)
    for page in pages:
        lines += page.lines
        hidden += page.hidden
        links += page.links
        images += page.images
    bare = Body(lambda: _joined([page if page.bare is None else page.bare.page for page in pages]) or Page()) if is_bare else None
    return Page(lines=tuple(lines), hidden=tuple(hidden), links=tuple(links), images=tuple(images), bare=bare)
