"""What is asked of a chain of seals before it is verified, and what one that holds says."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mailbridge.trust import Finding, Proven, Unproven, arc, raw
from mailbridge.trust.raw import RawMail
from tests.peers import signer
from tests.peers.zone import Zone
from tests.trust.mails import RCPT, mail

SENDER = "no-reply@acme.example"
DMARC = "mx.google.com; dmarc=pass header.from=acme.example"
DIRECT = "mx.google.com; spf=pass smtp.mailfrom=b@acme.example; dmarc=pass header.from=acme.example"
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
AT = int(NOW.timestamp())


def hop(
    number: int = 1, results: str = DMARC, *, both: dict[str, str] | None = None, h: str = "from:subject", **signature: str
) -> arc.Hop:
    """One set. ``both`` are tags of seal and signature, ``signature`` of the latter; what is ``""`` is left out."""
    usual = {"a": "rsa-sha256", "d": "google.com", "s": "arc", "b": "AA", "i": str(number), **(both or {})}
    seal = {"cv": "none" if number == 1 else "pass", "t": str(AT), **usual}
    signed = {**usual, "h": h, **signature}
    kept, told = ({name: value for name, value in one.items() if value} for one in (seal, signed))
    return kept, told, results


FOUND = raw.read(mail())


def refused(*chain: arc.Hop, found: RawMail = FOUND, rcpt: str = RCPT, sender: str = SENDER) -> str:
    """Why such a chain does not count."""
    return arc.refusal(found, list(chain), sender=sender, rcpt=rcpt, forwarders={"google.com", "microsoft.com"}, now=NOW)


INCOMPLETE = "its seals are incomplete, or not rsa-sha256"


@pytest.mark.parametrize(
    ("chain", "why"),
    [
        ([hop()], ""),
        ([hop(), hop(2)], ""),
        ([hop(both={"a": "RSA-SHA256"})], ""),
        ([hop(both={"d": "Google.COM"})], ""),
        ([hop(), hop(2, both={"d": "microsoft.com"})], ""),
        ([hop(both={"cv": "pass"})], "seal 1 says that the chain before it was broken"),
        ([hop(both={"cv": ""})], "seal 1 says that the chain before it was broken"),
        ([hop(), hop(2, both={"cv": "none"})], "seal 2 says that the chain before it was broken"),
        ([hop(), hop(2, both={"cv": "fail"})], "seal 2 says that the chain before it was broken"),
        *(([hop(both={name: ""})], INCOMPLETE) for name in "adsb"),
        ([hop(a="")], INCOMPLETE),
        ([hop(d="")], INCOMPLETE),
        ([hop(s="")], INCOMPLETE),
        ([hop(b="")], INCOMPLETE),
        ([hop(a="rsa-sha1")], INCOMPLETE),
        ([hop(both={"a": "ed25519-sha256"})], INCOMPLETE),
        ([hop(both={"d": "evil.example"})], "evil.example, which sealed it, is no listed forwarder"),
        ([hop(d="evil.example")], "evil.example, which sealed it, is no listed forwarder"),
        ([hop(both={"d": "evil.example"}), hop(2)], "evil.example, which sealed it, is no listed forwarder"),
        ([hop(h="subject")], "its newest seal does not cover From"),
        ([hop(h="from:to")], "its newest seal does not cover Subject"),
        ([hop(h="to"), hop(2)], ""),
        ([hop(h="From:SUBJECT")], ""),
        ([hop(l="10")], "its newest seal has l=, which lets anybody append to the mail"),
        ([hop(l="10"), hop(2)], ""),
        ([hop(darn="bridge.example")], ""),
        ([hop(darn="BRIDGE.example")], ""),
        ([hop(darn="evil.example")], "its newest seal is for evil.example, not for us"),
        ([hop(darn="evil.example"), hop(2)], ""),
        (
            [hop(results="mx.google.com; dmarc=fail header.from=acme.example")],
            "its first seal does not say dmarc=pass for this From",
        ),
        ([hop(results="mx.google.com"), hop(2)], "its first seal does not say dmarc=pass for this From"),
        ([hop(), hop(2, "mx.google.com; dmarc=fail")], ""),
    ],
)
def test_what_a_chain_must_have(chain: list[arc.Hop], why: str) -> None:
    """Each set whole and of a listed forwarder, the newest over From and Subject and the whole body, and for us if for anybody."""
    assert refused(*chain) == why


def test_a_recipient_in_capitals() -> None:
    """The destination is compared in any case."""
    assert refused(hop(darn="bridge.example"), rcpt="Codes@BRIDGE.Example") == ""
    assert refused(hop(), sender="No-Reply@ACME.example") == ""


def test_a_subject_that_is_not_there_is_not_covered() -> None:
    """Nothing could be put in its place: the header would be another."""
    assert refused(hop(h="from"), found=raw.read(b"From: a@acme.example\r\n\r\ntext\r\n")) == ""


def dated(date: datetime, *lines: str) -> RawMail:
    """A mail of that Date."""
    head = ["From: no-reply@acme.example", "Subject: x", date.strftime("Date: %a, %d %b %Y %H:%M:%S +0000"), *lines]
    return raw.read("".join(f"{line}\r\n" for line in head).encode() + b"\r\ntext\r\n")


OLD = NOW - timedelta(days=1, seconds=1)
BY_T, BY_DATE = "its signature is older than a day (t=)", "its signature is older than a day (its Date)"
NONE = "its signature is too old: it has no time (t=), and covers no Date that is one"
UNTIMED = {"t": ""}
LAST_WEEK = {"t": str(AT - 7 * 86_400)}


def author(covered: str = "from:subject:date", **tags: str) -> str:
    """The author's own signature."""
    every = {"a": "rsa-sha256", "d": "mail.acme.example", "s": "s1", "b": "AA", "bh": "AA", "h": covered, "t": str(AT), **tags}
    return "DKIM-Signature: " + "; ".join(f"{name}={value}" for name, value in every.items() if value)


@pytest.mark.parametrize(
    ("chain", "found", "why"),
    [
        ([hop()], dated(OLD), ""),
        ([hop(both=LAST_WEEK)], dated(NOW), BY_T),
        ([hop(both=LAST_WEEK), hop(2)], dated(NOW), BY_T),
        ([hop(), hop(2, both=LAST_WEEK)], dated(NOW), BY_T),
        ([hop(t=LAST_WEEK["t"])], dated(NOW), BY_T),
        ([hop(both=UNTIMED, h="from:subject:date")], dated(NOW), ""),
        ([hop(both=UNTIMED, h="from:subject:date")], dated(OLD), BY_DATE),
        ([hop(both=UNTIMED)], dated(NOW), NONE),
        ([hop(both=UNTIMED, h="from:subject:date"), hop(2, both=UNTIMED)], dated(NOW), NONE),
        ([hop(both=UNTIMED), hop(2, both=UNTIMED, h="from:subject:date")], dated(NOW), ""),
        ([hop()], dated(NOW, author()), ""),
        ([hop()], dated(NOW, author(**LAST_WEEK)), BY_T),
        ([hop()], dated(NOW, author(**LAST_WEEK, d="evil.example")), ""),
        ([hop()], dated(OLD, author(t="")), BY_DATE),
        ([hop()], dated(NOW, author(t="")), ""),
        ([hop()], dated(NOW, author("from:subject", t="")), NONE),
        ([hop()], dated(NOW, author(l="1")), "its signature has l=, which lets anybody append to the mail"),
        ([hop()], dated(NOW, author("from")), "its signature does not cover Subject"),
        ([hop(results=DIRECT)], dated(NOW, author(l="1")), ""),
        ([hop(results=DIRECT)], dated(NOW, author("from")), ""),
        ([hop(results=DIRECT), hop(2)], dated(NOW, author("from")), ""),
        ([hop(), hop(2, DIRECT)], dated(NOW, author("from")), "its signature does not cover Subject"),
        ([hop(results=DIRECT)], dated(NOW, author(**LAST_WEEK)), BY_T),
        ([hop()], dated(NOW, author(), author(**LAST_WEEK)), BY_T),
    ],
)
def test_how_old_a_chain_is_and_what_its_author_left_open(chain: list[arc.Hop], found: RawMail, why: str) -> None:
    """Each time that it says is of today, or its Date is; the author's signature holds what it must, or the mail came straight."""
    assert refused(*chain, found=found) == why


def test_a_mail_straight_from_an_author_in_capitals() -> None:
    """From's domain is compared in any case."""
    assert refused(hop(results=DIRECT), found=dated(NOW, author("from")), sender="No-Reply@ACME.example") == ""


def zone(**keys: str) -> Zone:
    """The usual keys, and others in their place."""
    found = Zone()
    for name in ("s1._domainkey.acme.example", "arc._domainkey.google.com", "other._domainkey.google.com"):
        found.texts[name] = (signer.record(signer.key()),)
    found.texts["_spf.google.com"] = ("v=spf1 ip4:192.0.2.25 ~all",)
    for selector, record in keys.items():
        found.texts[f"{selector}._domainkey.google.com"] = (record,)
    return found


def check(content: bytes, names: Zone | None = None, **more: Any) -> Finding:
    """What a chain of Google's proves."""
    usual: dict[str, Any] = {"sender": SENDER, "rcpt": RCPT, "forwarders": {"google.com"}, "now": datetime.now(UTC), **more}
    return asyncio.run(arc.check(raw.read(content), dns=names or zone(), **usual))


SEALED = signer.arc(mail(), "google.com", results=DMARC, instance=1)


def test_what_is_no_chain_says_why() -> None:
    """NoEvents as its author, a header twice, no key, a changed body."""
    assert check(SEALED, sender="") == Unproven(by="arc", why="the mail has not exactly one From address")
    found = check(b"Subject: x\r\n" + SEALED)
    assert isinstance(found, Unproven)
    assert "subject more than once" in found.why
    assert check(SEALED, Zone()) == Unproven(by="arc", why="there is no key at arc._domainkey.google.com")
    found = check(SEALED.replace(b"482913", b"111111"))
    assert isinstance(found, Unproven)
    assert "it was changed after it was sealed" in found.why


def test_a_seal_and_its_signature_may_have_two_keys() -> None:
    """Both are looked up, in any case."""
    content = signer.arc(mail(), "Google.COM", results=DMARC, instance=1, sealing="other")
    names = zone()
    assert isinstance(check(content, names), Proven)
    assert {one for one in names.asked if "google" in one} == {"arc._domainkey.google.com", "other._domainkey.google.com"}


def test_what_a_proof_by_seals_tells() -> None:
    """Who sealed it and how often, whom it names, and a word about a short key."""
    found = check(SEALED)
    assert isinstance(found, Proven)
    assert (found.by, found.detail, found.warning) == ("arc", "sealed by google.com, 1 hop", "")
    assert found.named == found.sure == {SENDER}
    twice = signer.arc(signer.dkim(mail(), "acme.example"), "google.com", results=DMARC, instance=1)
    twice = signer.arc(twice, "google.com", results=DMARC, instance=2)
    found = check(twice, sender="No-Reply@ACME.example")
    assert isinstance(found, Proven)
    assert found.detail == "sealed by google.com, 2 hops"
    assert found.written == {"ann@corp.example"}
    assert found.named == {"ann@corp.example", SENDER}
    weak = signer.key("weak", 1024)
    found = check(signer.arc(mail(), "google.com", results=DMARC, instance=1, private=weak), zone(arc=signer.record(weak)))
    assert isinstance(found, Proven)
    assert found.warning == "google.com signs with 1024 bits, fewer than 2048"


def test_a_recipient_that_cannot_be_read_is_not_named() -> None:
    """It counts as somebody beside those that are."""
    content = signer.dkim(mail(to='ann@corp.example, "x"@evil.example'), "acme.example")
    found = check(signer.arc(content, "google.com", results=DMARC, instance=1))
    assert isinstance(found, Proven)
    assert found.written == {"ann@corp.example", ""}
    assert found.named == {"ann@corp.example", SENDER}


def test_the_first_results_count() -> None:
    """A later hop may find that DMARC fails, as it does once a list or a forwarder has handled the mail."""
    content = signer.arc(SEALED, "google.com", results="mx.google.com; dmarc=fail header.from=acme.example", instance=2)
    assert isinstance(check(content), Proven)


def test_the_newest_seal_tells_who_sealed_it() -> None:
    """Of two forwarders the later one is named, in lower case."""
    names = zone()
    names.texts["arc._domainkey.microsoft.com"] = (signer.record(signer.key()),)
    content = signer.arc(SEALED, "Microsoft.COM", results=DMARC, instance=2)
    found = check(content, names, forwarders={"google.com", "microsoft.com"})
    assert isinstance(found, Proven)
    assert found.detail == "sealed by microsoft.com, 2 hops"


STAMP = b"Delivered-To: ann@corp.example\r\n"
BLIND = mail(to="undisclosed-recipients:;")


def accounts(content: bytes, **more: Any) -> frozenset[str]:
    """The accounts that a forwarder's stamp or envelope names, beside the author."""
    found = check(content, **more)
    assert isinstance(found, Proven), found
    return found.sure - {SENDER}


def stamped(domain: str = "google.com", darn: str = "bridge.example", above: bytes = STAMP) -> bytes:
    """Sealed when it came in, stamped, sealed for somebody."""
    inner = signer.arc(BLIND, "google.com", results=DMARC, instance=1)
    return signer.arc(above + inner, domain, results=DMARC, instance=2, darn=darn)


def test_names_of_domains_in_capitals() -> None:
    """The forwarder, the destination and our domain are the same in any case."""
    ann = {"ann@corp.example"}
    assert accounts(stamped()) == ann
    assert accounts(stamped("Google.COM")) == ann
    assert accounts(stamped(darn="BRIDGE.Example")) == ann
    assert accounts(stamped(), rcpt="codes@Bridge.EXAMPLE") == ann
    assert accounts(stamped(darn="")) == set()


def test_what_comes_from_the_forwarders_own_server() -> None:
    """Its stamp and its envelope each name an account; what contradicts the envelope takes that one away, and not the stamp's."""
    own = {"peer": "192.0.2.25"}
    caf = "bob+caf_=codes=bridge.example@corp.example"
    plain = signer.arc(BLIND, "google.com", results=DMARC, instance=1)
    trace = b"Received: from x.example by mx.google.com with ESMTPS id 1 for <bob@corp.example>; x\r\n"
    assert accounts(plain, **own) == set()
    assert accounts(plain, mail_from=caf, **own) == {"bob@corp.example"}
    assert accounts(plain, mail_from=caf.replace("bob", "Bob"), **own) == {"bob@corp.example"}
    assert accounts(plain, mail_from=caf, peer="192.0.2.26") == set()
    assert accounts(plain, mail_from=caf, peer="nobody") == set()
    assert accounts(plain, mail_from="bob@corp.example", **own) == set()
    assert accounts(stamped(darn=""), **own) == {"ann@corp.example"}
    assert accounts(STAMP + plain, **own) == {"ann@corp.example"}
    traced = signer.arc(STAMP + trace + BLIND, "google.com", results=DMARC, instance=1)
    assert accounts(traced, mail_from=caf, **own) == {"ann@corp.example", "bob@corp.example"}
    assert accounts(traced.replace(b"<bob@", b"<m@"), mail_from=caf, **own) == {"ann@corp.example"}


def test_nobody_is_asked_where_nothing_could_be_named() -> None:
    """The forwarder's policy is looked up only where a stamp or an envelope names somebody and the server is known."""
    plain = signer.arc(BLIND, "google.com", results=DMARC, instance=1)
    for content, more, is_asked in (
        (plain, {"peer": "192.0.2.25"}, False),
        (STAMP + plain, {}, False),
        (STAMP + plain, {"peer": "192.0.2.25"}, True),
        (plain, {"peer": "192.0.2.25", "mail_from": "bob+caf_=codes=bridge.example@corp.example"}, True),
        (stamped(), {"peer": "192.0.2.25"}, False),
    ):
        names = zone()
        check(content, names, **more)
        assert ("_spf.google.com" in names.asked) is is_asked
