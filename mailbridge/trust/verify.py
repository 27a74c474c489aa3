"""Whether a signature (RFC 6376, RFC 8463) or a chain of seals (RFC 8617) is genuine, by the given keys.

This is our own code because an attacker can make a library slow: dkimpy 1.1.8 spends half an hour on a megabyte of blanks. Every
step here is linear, and OpenSSL does the arithmetic. The function that decides which signature may count also reads the tags here
(`mailbridge.trust.raw.tags`), so the two cannot read one signature differently.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from mailbridge.core.dataclass import dataclass
from mailbridge.trust.raw import hosts_of, tags

BLANKS = re.compile(rb"[ \t]+")
LINE_ENDS = re.compile(rb"\r?\n")
NEXT_HEADER = re.compile(rb"\r\n(?![ \t])")
INSTANCE = re.compile(r"\s*i\s*=\s*([0-9]{1,2})\s*;")
NUMBER = re.compile(r"[0-9]{1,2}")
SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)
SPECIALS = re.compile(r"[()<>\[\]:;@\\,]")
"""Characters that no domain name contains (RFC 5322 3.2.3)."""

CANONICALIZATIONS = ("simple", "relaxed")
SIGNED_TAGS = ("a", "b", "bh", "d", "h", "s")
SEALED_TAGS = ("a", "b", "cv", "d", "s")

Keys = Mapping[str, RSAPublicKey | Ed25519PublicKey]
"""Public keys by their name, ``selector._domainkey.domain`` in lower case."""

Header = tuple[bytes, bytes]
"""Name and value as they are in the mail. The value includes its folds and its CRLF."""


def dkim(content: bytes, index: int, keys: Keys) -> bool:
    """Whether the signature at ``index`` (the topmost is 0) is genuine. Any octets give an answer."""
    mail = _read(content)
    if mail is None:
        return False
    own = mail.named(b"dkim-signature")
    if index >= len(own):
        return False
    found = _tags(own[index])
    if found.get("v") != "1" or not _is_well_formed(found, SIGNED_TAGS):
        return False
    agent, domain = found.get("i", "").lower(), found["d"].lower()
    if agent and not agent.endswith(("@" + domain, "." + domain)):
        return False  # RFC 6376 3.5: an agent of another domain
    return _is_genuine(mail, own[index], found, keys)


def arc(content: bytes, keys: Keys) -> list[str] | None:
    """The results that each hop has sealed, newest first, if the whole chain is genuine (RFC 8617 5.2); else None. Never
    raises."""
    mail = _read(content)
    if mail is None:
        return None
    hops = _hops(mail)
    if not hops:
        return None
    newest = hops[-1].signature
    found = _tags(newest)
    if not _is_well_formed(found, SIGNED_TAGS) or "arc-seal" in hosts_of(found["h"]):
        return None
    if not _is_genuine(mail, newest, {"c": "relaxed/relaxed", **found}, keys):
        return None
    sealed: list[Header] = []
    for number, hop in enumerate(hops, 1):
        found = _tags(hop.seal)
        if not _is_well_formed(found, SEALED_TAGS) or "h" in found or found["cv"] != ("none" if number == 1 else "pass"):
            return None
        if not _is_well_formed(_tags(hop.signature), SIGNED_TAGS):
            return None
        sealed += [hop.results, hop.signature]
        if not _fits(found, keys, [relaxed_header(*one) for one in sealed], own=relaxed_header(*_bare(hop.seal))):
            return None
        sealed.append(hop.seal)
    return [_text(hop.results) for hop in reversed(hops)]


def relaxed_body(body: bytes) -> bytes:
    """The body in relaxed canonical form (RFC 6376 3.4.4)."""
    text = BLANKS.sub(b" ", body).replace(b" \r\n", b"\r\n").rstrip(b"\r\n ")
    return text + b"\r\n" if text else b""


def simple_body(body: bytes) -> bytes:
    """The body in simple canonical form (RFC 6376 3.4.3)."""
    return body.rstrip(b"\r\n") + b"\r\n"


def relaxed_header(name: bytes, value: bytes) -> Header:
    """A header in relaxed canonical form (RFC 6376 3.4.2)."""
    return name.lower().rstrip(), BLANKS.sub(b" ", LINE_ENDS.sub(b"", value)).strip() + b"\r\n"


def unsigned(value: bytes) -> bytes:
    """A signature's header without the value of its ``b=``: the form that was signed (RFC 6376 3.5)."""
    parts = value.split(b";")
    return b";".join(part.partition(b"=")[0] + b"=" if part.partition(b"=")[0].strip() == b"b" else part for part in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mail:
    headers: list[Header] = field(repr=False)
    body: bytes = field(repr=False)

    def named(self, name: bytes) -> list[Header]:
        """The headers with this name (in lower case), topmost first."""
        return [one for one in self.headers if one[0].lower() == name]

    def chosen(self, names: Iterable[bytes]) -> list[Header]:
        """The headers that an ``h=`` list names: for each name from the bottom up, and nothing if none is left (RFC 6376
        5.4.2)."""
        left: dict[bytes, list[Header]] = {}
        for one in self.headers:
            left.setdefault(one[0].lower(), []).append(one)
        return [left[name].pop() for name in names if left.get(name)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hop:
    seal: Header
    signature: Header
    results: Header


def _read(content: bytes) -> _Mail | None:
    """Headers and body; None if a header line is malformed."""
    head, separator, body = content.partition(b"\r\n\r\n")
    headers = []
    for line in NEXT_HEADER.split(head):
        name, colon, value = line.partition(b":")
        if not name or not colon:
            return None
        headers.append((name, value + b"\r\n"))
    return _Mail(headers=headers, body=body) if separator else None


def _hops(mail: _Mail) -> list[_Hop] | None:
    """The sets in order from the first; None if one is incomplete or occurs twice, or a number is missing."""
    found: dict[str, dict[int, Header]] = {}
    for name in ("arc-seal", "arc-message-signature", "arc-authentication-results"):
        found[name] = {}
        for header in mail.named(name.encode()):
            number = _tags(header).get("i", "") if name != "arc-authentication-results" else _instance(header)
            if not NUMBER.fullmatch(number) or int(number) in found[name]:
                return None
            found[name][int(number)] = header
    numbers = range(1, len(found["arc-seal"]) + 1)
    if any(set(headers) != set(numbers) for headers in found.values()):
        return None
    return [
        _Hop(seal=seal[n], signature=signature[n], results=results[n])
        for seal, signature, results in [found.values()]
        for n in numbers
    ]


def _text(header: Header) -> str:
    return LINE_ENDS.sub(b"", header[1]).decode("utf-8", "replace").strip(" \t")


def _tags(header: Header) -> Mapping[str, str]:
    """The tags of a signature or a seal; empty if it is malformed."""
    return tags(_text(header)) or {}


def _instance(header: Header) -> str:
    number = INSTANCE.match(_text(header))
    return number[1] if number else ""


def _bare(header: Header) -> Header:
    return header[0], unsigned(header[1])


def _is_well_formed(found: Mapping[str, str], wanted: Iterable[str]) -> bool:
    """Whether the wanted tags are there with permitted values (RFC 6376 3.5). Ages are not checked here."""
    signed, expires = found.get("t", "0"), found.get("x", "999999999999")
    return (
        all(name in found for name in wanted)
        and found.get("v", "1") == "1"
        and found.get("q", "dns/txt") == "dns/txt"
        and not SPECIALS.search(found["d"])
        and bool(SECONDS.fullmatch(signed) and SECONDS.fullmatch(expires))
        and int(signed) <= int(expires)
    )


def _is_genuine(mail: _Mail, own: Header, found: Mapping[str, str], keys: Keys) -> bool:
    """Whether a signature matches the body and the headers that it lists."""
    of_headers, _, of_body = found.get("c", "simple/simple").partition("/")
    of_body = of_body or "simple"
    if not {of_headers, of_body} <= {*CANONICALIZATIONS} or "l" in found:
        return False  # l= would sign only a part of the body; it is refused earlier (`mailbridge.trust.dkim.uncovered`)
    body = relaxed_body(mail.body) if of_body == "relaxed" else simple_body(mail.body)
    if hashlib.sha256(body).digest() != _octets(found["bh"]):
        return False
    names = [name.encode("utf-8", "replace") for name in hosts_of(found["h"])]
    if b"from" in names:
        names.append(b"from")  # cover one From more than there is, so that a mail with an added From does not match
    chosen, last = mail.chosen(names), _bare(own)
    if of_headers == "relaxed":
        chosen, last = [relaxed_header(*one) for one in chosen], relaxed_header(*last)
    return _fits(found, keys, chosen, own=last)


def _fits(found: Mapping[str, str], keys: Keys, headers: Iterable[Header], *, own: Header) -> bool:
    """Whether ``b=`` is the key's signature of the canonical headers and of its own header without ``b=``."""
    key = keys.get(f"{found['s']}._domainkey.{found['d']}".lower())
    signature = _octets(found["b"])
    if key is None:
        return False
    if found["a"] != ("ed25519-sha256" if isinstance(key, Ed25519PublicKey) else "rsa-sha256"):
        return False
    digest = hashlib.sha256()
    for name, value in (*headers, (own[0], own[1].rstrip())):
        digest.update(name + b":" + value)
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, digest.digest())  # RFC 8463 3: the digest is signed
        else:
            key.verify(signature, digest.digest(), PKCS1v15(), Prehashed(SHA256()))
    except InvalidSignature:
        return False
    return True


def _octets(text: str) -> bytes:
    """The octets that a base64 text stands for; empty, which matches nothing, if it is not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""
