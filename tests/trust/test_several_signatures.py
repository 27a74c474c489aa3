"""Which of a mail's signatures are looked at, and what those that hold say together."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from mailbridge.trust import Finding, Proven, Unproven, dkim, raw
from mailbridge.trust.dns import DnsUnavailable
from tests.peers import signer
from tests.peers.zone import Zone
from tests.trust.mails import mail

SENDER = "no-reply@acme.example"
ANN, BOB = "ann@corp.example", "bob@corp.example"
TO, CC, NOBODY = ("from", "subject", "to"), ("from", "subject", "cc"), ("from", "subject")
CONTENT = mail(below=f"Cc: {BOB}")


def zone(*more: str) -> Zone:
    """The key of acme.example under three selectors, and at the names of further domains."""
    found = Zone()
    for name in ("s1.acme.example", "s2.acme.example", "s3.acme.example", *more):
        selector, _, domain = name.partition(".")
        found.texts[f"{selector}._domainkey.{domain}"] = (signer.record(signer.key()),)
    return found


def sign(content: bytes, selector: str, headers: tuple[str, ...], *, domain: str = "acme.example", is_good: bool = True) -> bytes:
    """One more signature on top."""
    private = signer.key() if is_good else signer.key("stranger")
    return signer.dkim(content, domain, selector=selector, headers=headers, private=private)


def check(content: bytes, names: Zone, sender: str = SENDER) -> Finding:
    """What the author's signatures prove."""
    return asyncio.run(dkim.check(raw.read(content), sender=sender, signers={}, dns=names, now=datetime.now(UTC)))


def test_a_signature_that_adds_nothing_is_not_looked_at() -> None:
    """Its key is not asked for, and so nothing waits for it; what stands behind it is looked at all the same."""
    names = zone()
    names.silent.add("s2._domainkey.acme.example")
    for headers in (TO, NOBODY):
        found = check(sign(sign(CONTENT, "s2", headers), "s1", TO), names)
        assert isinstance(found, Proven)
        assert found.named == {SENDER, ANN}
        found = check(sign(sign(sign(CONTENT, "s3", CC), "s2", headers), "s1", TO), names)
        assert isinstance(found, Proven)
        assert found.named == {SENDER, ANN, BOB}
        assert found.written == {ANN, BOB}
    with pytest.raises(DnsUnavailable):
        check(sign(sign(CONTENT, "s2", CC), "s1", TO), names)


def test_one_signature_is_enough_for_the_form_of_the_body() -> None:
    """Whichever of them covers the headers that say how the body is read; where none does, they are not signed."""
    content = mail(below=f"Cc: {BOB}\nContent-Transfer-Encoding: 8bit")
    form = ("content-type", "content-transfer-encoding")
    for first, second, expected in (((*TO, *form), CC, True), (TO, (*CC, *form), True), (TO, CC, False)):
        found = check(sign(sign(content, "s2", second), "s1", first), zone())
        assert isinstance(found, Proven)
        assert found.named == {SENDER, ANN, BOB}
        assert found.is_form_signed is expected


def test_the_authors_domain_in_any_case() -> None:
    """From may be written in capitals."""
    assert isinstance(check(sign(CONTENT, "s1", TO), zone(), sender="No-Reply@ACME.example"), Proven)


def test_a_key_for_the_domain_itself_speaks_for_no_subdomain() -> None:
    """The owner of the key has said so (t=s), and that is the reason."""
    names = zone()
    names.texts["s1._domainkey.acme.example"] = (signer.record(signer.key(), "t=s; "),)
    for named, is_good in (("@acme.example", True), ("@mail.acme.example", False)):
        found = check(signer.dkim(CONTENT, "acme.example", more={"i": named}), names)
        assert isinstance(found, Proven if is_good else Unproven)
        assert is_good or (isinstance(found, Unproven) and "(t=s)" in found.why)


def named(content: bytes, names: Zone) -> frozenset[str]:
    """Whom the author's organization has signed that the mail was for."""
    return asyncio.run(dkim.signed_recipients(raw.read(content), sender=SENDER, dns=names, now=datetime.now(UTC)))


def test_whom_signatures_of_the_organization_name() -> None:
    """Of whichever domain of the author's; a broken one names nobody, and one that covers no recipient is not looked up."""
    names = zone("s1.mail.acme.example", "s1.evil.example")
    assert named(sign(CONTENT, "s1", TO, domain="mail.acme.example"), names) == {ANN}
    assert named(sign(sign(CONTENT, "s1", CC), "s1", TO, domain="mail.acme.example"), names) == {ANN, BOB}
    assert named(sign(sign(CONTENT, "s1", TO), "s2", CC, is_good=False), names) == {ANN}
    assert named(sign(CONTENT, "s1", TO, domain="evil.example"), names) == set()
    assert named(CONTENT, names) == set()
    asked = names.asked.total()
    assert named(sign(CONTENT, "s1", NOBODY), names) == set()
    assert names.asked.total() == asked


def test_three_signatures_are_looked_at_for_recipients() -> None:
    """A fourth is not; those that cover no recipient are not among the three."""
    good = sign(CONTENT, "s1", TO)
    for number, expected in ((2, {ANN}), (3, set())):
        content = good
        for _ in range(number):
            content = sign(content, "s2", CC, is_good=False)
        assert named(content, zone()) == expected
    content = good
    for _ in range(4):
        content = sign(content, "s2", NOBODY)
    assert named(content, zone()) == {ANN}


def proven(content: bytes, names: Zone | None = None) -> Proven:
    """What the author's signatures prove, which is something."""
    found = check(content, names or zone("s1.mail.acme.example"))
    assert isinstance(found, Proven), found
    return found


@pytest.mark.parametrize("name", ["otp-token", "one-time-code", "date"])
def test_a_signature_that_covers_what_the_mail_binds_is_looked_at(name: str) -> None:
    """What either of two genuine signatures covers is signed, whichever stands above, and by both domains."""
    content = mail(
        below='OTP-Token: "482913"; origin="https://acme.example"\nOne-Time-Code: code=482913; origin=https://acme.example'
    )
    written = datetime(2026, 11, 25, 9, 57, 25, tzinfo=UTC) if name == "date" else None
    first = sign(sign(content, "s1", (*NOBODY, name), domain="mail.acme.example"), "s1", TO)
    second = sign(sign(content, "s1", TO, domain="mail.acme.example"), "s1", (*NOBODY, name))
    for both in (first, second):
        found = proven(both)
        assert found.signed == {*TO, name}
        assert found.signers == {"acme.example", "mail.acme.example"}
        assert found.dated_at == written
        assert found.is_to_signed


@pytest.mark.parametrize(
    ("content", "listed", "is_signed"),
    [
        (mail(), "from:subject:to", True),
        (mail(below=f"Cc: {BOB}"), "from:subject:cc", True),
        (mail(), "from:subject:cc", False),
        (mail(), "from:subject", False),
    ],
)
def test_whether_a_recipient_is_signed(content: bytes, listed: str, is_signed: bool) -> None:
    """To or Cc is covered, and is there."""
    assert proven(signer.dkim(content, "acme.example", more={"h": listed})).is_to_signed is is_signed


def test_a_signature_alone_need_not_add_anything() -> None:
    """From and Subject are all that one has to cover."""
    assert proven(sign(mail(), "s1", NOBODY)).signed == {*NOBODY}


def test_the_organization_signs_where_its_domain_need_not_be_exact() -> None:
    """A subdomain's signature counts for the author; where the very domain is asked for it does not."""
    content = raw.read(sign(CONTENT, "s1", TO, domain="mail.acme.example"))
    names, now = zone("s1.mail.acme.example"), datetime.now(UTC)
    for is_exact in (False, True):
        found = asyncio.run(dkim.check(content, sender=SENDER, signers={}, dns=names, now=now, is_exact=is_exact))
        assert isinstance(found, Unproven if is_exact else Proven)


def test_the_authors_own_domain_is_looked_at_first() -> None:
    """However many signatures of its subdomains stand above."""
    content = sign(CONTENT, "s1", TO)
    for _ in range(3):
        content = sign(content, "s1", TO, domain="mail.acme.example", is_good=False)
    assert proven(content).signers == {"acme.example"}


def test_a_broken_signature_is_told_from_none() -> None:
    """It is broken where the author's own does not fit, and not where somebody else has signed or no key is there."""
    names = zone()
    for content, is_broken in (
        (sign(CONTENT, "s1", TO, is_good=False), True),
        (sign(CONTENT, "s1", TO, domain="evil.example"), False),
        (sign(CONTENT, "s9", TO), False),
    ):
        found = check(content, names)
        assert isinstance(found, Unproven)
        assert found.is_broken is is_broken
