"""Address headers (RFC 5322 3.4, 4.4): only a parsed addr-spec is a mailbox; a name, comment, quoted string, route or group never is.

Where the grammar is broken, nobody knows where one address ends and the next begins: then a header names nobody, and says why.
Nothing is decoded before it is parsed, since an encoded word (RFC 2047 5) may look like an address and may not be one.
"""

from __future__ import annotations

import re

from mailbridge.core.addresses import ENCODED, canonical, parse_author, parse_mailbox
from mailbridge.core.dataclass import dataclass

MAX_TEXT = 4_000
"""Characters of a header that is read. A longer one may have been cut in the midst of an address, and so names nobody."""

MAX_MAILBOXES = 100

PIECE = re.compile(
    r"(?P<blank>[ \t]+)"
    r"|(?P<encoded>=\?[^?\s<>]{1,60}\?[BbQq]\?[^?\s<>]{0,1000}\?=)"
    r"|(?P<atom>[^\x00-\x20\x7f()<>\[\]:;@\\,.\"]+)"
    r"|(?P<literal>\[[^\x00-\x1f\x7f\[\]\\<>]*\])"
    r"|(?P<special>[<>@,;:.])"
    r"|(?P<junk>[)\[\]])"
)
SIMPLE = re.compile(
    r"(?:([A-Za-z0-9 _-]{0,100}?) ?<([A-Za-z0-9.+_-]{1,64}@[A-Za-z0-9.-]{1,253})>|([A-Za-z0-9.+_-]{1,64}@[A-Za-z0-9.-]{1,253}))"
)
"""``Name <address>`` or a bare address, of characters that mean nothing else in any address syntax: most headers."""

QUOTED = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
IN_COMMENT = re.compile(r"[()\\]")
ESCAPED = re.compile(r"\\(.)")
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
LETTERS = {"blank": " ", "encoded": "e", "atom": "a", "literal": "l", "junk": "x"}
END = "$"
WORDS = frozenset("aeq. ")
PHRASE = re.compile(r"[aeq][aeq. ]*")
LOCAL = re.compile(r"[aq](?: *\. *[aq])*")
TAIL = frozenset(" ,;")
BETWEEN = re.compile(r"[\s,;:]+")
AROUND = "'\"[]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One mailbox of a header. ``name`` is its display name as written, less quotes; ``is_plain``: in no group, behind no route."""

    address: str
    name: str = ""
    is_plain: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressList:
    """What a header names. ``count`` are its addr-specs, those among them that are no mailbox of ours to use included.

    ``defects`` are short lower-case names. ``quoted-local``, ``not-ascii``, ``spaced`` and ``refused`` leave one address out; the others
    (``malformed``, ``unclosed``, ``control``, ``too-long``, ``too-many`` …) leave all of them out, but for ``name-unquoted``.
    """

    entries: tuple[Entry, ...] = ()
    count: int = 0
    defects: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """The mailboxes, in order, each once."""
        return tuple(dict.fromkeys(entry.address for entry in self.entries))


Piece = tuple[str, int, int]
"""A letter for its kind (``a`` atom, ``e`` encoded word, ``q`` quoted string, ``l`` literal, blank for blanks and comments, ``x`` what has
no meaning, else the special itself), and where it begins and ends."""


class _Malformed(Exception):  # noqa: N818  (a finding about the header)
    """The grammar is broken; the argument is the defect's name."""


def read_list(text: str, *, is_author: bool = False) -> AddressList:
    """An address-list with its obsolete forms, strictly. ``text`` is unfolded and not decoded. Total, in linear time.

    ``is_author``: nothing is routed by it, so that an address may be as loose as `parse_author` has it.
    """
    simple = SIMPLE.fullmatch(text)
    if simple is not None and (mailbox := parse_mailbox(simple[2] or simple[3])) is not None:
        return AddressList(entries=(Entry(address=mailbox, name=simple[1] or ""),), count=1)
    try:
        return _Reader(text, _pieces(text), is_author=is_author).read()
    except _Malformed as fault:
        return AddressList(defects=(str(fault),))


def read_recipients(text: str) -> AddressList:
    """A To or Cc header: `read_list`, or where that is malformed the one mailbox in angles at its end (`_the_one_in_angles`)."""
    found = read_list(text)
    return _the_one_in_angles(text) if found.defects == ("malformed",) else found


def read_author(text: str) -> AddressList:
    """A From header: exactly one entry, in no group and behind no route, else none and why.

    Many senders do not quote a name that has to be (``Acme, Inc. <a@b>``, ``a@b <a@b>``): see `_the_one_in_angles`. It may
    have letters beyond ASCII, which no recipient has.
    """
    found = read_list(text, is_author=True)
    if found.defects == ("malformed",):
        found = _the_one_in_angles(text, is_author=True)
    if found.count == 1 and len(found.entries) == 1 and found.entries[0].is_plain:
        return found
    why = "several" if found.count > 1 else "grouped-or-routed" if found.entries else "" if found.defects else "none"
    return AddressList(count=found.count, defects=tuple(dict.fromkeys((*found.defects, *([why] if why else [])))))


def may_hold_an_address(text: str) -> bool:
    """Whether a header that names nobody may be meant to: words without any address (``Undisclosed recipients``) are not."""
    return "@" in text or "=?" in text or not text.isascii()


def _pieces(text: str) -> list[Piece]:
    """The header in pieces that touch each other: each character is in one of them.

    Raises:
        _Malformed: a control character, something that does not end, or a text that is too long.
    """
    if len(text) > MAX_TEXT:
        raise _Malformed("too-long")
    if CONTROL.search(text):
        raise _Malformed("control")
    found: list[Piece] = []
    position = 0
    while position < len(text):
        if text[position] == "(":
            kind, end = " ", _comment_end(text, position)
        elif text[position] == '"':
            quoted = QUOTED.match(text, position)
            if quoted is None:
                raise _Malformed("unclosed")
            kind, end = "q", quoted.end()
        else:
            piece = PIECE.match(text, position)
            if piece is None:
                raise _Malformed("malformed")  # a backslash: it escapes nothing here
            kind, end = LETTERS.get(piece.lastgroup or "", text[position]), piece.end()
            if kind == "a" and ENCODED.search(text, position, end):
                kind = "x"  # an encoded word that does not end: where its neighbours begin is a guess
        found.append((kind, position, end))
        position = end
    return found


def _comment_end(text: str, position: int) -> int:
    depth = 0
    while (mark := IN_COMMENT.search(text, position)) is not None:
        position = mark.end()
        match mark.group():
            case "(":
                depth += 1
            case ")":
                depth -= 1
                if depth == 0:
                    return position
            case _:
                position += 1
    raise _Malformed("unclosed")


class _Reader:
    """Reads one list from its pieces, front to back, without going back."""

    def __init__(self, text: str, pieces: list[Piece], *, is_author: bool = False) -> None:
        self._text = text
        self._is_author = is_author
        self._pieces = [*pieces, (END, len(text), len(text))]
        self._at = 0
        self._is_in_group = False
        self._entries: list[Entry] = []
        self._defects: dict[str, None] = {}
        self._count = 0

    def read(self) -> AddressList:
        """The whole list.

        Raises:
            _Malformed: it is none.
        """
        while True:
            self._skip(" ,")
            if self._kind == END:
                break
            if self._kind == ";" and self._is_in_group:
                self._at += 1
                self._is_in_group = False
                self._skip(" ")
                self._require(f",{END}")
            elif self._entry():
                self._skip(" ")
                self._require(f",;{END}" if self._is_in_group else f",{END}")
        if self._is_in_group:
            raise _Malformed("malformed")
        return AddressList(entries=tuple(self._entries), count=self._count, defects=tuple(self._defects))

    @property
    def _kind(self) -> str:
        return self._pieces[self._at][0]

    def _skip(self, kinds: str) -> bool:
        """Pass over pieces of these kinds; whether there were any."""
        began = self._at
        while self._kind in kinds:
            self._at += 1
        return self._at > began

    def _require(self, kinds: str) -> None:
        if self._kind not in kinds:
            raise _Malformed("malformed")

    def _words(self) -> list[Piece]:
        began = self._at
        while self._kind in WORDS:
            self._at += 1
        return self._pieces[began : self._at]

    def _entry(self) -> bool:
        """One mailbox, or the beginning of a group; whether it was a mailbox."""
        words = self._words()
        match self._kind:
            case "@":
                self._addr_spec(words, name="", is_routed=False)
                return True
            case "<":
                name = self._phrase(words, is_empty_allowed=True)
                self._at += 1
                is_routed = self._route()
                self._addr_spec(self._words(), name=name, is_routed=is_routed)
                self._skip(" ")
                self._require(">")
                self._at += 1
                return True
            case ":" if not self._is_in_group:
                self._phrase(words, is_empty_allowed=False)
                self._at += 1
                self._is_in_group = True
                return False
            case _:
                raise _Malformed("malformed")

    def _phrase(self, words: list[Piece], *, is_empty_allowed: bool) -> str:
        """A display name (phrase, obs-phrase), without its quotes."""
        kinds = "".join(piece[0] for piece in words).strip()
        if not (PHRASE.fullmatch(kinds) or (is_empty_allowed and not kinds)):
            raise _Malformed("malformed")
        return _name(self._text, words)

    def _route(self) -> bool:
        """An obs-route: ``@host,@host:`` before the address."""
        self._skip(" ")
        if self._kind != "@":
            return False
        while self._kind != ":":
            self._require("@")
            self._domain()
            self._skip(" ,")
        self._at += 1
        return True

    def _addr_spec(self, words: list[Piece], *, name: str, is_routed: bool) -> None:
        """An addr-spec from its local part on; noted as an entry if it is a mailbox."""
        self._require("@")
        kinds = "".join(piece[0] for piece in words)
        if not LOCAL.fullmatch(kinds.strip()):
            raise _Malformed("malformed")
        local = "".join(self._text[start:end] for kind, start, end in words if kind != " ")
        domain, is_spaced = self._domain()
        self._count += 1
        if self._count > MAX_MAILBOXES:
            raise _Malformed("too-many")
        address = f"{local}@{domain}"
        is_split = is_spaced or " " in kinds.lstrip()
        mailbox = parse_mailbox(address)
        if mailbox is None and self._is_author:
            mailbox = parse_author(address)
        if "q" in kinds:
            self._defects["quoted-local"] = None
        elif mailbox is None or is_split:
            self._defects["not-ascii" if not address.isascii() else "spaced" if is_split else "refused"] = None
        else:
            self._entries.append(Entry(address=mailbox, name=name, is_plain=not (is_routed or self._is_in_group)))

    def _domain(self) -> tuple[str, bool]:
        """What follows an ``@``, and whether there are blanks or comments in it."""
        self._at += 1
        is_spaced = self._skip(" ")
        self._require("al")
        domain = self._taken()
        while domain[0] != "[":
            end = self._at
            is_spaced_here = self._skip(" ")
            if self._kind != ".":
                self._at = end
                break
            domain += self._taken()
            is_spaced_here = self._skip(" ") or is_spaced_here
            is_spaced = is_spaced or (is_spaced_here and self._kind == "a")
            if self._kind != "a":
                break
            domain += self._taken()
        return domain, is_spaced

    def _taken(self) -> str:
        _, start, end = self._pieces[self._at]
        self._at += 1
        return self._text[start:end]


def _the_one_in_angles(text: str, *, is_author: bool = False) -> AddressList:
    """The mailbox of a header that is malformed but for ``<mailbox>`` at its end, and has no other angles.

    What stands before it is a name that should have been quoted; if it names another mailbox, the header names nobody.
    """
    try:
        pieces = _pieces(text)
        opening, closing = ([index for index, piece in enumerate(pieces) if piece[0] == mark] for mark in "<>")
        if len(opening) != 1 or len(closing) != 1 or any(kind not in TAIL for kind, _, _ in pieces[closing[0] + 1 :]):
            raise _Malformed("malformed")
        (first,), (last,) = opening, closing
        found = _Reader(text, pieces[first : last + 1], is_author=is_author).read()
    except _Malformed as fault:
        return AddressList(defects=(str(fault),))
    if len(found.entries) != 1 or not found.entries[0].is_plain:
        return AddressList(defects=("malformed", *found.defects))
    address = found.entries[0].address
    if any(canonical(other) != canonical(address) for other in _look_alikes(text, pieces[:first])):
        return AddressList(count=2, defects=("name-is-another",))
    entry = Entry(address=address, name=_name(text, pieces[:first]))
    return AddressList(entries=(entry,), count=1, defects=("name-unquoted",))


def _look_alikes(text: str, pieces: list[Piece]) -> list[str]:
    """The words of a name that look like an address, less what stands in quotes, comments and encoded words."""
    bare = "".join({" ": " ", "e": " ", "q": "q"}.get(kind, text[start:end]) for kind, start, end in pieces)
    words = [word.strip(AROUND) for word in BETWEEN.split(bare)]
    return [word for word in words if not word.startswith("@") and "." in word.partition("@")[2]]


def _name(text: str, pieces: list[Piece]) -> str:
    words = []
    for kind, start, end in pieces:
        if kind == " ":
            words.append(" ")
        elif kind == "q":
            words.append(ESCAPED.sub(r"\1", text[start + 1 : end - 1]))
        else:
            words.append(text[start:end])
    return "".join(words).strip()
