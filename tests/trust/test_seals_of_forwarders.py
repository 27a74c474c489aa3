"""What a genuine chain proves: that the author wrote the mail, where more than SPF says so, and for whom Google took it in."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from mailbridge.trust import Finding, Proven, Unproven, arc, raw
from tests.loop import looped
from tests.peers import signer
from tests.peers.zone import Zone
from tests.trust.mails import mail

SENDER, ANN, RCPT = "no-reply@acme.example", "ann@corp.example", "otp@bridge.example"
OWN, SERVICE = "198.51.100.1", "203.0.113.1"
DMARC = "dmarc=pass header.from=acme.example"
SIGNED = "dkim=pass header.d=acme.example; "
NOTO, NOSUBJECT = ("from", "subject", "date"), ("from", "to", "date")
TRACE = f"Received: from mail.acme.example by mx.google.com with ESMTPS id a1 for <{ANN}>; Wed, 25 Nov 2026 09:57:25 +0000"


def spf(server: str = OWN, envelope: str = "b@acme.example") -> str:
    """SPF's pass for a server, as Google words it."""
    return f"spf=pass (google.com: domain of {envelope} designates {server} as permitted sender) smtp.mailfrom={envelope}; "


def zone(policy: str = f"v=spf1 ip4:{OWN} include:mailer.example -all") -> Zone:
    """Keys of everybody, and acme.example's policy."""
    dns = Zone()
    for name in ("s1._domainkey.acme.example", "arc._domainkey.google.com", "arc._domainkey.microsoft.com"):
        dns.texts[name] = (signer.record(signer.key()),)
    dns.texts["acme.example"] = (policy,)
    dns.texts["mailer.example"] = (f"v=spf1 ip4:{SERVICE} -all",)
    dns.hosts["mail.acme.example"] = (OWN,)
    return dns


def sealed(content: bytes, results: str, domain: str = "google.com", instance: int = 1, **more: Any) -> bytes:
    """One more set on top."""
    return signer.arc(content, domain, results=f"mx.google.com; {results}", instance=instance, **more)


def check(content: bytes, dns: Zone | None = None, sender: str = SENDER) -> Finding:
    """What the chain proves."""
    now = datetime.now(UTC)
    forwarders = {"google.com", "microsoft.com"}
    return asyncio.run(arc.check(raw.read(content), sender=sender, rcpt=RCPT, forwarders=forwarders, dns=dns or zone(), now=now))


def signed(headers: tuple[str, ...] = signer.USUAL, content: bytes | None = None) -> bytes:
    """A mail of Acme's."""
    return signer.dkim(content or mail(), "acme.example", headers=headers)


@pytest.mark.parametrize(
    ("results", "is_signed"),
    [
        (["dkim=pass header.d=acme.example"], True),
        (["dkim=pass header.d=ACME.example"], True),
        (["dkim=pass header.i=@Acme.example"], True),
        (["dkim=pass header.i=x@mail.acme.example"], True),
        (["spf=fail", "dkim=pass header.d=acme.example"], True),
        (["dkim=fail header.d=acme.example"], False),
        (["dkim=pass header.d=evil.example"], False),
        (["dkim=pass header.d=acme.example header.d=evil.example"], False),
        (["dkim=pass header.d=evil.example header.i=@acme.example"], False),
        (["dkim=pass"], False),
        ([], False),
    ],
)
def test_whether_the_author_has_signed_by_results(results: list[str], is_signed: bool) -> None:
    """A genuine signature whose domain is of his organization, and that names no other."""
    assert arc.is_signed_by(results, "acme.example") is is_signed


@pytest.mark.parametrize(
    ("results", "policy", "is_shared"),
    [
        (spf(OWN) + DMARC, "", False),
        (spf(SERVICE) + DMARC, "", True),
        (spf(OWN, "b@ACME.example") + DMARC, "v=spf1 a:mail.acme.example -all", False),
        (spf(SERVICE, "b@mailer.example") + DMARC, "", False),
        (f"x=y smtp.mailfrom=b@mailer.example; {spf(SERVICE)}{DMARC}", "", True),
        (DMARC, "", True),
    ],
)
@looped
async def test_whether_results_are_about_a_shared_server(results: str, policy: str, is_shared: bool) -> None:
    """By the policy of the envelope that SPF speaks of, or else of the author."""
    dns = zone(policy) if policy else zone()
    assert await arc.is_by_shared_server(f"mx.google.com; {results}", "acme.example", dns) is is_shared


TWO = signed(NOSUBJECT, signed())
CASES: dict[str, tuple[bytes, bool]] = {
    "unsigned, from a server of the author's": (sealed(mail(), spf(OWN) + DMARC), True),
    "unsigned, from a service's": (sealed(mail(), spf(SERVICE) + DMARC), False),
    "unsigned, from a server that nobody names": (sealed(mail(), DMARC), False),
    "the first hop's results decide": (sealed(sealed(mail(), spf(SERVICE) + DMARC), spf(OWN) + DMARC, instance=2), False),
    "signed, from a service's": (sealed(signed(), SIGNED + spf(SERVICE) + DMARC), True),
    "signed but for Subject, from a service's": (sealed(signed(NOSUBJECT), SIGNED + spf(SERVICE) + DMARC), False),
    "signed but for Subject, from the author's": (sealed(signed(NOSUBJECT), SIGNED + spf(OWN) + DMARC), True),
    "signed twice, once but for Subject, from a service's": (sealed(TWO, SIGNED + spf(SERVICE) + DMARC), False),
}


@pytest.mark.parametrize("name", CASES)
def test_spf_alone_is_enough_from_a_server_of_the_authors_own(name: str) -> None:
    """Where a signature of his does not say it all, or DMARC passed without one."""
    content, is_good = CASES[name]
    found = check(content)
    assert isinstance(found, Proven if is_good else Unproven), found
    assert is_good or (isinstance(found, Unproven) and found.why == arc.SPF_ALONE)


def test_the_author_in_capitals() -> None:
    """His policy is that of his domain in any case."""
    dns = zone("v=spf1 a:mail.acme.example -all")
    assert isinstance(check(sealed(mail(), DMARC), dns, "no-reply@ACME.example"), Proven)


def test_whether_any_signature_of_the_author_covers_a_recipient() -> None:
    """One of several is enough for saying that he names somebody."""
    for content, is_to_signed in ((signed(NOTO, signed()), True), (signed(NOTO), False), (signed(), True)):
        found = check(sealed(content, SIGNED + spf(OWN) + DMARC))
        assert isinstance(found, Proven)
        assert found.is_to_signed is is_to_signed


def test_a_broken_chain_and_a_header_that_may_have_been_missed() -> None:
    """The one is told as broken; of the other nothing is verified."""
    content = sealed(signed(), SIGNED + DMARC)
    found = check(content.replace(b"482913", b"482914"))
    assert isinstance(found, Unproven)
    assert found.is_broken
    found = check(content.replace(b"MIME-Version:", b"MIME-Version :"))
    assert isinstance(found, Unproven)
    assert found.why == raw.MISSED


def test_a_seal_that_is_over_is_none() -> None:
    """By its own x=, also where it does not say when it was made."""
    found = check(sealed(signed(), SIGNED + DMARC, sealing="arc; x=1000", is_timed=False))
    assert isinstance(found, Unproven)
    assert "expired" in found.why


def routed(
    *,
    first: str = "google.com",
    first_for: str = "",
    newest_for: str = "bridge.example",
    stamp: str = "",
) -> bytes:
    """As Google routes it: taken in for Ann, and sent on with no stamp (RFC 5321 4.4); Acme has not signed To."""
    content = f"{TRACE}\r\n".encode() + signed(NOTO)
    content = stamp.encode() + sealed(content, SIGNED + DMARC, first, darn=first_for)
    covered = ("from", "to", "subject", "date", "message-id", "dkim-signature")
    return sealed(content, SIGNED + DMARC, instance=2, darn=newest_for, headers=covered)


@pytest.mark.parametrize(
    ("content", "is_anns"),
    [
        (routed(), True),
        (routed(first="Google.com"), True),
        (routed(first="microsoft.com"), False),
        (routed(first_for="corp.example"), False),
        (routed(newest_for=""), False),
        (routed(stamp="Delivered-To: m@evil.example\r\n"), False),
    ],
)
def test_for_whom_google_has_taken_in_what_it_routes(content: bytes, is_anns: bool) -> None:
    """By the trace of arrival, in a mail that Google took in itself and sealed for us, and that has no stamp."""
    found = check(content)
    assert isinstance(found, Proven), found
    assert (ANN in found.sure) is is_anns
