"""Mail addresses, read strictly: the recipient is the routing key, so nothing in it is guessed, decoded or mended."""

from __future__ import annotations

import re

MAX_LOCAL = 64
MAX_ADDRESS = 254
MAX_RETURN_LOCAL = 512
"""Characters of a sender's local part: forwarders write whole addresses into it (Gmail's ``+caf_=…``, SRS, VERP), over the 64."""

ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
LOCAL = re.compile(rf"{ATEXT}+(?:\.{ATEXT}+)*")
LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
DOMAIN = re.compile(rf"{LABEL}(?:\.{LABEL})*\.?")
LITERAL = re.compile(r"\[(?:\d{1,3}(?:\.\d{1,3}){3}|IPv6:[0-9A-Fa-f:.]{2,45})\]")
ENCODED = re.compile(r"=\?[^?]*\?[BbQq]\?")
RETURN_LOCAL = re.compile(rf"(?:{ATEXT}|\.){{1,{MAX_RETURN_LOCAL}}}")
RETURN_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,252})")
FINDABLE = re.compile(rf"(?<![A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~@-]){ATEXT}+(?:\.{ATEXT}+)*@{LABEL}(?:\.{LABEL})*")

GMAIL = frozenset({"gmail.com", "googlemail.com"})


def parse_mailbox(text: str) -> str | None:
    """The mailbox (RFC 5321 4.1.2) that ``text`` is, unchanged but for a final dot of the domain; None if it is none.

    Dot-string local parts only: quoted strings, comments, encoded words, source routes, white space and anything that is not
    ASCII are refused, although RFC 5321 allows some of them, since no code mail needs them and each has been a way in.
    """
    if len(text) > MAX_ADDRESS or "@" not in text:
        return None
    local, _, domain = text.rpartition("@")
    if len(local) > MAX_LOCAL or not LOCAL.fullmatch(local) or ENCODED.search(local):
        return None
    if LITERAL.fullmatch(domain):
        return text
    if len(domain) > 253 or not DOMAIN.fullmatch(domain):
        return None
    return text.removesuffix(".")


def parse_return_path(text: str) -> str | None:
    """The sender of an envelope, unchanged; None where it is none. Nothing is routed by it, so it may be longer and looser than
    a recipient: dots in any place, underscores in the domain. The characters are no others, for it is stored and shown."""
    local, at, domain = text.rpartition("@")
    if not at or not RETURN_LOCAL.fullmatch(local) or ENCODED.search(local):
        return None
    if LITERAL.fullmatch(domain) or RETURN_DOMAIN.fullmatch(domain):
        return text
    return None


def split(address: str) -> tuple[str, str]:
    """Local part and domain, at the last ``@``."""
    local, _, domain = address.rpartition("@")
    return local, domain


def canonical(address: str) -> str:
    """The mailbox behind an address's spellings: case, ``+tag``, and Gmail's dots and second domain folded away.

    For comparing only: two addresses with one canonical form are the same mailbox at every large provider.
    """
    local, domain = split(address.casefold())
    local = local.partition("+")[0] or local
    if domain in GMAIL:
        return f"{local.replace('.', '')}@gmail.com"
    return f"{local}@{domain}"


def find_mailboxes(text: str, *, limit: int = 50) -> tuple[str, ...]:
    """Every mailbox that stands in ``text``, in order, each once, at most ``limit``; the text is cut at 16,384 characters."""
    found: dict[str, None] = {}
    for match in FINDABLE.finditer(text[:16_384]):
        mailbox = parse_mailbox(match.group())
        if mailbox is not None:
            found[mailbox] = None
            if len(found) >= limit:
                break
    return tuple(found)
