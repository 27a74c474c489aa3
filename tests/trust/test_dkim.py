"""Signatures of the author's domain: which count, and which do not although they are genuine."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mailbridge.trust import Finding, Proven, Unproven, dkim, keys, raw
from mailbridge.trust.dns import DnsUnavailable
from tests.peers import signer
from tests.trust.conftest import published
from tests.trust.mails import mail

SENDER = "no-reply@acme.example"
Sign = Callable[..., bytes]
ALGORITHMS: dict[str, signer.Private] = {"rsa": signer.key(), "ed25519": signer.edwards_key()}


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


@pytest.mark.parametrize("private", ALGORITHMS.values(), ids=list(ALGORITHMS))
def test_the_authors_own_signature_is_a_proof(private: signer.Private, now: datetime) -> None:
    """A signature of From's domain proves the mail, and names the recipients that it covers and the author."""
    found = check(signer.dkim(mail(), "acme.example", private=private), now, acme=signer.record(private))
    assert isinstance(found, Proven)
    assert found.covers("ann@corp.example")
    assert found.covers("Ann+tag@Corp.example")
    assert found.covers(SENDER)
    assert not found.covers("bob@corp.example")
    assert found.warning == ""


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_one_of_two_algorithms_is_enough(algorithm: str, now: datetime) -> None:
    """A mail that is signed by both algorithms is proven by the one whose key fits, wherever it stands."""
    twice = mail()
    for name, private in ALGORITHMS.items():
        twice = signer.dkim(twice, "acme.example", private=private if name == algorithm else _stranger(name))
    found = check(twice, now, acme=signer.record(ALGORITHMS[algorithm]))
    assert isinstance(found, Proven)
    assert found.warning == ""


def _stranger(algorithm: str) -> signer.Private:
    return signer.key("stranger") if algorithm == "rsa" else signer.edwards_key("stranger")


RFC_8463 = """\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
"""
"""RFC 8463 appendix A.3, signed on 10 June 2018; the keys are those of A.2."""

RFC_8463_KEYS = {
    "brisbane": "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "test": "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/b"
    "yYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB",
}


@pytest.mark.parametrize("selector", RFC_8463_KEYS)
def test_the_example_of_the_standard_is_genuine(selector: str) -> None:
    """Both signatures of RFC 8463's example are, each with only its own key published; with a word changed neither is."""
    content = RFC_8463.replace("\n", "\r\n").encode()
    signed_at = datetime.fromtimestamp(1528637909 + 60, UTC)

    async def go(octets: bytes) -> Finding:
        async with published() as (server, resolver):
            server.txt(f"{selector}._domainkey.football.example.com", RFC_8463_KEYS[selector])
            return await dkim.check(raw.read(octets), sender="joe@football.example.com", signers={}, dns=resolver, now=signed_at)

    assert isinstance(asyncio.run(go(content)), Proven)
    assert isinstance(asyncio.run(go(content.replace(b"hungry", b"thirsty"))), Unproven)


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


def dated(date: str, **more: object) -> bytes:
    """Signed without ``t=`` under that Date."""
    content = re.sub(rb"Date: [^\r]*", lambda _: f"Date: {date}".encode(), mail())
    return signer.dkim(content, "acme.example", more={"t": None}, **more)  # type: ignore[arg-type]


def test_a_signature_without_a_time_is_as_old_as_the_date_that_it_covers(now: datetime) -> None:
    """Without ``t=`` the signed Date is the age; one that is not signed, is none or is another day's proves nothing."""
    today = format_datetime(now)
    for content, why in (
        (dated(today), ""),
        (dated(format_datetime(now - timedelta(hours=23))), ""),
        (dated(format_datetime(now - timedelta(hours=25))), "older than a day (its Date)"),
        (dated(format_datetime(now + timedelta(minutes=4))), ""),
        (dated(format_datetime(now + timedelta(minutes=6))), "from the future (its Date)"),
        (dated(today.removesuffix(" +0000")), "too old"),
        (dated("yesterday"), "too old"),
        (dated(today, headers=("from", "to", "subject")), "too old"),
        (dated(today).replace(b"Date:", b"X-Date:"), "too old"),
        (dated(today, headers=("from", "to", "subject")).replace(b"Date:", b"X-Date:"), "too old"),
        (signer.dkim(mail(), "acme.example"), ""),
    ):
        found = check(content, now)
        assert isinstance(found, Unproven if why else Proven), (why, found)
        assert why == "" or (isinstance(found, Unproven) and why in found.why)


def test_whom_and_what_a_signature_covers(now: datetime) -> None:
    """It names the recipients in the headers that it lists, and says whether the body's form is among them; several add up."""
    everything = (*signer.USUAL, "cc", "content-transfer-encoding")
    content = mail(below="Cc: bob@corp.example\nContent-Transfer-Encoding: 8bit")
    for headers, names, is_form_signed in (
        (everything, {"ann@corp.example", "bob@corp.example"}, True),
        (signer.USUAL, {"ann@corp.example"}, False),
        (("from", "subject", "date", "cc"), {"bob@corp.example"}, False),
        (("from", "subject", "date"), set(), False),
        (("from", "subject", "date", "content-type"), set(), False),
        (("from", "subject", "date", "content-transfer-encoding"), set(), False),
    ):
        found = check(signer.dkim(content, "acme.example", headers=headers), now)
        assert isinstance(found, Proven)
        assert found.named == names | {SENDER}
        assert found.is_form_signed is is_form_signed
    twice = signer.dkim(content, "acme.example", headers=("from", "to", "subject", "content-type"))
    twice = signer.dkim(twice, "acme.example", headers=("from", "cc", "subject", "content-transfer-encoding"))
    found = check(twice, now)
    assert isinstance(found, Proven)
    assert found.named == {"ann@corp.example", "bob@corp.example", SENDER}
    assert not found.is_form_signed
    broken = signer.dkim(twice, "acme.example", headers=everything, private=signer.key("stranger"))
    assert check(broken, now) == found


def test_domains_of_one_organization() -> None:
    """A domain is aligned with itself, its parents, children and siblings under one registration, and with no neighbour."""
    for domain, author, expected in (
        ("acme.example", "acme.example", True),
        ("mail.acme.example", "acme.example", True),
        ("acme.example", "mail.acme.example", True),
        ("a.acme.example", "b.acme.example", True),
        ("acme.co.uk", "other.co.uk", False),
        ("mail.acme.co.uk", "acme.co.uk", True),
        ("co.uk", "acme.co.uk", False),
        ("example", "acme.example", False),
        ("notacme.example", "acme.example", False),
        ("acme.example.evil.example", "acme.example", False),
        ("mine.github.io", "yours.github.io", False),
        ("s3.amazonaws.com", "elb.amazonaws.com", False),
        ("co.uk", "co.uk", True),
        ("localhost", "localhost", True),
    ):
        assert dkim.is_aligned(domain, author) is expected, (domain, author)


def test_of_a_platforms_customers_each_signs_for_itself() -> None:
    """A domain signs for its whole organization; of a platform that writes for its customers, a customer signs for nobody else."""
    for domain, author, expected in (
        ("mail.acme.example", "acme.example", True),
        ("acme.example", "mail.acme.example", True),
        ("example", "acme.example", False),
        ("co.uk", "acme.co.uk", False),
        ("okta.com", "acme.okta.com", True),
        ("acme.okta.com", "acme.okta.com", True),
        ("mail.acme.okta.com", "acme.okta.com", True),
        ("evil.okta.com", "acme.okta.com", False),
        ("evil.okta.com", "okta.com", False),
        ("mail.okta.com", "okta.com", True),
    ):
        assert dkim.may_sign(domain, author) is expected, (domain, author)


REFUSED: dict[str, tuple[Callable[[Sign], bytes], str]] = {
    "not signed": (lambda sign: mail(), "not signed"),
    "by a stranger": (lambda sign: sign(mail(), "evil.example"), "none of its signatures is of acme.example"),
    "by a suffix": (lambda sign: sign(mail(), "example"), "none of its signatures is of acme.example or its organization"),
    "body changed": (lambda sign: sign(mail(), "acme.example").replace(b"482913", b"111111"), "does not fit"),
    "subject changed": (lambda sign: sign(mail(), "acme.example").replace(b"sign-in", b"log-in"), "does not fit"),
    "text appended": (lambda sign: sign(mail(), "acme.example") + b"Your code is 999999.\r\n", "does not fit"),
    "l= covers a part": (
        lambda sign: sign(mail(), "acme.example", more={"l": "20"}) + b"Your code is 999999.\r\n",
        "l=",
    ),
    "l=, nothing appended": (lambda sign: sign(mail(), "acme.example", more={"l": "20"}), "l="),
    "sha1": (lambda sign: sign(mail(), "acme.example", is_sha1=True), "algorithm"),
    "expired": (lambda sign: sign(mail(), "acme.example", more={"x": "1600000000"}), "expired"),
    "old": (lambda sign: sign(mail(), "acme.example", more={"t": "1600000000"}), "older than a day"),
    "from the future": (lambda sign: sign(mail(), "acme.example", more={"t": "9999999999"}), "future"),
    "a time that is none": (lambda sign: sign(mail(), "acme.example", more={"t": "soon"}), "time"),
    "subject not covered": (lambda sign: sign(mail(), "acme.example", headers=("from", "to")), "Subject"),
    "two Froms": (lambda sign: b"From: x@evil.example\r\n" + sign(mail(), "acme.example"), "more than once"),
    "two Subjects": (lambda sign: b"Subject: Your code is 999999\r\n" + sign(mail(), "acme.example"), "more than once"),
    "two Content-Types": (lambda sign: b"Content-Type: text/html\r\n" + sign(mail(), "acme.example"), "more than once"),
    "bare LF": (lambda sign: sign(mail(), "acme.example").replace(b"Subject:", b"X: y\nSubject:"), "line ends"),
    "bare CR": (lambda sign: sign(mail(), "acme.example").replace(b"Subject:", b"X: y\rSubject:"), "line ends"),
    "NUL": (lambda sign: sign(mail(), "acme.example").replace(b"482913", b"482\0913"), "NUL"),
    "a line that is no header": (lambda sign: b"nonsense\r\n" + sign(mail(), "acme.example"), "line that is none"),
    "a blank before the colon": (lambda sign: b"Subject : x\r\n" + sign(mail(), "acme.example"), "more than once"),
    "no end of header": (lambda sign: b"From: a@acme.example", "no end"),
    "larger than is parsed": (lambda sign: sign(mail("x" * 70 + "\n") + b"y\r\n" * 400_000, "acme.example"), "larger"),
    "a tag twice": (lambda sign: sign(mail(), "acme.example").replace(b"v=1;", b"v=1; d=acme.example;", 1), "none of its"),
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("name", REFUSED)
def test_what_dkim_refuses(name: str, algorithm: str, now: datetime) -> None:
    """Each of these is no proof, by either algorithm, and says why."""
    content, why = REFUSED[name]
    private = ALGORITHMS[algorithm]
    found = check(content(partial(signer.dkim, private=private)), now, acme=signer.record(private))
    assert isinstance(found, Unproven)
    assert why in found.why


@pytest.mark.parametrize(("algorithm", "named"), [("rsa", "ed25519-sha256"), ("ed25519", "rsa-sha256")])
def test_an_algorithm_is_the_one_that_the_signature_names(algorithm: str, named: str, now: datetime) -> None:
    """A signature that its key made, under the other algorithm's name, is no proof."""
    private = ALGORITHMS[algorithm]
    content = signer.dkim(mail(), "acme.example", private=private, more={"a": named})
    assert isinstance(check(content, now, acme=signer.record(private)), Unproven)


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
        ("v=DKIM1; k=dsa; p=AAAA", "kind"),
        ("v=DKIM1; k=ed25519; p=AAAA", "malformed"),
        (signer.record(signer.edwards_key()), "does not fit"),
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


def test_ed25519_keys_that_are_refused(now: datetime) -> None:
    """A key of another length, wrapped as RSA's are, of another owner, or of RSA proves nothing; nor one that is called RSA."""
    private = signer.edwards_key()
    content = signer.dkim(mail(), "acme.example", private=private)
    octets = private.public_key().public_bytes_raw()
    wrapped = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for record, why in (
        (_published(octets[:31]), "malformed"),
        (_published(octets + b"\0"), "malformed"),
        (_published(b""), "revoked"),
        (_published(wrapped), "malformed"),
        (_published(octets, "rsa"), "malformed"),
        (_published(wrapped, "rsa"), "no RSA key"),
        (signer.record(private, "t=y; "), "tested"),
        (signer.record(private, "h=sha1; "), "not for mail"),
        (signer.record(signer.edwards_key("another")), "does not fit"),
        (signer.record(signer.key()), "does not fit"),
    ):
        found = check(content, now, acme=record)
        assert isinstance(found, Unproven), record
        assert why in found.why, (record, found.why)


def _published(octets: bytes, kind: str = "ed25519") -> str:
    return f"v=DKIM1; k={kind}; p={b64encode(octets).decode()}"


def test_a_key_of_512_bits_is_refused() -> None:
    """A key that anybody can break in an evening proves nothing."""
    # 512 bits, made once with OpenSSL: the library that makes keys for these tests refuses to make one so small.
    record = "p=MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBALxcqn+zK7PtrlZdFRnUtGQX8AuIn3OXkSUw6k5ITjYK7FMtClqaXFNFACu+6pl4t3uMPVsnRtroFhLQqudxPs8CAwEAAQ=="
    found = keys.judge(record, "s1._domainkey.acme.example")
    assert isinstance(found, str)
    assert "512 bits" in found


def test_a_mail_without_an_author_has_no_signature_of_his(now: datetime) -> None:
    """Without exactly one From nobody's signature is looked at, and that is the reason."""
    found = check(signer.dkim(mail(), "acme.example"), now, sender="")
    assert found == Unproven(by="dkim", why="the mail has not exactly one From address")


def test_silence_of_dns_is_no_answer(now: datetime) -> None:
    """A key that cannot be looked up is neither a proof nor the lack of one."""

    async def go() -> None:
        async with published(timedelta(milliseconds=200)) as (server, resolver):
            server.broken["s1._domainkey.acme.example"] = "silent"
            content = signer.dkim(mail(), "acme.example")
            with pytest.raises(DnsUnavailable):
                await dkim.check(raw.read(content), sender=SENDER, signers={}, dns=resolver, now=now)

    asyncio.run(go())
