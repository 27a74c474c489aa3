"""Proofs of who posts: shared passwords, HMACs, public keys, and the age of a timestamp. Every comparison takes constant time."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from mailbridge.core.secret import Secret
from mailbridge.ingress.http.posted import Refused

TOLERANCE = timedelta(minutes=5)
"""How far a timestamp may differ from our clock, in both directions (Standard Webhooks 1.0; also the default of Svix and
Stripe)."""


def same(given: str, wanted: str) -> bool:
    """Whether two texts are the same."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), wanted.encode())


def must_be_fresh(stamp: str, now: datetime, *, provider: str) -> None:
    """Refuse a timestamp (seconds since 1970) that is not a number, or differs from now by more than TOLERANCE.

    Raises:
        Refused: 401.
    """
    if not stamp.isascii() or not stamp.isdigit() or len(stamp) > 12:
        raise Refused(401, "the timestamp of the signature is not a number of seconds")
    if abs(now.timestamp() - int(stamp)) > TOLERANCE.total_seconds():
        raise Refused(
            401, f"the signature is older than {TOLERANCE.seconds // 60} minutes", f"compare this clock with that of {provider}"
        )


def basic(headers: Mapping[str, str], password: Secret, *, setting: str) -> None:
    """Check the password of HTTP Basic (RFC 7617), as providers send it if the URL has ``user:password@``. Any user name is
    accepted.

    Raises:
        Refused: 401.
    """
    scheme, _, text = headers.get("authorization", "").partition(" ")
    hint = f"put the password of {setting} into the URL at the provider: https://any:PASSWORD@…"
    if scheme.casefold() != "basic":
        raise Refused(401, "a password is needed", hint)
    try:
        given = base64.b64decode(text.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        raise Refused(401, "the Authorization header is no Basic", hint) from None
    if not same(given.partition(":")[2], password.reveal()):
        raise Refused(401, "wrong password", hint)


def hmac_sha256(key: Secret, *parts: bytes) -> bytes:
    """HMAC-SHA-256 over the concatenated parts (RFC 2104)."""
    mac = hmac.new(key.reveal().encode(), digestmod=hashlib.sha256)
    for part in parts:
        mac.update(part)
    return mac.digest()


def hex_matches(given: str, wanted: bytes) -> bool:
    """Whether a hexadecimal text, in upper or lower case, stands for these octets."""
    return same(given.strip().casefold(), wanted.hex())


def ecdsa_p256(key: str, signature: str, *parts: bytes) -> bool:
    """Whether a Base64 signature (DER, ECDSA, P-256, SHA-256) of the parts was made with the key (Base64 of a
    SubjectPublicKeyInfo)."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    try:
        public = load_der_public_key(base64.b64decode(key, validate=True))
        signed = base64.b64decode(signature, validate=True)
    except (ValueError, UnsupportedAlgorithm):
        return False
    if not isinstance(public, ec.EllipticCurvePublicKey):
        return False
    try:
        public.verify(signed, b"".join(parts), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def standard_webhook(headers: Mapping[str, str], body: bytes, secrets: Sequence[Secret], now: datetime) -> str:
    """Check the signature of Standard Webhooks 1.0 against each of the secrets (``whsec_`` and Base64). Returns the id of the
    message.

    Raises:
        Refused: 401.
    """
    number, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    signatures = headers.get("webhook-signature", "").split()
    if not number or not signatures:
        raise Refused(
            401, "a bearer token or a Standard Webhooks signature is needed", "mailbridge token add --role ingest makes a token"
        )
    must_be_fresh(stamp, now, provider="the sender")
    text = f"{number}.{stamp}.".encode("utf-8", "surrogatepass")
    for secret in secrets:
        mac = hmac.new(webhook_key(secret), text, hashlib.sha256)
        mac.update(body)
        wanted = f"v1,{base64.b64encode(mac.digest()).decode()}"
        if any(same(one, wanted) for one in signatures[:10]):
            return number
    raise Refused(401, "no signature matches", "compare the secret with [ingest] webhook_secrets")


def webhook_key(secret: Secret) -> bytes:
    """The octets of a secret of Standard Webhooks. Raises ValueError if it is not Base64."""
    return base64.b64decode(secret.reveal().removeprefix("whsec_"), validate=True)
