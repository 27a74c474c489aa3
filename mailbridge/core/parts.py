"""A mail's text by where it stands: subject, visible lines, older mails that it quotes, what is out of sight, pictures."""

from __future__ import annotations

import re
from dataclasses import replace

from mailbridge.core.dataclass import dataclass
from mailbridge.core.forwards import bare_subject, introduces_quotation, is_forward, is_header_line
from mailbridge.core.mail import Line, Message, Page
from mailbridge.core.wording import ForwardWords

MAX_LINES = 1_500
LONGEST_VALUE = 24
PROTOCOL = re.compile(
    r"(?i)^[>| ]{0,4}(?:received|return-path|mime-version|content-(?:type|transfer-encoding|disposition)|message-id|x-[a-z0-9-]{2,40}|reporting-mta"
    r"|(?:final|original)-recipient|diagnostic-code|remote-mta|arrival-date|dkim-signature|authentication-results|delivered-to|received-spf"
    r"|in-reply-to|references|list-[a-z]+):\s*\S"
)
"""A header that programs write and people never see: where a body quotes one, it is no prose."""

PROSE = frozenset({"plain", "html", "quoted"})
NAME_WORD = re.compile(r"[^\W_]+")
HOST = re.compile(r"[hH][tT][tT][pP][sS]?://(?:[^/?#@ ]*@)?([A-Za-z0-9.-]+)")
AUTOMATIC = re.compile(r"(?i)no[-_.]?reply|do[-_.]?not[-_.]?reply|notif|account|security|auth|verif|login|signin|otp|2fa")
"""Local parts of addresses from which programs write, and no people."""

ANSWERING = ("In-Reply-To", "References")
"""Headers of a mail that answers another (RFC 5322 3.6.4)."""

COMMON_HOSTS = frozenset({"com", "net", "org", "www", "mail", "email", "info", "noreply", "example"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """``texts`` are the lines that a person sees, ``addresses`` the links, ``names`` what the sender is called (see `own_names`).

    ``is_automatic``: its address is one from which programs write. ``link_texts``: the short words that links are shown as.
    """

    lines: dict[str, tuple[Line, ...]]
    texts: list[str]
    addresses: str = ""
    names: frozenset[str] = frozenset()
    is_listed: bool = False
    has_files: bool = False
    is_automatic: bool = False
    link_texts: frozenset[str] = frozenset()


def parts_of(message: Message, words: ForwardWords, *, with_html: bool = True) -> Parts:
    """The parts of a mail, forwards and quotes set aside. Without its HTML where the plain part is to be read alone."""
    lines: dict[str, tuple[Line, ...]] = {}
    if message.subject:
        lines["subject"] = (Line(text=bare_subject(message.subject, words)),)
    html = message.html if with_html else None
    is_answer = any(map(message.header, ANSWERING))
    if html is not None:
        lines["html"], _ = _newest(html, words, is_answer=is_answer)
    if message.plain is not None:
        lines["plain"], lines["quoted"] = _newest(message.plain, words, is_answer=is_answer, is_plain=True)
    if is_forward(message, words):
        # What a forward quotes is not older than itself: it is the mail.
        if "plain" in lines:
            lines["plain"], lines["quoted"] = (*lines["plain"], *lines["quoted"]), ()
        for source in {"plain", "html"} & set(lines):
            lines[source] = tuple(line for line in lines[source] if not is_header_line(line.text, message.subject, words))
    if html is not None:
        lines["hidden"] = tuple(Line(text=text) for text in html.hidden)
        lines["image"] = tuple(Line(text=text) for text in html.images)
    for source in PROSE & set(lines):
        lines[source] = tuple(line for line in lines[source] if ":" not in line.text or not PROTOCOL.match(line.text))
    texts = [line.text for source in ("subject", "html", "plain") for line in lines.get(source, ())]
    links = [link.url for page in (html, message.plain) if page is not None for link in page.links]
    link_texts = (
        frozenset(link.text for link in html.links if len(link.text) <= LONGEST_VALUE) if html is not None else frozenset()
    )
    return Parts(
        lines=lines,
        texts=texts,
        addresses=" ".join(links),
        names=own_names(message, links),
        is_listed=message.is_listed,
        has_files=message.has_files,
        link_texts=link_texts,
        is_automatic=AUTOMATIC.search(message.sender.rpartition("@")[0]) is not None,
    )


def _newest(
    page: Page, words: ForwardWords, *, is_answer: bool, is_plain: bool = False
) -> tuple[tuple[Line, ...], tuple[Line, ...]]:
    """The newest part of a body, and what it quotes of older mails.

    A mail that answers none quotes only what it marks as quoted, and a page of it only below a line that says so: markup in the midst of
    it may be a stranger's.
    """
    fresh: list[Line] = []
    quoted: list[Line] = []
    is_quoting = False
    for line in page.lines[:MAX_LINES]:
        is_introduced = introduces_quotation(line.text, words)
        is_quoting = is_quoting or is_introduced
        is_marked = line.is_quoted or is_introduced or line.text.startswith((">", "|"))
        kept = quoted if (is_quoting and (is_answer or is_marked)) or (is_marked and (is_answer or is_plain)) else fresh
        kept.append(replace(line, text=line.text.lstrip("> |")) if is_marked else line)
    return tuple(fresh), tuple(quoted)


SIGNED = re.compile(r"^[\[【〔《(]([^\]】〕》)]{2,30})[\]】〕》)]")
"""The name in brackets with which a short message begins."""


def own_names(message: Message, links: list[str]) -> frozenset[str]:
    """What sender and site are called: words of the From name, labels of its domain and of the links' hosts.

    Case and punctuation aside, and only words with a letter: ``Neo4j`` and ``neo4j.com`` are one name.
    """
    written = [message.sender_name, *NAME_WORD.findall(message.sender_name)]
    if message.plain is not None:
        written += [sign[1] for line in message.plain.lines[:3] if (sign := SIGNED.match(line.text))]
    hosts = [message.sender.rpartition("@")[2], *HOST.findall(" ".join(links[:40]))]
    found = set(map(plain_name, [*written, *".".join(hosts).split(".")]))
    return frozenset([name for name in found - COMMON_HOSTS if len(name) > 2 and not name.isdigit()])


def plain_name(text: str) -> str:
    """A name without case and punctuation."""
    whole = text.casefold()
    return whole if whole.isalnum() else "".join(filter(str.isalnum, whole))
