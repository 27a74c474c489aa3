"""Posts of every provider, mutated: each is refused in words or taken whole, and none is taken whose proof was touched."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from mailbridge.ingress.http.mime import Mime
from mailbridge.ingress.http.posted import Posted, Refused
from mailbridge.ingress.http.proofs import standard_webhook
from mailbridge.ingress.http.written import read_written
from tests.ingress.http import posts
from tests.ingress.http.posts import MAIL, NOW, PROVIDERS, RCPT

SEPARATOR = b"\0\n"
COVERED = frozenset({"sendgrid", "ses", "forwardemail"})
"""Providers whose proof is over the mail."""


def packed(name: str, posted: Posted) -> bytes:
    """A post as one input: way in, headers, body."""
    headers = "\r\n".join(f"{key}: {value}" for key, value in posted.headers.items())
    return SEPARATOR.join((name.encode(), headers.encode(), posted.body))


def _unpacked(octets: bytes) -> tuple[str, Posted]:
    name, _, rest = octets.partition(SEPARATOR)
    head, _, body = rest.partition(SEPARATOR)
    headers = {}
    for line in head.decode("latin-1").split("\r\n"):
        key, _, value = line.partition(":")
        headers[key.strip().lower()] = value.strip()
    return name.decode("latin-1"), Posted(headers=headers, query={"rcpt": (RCPT,), "from": (key,)}, body=body)


async def fuzz_posted(octets: bytes) -> None:
    """Refused, or a delivery of octets; a proof over the mail holds for the mails of the seeds alone."""
    name, posted = _unpacked(octets)
    adapters = [one.adapter for one in PROVIDERS if one.name == name] or [Mime()]
    for adapter in adapters:
        try:
            delivery = adapter.take(posted, now=NOW)
        except Refused as refused:
            assert 400 <= refused.status < 600
            assert refused.title
            continue
        for mail in delivery.mails:
            assert isinstance(mail.content, bytes)
            assert all(isinstance(one, str) for one in (mail.mail_from, *mail.rcpt_to))
            assert name not in COVERED or mail.content == MAIL
    for way in (
        lambda: read_written(posted, now=NOW),
        lambda: read_written(replace(posted, headers={"content-type": "application/json"}), now=datetime.now(UTC)),
        lambda: standard_webhook(posted.headers, posted.body, (), NOW),
    ):
        try:
            way()
        except Refused as refused:
            assert refused.status in (400, 401, 415)


SEEDS = (
    *(packed(one.name, one.post(MAIL, NOW)) for one in PROVIDERS),
    packed("mailgun", posts.mailgun(MAIL, NOW, is_multipart=False)),
    packed(
        "ses",
        posts.sns("x", NOW, kind="SubscriptionConfirmation", SubscribeURL="https://sns.eu-west-1.amazonaws.com/?t=1", Token="t"),
    ),
    packed("mime", Posted(headers={"content-type": "message/rfc822"}, query={}, body=MAIL)),
    packed(
        "text",
        Posted(
            headers={"content-type": "application/json"},
            query={},
            body=b'{"identifier": "a@b.c", "from": "ACME", "text": "Your code is 482913 \\ud83d\\ude00", "received_at": "1782734400.5"}',
        ),
    ),
    packed(
        "text",
        Posted(
            headers={"content-type": "application/x-www-form-urlencoded"},
            query={},
            body=b"To=%2B15551234567&From=%2B1555&Body=Your+code+is+482913&received_at=2026-11-29T12%3A00%3A00Z&html=%3Cb%3Ex",
        ),
    ),
)
