"""A mail's head as mail programs read it: it ends at the first empty line, and a line in it that is no header is passed over.

The standard library ends the head at the first line that is none, and so loses From, To and Subject below it. What is repaired here has
a name among the mail's defects. Where it is not certain what a line belongs to, there are two readings of the header above it: without
the line, as most programs have it, and with it, as its continuation that lost its blank. Whoever looks for mailboxes compares them.
"""

from __future__ import annotations

import re
from dataclasses import field

from mailbridge.core.dataclass import dataclass

BOM = b"\xef\xbb\xbf"
"""UTF-8's byte order mark, which some Office 365 tenants and scripts write before the first header."""

NAME = re.compile(rb"([!-9;-~]{1,200})([ \t]*):")
FIRST = re.compile(rb"(?:\xef\xbb\xbf)*\r?\n")
"""An empty first line."""

FOLDED_NAME = re.compile(rb"(?m)^([!-9;-~]{1,200})\r?\n[ \t]{1,80}:")
"""A name that is folded before its colon."""

LITERAL_FOLD = b"\\t"
"""A tab that was written as backslash and letter in place of the fold that it should have been."""

ODD = re.compile(rb"\n(?:\\t|(?![!-9;-~]{1,200}:|[ \t]))")
"""Where a line begins that is no plain header and no continuation, from the end of the line before on."""

ENVELOPE = b"From "
"""Begins the line that a mailbox file (mbox) has above each mail."""

FAMILIAR = frozenset(
    {
        b"from",
        b"to",
        b"cc",
        b"subject",
        b"date",
        b"received",
        b"return-path",
        b"delivered-to",
        b"reply-to",
        b"sender",
        b"message-id",
        b"mime-version",
        b"content-type",
        b"dkim-signature",
        b"authentication-results",
    }
)
"""Of a text without one of these nothing is a head, whatever its lines look like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """A header with two readings, unfolded: ``without`` the lines that may not belong to it, and ``joined`` with them.

    ``at`` is its place among the head's headers; ``is_joined``: it is read with them.
    """

    at: int
    name: str
    without: bytes = field(repr=False)
    joined: bytes = field(repr=False)
    is_joined: bool


@dataclass(slots=True, kw_only=True)
class _Field:
    name: bytes
    sure: list[bytes]
    joined: list[bytes]
    is_joined: bool = False
    is_odd: bool = False


@dataclass(frozen=True, slots=True)
class Head:
    """A head that was repaired. ``doubts`` are its headers with two readings; ``odd`` the (name, value) of those that some programs do not
    take for headers, since a mark or a blank stands in them, and ``even`` of the others."""

    fields: tuple[_Field, ...]
    doubts: tuple[Doubt, ...] = ()
    odd: tuple[tuple[str, bytes], ...] = ()
    even: tuple[tuple[str, bytes], ...] = ()
    eol: bytes = b"\r\n"

    def octets(self, switched: frozenset[int] = frozenset()) -> bytes:
        """The head without its end; the headers at ``switched`` by their other reading."""
        return self.eol.join(
            self.eol.join(one.joined if one.is_joined is not (at in switched) else one.sure) for at, one in enumerate(self.fields)
        )


def is_plain(head: bytes) -> bool:
    """Whether every line of a head is a header or a continuation, as nearly always."""
    return head[:1] not in (b" ", b"\t") and ODD.search(b"\n" + head) is None


def repaired(head: bytes, defects: dict[str, None]) -> Head | None:
    """A head that is not plain with its lines told apart; None where there is nothing to fix, or nothing in it is a header."""
    if is_plain(head):
        return None
    noticed: dict[str, None] = {}
    fields: list[_Field] = []
    is_lost = False
    first = FIRST.match(head)
    if first is not None:
        noticed["blank-first-line"] = None
    unfolded = FOLDED_NAME.sub(rb"\1 :", head[first.end() if first else 0 :])
    for number, line in enumerate(unfolded.split(b"\n")):
        bare = line.removesuffix(b"\r")
        if number == 0 and bare.startswith(ENVELOPE) and not NAME.match(bare):
            continue
        text = _without_bom(bare, noticed)
        found = None if text.startswith(LITERAL_FOLD) else NAME.match(text)
        if text[:1] in (b" ", b"\t") and fields and text is bare:
            fields[-1].joined.append(bare)
            if not is_lost:
                fields[-1].sure.append(bare)
        elif found is not None:
            if found[2]:
                noticed["blank-before-colon"] = None
            line = found[1] + b":" + text[found.end() :]
            fields.append(_Field(name=found[1].lower(), sure=[line], joined=[line], is_odd=bool(found[2]) or text is not bare))
            is_lost = False
        elif not fields:
            noticed["bad-first-line"] = None
        elif text.startswith(LITERAL_FOLD):
            noticed["literal-fold"] = None
            fields[-1].joined.append(b"\t" + text[len(LITERAL_FOLD) :])
            fields[-1].is_joined = True
            is_lost = True
        else:
            noticed["bad-header-line"] = None
            fields[-1].joined.append(b" " + text)
            is_lost = True
    if not any(one.name in FAMILIAR for one in fields):
        return None
    defects.update(noticed)
    doubts = tuple(_doubt(at, one) for at, one in enumerate(fields) if one.sure != one.joined)
    odd, even = (tuple(_valued(one) for one in fields if one.is_odd is wanted) for wanted in (True, False))
    return Head(tuple(fields), doubts, odd, even, b"\r\n" if b"\r\n" in head else b"\n")


def undone(content: bytes) -> tuple[bytes, bool]:
    """A mail without what can be taken off without a guess: marks before a header, an empty first line, blanks before a colon. And
    whether some programs would have missed a header for it, in the midst of the head.

    For who verifies: a signature covers none of these, and in their place there is nothing that two readings could take differently.
    """
    head, separator, body = content.partition(b"\r\n\r\n")
    if not separator or is_plain(head):
        return content, False
    first = FIRST.match(head)
    start = first.end() if first is not None and first.group().endswith(b"\r\n") else 0
    lines = [_without_bom(line, {}) for line in head[start:].split(b"\r\n")]
    named = [NAME.sub(rb"\1:", line, count=1) for line in lines]
    is_missed = b"\r\n" + BOM in head[start:] or named != lines
    return b"\r\n".join(named) + separator + body, is_missed


def _valued(one: _Field) -> tuple[str, bytes]:
    return one.name.decode("ascii"), b"".join(one.sure)[len(one.name) + 1 :]


def _doubt(at: int, one: _Field) -> Doubt:
    without, joined = (b"".join(lines)[len(one.name) + 1 :] for lines in (one.sure, one.joined))
    return Doubt(at=at, name=one.name.decode("ascii"), without=without, joined=joined, is_joined=one.is_joined)


def _without_bom(line: bytes, noticed: dict[str, None]) -> bytes:
    """A header line without marks before it; a line that is none stays as it is."""
    text = line
    while text.startswith(BOM):
        text = text[len(BOM) :]
    if text is line or not NAME.match(text):
        return line
    noticed["bom"] = None
    return text
