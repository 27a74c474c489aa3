"""Secrets of mail over HTTP that could never prove a post, or would prove anybody's, are refused before the first of them."""

from __future__ import annotations

import base64

import pytest

from mailbridge.config.ingest import ingest_mistakes
from mailbridge.config.settings import IngestSettings
from mailbridge.core.secret import Secret
from tests.ingress.http.posts import TOPIC, public_key

GOOD = Secret("whsec_" + base64.b64encode(bytes(24)).decode())


@pytest.mark.parametrize(
    ("settings", "key", "says"),
    [
        (IngestSettings(webhook_secrets=(GOOD, Secret("whsec_no Base64"))), "webhook_secrets", "secret 2 must be Base64"),
        (IngestSettings(webhook_secrets=(Secret("c2hvcnQ="),)), "webhook_secrets", "at least 24 octets"),
        (IngestSettings(postmark_password=Secret("short")), "postmark_password", "at least 12 characters"),
        (IngestSettings(cloudmailin_password=Secret("short")), "cloudmailin_password", "at least 12 characters"),
        (IngestSettings(sendgrid_password=Secret("short")), "sendgrid_password", "at least 12 characters"),
        (IngestSettings(mailgun_key=Secret("  ")), "mailgun_key", "is empty"),
        (IngestSettings(forwardemail_key=Secret("")), "forwardemail_key", "is empty"),
        (IngestSettings(sendgrid_key=public_key()[:-8]), "sendgrid_key", "begins with MFkw"),
    ],
)
def test_what_could_prove_nothing_is_refused(settings: IngestSettings, key: str, says: str) -> None:
    """By its key, without its value."""
    ((section, name, what),) = ingest_mistakes(settings)
    assert (section, name) == ("ingest", key)
    assert says in what
    assert "short" not in what


def test_what_providers_give_is_taken() -> None:
    """A whsec of 24 octets, a P-256 key as SendGrid shows it, topics of every partition."""
    topics = (TOPIC, "arn:aws-cn:sns:cn-north-1:123456789012:mail", "arn:aws-us-gov:sns:us-gov-west-1:123456789012:a_b-c")
    settings = IngestSettings(webhook_secrets=(GOOD,), sendgrid_key=public_key(), ses_topics=topics)
    assert list(ingest_mistakes(settings)) == []
