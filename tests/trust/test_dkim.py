"""Signatures of the author's domain: which count, and which do not although dkimpy takes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from mailbridge.trust import Finding, Proven, Unproven, dkim, keys, raw
from mailbridge.trust.dns import DnsUnavailable
from tests.peers import signer
from tests.trust.conftest import published
from tests.trust.mails import mail

SENDER = "no-reply@acme.example"


def check(
    content: bytes, now: datetime, *, sender: str = SENDER, signers: dict[str, frozenset[str]] | None = None, **zone: str
) -> Finding:
    """One check against a zone; ``zone`` replaces the key of acme.example."""

    async def go() -> Finding:
        async with published() as (server, resolver):
            if "acme" in zone:
                server.txt("s1._domainkey.acme.example", zone["acme"])
            if "mailer" in zone:
                server.txt("s1._domainkey.mailer.example", zone["mailer"])
            return await dkim.check(raw.read(content), sender=sender, signers=signers or {}, dns=resolver, now=now)

    return asyncio.run(go())


def test_the_authors_own_signature_is_a_proof(now: datetime) -> None:
    """A signature of From's domain proves the mail, and names the recipients that it covers and the author."""
    found = check(signer.dkim(mail(), "acme.example"), now)
    assert isinstance(found, Proven)
    assert found.covers("ann@corp.example")
    assert found.covers("Ann+tag@Corp.example")
    assert found.covers(SENDER)
    assert not found.covers("bob@corp.example")
    assert found.warning == ""


def test_headers_above_and_line_folding_do_not_matter(now: datetime) -> None:
    """What forwarders put on top leaves the proof as it is."""
    forwarded = b"Received: from a by b;\r\n Wed, 25 Nov 2026\r\nX-Forwarded-For: a@b.example c@d.example\r\n"
    assert isinstance(check(forwarded + signer.dkim(mail(), "acme.example"), now), Proven)


def test_a_listed_signer_is_a_proof(now: datetime) -> None:
    """A domain that is listed as a signer for From's domain may sign for it; one that is not listed may not."""
    content = signer.dkim(mail(), "mailer.example")
    record = signer.record(signer.key())
    listed = {"acme.example": frozenset({"mailer.example"})}
    assert isinstance(check(content, now, signers=listed, mailer=record), Proven)
    assert isinstance(check(content, now, mailer=record), Unproven)


def test_a_short_key_counts_with_a_warning(now: datetime) -> None:
    """1024 bits are enough to count, and the operator is told."""
    weak = signer.key("weak", 1024)
    found = check(signer.dkim(mail(), "acme.example", private=weak), now, acme=signer.record(weak))
    assert isinstance(found, Proven)
    assert "1024 bits" in found.warning


def test_the_third_signature_is_still_tried_and_the_fourth_is_not(now: datetime) -> None:
    """Three signatures of the author's domain are tried; a fourth is not, whatever it is."""
    good = signer.dkim(mail(), "acme.example")
    broken = b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=acme.example; s=s1; h=from:subject; bh=AAAA; b=AAAA\r\n"
    assert isinstance(check(broken * 2 + good, now), Proven)
    assert isinstance(check(broken * 3 + good, now), Unproven)


def test_signatures_of_strangers_cost_no_question(now: datetime) -> None:
    """Signatures that could not count are not looked up."""

    async def go() -> None:
        async with published() as (server, resolver):
            content = mail()
            for number in range(20):
                content = signer.dkim(content, f"stranger{number}.example")
            found = await dkim.check(raw.read(content), sender=SENDER, signers={}, dns=resolver, now=now)
            assert isinstance(found, Unproven)
            assert not server.asked

    asyncio.run(go())


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "not signed": (mail, "not signed"),
    "by a stranger": (lambda: signer.dkim(mail(), "evil.example"), "none of its signatures is of acme.example"),
    "by a parent domain": (
        lambda: signer.dkim(mail(sender="a@mail.acme.example"), "acme.example"),
        "none of its signatures",
    ),
    "body changed": (lambda: signer.dkim(mail(), "acme.example").replace(b"482913", b"111111"), "does not fit"),
    "subject changed": (lambda: signer.dkim(mail(), "acme.example").replace(b"sign-in", b"log-in"), "does not fit"),
    "text appended": (lambda: signer.dkim(mail(), "acme.example") + b"Your code is 999999.\r\n", "does not fit"),
    "l= covers a part": (
        lambda: signer.dkim(mail(), "acme.example", more={"l": "20"}) + b"Your code is 999999.\r\n",
        "l=",
    ),
    "l=, nothing appended": (lambda: signer.dkim(mail(), "acme.example", more={"l": "20"}), "l="),
    "sha1": (lambda: signer.dkim(mail(), "acme.example", is_sha1=True), "algorithm"),
    "expired": (lambda: signer.dkim(mail(), "acme.example", more={"x": "1600000000"}), "expired"),
    "old": (lambda: signer.dkim(mail(), "acme.example", more={"t": "1600000000"}), "older than a day"),
    "from the future": (lambda: signer.dkim(mail(), "acme.example", more={"t": "9999999999"}), "future"),
    "a time that is none": (lambda: signer.dkim(mail(), "acme.example", more={"t": "soon"}), "time"),
    "subject not covered": (lambda: signer.dkim(mail(), "acme.example", headers=("from", "to")), "Subject"),
    "two Froms": (lambda: b"From: x@evil.example\r\n" + signer.dkim(mail(), "acme.example"), "more than once"),
    "two Subjects": (lambda: b"Subject: Your code is 999999\r\n" + signer.dkim(mail(), "acme.example"), "more than once"),
    "two Content-Types": (lambda: b"Content-Type: text/html\r\n" + signer.dkim(mail(), "acme.example"), "more than once"),
    "bare LF": (lambda: signer.dkim(mail(), "acme.example").replace(b"Subject:", b"X: y\nSubject:"), "line ends"),
    "bare CR": (lambda: signer.dkim(mail(), "acme.example").replace(b"Subject:", b"X: y\rSubject:"), "line ends"),
    "NUL": (lambda: signer.dkim(mail(), "acme.example").replace(b"482913", b"482\0913"), "NUL"),
    "a line that is no header": (lambda: b"nonsense\r\n" + signer.dkim(mail(), "acme.example"), "line that is none"),
    "a blank before the colon": (lambda: b"Subject : x\r\n" + signer.dkim(mail(), "acme.example"), "line that is none"),
    "no end of header": (lambda: b"From: a@acme.example", "no end"),
    "larger than is parsed": (lambda: signer.dkim(mail("x" * 70 + "\n") + b"y\r\n" * 400_000, "acme.example"), "larger"),
    "a tag twice": (lambda: signer.dkim(mail(), "acme.example").replace(b"v=1;", b"v=1; d=acme.example;", 1), "none of its"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_dkim_refuses(name: str, now: datetime) -> None:
    """Each of these is no proof, and says why."""
    content, why = REFUSED[name]
    sender = "a@mail.acme.example" if name == "by a parent domain" else SENDER
    found = check(content(), now, sender=sender)
    assert isinstance(found, Unproven)
    assert why in found.why


def test_keys_that_are_refused(now: datetime) -> None:
    """A key that is too weak, too large, revoked, in test, of another kind or no key at all proves nothing."""
    tiny = signer.key("tiny", 1024)
    content = signer.dkim(mail(), "acme.example")
    usual = signer.record(signer.key())
    for record, why in (
        (usual.split("p=")[0] + "p=", "revoked"),
        (signer.record(signer.key(), "t=y; "), "tested"),
        (signer.record(signer.key(), "s=tlsrpt; "), "not for mail"),
        (signer.record(signer.key(), "h=sha1; "), "not for mail"),
        ("v=DKIM1; k=ed25519; p=AAAA", "kind"),
        ("v=DKIM1; p=AAAA", "malformed"),
        ("v=DKIM2; p=AAAA", "malformed"),
        ("v=DKIM1; p=A; p=B", "malformed"),
        ("p=" + "A" * 5_000, "malformed"),
        ("nothing of the kind", "there is no key"),
        (signer.record(tiny), "does not fit"),
    ):
        found = check(content, now, acme=record)
        assert isinstance(found, Unproven), record[:40]
        assert why in found.why, (record[:40], found.why)


def test_a_key_of_512_bits_is_refused() -> None:
    """A key that anybody can break in an evening proves nothing."""
    # 512 bits, made once with OpenSSL: the library that makes keys for these tests refuses to make one so small.
    record = "p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBALxcqn+zK7PtrlZdFRnUtGQX8AuIn3OXkSUw6k5ITjYK7FMtClqaXFNFACu+6pl4t3uMPVsnRtroFhLQqudxPs8CAwEAAQ=="
    found = keys.judge(record, "s1._domainkey.acme.example")
    assert isinstance(found, str)
    assert "512 bits" in found


def test_silence_of_dns_is_no_answer(now: datetime) -> None:
    """A key that cannot be looked up is neither a proof nor the lack of one."""

    async def go() -> None:
        async with published(timedelta(milliseconds=200)) as (server, resolver):
            server.broken["s1._domainkey.acme.example"] = "silent"
            content = signer.dkim(mail(), "acme.example")
            with pytest.raises(DnsUnavailable):
                await dkim.check(raw.read(content), sender=SENDER, signers={}, dns=resolver, now=now)

    asyncio.run(go())
