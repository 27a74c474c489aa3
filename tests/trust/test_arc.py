"""Seals of forwarders: whose chain counts, and what a chain by anybody else is worth."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from email.utils import format_datetime

import pytest

from mailbridge.trust import Finding, Proven, Unproven, arc, raw
from mailbridge.trust.dns import DnsUnavailable
from tests.peers import signer
from tests.trust.conftest import published
from tests.trust.mails import RCPT, mail

SENDER = "no-reply@acme.example"
PASS = "mx.google.com; dkim=pass header.i=@acme.example; spf=pass smtp.mailfrom=b@acme.example; dmarc=pass (p=REJECT) header.from=acme.example"
FAIL = PASS.replace("dmarc=pass", "dmarc=fail")
CAF = f"ann+caf_={RCPT.replace('@', '=')}@corp.example"
STAMP = b"X-Forwarded-For: ann@corp.example codes@bridge.example\r\nDelivered-To: ann@corp.example\r\n"


def check(content: bytes, now: datetime, *, sender: str = SENDER, mail_from: str = "", peer: str = "") -> Finding:
    """One check against the usual zone, for the usual recipient."""

    async def go() -> Finding:
        async with published() as (server, resolver):
            server.txt("_spf.google.com", "v=spf1 ip4:192.0.2.25 ~all")
            server.txt("s1._domainkey.mail.acme.example", signer.record(signer.key()))
            return await arc.check(
                raw.read(content),
                sender=sender,
                rcpt=RCPT,
                forwarders={"google.com", "microsoft.com"},
                dns=resolver,
                now=now,
                mail_from=mail_from,
                peer=peer,
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


def named(content: bytes, now: datetime, **more: str) -> frozenset[str]:
    """Whom a proven chain names, beside the author."""
    found = check(content, now, **more)
    assert isinstance(found, Proven), found
    return found.named - {SENDER}


BLIND = "undisclosed-recipients:;"


def test_a_seal_over_a_header_says_nothing_of_whom_the_mail_was_for(now: datetime) -> None:
    """To and Cc that a seal covers name nobody; those that the author has signed do, by whichever domain of his own."""
    inner = b"Cc: bob@corp.example\r\n" + mail()
    assert named(signer.arc(inner, "google.com", results=PASS, instance=1, headers=("from", "to", "cc", "subject")), now) == set()
    signed = b"Cc: bob@corp.example\r\n" + signer.dkim(mail(), "mail.acme.example")
    assert named(forwarded(signed), now) == {"ann@corp.example"}
    for broken in (signed + b"-- \r\nlist\r\n", b"Cc: bob@corp.example\r\n" + signer.dkim(mail(), "evil.example")):
        assert named(signer.arc(broken, "google.com", results=PASS, instance=1), now) == set()


def test_googles_stamp_counts_where_google_alone_can_have_put_it(now: datetime) -> None:
    """Delivered-To between the two seals of a mail for us, or above the first in one that comes from Google, names the account."""
    inner = signer.arc(mail(to=BLIND), "google.com", results=PASS, instance=1)

    def outer(content: bytes, **more: object) -> bytes:
        return signer.arc(content, "google.com", results=PASS, instance=2, **more)  # type: ignore[arg-type]

    ours: dict[str, object] = {"darn": "bridge.example"}
    ann = {"ann@corp.example"}
    assert named(outer(STAMP + inner, **ours), now) == ann
    assert named(outer(STAMP + inner), now) == set()
    assert named(outer(STAMP + inner), now, peer="192.0.2.25") == ann
    assert named(outer(STAMP + inner), now, peer="::ffff:192.0.2.25") == ann
    assert named(outer(STAMP + inner), now, peer="198.51.100.7") == set()
    arrival = b"Received: from x.example by mx.google.com for <m@evil.example>; Sat, 28 Nov 2026 09:57:25 +0000\r\n"
    assert named(outer(arrival + STAMP + inner, **ours), now) == set()
    assert named(outer(STAMP + arrival + inner, **ours), now) == ann
    assert named(STAMP + outer(inner, **ours), now) == set()
    assert named(STAMP + outer(inner, **ours), now, peer="192.0.2.25") == ann
    taken = STAMP + b"Delivered-To: bob@corp.example\r\n" + inner  # handed in by another way than SMTP, so without a trace
    assert named(outer(taken, **ours, headers=("from", "subject", "delivered-to", "delivered-to")), now) == ann
    assert named(outer(taken, **ours), now, peer="192.0.2.25") == ann
    once = signer.arc(STAMP + arrival + mail(to=BLIND), "google.com", results=PASS, instance=1, darn="bridge.example")
    assert named(once, now) == ann
    assert named(once.replace(b"by mx.google.com", b"by mx.google.com.evil.example"), now) == set()
    for content in (STAMP + mail(to=BLIND), arrival + STAMP + mail(to=BLIND), arrival + STAMP + arrival + mail(to=BLIND)):
        assert named(signer.arc(content, "google.com", results=PASS, instance=1, darn="bridge.example"), now) == set()
    assert named(STAMP + inner, now) == set()
    assert named(STAMP + inner, now, peer="192.0.2.25") == ann
    assert named(arrival + STAMP + inner, now, peer="192.0.2.25") == set()
    for value in (
        b"ann@corp.example, bob@corp.example",
        b"ann@corp.example (bob@corp.example)",
        b'"ann@corp.example" <b@c.example>',
    ):
        assert named(outer(b"Delivered-To: " + value + b"\r\n" + inner, **ours), now) == set()
    older = signer.arc(b"Delivered-To: bob@corp.example\r\n" + mail(to=BLIND), "google.com", results=PASS, instance=1)
    assert named(outer(STAMP + older, **ours), now) == set()  # the seal covers the lower one alone
    assert named(outer(STAMP + older, **ours), now, peer="192.0.2.25") == ann


def test_gmails_envelope_names_its_account(now: datetime) -> None:
    """Without a stamp the envelope counts, from Google's servers and where their own trace does not contradict it."""
    content = signer.arc(mail(to=BLIND), "google.com", results=PASS, instance=1)
    assert named(content, now, mail_from=CAF, peer="192.0.2.25") == {"ann@corp.example"}
    assert named(content, now, mail_from=CAF, peer="198.51.100.7") == set()
    assert named(content, now, mail_from=CAF) == set()
    assert named(content, now, mail_from=CAF.replace("codes", "other"), peer="192.0.2.25") == set()
    trace = b"Received: from x.example by mx.google.com with ESMTPS id 1 for <m@evil.example>; x\r\n"
    routed = signer.arc(trace + mail(to=BLIND), "google.com", results=PASS, instance=1)
    assert named(routed, now, mail_from=CAF, peer="192.0.2.25") == set()


def test_another_forwarders_lines_are_not_told_from_the_senders(now: datetime) -> None:
    """Only Google's layout is known: a Delivered-To between seals of others names nobody."""
    inner = signer.arc(mail(to=BLIND), "google.com", results=PASS, instance=1)
    assert named(forwarded(by="microsoft.com"), now) == set()
    assert named(signer.arc(STAMP + inner, "microsoft.com", results=PASS, instance=2), now, peer="192.0.2.25") == set()


def test_silence_about_the_authors_key_matters_only_where_he_alone_names_somebody(now: datetime) -> None:
    """A stamp of Google's names the account although the author's key cannot be looked up; without one the mail is put off."""

    async def go(content: bytes) -> Finding:
        async with published(timedelta(milliseconds=300)) as (server, resolver):
            server.broken["s1._domainkey.mail.acme.example"] = "silent"
            return await arc.check(raw.read(content), sender=SENDER, rcpt=RCPT, forwarders={"google.com"}, dns=resolver, now=now)

    inner = signer.arc(signer.dkim(mail(), "mail.acme.example"), "google.com", results=PASS, instance=1)
    found = asyncio.run(go(signer.arc(STAMP + inner, "google.com", results=PASS, instance=2, darn="bridge.example")))
    assert isinstance(found, Proven)
    assert found.covers("ann@corp.example")
    with pytest.raises(DnsUnavailable):
        asyncio.run(go(inner))


def test_whose_word_the_form_of_the_body_is(now: datetime) -> None:
    """The headers that say how the body is read are the author's where he and the seal cover them, and nobody's else."""
    form = ("from", "subject", "date", "content-type", "content-transfer-encoding")
    content = mail(below="Content-Transfer-Encoding: 8bit")
    for signed, sealed, expected in (
        (form, form, True),
        (form[:3], form, False),
        (form, form[:3], False),
        (form[:4], form, False),
    ):
        one = signer.dkim(content, "acme.example", headers=signed)
        found = check(signer.arc(one, "google.com", results=PASS, instance=1, headers=sealed), now)
        assert isinstance(found, Proven)
        assert found.is_form_signed is expected, (signed, sealed)
    found = check(signer.arc(content, "google.com", results=PASS, instance=1, headers=form), now)
    assert isinstance(found, Proven)
    assert not found.is_form_signed


WEEK = 7 * 86_400


def test_every_seal_and_the_authors_signature_are_of_today(now: datetime) -> None:
    """A chain is too old where any hop of it or what the author signed is, by its time or by the Date that is covered."""
    at = int(now.timestamp())
    today, old = format_datetime(now), format_datetime(now - timedelta(days=7))

    def dated(date: str) -> bytes:
        return re.sub(rb"Date: [^\r]*", f"Date: {date}".encode(), mail())

    def chain(content: bytes, first: int | None = None, second: int | None = None, **more: object) -> Finding:
        inner = signer.arc(content, "google.com", results=PASS, instance=1, at=first, **more)  # type: ignore[arg-type]
        return check(
            signer.arc(inner, "google.com", results=PASS, instance=2, at=second, darn="bridge.example", **more),  # type: ignore[arg-type]
            now,
        )

    untimed = {"is_timed": False}
    for found, why in (
        (chain(mail()), ""),
        (chain(mail(), at - WEEK), "older than a day (t=)"),
        (chain(mail(), at, at - WEEK), "older than a day (t=)"),
        (chain(mail(), at, at + 3_600), "from the future (t=)"),
        (chain(dated(today), **untimed), ""),
        (chain(dated(old), **untimed), "older than a day (its Date)"),
        (chain(dated(today), **untimed, headers=("from", "subject")), "too old"),
        (chain(signer.dkim(mail(), "acme.example", more={"t": str(at - WEEK)})), "older than a day (t=)"),
        (chain(signer.dkim(mail(), "mail.acme.example", more={"t": str(at - WEEK)})), "older than a day (t=)"),
        (chain(signer.dkim(dated(old), "acme.example", more={"t": None})), "older than a day (its Date)"),
        (chain(signer.dkim(dated(today), "acme.example", more={"t": None})), ""),
        (chain(signer.dkim(dated(today), "acme.example", more={"t": None}, headers=("from", "to", "subject"))), "too old"),
        (chain(signer.dkim(mail(), "esp.example", more={"t": str(at - WEEK)})), ""),
    ):
        assert isinstance(found, Unproven if why else Proven), (found, why)
        assert why == "" or (isinstance(found, Unproven) and why in found.why)


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


def test_a_message_signature_is_over_when_it_says_so(now: datetime) -> None:
    """``x=`` of any hop counts, also where its seal is of today."""
    for seconds, kind in ((60, Proven), (-60, Unproven)):
        inner = signer.arc(mail(), "google.com", results=PASS, instance=1, expires=int(now.timestamp()) + seconds)
        found = check(signer.arc(inner, "google.com", results=PASS, instance=2), now)
        assert isinstance(found, kind), seconds
        assert isinstance(found, Proven) or found.why == "its signature has expired (x=)"


def test_more_hops_than_are_followed(now: datetime) -> None:
    """A chain that is longer than any honest one is not followed."""
    content = mail()
    for instance in range(1, 9):
        content = signer.arc(content, "google.com", results=PASS, instance=instance)
    found = check(content, now)
    assert isinstance(found, Unproven)
    assert "more than" in found.why
