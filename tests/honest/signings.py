"""How real senders sign: which domain, which headers, which canonical form, which key, alone or beside their mail service."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from tests.honest.originals import Original, registered
from tests.peers import signer

SERVICE = "sendgrid.test"
"""A mail service that signs for itself as well."""

MINIMAL = ("from", "subject", "date", "to")
LONG = ("from", "to", "cc", "reply-to", "subject", "date", "message-id", "mime-version", "content-type", "list-unsubscribe")
FOLDED = "from:to:subject:date:\r\n\tmessage-id:mime-version:\r\n\tcontent-type"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What an author's server sends, and the records that its keys need."""

    content: bytes = field(repr=False)
    records: tuple[tuple[str, str], ...]
    domain: str
    """The From's."""


Sign = Callable[[Original, str], Signed]


def _with(
    *, headers: tuple[str, ...] = signer.USUAL, canon: str = "relaxed/relaxed", bits: int = 2_048, **tags: str | None
) -> Sign:
    """Signed by the From's domain itself."""

    def sign(original: Original, account: str) -> Signed:
        return _signed(original, account, domain=original.domain, headers=headers, canon=canon, bits=bits, tags=tags)

    return sign


def _signed(
    original: Original,
    account: str,
    *,
    domain: str,
    sender: str | None = None,
    headers: tuple[str, ...] = signer.USUAL,
    canon: str = "relaxed/relaxed",
    bits: int = 2_048,
    tags: dict[str, str | None] | None = None,
) -> Signed:
    written = original.written(account, domain=sender)
    content = signer.dkim(written, domain, private=_key("author", bits), headers=headers, canon=canon, more=tags or {})
    records = ((f"s1._domainkey.{domain}", _record("author", bits)),)
    return Signed(content=content, records=records, domain=sender or original.domain)


def _parent(original: Original, account: str) -> Signed:
    """From a subdomain, signed by the domain above it that the author has registered."""
    above = registered(original.domain)
    sender = None if above != original.domain else f"mail.{above}"
    return _signed(original, account, domain=above, sender=sender)


def _child(original: Original, account: str) -> Signed:
    """Signed by a subdomain that the author has handed to a mail service."""
    return _signed(original, account, domain=f"em123.{original.domain}")


def _service(*, is_first: bool) -> Sign:
    """The author's mail service signs too: before the author, so that its signature is covered by nobody and below, or after."""

    def sign(original: Original, account: str) -> Signed:
        content = original.written(account)
        if is_first:
            content = signer.dkim(content, SERVICE, selector="m1", private=_key("service"))
        content = signer.dkim(content, original.domain, private=_key("author"))
        if not is_first:
            content = signer.dkim(content, SERVICE, selector="m1", private=_key("service"))
        records = (
            (f"s1._domainkey.{original.domain}", _record("author")),
            (f"m1._domainkey.{SERVICE}", _record("service")),
        )
        return Signed(content=content, records=records, domain=original.domain)

    return sign


def _edwards(*, is_alone: bool) -> Sign:
    """By Ed25519; as long as not everybody reads that, by RSA as well."""

    def sign(original: Original, account: str) -> Signed:
        private = signer.edwards_key("author")
        content = original.written(account)
        records = [(f"ed._domainkey.{original.domain}", signer.record(private))]
        if not is_alone:
            content = signer.dkim(content, original.domain, private=_key("author"))
            records.append((f"s1._domainkey.{original.domain}", _record("author")))
        content = signer.dkim(content, original.domain, selector="ed", private=private)
        return Signed(content=content, records=tuple(records), domain=original.domain)

    return sign


def _expiring(original: Original, account: str) -> Signed:
    """With t= and x=, a week apart."""
    now = int(time.time())
    return _signed(original, account, domain=original.domain, tags={"t": str(now), "x": str(now + 604_800)})


def _folded(original: Original, account: str) -> Signed:
    """With h= over three lines, and the tags that say the usual."""
    return _signed(original, account, domain=original.domain, tags={"h": FOLDED, "i": f"@{original.domain}", "q": "dns/txt"})


SIGNINGS: dict[str, Sign] = {
    "d= of From, relaxed/relaxed": _with(),
    "d= of From, relaxed/simple": _with(canon="relaxed/simple"),
    "d= of From, simple/simple": _with(canon="simple/simple"),
    "d= of From, simple/relaxed": _with(canon="simple/relaxed"),
    "d= of the domain above From": _parent,
    "d= of a domain below From": _child,
    "mail service signs first": _service(is_first=True),
    "mail service signs last": _service(is_first=False),
    "h= without To": _with(headers=("from", "subject", "date", "message-id", "mime-version", "content-type")),
    "h= without Content-Type": _with(headers=("from", "to", "subject", "date", "message-id")),
    "h= of four": _with(headers=MINIMAL),
    "h= with headers that are not there": _with(h=":".join(LONG)),
    "h= over-signed": _with(h="from:from:to:to:cc:subject:subject:date:date:message-id:content-type:content-type:reply-to"),
    "h= folded, i= and q=": _folded,
    "no t=": _with(t=None),
    "t= and x=": _expiring,
    "RSA of 1024 bits": _with(bits=1_024),
    "Ed25519 alone": _edwards(is_alone=True),
    "Ed25519 and RSA": _edwards(is_alone=False),
}


@cache
def _key(name: str, bits: int = 2_048) -> RSAPrivateKey:
    return signer.key(name, bits)


@cache
def _record(name: str, bits: int = 2_048) -> str:
    return signer.record(_key(name, bits))
