"""The paths of MAIL and RCPT (RFC 5321 4.1.2, RFC 6531 3.3): which mailbox is meant, or the reply that says what is wrong.

A source route is removed (RFC 5321 4.1.1.3 and appendix C), and quotes around a plain local part too, since both mean the same
mailbox. Nothing else is repaired: a path with a comment, an encoded word or a blank is invalid.
"""

from __future__ import annotations

import re

from mailbridge.core.addresses import DOMAIN, ENCODED, LITERAL, LOCAL, MAX_RETURN_LOCAL, parse_mailbox, parse_return_path
from mailbridge.core.dataclass import dataclass
from mailbridge.core.recipients import POSTMASTER
from mailbridge.core.url import ascii_host
from mailbridge.ingress import reply as r
from mailbridge.ingress.reply import Reply

PATH = re.compile(r'(?i:(FROM|TO)): ?<((?:"(?:[^"\\]|\\.)*"|[^<>"])*)>(?: +(.*))?')
HOPS = re.compile(r"@([^@,:\s]{1,253})(?:,|(:))")
MOST_HOPS = 20
QUOTED = re.compile(r'"(?:[ !#-\[\]-~]|\\[ -~]){0,512}"')
"""A quoted string as a local part."""

WORD = re.compile(r"[^\x00-\x20\x7f()<>\[\]:;@\\,\"]+")
"""A local part or a domain of a sender, which is shown as it came, including non-ASCII letters (RFC 6531)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """The text in the angle brackets, without a route, and the words after them."""

    text: str
    parameters: tuple[str, ...]


def read(argument: str, verb: str) -> Path | None:
    """The argument of MAIL (``verb`` is ``FROM``) or of RCPT (``TO``), parsed. None if it is not valid."""
    found = PATH.fullmatch(argument)
    if found is None or found[1].upper() != verb:
        return None
    return Path(text=_plain(_without_route(found[2])), parameters=tuple((found[3] or "").split()))


def sender(path: Path, *, is_utf8: bool) -> str | Reply:
    """The envelope's sender, ``""`` for the null sender. ``is_utf8``: the client has said SMTPUTF8.

    Nothing is routed by it, so it may have no domain, quotes, or non-ASCII letters. It is stored and shown, so it must not
    contain invisible characters.
    """
    if not path.text.isascii() and not is_utf8:
        return r.NOT_ASCII
    if not path.text or parse_return_path(path.text) is not None:
        return path.text
    local, at, domain = path.text.rpartition("@") if "@" in path.text else (path.text, "", "")
    is_local = (
        0 < len(local) <= MAX_RETURN_LOCAL and (WORD.fullmatch(local) or QUOTED.fullmatch(local)) and not ENCODED.search(local)
    )
    is_domain = not at or WORD.fullmatch(domain) or LITERAL.fullmatch(domain)
    return path.text if path.text.isprintable() and is_local and is_domain else r.BAD_MAIL_FROM


def recipient(path: Path, *, is_utf8: bool) -> str | Reply:
    """The mailbox that a mail is for; `POSTMASTER` for the postmaster without a domain (RFC 5321 4.5.1).

    A local part that needs quotes or has non-ASCII letters is valid but not one of ours. The domain may have such letters: it is
    compared in its ASCII form.
    """
    if path.text.lower() == POSTMASTER:
        return POSTMASTER
    if not path.text.isascii():
        if not is_utf8:
            return r.NOT_ASCII
        if not path.text.isprintable() or not path.text.partition("@")[0]:
            return r.BAD_RCPT_TO
        local, _, domain = path.text.rpartition("@")
        mailbox = parse_mailbox(f"{local}@{ascii_host(domain)}") if local.isascii() else None
        return mailbox or r.UNKNOWN_USER
    mailbox = parse_mailbox(path.text)
    if mailbox is not None:
        return mailbox
    local, at, domain = path.text.rpartition("@")
    is_quoted = bool(at) and QUOTED.fullmatch(local) is not None and DOMAIN.fullmatch(domain) is not None
    return r.UNKNOWN_USER if is_quoted else r.BAD_RCPT_TO


def _without_route(text: str) -> str:
    """A path without its source route, if the route is well-formed."""
    position = 0
    for _ in range(MOST_HOPS):
        hop = HOPS.match(text, position)
        if hop is None or not DOMAIN.fullmatch(hop[1]):
            return text
        position = hop.end()
        if hop[2]:
            return text[position:]
    return text


def _plain(text: str) -> str:
    """A path without quotes that make no difference: ``"ann"@corp.example`` becomes ``ann@corp.example``."""
    local, at, domain = text.rpartition("@") if "@" in text else (text, "", "")
    bare = re.sub(r"\\(.)", r"\1", local[1:-1])
    return f"{bare}{at}{domain}" if QUOTED.fullmatch(local) and LOCAL.fullmatch(bare) else text
