"""Parses what a server says: one response with its literals, and the items of a FETCH (RFC 3501 7)."""

from __future__ import annotations

import re
from dataclasses import field
from datetime import datetime

from mailbridge.core.dataclass import dataclass
from mailbridge.ingress.imap.faults import Kind, MailboxFault

LITERAL = re.compile(rb"\{(\d{1,10})\}\r\n\Z")
TOKEN = re.compile(rb'\s*(?:(\()|(\))|"((?:[^"\\]|\\.)*)"|~?\{(\d+)\}\r\n|([^\s()"{]+))')
NUMBERED = re.compile(rb"(\d{1,10}) ([A-Z]+)\b ?", re.IGNORECASE)
UID = re.compile(rb"\(?\bUID (\d{1,10})\b", re.IGNORECASE)
BODY = re.compile(rb"(?:BODY(?:\.PEEK)?\[\](?:<\d+(?:\.\d+)?>)?|RFC822)\Z", re.IGNORECASE)
"""Names under which a mail is returned: those of RFC 3501 7.4.2, or those of the request."""
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One response. ``tag`` is ``*``, ``+`` or that of a command. ``text`` is the rest without its line end and without
    literals (their ``{n}`` CRLF stays in its place)."""

    tag: bytes
    text: bytes = field(repr=False)
    literals: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def numbered(self) -> tuple[int, bytes]:
        """Number and name of a response such as ``23 EXISTS``; ``(0, b"")`` for any other."""
        found = NUMBERED.match(self.text) if self.tag == b"*" else None
        return (int(found[1]), found[2].upper()) if found else (0, b"")

    @property
    def status(self) -> bytes:
        """The first word: ``OK``, ``NO``, ``BAD``, ``BYE`` …"""
        return self.text.partition(b" ")[0].upper()

    def code(self, name: bytes) -> bytes | None:
        """The argument of a response code such as ``[UIDVALIDITY 7]``; ``b""`` if it has none, None if the code is not there."""
        found = re.search(rb"\[" + re.escape(name) + rb"(?: ([^\]]*))?\]", self.text, re.IGNORECASE)
        return None if found is None else found[1] or b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The result of a FETCH for one mail. ``at`` is the INTERNALDATE (aware), None if it was missing or makes no sense.
    ``content`` is the requested beginning of the mail, None if no body came."""

    uid: int
    at: datetime | None = None
    size: int = 0
    content: bytes | None = field(default=None, repr=False)
    is_whole: bool = False
    """Whether the server says that it returns the whole mail, not a requested part."""


def uid_in(text: bytes) -> int | None:
    """The UID that the beginning of a FETCH response names, even if the rest cannot be read."""
    found = UID.search(text)
    return int(found[1]) if found else None


def fetched_of(response: Response) -> Fetched | None:
    """The items of a FETCH response; None if it has no UID (a change of flags).

    Raises:
        MailboxFault: the response cannot be read.
    """
    try:
        items = _items(response)
    except MailboxFault as fault:
        fault.uid = uid_in(response.text)
        raise
    uid = number(items.get(b"UID", b""))
    if uid is None:
        return None
    name, content = next(((name, value) for name, value in items.items() if BODY.match(name)), (b"", None))
    return Fetched(
        uid=uid,
        at=internal_date(items.get(b"INTERNALDATE", b"")),
        size=number(items.get(b"RFC822.SIZE", b"")) or 0,
        content=content,
        is_whole=name != b"" and b"<" not in name,
    )


def internal_date(value: bytes) -> datetime | None:
    """The time in ``17-Jul-1996 02:44:25 -0700`` (RFC 3501, date-time), aware; None if it is invalid."""
    parts = re.fullmatch(rb"\s*(\d{1,2})-([A-Za-z]{3})-(\d{4}) (\d\d:\d\d:\d\d) ([+-]\d{4})", value)
    if parts is None:
        return None
    day, month, year, clock, zone = (part.decode("ascii") for part in parts.groups())
    try:
        return datetime.strptime(f"{day} {MONTHS.index(month.title()) + 1} {year} {clock} {zone}", "%d %m %Y %H:%M:%S %z")
    except ValueError:
        return None


def numbers_of(response: Response) -> list[int]:
    """The numbers of a SEARCH response."""
    return [found for word in response.text.split()[1:] if (found := number(word)) is not None]


def number(octets: bytes) -> int | None:
    """A number of IMAP: 32 bits, a size 63 (RFC 3501 9, RFC 9051 9). None if it is invalid."""
    return int(octets) if octets.isdigit() and len(octets) < 20 else None


def _items(response: Response) -> dict[bytes, bytes]:
    """Names and values of a FETCH's outermost list; the value of an inner list is ``b""``."""
    start = response.text.find(b"(")
    literals = iter(response.literals)
    tokens: list[bytes] = []
    depth, position = 0, max(start, 0)
    while position < len(response.text):
        found = TOKEN.match(response.text, position)
        if found is None:
            break
        position = found.end()
        opened, closed, quoted, literal, atom = found.groups()
        if opened:
            depth += 1
            if depth == 2:
                tokens.append(b"")
        elif closed:
            depth -= 1
        else:
            plain = b"" if atom is not None and atom.upper() == b"NIL" else atom
            value = next(literals, b"") if literal is not None else quoted if quoted is not None else plain
            if depth == 1:
                tokens.append(re.sub(rb"\\(.)", rb"\1", value) if quoted is not None else value)
    if start < 0 or depth != 0 or response.text[position:].strip():
        raise MailboxFault(Kind.NETWORK, "the server sent a FETCH that cannot be read")
    return {name.upper(): value for name, value in zip(tokens[::2], tokens[1::2], strict=False)}
