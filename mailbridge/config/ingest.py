"""What is wrong with `[ingest]`: secrets, public keys and topics that could never prove a post."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from mailbridge.config.settings import IngestSettings

SHORTEST_WEBHOOK = 24
"""The shortest secret that Standard Webhooks 1.0 allows, in octets."""

SHORTEST_PASSWORD = 12
"""Characters. A password in a URL is the only protection of the provider's endpoint against strangers."""

P256 = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200")
"""The first octets of every SubjectPublicKeyInfo of an uncompressed P-256 key (RFC 5480). 65 octets of the key follow."""

TOPIC = re.compile(r"arn:aws(?:-[a-z]+)*:sns:[a-z]{2}(?:-[a-z]+){1,3}-\d:\d{12}:[A-Za-z0-9_-]{1,256}")


def ingest_mistakes(settings: IngestSettings) -> Iterator[tuple[str, str, str]]:
    """Section, key and what is wrong. No value of a secret is repeated."""
    for number, secret in enumerate(settings.webhook_secrets, 1):
        key = _decoded(secret.reveal().removeprefix("whsec_"))
        if key is None:
            yield "ingest", "webhook_secrets", f"secret {number} must be Base64, with or without whsec_ before it"
        elif len(key) < SHORTEST_WEBHOOK:
            what = f"secret {number} must have at least {SHORTEST_WEBHOOK} octets; `openssl rand -base64 24` makes one"
            yield "ingest", "webhook_secrets", what
    for name in ("postmark_password", "cloudmailin_password", "sendgrid_password"):
        password = getattr(settings, name)
        if password is not None and len(password) < SHORTEST_PASSWORD:
            what = f"must have at least {SHORTEST_PASSWORD} characters; `openssl rand -hex 24` makes one"
            yield "ingest", name, what
    for name in ("mailgun_key", "forwardemail_key"):
        key_text = getattr(settings, name)
        if key_text is not None and not key_text.reveal().strip():
            yield "ingest", name, "is empty, and so would be everybody's"
    if settings.sendgrid_key:
        key = _decoded(settings.sendgrid_key)
        if key is None or len(key) != len(P256) + 65 or not key.startswith(P256 + b"\x04"):
            yield (
                "ingest",
                "sendgrid_key",
                "must be the public key of the security policy: one word of Base64 that begins with MFkw",
            )
    for topic in settings.ses_topics:
        if not TOPIC.fullmatch(topic):
            what = f"{topic[:100]!r} must be the ARN of a topic, such as arn:aws:sns:eu-west-1:123456789012:mail"
            yield "ingest", "ses_topics", what


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
