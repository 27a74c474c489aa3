"""URLs of a mail, read as a browser reads them: the WHATWG URL Standard, by the Ada parser that Node.js uses too.

Everything that reads a URL of a mail reads it here. A newcomer would get this wrong: urllib, httpx and regular expressions find
another host than a browser does in ``https://evil.example\\.acme.example``, and a check that reads one host while the agent opens
another is no check. So `read` says what a browser makes of a text, and `ambiguity` says why others may make something else of it.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import field
from urllib.parse import unquote

import ada_url

from mailbridge.core.dataclass import dataclass

MAX_URL = 8_192
"""Characters; a link of a mail that is longer is none that anybody meant to be opened."""

MAX_HOST = 253
MAX_LABEL = 63
DEFAULT_PORTS = {"https": "443", "http": "80"}
PARTS = ("href", "protocol", "hostname", "port", "pathname", "search", "hash", "username", "password", "host_type")

START = re.compile(r"(?i)(https?)://(?![/\\])([^/?#\\]*)")
"""Scheme and authority, as far as every reader agrees on them."""

BLANK = re.compile(r"[\x00-\x20\x7f-\xa0]")
LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?")
CLIMBING = re.compile(r"[/\\]\.{1,2}(?:;[^/\\]*)?(?:[/\\]|$)")
DEVIATING = frozenset("ßẞς\u200c\u200d")
"""Characters that IDNA 2003 and IDNA 2008 turn into different hosts."""

BESIDE_LATIN = frozenset({"CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO"})
"""Scripts that are written together with Latin letters, and with each other (UTS 39, "highly restrictive")."""

LATIN_LIKE = frozenset("асԁеһіјӏорԛѕԝхуъьҽпгѵѡ")
"""Cyrillic letters that look like Latin ones; below an ASCII top-level domain a label of nothing else passes for a Latin one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """An http or https URL as a browser reads it.

    ``host`` is in lower case and in its ASCII form (``xn--``); an IPv6 address has its brackets. ``port`` is "" for the scheme's own. ``path`` begins with ``/``; ``query`` and ``fragment`` come without ``?`` and ``#``. ``href`` is what a browser shows
    and sends, ``text`` what was read.
    """

    text: str = field(repr=False)
    href: str = field(repr=False)
    scheme: str
    host: str
    port: str
    path: str = field(repr=False)
    query: str = field(repr=False)
    fragment: str = field(repr=False)
    has_user: bool
    is_address: bool

    @property
    def rest(self) -> str:
        """What follows the host: path, query and fragment with their marks."""
        query = f"?{self.query}" if self.query else ""
        fragment = f"#{self.fragment}" if self.fragment else ""
        return f"{self.path}{query}{fragment}"


def read(text: str, base: str | None = None) -> Url | None:
    """What a browser opens for a text; None where it opens nothing, or no http or https URL.

    ``base`` is the URL of the page that a relative one stands on. Total: never raises.
    """
    if len(text) > MAX_URL:
        return None
    try:
        joined = ada_url.join_url(base, text) if base is not None else text
        parts = ada_url.parse_url(joined, PARTS)
    except ValueError:  # a UnicodeEncodeError too, for halves of characters
        return None
    scheme = parts["protocol"].rstrip(":")
    if scheme not in DEFAULT_PORTS or not parts["hostname"]:
        return None
    return Url(
        text=joined,
        href=parts["href"],
        scheme=scheme,
        host=parts["hostname"],
        port=parts["port"],
        path=parts["pathname"],
        query=parts["search"].removeprefix("?"),
        fragment=parts["hash"].removeprefix("#"),
        has_user=bool(parts["username"] or parts["password"]),
        is_address=parts["host_type"] != ada_url.HostType.DEFAULT,
    )


def host_of(text: str) -> str:
    """The host that a browser goes to, in lower-case ASCII; "" where it goes nowhere."""
    url = read(text)
    return "" if url is None else url.host


def ascii_host(name: str) -> str:
    """A domain name in its lower-case ASCII form (UTS 46, as browsers map it); "" where it has none."""
    if name.isascii():
        return name.lower()
    try:
        return ada_url.idna_to_ascii(name).decode("ascii").lower()
    except ValueError:
        return ""


def ambiguity(url: Url) -> str:
    """Why readers may disagree about where a URL leads, in plain words; "" where they cannot.

    It is about the URL alone: an address that is clear may still be an attacker's.
    """
    text = url.text
    if BLANK.search(text) or any(_is_unseen(one) for one in text if not one.isascii()):
        return "the link holds blanks or characters that are not seen"
    if "\\" in text:
        return "the link holds a backslash, which browsers read as a slash"
    start = START.match(text)
    if start is None:
        return "the link has not exactly two slashes behind its scheme"
    return _ambiguous_authority(url, start[2], text[start.end() :]) or _ambiguous_host(url.host)


def _ambiguous_authority(url: Url, authority: str, rest: str) -> str:
    if "@" in authority or url.has_user:
        return "the link names a user before its host"
    if rest[:1] in ("?", "#") and "@" in rest.partition("/")[0].partition("=")[0]:
        return "the link has an @ right behind its host"
    if url.is_address:
        return "the link leads to an IP address"
    host, colon, port = authority.partition(":")
    if "%" in host:
        return "the link's host holds an escaped character"
    if colon and port != DEFAULT_PORTS[url.scheme]:
        return "the link names a port"
    if not _is_same_host(host, url.host):
        return f"the link's host is written otherwise than browsers read it ({url.host})"
    path = rest.partition("?")[0].partition("#")[0]
    if any(CLIMBING.search(one) for one in (path, unquote(path), unquote(unquote(path)))):
        return "the link's path goes upwards"
    return ""


def _is_same_host(written: str, host: str) -> bool:
    """Whether a host as it is written is the one that a browser reads, case and the two forms of IDNA aside."""
    labels, read_labels = written.lower().split("."), host.split(".")
    if len(labels) != len(read_labels):
        return False
    return all(
        one == other or (not one.isascii() and one == _unicode_label(other) and not DEVIATING.intersection(one))
        for one, other in zip(labels, read_labels, strict=True)
    )


def _ambiguous_host(host: str) -> str:
    labels = host.split(".")
    if "" in labels:
        return "the link's host has an empty label, or a dot at its end"
    if len(host) > MAX_HOST or any(len(label) > MAX_LABEL for label in labels):
        return "the link's host is longer than a host can be"
    if not all(LABEL.fullmatch(label) for label in labels):
        return "the link's host holds a character that no host has"
    is_latin = not labels[-1].startswith("xn--")
    for label in labels:
        if label.startswith("xn--") and not _is_plain_word(_unicode_label(label), is_latin=is_latin):
            return f"the link's host has a label that can be taken for another ({label})"
    return ""


def _unicode_label(label: str) -> str:
    """A label with its letters; "" where it is an ``xn--`` that stands for nothing, or not for this."""
    if not label.startswith("xn--"):
        return label
    shown = ada_url.idna_to_unicode(label)
    return shown if not shown.isascii() and ascii_host(shown) == label else ""


def _is_plain_word(label: str, *, is_latin: bool) -> bool:
    """Whether a label is of letters, marks and digits of scripts that are written together, and (``is_latin``) looks like no Latin one."""
    if not label or not all(one == "-" or unicodedata.category(one)[0] in "LMN" for one in label):
        return False
    letters = [one for one in label if unicodedata.category(one)[0] == "L"]
    scripts = {unicodedata.name(one, "?").partition(" ")[0] for one in letters}
    if len(scripts) > 1 and not scripts <= BESIDE_LATIN | {"LATIN"}:
        return False
    return not (is_latin and letters and LATIN_LIKE.issuperset(letters))


def _is_unseen(character: str) -> bool:
    """Blanks, controls, directions, joiners, fillers: what a person does not see, and readers drop or keep as they like."""
    return unicodedata.category(character)[0] in "CZ" or character in "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
