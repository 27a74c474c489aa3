"""Seals of forwarders: whose chain counts, and what a chain by anybody else is worth."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

import pytest

from mailbridge.trust import Finding, Proven, Unproven, arc, raw
from tests.peers import signer
from tests.trust.conftest import published
from tests.trust.mails import RCPT, mail

SENDER = "no-reply@acme.example"
PASS = "mx.google.com; dkim=pass header.i=@acme.example; spf=pass smtp.mailfrom=b@acme.example; dmarc=pass (p=REJECT) header.from=acme.example"
FAIL = PASS.replace("dmarc=pass", "dmarc=fail")
STAMP = b"X-Forwarded-For: ann@corp.example codes@bridge.example\r\nDelivered-To: ann@corp.example\r\n"


def check(content: bytes, now: datetime, *, sender: str = SENDER) -> Finding:
    """One check against the usual zone, for the usual recipient."""

    async def go() -> Finding:
        async with published() as (_, resolver):
            return await arc.check(
                raw.read(content), sender=sender, rcpt=RCPT, forwarders={"google.com", "microsoft.com"}, dns=resolver, now=now
            )

    return asyncio.run(go())


def forwarded(
    content: bytes | None = None,
    *,
    first: str = PASS,
    by: str = "google.com",
    darn: str = "bridge.example",
    cv: str | None = None,
) -> bytes:
    """A mail as Gmail forwards it: sealed when it came in, stamped, sealed when it goes out."""
    inner = signer.arc(content or mail(), "google.com", results=first, instance=1)
    return signer.arc(STAMP + inner, by, results=first, instance=2, darn=darn, cv=cv)


def test_a_chain_of_listed_forwarders_is_a_proof(now: datetime) -> None:
    """Google's seal over what it found proves the mail, and names the account that it was delivered to."""
    found = check(forwarded(), now)
    assert isinstance(found, Proven)
    assert found.covers("ann@corp.example")
    assert not found.covers("bob@corp.example")


def test_one_hop_is_enough(now: datetime) -> None:
    """A forwarder that seals once is a chain too."""
    assert isinstance(check(signer.arc(mail(), "microsoft.com", results=PASS, instance=1), now), Proven)


def test_an_inner_delivered_to_is_not_taken_for_the_forwarders(now: datetime) -> None:
    """Of two Delivered-To the lower, which the seal covers, may be the author's own: neither names a recipient."""
    inner = b"Delivered-To: bob@corp.example\r\n" + mail(to="list@acme.example")
    found = check(forwarded(inner), now)
    assert isinstance(found, Proven)
    assert not found.covers("bob@corp.example")


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "not sealed": (mail, "not sealed"),
    "sealed by a stranger": (lambda: signer.arc(mail(), "evil.example", results=PASS, instance=1), "no listed forwarder"),
    "first seal by a stranger": (
        lambda: signer.arc(signer.arc(mail(), "evil.example", results=PASS, instance=1), "google.com", results=PASS, instance=2),
        "evil.example",
    ),
    "last seal by a stranger": (lambda: forwarded(by="evil.example"), "evil.example"),
    "google's name, another key": (
        lambda: signer.arc(mail(), "google.com", results=PASS, instance=1, private=signer.key("forger")),
        "does not fit",
    ),
    "dmarc failed": (lambda: forwarded(first=FAIL), "dmarc=pass"),
    "dmarc passed for another From": (
        lambda: forwarded(first=PASS.replace("header.from=acme", "header.from=evil")),
        "dmarc=pass",
    ),
    "dmarc of nobody": (lambda: forwarded(first=PASS.replace("header.from=acme.example", "")), "dmarc=pass"),
    "dmarc=pass in a comment": (
        lambda: forwarded(first=FAIL.replace("REJECT", "dmarc=pass header.from=acme.example")),
        "dmarc=pass",
    ),
    "dmarc=pass in a comment in a comment": (
        lambda: forwarded(first="mx.google.com; spf=pass (a ( b ) dmarc=pass header.from=acme.example ( c ))"),
        "dmarc=pass",
    ),
    "dmarc=pass in a quoted sender": (
        lambda: forwarded(first='mx.google.com; spf=pass smtp.mailfrom="; dmarc=pass header.from=acme.example;"@evil.example'),
        "dmarc=pass",
    ),
    "dmarc=pass behind a quote that does not end": (
        lambda: forwarded(first='mx.google.com; spf=pass smtp.mailfrom="x@evil.example; dmarc=pass header.from=acme.example'),
        "dmarc=pass",
    ),
    "two verdicts": (lambda: forwarded(first=f"{FAIL}; dmarc=pass header.from=acme.example"), "dmarc=pass"),
    "for another destination": (lambda: forwarded(darn="evil.example"), "not for us"),
    "results changed": (lambda: forwarded(first=FAIL).replace(b"dmarc=fail", b"dmarc=pass"), "does not fit"),
    "body changed": (lambda: forwarded().replace(b"482913", b"111111"), "does not fit"),
    "stamp changed": (lambda: forwarded().replace(b"Delivered-To: ann", b"Delivered-To: bob"), "does not fit"),
    "a hop missing": (lambda: forwarded().replace(b"i=1;", b"i=3;"), "gaps"),
    "a hop twice": (lambda: forwarded().replace(b"i=1;", b"i=2;"), "malformed"),
    "sealed by Ed25519, which ARC has not": (
        lambda: forwarded().replace(b"a=rsa-sha256", b"a=ed25519-sha256", 1),
        "not rsa-sha256",
    ),
    "cv=fail": (lambda: forwarded(cv="fail"), "broken"),
    "cv=none in the second": (lambda: forwarded(cv="none"), "broken"),
    "subject not covered": (
        lambda: signer.arc(mail(), "google.com", results=PASS, instance=1, headers=("from", "to")),
        "Subject",
    ),
    "two Subjects": (lambda: b"Subject: Your code is 111111\r\n" + forwarded(), "more than once"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_arc_refuses(name: str, now: datetime) -> None:
    """Each of these chains is no proof, and says why."""
    content, why = REFUSED[name]
    found = check(content(), now)
    assert isinstance(found, Unproven)
    assert why in found.why


def test_more_hops_than_are_followed(now: datetime) -> None:
    """A chain that is longer than any honest one is not followed."""
    content = mail()
    for instance in range(1, 9):
        content = signer.arc(content, "google.com", results=PASS, instance=instance)
    found = check(content, now)
    assert isinstance(found, Unproven)
    assert "more than" in found.why
