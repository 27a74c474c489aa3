"""Signs and seals mails as senders and forwarders do (RFC 6376, RFC 8463, RFC 8617), by code that shares nothing with what verifies them."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

USUAL = ("from", "to", "subject", "date", "message-id", "mime-version", "content-type")

Private = rsa.RSAPrivateKey | Ed25519PrivateKey


@cache
def key(name: str = "default", bits: int = 2048) -> rsa.RSAPrivateKey:
    """The private key of that name, the same for the length of a test run."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def edwards_key(name: str = "default") -> Ed25519PrivateKey:
    """The Ed25519 key of that name, the same for the length of a test run."""
    return Ed25519PrivateKey.generate()


def record(private: Private, more: str = "") -> str:
    """What its owner publishes at ``selector._domainkey.domain``."""
    if isinstance(private, Ed25519PrivateKey):
        return f"v=DKIM1; k=ed25519; {more}p={base64.b64encode(private.public_key().public_bytes_raw()).decode()}"
    der = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k=rsa; {more}p={base64.b64encode(der).decode()}"


def dkim(
    mail: bytes,
    domain: str,
    *,
    selector: str = "s1",
    private: Private | None = None,
    headers: Sequence[str] = USUAL,
    more: Mapping[str, str | None] | None = None,
    is_sha1: bool = False,
    canon: str = "relaxed/relaxed",
) -> bytes:
    """The mail with a DKIM-Signature of ``domain`` on top; ``more`` are further tags, or others in place of the usual ones (None:
    left out). ``canon`` is how header and body are made canonical."""
    head, raw = _split(mail)
    of_header, _, of_body = canon.partition("/")
    body = _relaxed_body(raw) if of_body == "relaxed" else _simple_body(raw)
    names = [name for name in headers if _values(head, name)]
    signer = private or key()
    length = (more or {}).get("l")
    hashed = body if length is None else body[: int(length)]
    digest = hashlib.sha1(hashed) if is_sha1 else hashlib.sha256(hashed)
    tags: dict[str, str | None] = {
        "v": "1",
        "a": f"{'ed25519' if isinstance(signer, Ed25519PrivateKey) else 'rsa'}-{'sha1' if is_sha1 else 'sha256'}",
        "c": canon,
        "d": domain,
        "s": selector,
        "t": str(int(time.time())),
        "h": ":".join(names),
        "bh": base64.b64encode(digest.digest()).decode(),
        **(more or {}),
        "b": "",
    }
    signed = "; ".join(f"{name}={value}" for name, value in tags.items() if value is not None)
    chosen = [name.strip() for name in (tags["h"] or "").split(":")]
    if of_header == "relaxed":
        text = _chosen(head, chosen) + _relaxed("DKIM-Signature", signed)
    else:
        text = _chosen(head, chosen, is_simple=True) + f"DKIM-Signature: {signed}"
    octets = text.encode("utf-8", "surrogateescape")
    if isinstance(signer, Ed25519PrivateKey):
        signature = signer.sign(hashlib.sha256(octets).digest())
    else:
        signature = signer.sign(octets, padding.PKCS1v15(), SHA1() if is_sha1 else SHA256())
    return f"DKIM-Signature: {signed}{base64.b64encode(signature).decode()}\r\n".encode() + mail


def arc(
    mail: bytes,
    domain: str,
    *,
    results: str,
    instance: int,
    selector: str = "arc",
    private: rsa.RSAPrivateKey | None = None,
    headers: Sequence[str] = ("from", "to", "subject", "date", "message-id", "delivered-to", "dkim-signature"),
    cv: str | None = None,
    darn: str = "",
    at: int | None = None,
    is_timed: bool = True,
    expires: int | None = None,
    sealing: str = "",
    canon: str | None = "relaxed/relaxed",
    lead: str = "",
) -> bytes:
    """The mail with one more ARC set on top, sealed by ``domain``, at a moment (seconds since 1970) or now, or without saying when.

    ``expires`` is when its message signature says that it is over; ``sealing`` is the selector of the seal, where it is another than that of
    the signature. ``canon`` None: the message signature does not say how it is made canonical. ``lead`` stands before the number in both.

    As Google does it the seal has a time, and the signature has none.
    """
    chosen = private or key()
    head, raw = _split(mail)
    body = _relaxed_body(raw)
    aar = f"i={instance}; {results}"
    t = f" t={int(time.time()) if at is None else at};" if is_timed else ""
    names = [name for name in headers if _values(head, name)]
    ams = (
        f" {lead}i={instance}; a=rsa-sha256; {f'c={canon}; ' if canon else ''}d={domain}; s={selector}; h={':'.join(names)};"
        f" bh={base64.b64encode(hashlib.sha256(body).digest()).decode()};{f' darn={darn};' if darn else ''}"
        f"{'' if expires is None else f' x={expires};'} b="
    )
    ams += _signed(_chosen(head, names) + _relaxed("ARC-Message-Signature", ams), chosen)
    seal = f" {lead}i={instance}; a=rsa-sha256;{t} cv={cv or ('none' if instance == 1 else 'pass')}; d={domain}; s={sealing or selector}; b="
    text = ""
    for number in range(1, instance):
        for name in ("ARC-Authentication-Results", "ARC-Message-Signature", "ARC-Seal"):
            value = next(one for one in _values(head, name.lower()) if re.match(rf"\s*i={number};", one))
            text += _relaxed(name, value) + "\r\n"
    text += _relaxed("ARC-Authentication-Results", aar) + "\r\n" + _relaxed("ARC-Message-Signature", ams) + "\r\n"
    seal += _signed(text + _relaxed("ARC-Seal", seal), chosen)
    top = f"ARC-Seal:{seal}\r\nARC-Message-Signature:{ams}\r\nARC-Authentication-Results: {aar}\r\n"
    return top.encode() + mail


def _signed(text: str, private: rsa.RSAPrivateKey) -> str:
    return base64.b64encode(private.sign(text.encode("utf-8", "surrogateescape"), padding.PKCS1v15(), SHA256())).decode()


def _split(mail: bytes) -> tuple[list[tuple[str, str]], bytes]:
    head, _, body = mail.partition(b"\r\n\r\n")
    lines = re.sub(rb"\r\n(?=[ \t])", b"\x00", head).split(b"\r\n")
    headers = []
    for line in lines:
        name, _, value = line.partition(b":")
        headers.append((name.decode(), value.replace(b"\x00", b"\r\n").decode("utf-8", "surrogateescape")))
    return headers, body


def _simple_body(body: bytes) -> bytes:
    return body.rstrip(b"\r\n") + b"\r\n"


@lru_cache(maxsize=64)
def _relaxed_body(body: bytes) -> bytes:
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


def _values(headers: list[tuple[str, str]], name: str) -> list[str]:
    return [value for key_, value in headers if key_.lower() == name.lower()]


def _chosen(headers: list[tuple[str, str]], names: Sequence[str], *, is_simple: bool = False) -> str:
    left = {name.lower(): [pair for pair in headers if pair[0].lower() == name.lower()] for name in names}
    text = ""
    for name in names:
        if left[name.lower()]:
            own, value = left[name.lower()].pop()
            text += f"{own}:{value}\r\n" if is_simple else _relaxed(name, value) + "\r\n"
    return text


def _relaxed(name: str, value: str) -> str:
    unfolded = re.sub(r"\r\n(?=[ \t])", "", value)
    return name.lower() + ":" + re.sub(r"[ \t]+", " ", unfolded).strip()
