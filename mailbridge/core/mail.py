"""What travels: the Envelope that an ingress hands in (RFC 5321) and the Message inside it (RFC 5322)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import field
from datetime import datetime
from typing import Literal

from mailbridge.core.dataclass import dataclass

Ingress = Literal["smtp", "lmtp", "imap", "http"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """That a process watches a mailbox account, until another one has it with a higher ``epoch``. 0: there is no other process."""

    account: str
    epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One mail as it was handed to us: who sent it, to whom, and its octets.

    ``mail_from`` may be ``""``, the null sender (RFC 5321 4.5.5), which is always acceptable.
    ``content`` is the message exactly as received (dot-unstuffed, line ends untouched), in octets.
    ``received_at`` is our own clock (aware, UTC), never the Date header.
    ``cursor`` is the ingress's own position (IMAP: ``mailbox/uidvalidity/uid``), stored with the mail; ``has_action``: something
    is to be done with the mail there once it is pushed (marked, moved, deleted), and the store remembers it until it is.
    ``is_fetched``: it was fetched from a mailbox whose own server wrote what stands above the sender's headers. ``can_wait``: who
    brings it can be asked to come again later; a mailbox that waited for one mail would hold up those behind it. ``is_exact``: the
    octets are those that were sent; where they went through a charset on the way, a signature may fail without a forgery.
    ``lease``: under which it was fetched, None where none is needed; a mail whose lease is over is refused.
    """

    mail_from: str
    rcpt_to: tuple[str, ...]
    content: bytes = field(repr=False)
    received_at: datetime
    ingress: Ingress
    peer: str = ""
    cursor: str | None = None
    has_action: bool = False
    is_fetched: bool = False
    can_wait: bool = True
    is_exact: bool = True
    lease: Lease | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One visual line of a part. ``is_emphasised``: in large type, letter-spaced, or as a heading, bold or code
    on its own, as mails present their code. ``marked``: short pieces of it that are emphasised inside a sentence. ``is_quoted``: it
    stands in a quotation of the page's markup."""

    text: str
    is_emphasised: bool = False
    marked: tuple[str, ...] = ()
    is_quoted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A hyperlink with the words that it was shown as; ``is_button`` when it was styled or marked up as one."""

    url: str = field(repr=False)
    text: str = ""
    is_button: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a person sees of one body part: its lines, the text hidden from view (preheader), its links.

    ``images`` are the alt texts, in order. Text is NFC as sent, less zero-width characters and soft hyphens. ``bare`` is the page
    once more with all of its text in sight, where something in it keeps what follows from sight; else None.
    """

    lines: tuple[Line, ...] = ()
    hidden: tuple[str, ...] = field(default=(), repr=False)
    links: tuple[Link, ...] = field(default=(), repr=False)
    images: tuple[str, ...] = field(default=(), repr=False)
    bare: Body | None = field(default=None, repr=False)

    @property
    def text(self) -> str:
        """The visible text, one visual line a line."""
        return "\n".join(line.text for line in self.lines)


class Body:
    """A part that becomes a Page when somebody looks: building the page of an HTML part is most of what parsing costs. ``source`` is
    its text, with the tags."""

    __slots__ = ("_make", "_page", "source")

    def __init__(self, make: Callable[[], Page], source: str = "") -> None:
        self._make = make
        self._page: Page | None = None
        self.source = source

    @property
    def page(self) -> Page:
        """The page; made once."""
        if self._page is None:
            self._page = self._make()
        return self._page

    def __repr__(self) -> str:
        return "Body()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A parsed mail. Every field is present and bounded for any input; what was odd is named in ``defects``.

    ``headers`` keeps order (topmost first) and spelling of names; values are unfolded and decoded.
    ``sender`` is the addr-spec of a From header with exactly one address, domain lower-cased, else ``""``.
    ``to`` are the To header's addr-specs as typed; ``is_to_unclear``: it names somebody who could not be read.
    ``is_twofold``: a header can be read in two ways that name different mailboxes. ``written`` are the
    headers that forwarders write addresses into (`stamps.ADDRESS_HEADERS`), names in lower case, unfolded and not decoded. ``date`` is aware, or None where the header has none.
    ``plain`` and ``html`` are None where the mail has no such part. ``attached`` are message/rfc822 parts and
    ``.eml`` attachments, parsed, in order. ``added`` are texts that stand beside the body (`core.places`). ``defects`` are short lower-case names such as ``bad-charset``.
    ``is_bounce``: a mail system reports on another mail (RFC 3464, RFC 5965, or by its sender). ``has_calendar``: a part of it is an
    invitation (RFC 5545). ``is_listed``: it came over a mailing list (RFC 2919). ``has_files``: files are attached.
    """

    headers: tuple[tuple[str, str], ...] = ()
    written: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    subject: str = ""
    sender: str = ""
    sender_name: str = ""
    to: tuple[str, ...] = ()
    is_to_unclear: bool = False
    is_twofold: bool = False
    message_id: str = ""
    date: datetime | None = None
    plain: Page | None = field(default=None, repr=False)
    html_body: Body | None = field(default=None, repr=False)
    attached: tuple[Message, ...] = field(default=(), repr=False)
    added: tuple[tuple[Page | None, Body | None], ...] = field(default=(), repr=False)
    defects: tuple[str, ...] = ()
    is_bounce: bool = False
    has_calendar: bool = False
    is_listed: bool = False
    has_files: bool = False
    _by_name: Mapping[str, list[str]] = field(init=False, repr=False, compare=False)
    _written_by_name: Mapping[str, list[str]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Put the headers in order by name: they are asked for two dozen times."""
        object.__setattr__(self, "_by_name", by_name(self.headers))
        object.__setattr__(self, "_written_by_name", by_name(self.written))

    @property
    def html(self) -> Page | None:
        """The HTML part as it is seen; None where the mail has none."""
        return None if self.html_body is None else self.html_body.page

    @property
    def text(self) -> str:
        """What a person reads: the plain part, or else the HTML part, and the texts beside it."""
        pages = [self.plain or self.html, *(plain or (html.page if html is not None else None) for plain, html in self.added)]
        return "\n".join([page.text for page in pages if page is not None])

    @property
    def names(self) -> Collection[str]:
        """The names of the headers, without case."""
        return self._by_name.keys()

    def header(self, name: str) -> str | None:
        """The topmost header of that name (any case), or None."""
        found = self._by_name.get(name.casefold())
        return found[0] if found else None

    def all_headers(self, name: str) -> tuple[str, ...]:
        """Every header of that name (any case), topmost first."""
        return tuple(self._by_name.get(name.casefold(), ()))

    @property
    def stamp_names(self) -> Collection[str]:
        """The names of the ``written`` headers, in small letters."""
        return self._written_by_name.keys()

    def stamps(self, name: str) -> tuple[str, ...]:
        """Every one of the ``written`` headers of that name (any case), topmost first."""
        found = self._written_by_name.get(name.casefold())
        return tuple(found) if found else ()


def by_name(headers: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The values of headers by their names without case, topmost first."""
    found: dict[str, list[str]] = {}
    for name, value in headers:
        key = name.casefold()
        if key in found:
            found[key].append(value)
        else:
            found[key] = [value]
    return found
