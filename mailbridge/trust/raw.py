"""A mail's header as it was signed: octets in their order. Nothing is repaired that could be repaired in two ways.

A signature covers octets; extraction reads what a person sees. If the two could read a mail differently (a header twice, a
malformed line, two kinds of line ends), there is no proof. `doubt` says why.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import field

from mailbridge.core.address_list import may_hold_an_address, read_author, read_recipients
from mailbridge.core.addresses import canonical, parse_sole_mailbox
from mailbridge.core.dataclass import dataclass
from mailbridge.core.head import LITERAL_FOLD, undone

MAX_CONTENT = 1_048_576
"""Octets. A larger mail is not verified. The parser reads the same number of octets."""

MAX_HEADERS = 1_000
MAX_SIGNATURE = 8_192
"""The largest signature or seal, in octets. Honest ones have up to 3,000."""

MAX_SIGNATURES = 40
"""The largest number of DKIM signatures of a mail; honest mails have up to five. With more, one could be hidden that is not
checked."""

SINGLE = (
    "from",
    "sender",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
)
"""Headers that may occur once (RFC 5322 3.6). A second one stands above the signed one and would be displayed instead.
MIME-Version is not in the list: some mailers write it twice, and nothing is read from it."""

RECIPIENTS = ("to", "cc")
MISSED = "its header has a line that the server which vouches for it may have read otherwise"
NAME = re.compile(rb"([!-9;-~]{1,200})[ \t]*:")
EMPTY = re.compile(rb"[ \t]{81}")
"""More blanks in a row than any honest signature has, including folds."""

SIGNATURES = ("dkim-signature", "arc-seal", "arc-message-signature", "arc-authentication-results")
TAG_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
FOLDED = re.compile(rb"\r\n(?=[ \t])")


@dataclass(frozen=True, slots=True, kw_only=True)
class RawMail:
    """A mail's header and content. ``headers`` are (name in lower case, value unfolded), topmost first. ``doubt`` says why no
    signature can count, or is ``""``. ``is_missed``: a server that read the mail before us may have missed one of its headers,
    so what that server says may be about a different mail."""

    content: bytes = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    doubt: str = ""
    is_missed: bool = False

    def values(self, name: str) -> tuple[str, ...]:
        """Every value of a header, topmost first."""
        return tuple(value for key, value in self.headers if key == name)

    def mailboxes(self, signed: Iterable[str], names: Iterable[str]) -> frozenset[str]:
        """The mailboxes (`canonical`) in those headers of ``names`` that an ``h=`` list covers. The list covers headers from the
        bottom up."""
        counted = list(signed)
        found: set[str] = set()
        for name in names:
            count = counted.count(name)
            if count:
                for value in self.values(name)[-count:]:
                    found.update(canonical(one) for one in _named(name, value))
        return frozenset(found)

    def recipients(self, signed: Iterable[str]) -> frozenset[str]:
        """`mailboxes` of To and Cc; "" stands for one that is there and cannot be read."""
        covered = [name for name in signed if name in RECIPIENTS]
        values = [value for name in {*covered} for value in self.values(name)[-covered.count(name) :]]
        is_unclear = any(_is_unclear(value) for value in values)
        return self.mailboxes(covered, RECIPIENTS) | ({""} if is_unclear else set())


def _is_unclear(value: str) -> bool:
    """Whether a To or Cc names somebody besides the mailboxes that can be read."""
    found = read_recipients(value)
    return len(found.entries) < max(found.count, 1 if found.defects else 0) and may_hold_an_address(value)


def _named(header: str, value: str) -> tuple[str, ...]:
    """The mailboxes of one header, read by the header's own grammar; none if it is malformed."""
    if header == "from":
        return read_author(value).addresses
    if header in ("to", "cc"):
        return read_recipients(value).addresses
    sole = parse_sole_mailbox(value)
    return (sole,) if sole is not None else ()


def read(content: bytes) -> RawMail:
    """The mail's header and content. Any octets give a RawMail."""
    if len(content) > MAX_CONTENT:
        return RawMail(content=b"", headers=(), doubt=f"the mail is larger than {MAX_CONTENT} octets, and not verified")
    content, is_missed = undone(content)
    head, separator, _ = content.partition(b"\r\n\r\n")
    if not separator:
        return RawMail(content=content, headers=(), doubt="its header has no end")
    if b"\0" in content or b"\n" in content.replace(b"\r\n", b"") or b"\r" in content.replace(b"\r\n", b""):
        return RawMail(content=content, headers=(), doubt="it has NUL, or line ends that two readers see differently")
    lines = FOLDED.sub(b"", head).split(b"\r\n")
    headers: list[tuple[str, str]] = []
    for line in lines:
        name = NAME.match(line)
        if name is None or line.startswith(LITERAL_FOLD) or name.end() != len(name[1]) + 1 or len(headers) >= MAX_HEADERS:
            return RawMail(content=content, headers=tuple(headers), doubt="its header has a line that is none")
        lowered = name[1].decode("ascii").lower()
        if lowered in SIGNATURES and (len(line) > MAX_SIGNATURE or EMPTY.search(line)):
            return RawMail(content=content, headers=tuple(headers), doubt="it has a signature that is longer than any honest one")
        headers.append((lowered, line[name.end() :].decode("utf-8", "replace").strip(" \t")))
    return RawMail(content=content, headers=tuple(headers), doubt=_doubt(headers), is_missed=is_missed)


def _doubt(headers: list[tuple[str, str]]) -> str:
    names = [name for name, _ in headers]
    for single in SINGLE:
        if names.count(single) > 1:
            return f"it has the header {single} more than once"
    if names.count("dkim-signature") > MAX_SIGNATURES:
        return "it has more signatures than any honest mail"
    return "" if "from" in names else "it has no From"


def tags(value: str) -> Mapping[str, str] | None:
    """A tag list (RFC 6376 3.2) without white space. None if it is malformed, has a tag twice, or has an invalid tag name."""
    found: dict[str, str] = {}
    for part in value.rstrip().rstrip(";").split(";"):
        name, equals, text = part.partition("=")
        name = name.strip()
        if not equals or TAG_NAME.fullmatch(name) is None or name in found:
            return None
        found[name] = re.sub(r"\s+", "", text)
    return found


def hosts_of(listed: str) -> tuple[str, ...]:
    """The names in an ``h=`` list, in lower case, each as often as it occurs."""
    return tuple(name.lower() for name in listed.split(":") if name)
