"""Where a link leads on to: the addresses in its path, query and fragment, as a redirecting page would follow them.

A site's own page that redirects to any address makes an attacker's link look like the site's. Nobody can know all such pages, so
the addresses that the link carries decide. Honest sign-in links carry addresses too (``redirect_to``, ``continueUrl``), but of
the same site.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

from mailbridge.core.url import Url, read
from mailbridge.trust.suffixes import is_registered

ROUNDS = 8
"""How many times an address may be escaped inside another. Each page on the way removes one layer."""

DOTS = str.maketrans(dict.fromkeys("\u3002\uff0e\uff61", "."))
DROPPED = str.maketrans("", "", "\t\n\r")
"""Characters that browsers remove anywhere in a URL."""

LEADING = "".join(map(chr, range(0x21))) + "+\x7f\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff\u200b\u200c\u200d\u2060"
LEADING += "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
"""Characters that may stand before a value. Browsers or the pages' own scripts remove them, and ``+`` is a blank in a form."""

ABSOLUTE = re.compile(r"(?i)(?<![a-z0-9])https?:[\\/]")
SCHEME = re.compile(r"(?i)https?:")
SLASHES = re.compile(r"[\\/]{2}")
QUOTED = re.compile(r"(?<=[\"'(=])[\\/]{2}(?=[a-z0-9\[])", re.IGNORECASE)
"""An address without a scheme inside a value, for example in JSON."""

SCRIPT = re.compile(r"(?i)(?:javascript|vbscript|data):")
END = re.compile(r"[\s\"'<>&;,|#]|%(?![0-9a-f]{2})", re.IGNORECASE)
ENCODED = re.compile(r"[A-Za-z0-9+/_-]{12,}=*")
"""Base64. A JWT does not match, because dots separate its parts. It names its issuer, not a destination."""

MARK = 2
"""Characters that may stand before the Base64: Bing sets ``a1`` there."""

DOMAIN = re.compile(r"(?i)[@.]?((?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9])(?=[/?:]|$)")
ADDRESS = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}(?=[/?:]|$)")
PASSWORD = re.compile(r"[^/?#]*:[^/?#]*@")
HEX = re.compile(r"(?i)(?:[0-9a-f]{2}){12,}")
NAMES = re.compile(
    r"(?i)(?:.*[_.-])?(?:url|uri|u|to|dest|destination|dst|redir|redirect|redirect_?(?:uri|url|to)|next|next_?url|continue|continue_?(?:url|to)"
    r"|return|return_?(?:to|url|uri)|back|back_?url|callback|callback_?url|goto|go|out|link|target|target_?url|forward|fwd|location|exit|r|relay_?state)"
)
"""Parameters whose value may be a bare host. An address with a scheme, or with two slashes, counts under any name."""

STEPS = re.compile(
    r"(?i)/(?:redirect|redir|go|goto|out|away|exit|leave|jump|external|proxy|amp|url|forward|fwd|r)/(?:s/|https?:?/+)?(?=[^/?#])"
)
"""Path segments after which a bare host is the destination."""

LEADING_ON = re.compile(r"(?i)/(?:redirect|redir|goto|out|away|jump|url)/?(?:\.[a-z]{2,4})?(?=[?#])")
"""A page whose name says that it redirects. A bare host in any of its parameters is a destination."""


def carried(url: Url) -> Iterator[Url]:
    """Every address that a link carries, in any spelling or escaping, as a browser would read it."""
    for text in _layers(url.rest):
        yield from _absolute(text)
        yield from _in_path(text, url.scheme)
        leads_on = LEADING_ON.search(text) is not None
        for name, value in _parameters(text):
            yield from _in_value("url" if leads_on else name, value, url.scheme)


def carries_script(url: Url) -> bool:
    """Whether a parameter of a link is a script. A page that redirects to it would run the script."""
    return any(SCRIPT.match(value) for text in _layers(url.rest) for _, value in _parameters(text))


def _layers(text: str) -> Iterator[str]:
    """The text, and the text below each layer of percent-encoding."""
    for _ in range(ROUNDS + 1):
        yield text.translate(DROPPED)
        if not text.isascii():  # full-width letters and dots, which browsers take for plain ones
            yield unicodedata.normalize("NFKC", text.translate(DOTS)).translate(DROPPED)
        below = unquote(text)
        if below == text:
            return
        text = below


def _parameters(text: str) -> Iterator[tuple[str, str]]:
    for part in re.split(r"[?&#;]", text)[1:]:
        name, equals, value = part.partition("=")
        yield (name, value.lstrip(LEADING)) if equals else ("", name.lstrip(LEADING))


def _absolute(text: str) -> Iterator[Url]:
    for match in ABSOLUTE.finditer(text):
        yield from _read(_cut(text[match.start() :]))
    for match in QUOTED.finditer(text):
        if _domain(_cut(text[match.end() :])):
            yield from _read(f"https:{_cut(text[match.start() :])}")


def _in_path(text: str, scheme: str) -> Iterator[Url]:
    path = re.split(r"[?#]", text)[0]
    if SLASHES.match(path) and _domain(path.lstrip("\\/")):
        yield from _read(f"{scheme}:{_cut(path)}")
    for segment in path.split("/"):
        yield from _encoded(segment, scheme)
    for step in STEPS.finditer(path):
        if host := _domain(path[step.end() :]):
            yield from _read(f"{scheme}://{host}")


def _in_value(name: str, value: str, scheme: str) -> Iterator[Url]:
    if SLASHES.match(value):
        yield from _read(f"{scheme}:{_cut(value)}")
    elif SCHEME.match(value):
        yield from _read(_cut(value))
    elif found := list(_encoded(value, scheme)):
        yield from found
    elif NAMES.fullmatch(name):
        password = PASSWORD.match(value)
        bare = value[password.end() :] if password else value
        address = ADDRESS.match(bare)
        if host := address[0] if address else _domain(bare):
            yield from _read(f"{scheme}://{host}")


def _encoded(text: str, scheme: str) -> Iterator[Url]:
    """The addresses in a text that is base64 or hexadecimal."""
    texts = []
    if HEX.fullmatch(text):
        texts.append(bytes.fromhex(text).decode("utf-8", "replace"))
    if ENCODED.fullmatch(text):
        texts += [_decoded(one) for one in (text, text[MARK:])]
    for one in texts:
        yield from _absolute(one.replace("\\/", "/"))
        if SLASHES.match(one) and _domain(one.lstrip("\\/")):
            yield from _read(f"{scheme}:{_cut(one)}")


def _domain(text: str) -> str:
    """The host name at the beginning of a text; "" if there is none that can exist."""
    match = DOMAIN.match(text)
    return match[1] if match is not None and is_registered(match[1]) else ""


def _read(text: str) -> Iterator[Url]:
    found = read(text)
    if found is not None:
        yield found


def _cut(text: str) -> str:
    """The text up to the character that ends an address in a parameter or in a sentence."""
    end = END.search(text)
    return text[: end.start()] if end is not None else text


def _decoded(text: str) -> str:
    try:
        octets = base64.urlsafe_b64decode(text.replace("+", "-").replace("/", "_") + "==")  # more padding than needed is no error
    except ValueError:
        return ""
    return octets.decode("utf-8", "replace")
