"""Sender policies: what passes for a forwarder's envelope, and that nothing else means anything."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from ipaddress import ip_address

import pytest

from mailbridge.trust import Finding, Proven, Unproven, spf
from mailbridge.trust.dns import Dns, DnsUnavailable
from tests.peers.dns_server import DnsServer
from tests.trust.conftest import published
from tests.trust.mails import RCPT, mail

ENVELOPE = "ann+caf_=codes=bridge.example@gmail.com"

ZONE: dict[tuple[str, str], list[str]] = {
    ("plain.example", "TXT"): ["v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all"],
    ("soft.example", "TXT"): ["v=spf1 ~all"],
    ("open.example", "TXT"): ["v=spf1 ?all"],
    ("gone.example", "TXT"): ["verification=1"],
    ("twice.example", "TXT"): ["v=spf1 -all", "v=spf1 +all"],
    ("include.example", "TXT"): ["v=spf1 include:plain.example -all"],
    ("redirect.example", "TXT"): ["v=spf1 redirect=plain.example"],
    ("lost.example", "TXT"): ["v=spf1 include:nowhere.example -all"],
    ("loop.example", "TXT"): ["v=spf1 include:loop.example -all"],
    ("macro.example", "TXT"): ["v=spf1 exists:%{i}.acme.example -all"],
    ("macro-include.example", "TXT"): ["v=spf1 include:%{d2} +all"],
    ("macro-redirect.example", "TXT"): ["v=spf1 redirect=_spf.%{d}"],
    ("macro-a.example", "TXT"): ["v=spf1 a:%{ir}.a.example +all"],
    ("macro-mx.example", "TXT"): ["v=spf1 mx:%{s}/24 +all"],
    ("macro-ip.example", "TXT"): ["v=spf1 ip4:%{i} +all"],
    ("macro-behind.example", "TXT"): ["v=spf1 ip4:192.0.2.0/24 exists:%{i}.a.example ~all"],
    ("odd.example", "TXT"): ["v=spf1 frobnicate +all"],
    ("a.example", "TXT"): ["v=spf1 a -all"],
    ("a.example", "A"): ["192.0.2.7"],
    ("range.example", "TXT"): ["v=spf1 a:a.example/24//64 -all"],
    ("mx.example", "TXT"): ["v=spf1 mx -all"],
    ("mx.example", "MX"): ["10 a.example."],
    ("exists.example", "TXT"): ["v=spf1 exists:a.example -all"],
    ("ptr.example", "TXT"): ["v=spf1 ptr +all"],
    ("ptr-behind.example", "TXT"): ["v=spf1 ip4:192.0.2.0/24 ptr ~all"],
    ("bad.example", "TXT"): ["v=spf1 ip4:nonsense +all"],
    ("own.example", "TXT"): ["v=spf1 ip4:198.51.100.0/24 include:_spf.google.com -all"],
    ("mapped.example", "TXT"): ["v=spf1 ip6:::ffff:192.0.2.0/120 -all"],
    ("behind.example", "TXT"): ["v=spf1 ip4:192.0.2.0/24 frobnicate ~all"],
    ("far.example", "TXT"): ["v=spf1 +all ip4:192.0.2.0/33"],
    ("redirected.example", "TXT"): ["v=spf1 +all redirect=a.example redirect=a.example"],
    ("explained.example", "TXT"): ["v=spf1 +all exp=a.example exp=a.example"],
    ("other.example", "TXT"): ["v=spf1 x-a=%{i}.b/c ra=1 ip4:192.0.2.7 -all"],
    ("all-redirect.example", "TXT"): ["v=spf1 -all redirect=plain.example"],
    ("lost-redirect.example", "TXT"): ["v=spf1 redirect=nowhere.example"],
    ("void.example", "TXT"): ["v=spf1 a:v1.example a:v2.example a:v3.example ip4:192.0.2.7"],
    ("nearly-void.example", "TXT"): ["v=spf1 a:v1.example a:v2.example ip4:192.0.2.7"],
    ("exchangers.example", "TXT"): ["v=spf1 mx ip4:192.0.2.7"],
    ("exchangers.example", "MX"): [f"{number} a.example." for number in range(11)],
    ("ten.example", "TXT"): ["v=spf1 mx -all"],
    ("ten.example", "MX"): [f"{number} h{number}.example." for number in range(10)],
    **{(f"h{number}.example", "A"): [f"192.0.2.{number}"] for number in range(10)},
    ("lookups.example", "TXT"): ["v=spf1 " + "a:range.a.example " * 11 + "ip4:192.0.2.7"],
    ("nearly-lookups.example", "TXT"): ["v=spf1 " + "a:range.a.example " * 10 + "ip4:192.0.2.7"],
    ("range.a.example", "A"): ["198.51.100.1"],
    ("include-fail.example", "TXT"): ["v=spf1 include:all-redirect.example ip4:192.0.2.7"],
    ("tab.example", "TXT"): ["v=spf1\tip4:192.0.2.7"],
    ("spf2.example", "TXT"): ["v=spf10 +all"],
    ("localhost", "TXT"): ["v=spf1 +all"],
    ("a.example", "AAAA"): ["2001:db8:1::7"],
    ("six.example", "AAAA"): ["2001:db8:1::7"],
    ("exists-not.example", "TXT"): ["v=spf1 exists:nowhere.example -all"],
    ("exists-six.example", "TXT"): ["v=spf1 exists:six.example -all"],
    ("bare.example", "TXT"): ["v=spf1 ip4:192.0.2.0/24"],
    ("circle.example", "TXT"): ["v=spf1 redirect=circle.example"],
    ("gmail.com", "TXT"): ["v=spf1 ip4:203.0.113.9 ~all"],
    ("_spf.google.com", "TXT"): ["v=spf1 ip4:192.0.2.0/24 ~all"],
}

MALFORMED = (
    "all:x", "all/8", "-all.", "a:", "a:x", "a:x.1", "a:x.example/", "a:x.example/33", "a:x.example//129", "a:x.example/024", "a/24/64",
    "mx:%{z}.example", "include", "include:", "include:x", "include:a.example/24", "exists", "exists:x.example/24", "ip4", "ip4:",
    "ip4:1.2.3", "ip4:1.2.3.256", "ip4:01.2.3.4", "ip4:1.2.3.4/", "ip4:1.2.3.4/33", "ip4:1.2.3.4/08", "ip4:2001:db8::1", "ip6:192.0.2.1",
    "ip6:2001:db8::1/129", "ip6:fe80::1%eth0", "ptr:", "ptr/24", "redirect=", "redirect=x", "exp=", "redirect:a.example", "-redirect=a.example",
    "1x=y", "x-y", "+", "--all", "!all", "a:%{d0}.example", "a:%{c}.example", "a:%x.example", "x=%", "a\t", "é=1.é",
)  # fmt: skip
"""Terms that are none."""

CASES = [
    ("plain.example", "192.0.2.7", "pass"),
    ("plain.example", "2001:db8::7", "pass"),
    ("plain.example", "198.51.100.7", "fail"),
    ("soft.example", "192.0.2.7", "softfail"),
    ("open.example", "192.0.2.7", "neutral"),
    ("gone.example", "192.0.2.7", "none"),
    ("nowhere.example", "192.0.2.7", "none"),
    ("twice.example", "192.0.2.7", "permerror"),
    ("include.example", "192.0.2.7", "pass"),
    ("include.example", "198.51.100.7", "fail"),
    ("redirect.example", "192.0.2.7", "pass"),
    ("lost.example", "192.0.2.7", "permerror"),
    ("loop.example", "192.0.2.7", "permerror"),
    ("macro.example", "192.0.2.7", "permerror"),
    ("macro-include.example", "192.0.2.7", "permerror"),
    ("macro-redirect.example", "192.0.2.7", "permerror"),
    ("macro-a.example", "192.0.2.7", "permerror"),
    ("macro-mx.example", "192.0.2.7", "permerror"),
    ("macro-ip.example", "192.0.2.7", "permerror"),
    ("macro-behind.example", "192.0.2.7", "pass"),
    ("macro-behind.example", "198.51.100.7", "permerror"),
    ("odd.example", "192.0.2.7", "permerror"),
    ("a.example", "192.0.2.7", "pass"),
    ("a.example", "192.0.2.8", "fail"),
    ("range.example", "192.0.2.8", "pass"),
    ("mx.example", "192.0.2.7", "pass"),
    ("exists.example", "198.51.100.7", "pass"),
    ("ptr.example", "192.0.2.7", "permerror"),
    ("ptr-behind.example", "192.0.2.7", "pass"),
    ("ptr-behind.example", "198.51.100.7", "permerror"),
    ("plain.example", "::ffff:192.0.2.7", "pass"),
    ("plain.example", "::ffff:198.51.100.7", "fail"),
    ("mapped.example", "192.0.2.7", "fail"),
    ("mapped.example", "::ffff:192.0.2.7", "fail"),
    ("behind.example", "192.0.2.7", "permerror"),
    ("far.example", "192.0.2.7", "permerror"),
    ("redirected.example", "192.0.2.7", "permerror"),
    ("explained.example", "192.0.2.7", "permerror"),
    ("other.example", "192.0.2.7", "pass"),
    ("all-redirect.example", "192.0.2.7", "fail"),
    ("lost-redirect.example", "192.0.2.7", "permerror"),
    ("void.example", "192.0.2.7", "permerror"),
    ("nearly-void.example", "192.0.2.7", "pass"),
    ("exchangers.example", "192.0.2.7", "permerror"),
    ("ten.example", "192.0.2.9", "pass"),
    ("ten.example", "192.0.2.10", "fail"),
    ("lookups.example", "192.0.2.7", "permerror"),
    ("nearly-lookups.example", "192.0.2.7", "pass"),
    ("include-fail.example", "192.0.2.7", "pass"),
    ("tab.example", "192.0.2.7", "none"),
    ("spf2.example", "192.0.2.7", "none"),
    ("localhost", "192.0.2.7", "none"),
    ("a.example", "2001:db8:1::7", "pass"),
    ("a.example", "2001:db8:1::8", "fail"),
    ("range.example", "2001:db8:1::8", "pass"),
    ("range.example", "2001:db8:1:1::7", "fail"),
    ("mx.example", "2001:db8:1::7", "pass"),
    ("mx.example", "192.0.2.8", "fail"),
    ("exists-not.example", "192.0.2.7", "fail"),
    ("exists-six.example", "2001:db8:1::7", "fail"),
    ("bare.example", "192.0.2.7", "pass"),
    ("bare.example", "198.51.100.7", "neutral"),
    ("circle.example", "192.0.2.7", "permerror"),
    ("localhost.", "192.0.2.7", "none"),
    ("Plain.Example.", "192.0.2.7", "pass"),
    ("a..example", "192.0.2.7", "none"),
    ("bad.example", "192.0.2.7", "permerror"),
]


def fill(server: DnsServer) -> None:
    """Serve the zone of these tests."""
    server.zone |= ZONE


@pytest.mark.parametrize(("domain", "address", "verdict"), CASES)
def test_results(domain: str, address: str, verdict: str) -> None:
    """The mechanisms that providers publish are evaluated as RFC 7208 has it; what is not understood is no pass."""

    async def go() -> str:
        async with published() as (server, resolver):
            fill(server)
            return await spf.evaluate(domain, ip_address(address), resolver)

    assert asyncio.run(go()) == verdict


@pytest.mark.parametrize("term", MALFORMED)
def test_a_record_with_an_error_anywhere_is_no_policy(term: str) -> None:
    """A term that is none makes the whole record none, before it or behind a term that would have passed."""

    async def go(record: str) -> str:
        async with published() as (server, resolver):
            server.txt("odd.example", record)
            return await spf.evaluate("odd.example", ip_address("192.0.2.7"), resolver)

    assert asyncio.run(go(f"v=spf1 +all {term}")) == "permerror"
    assert asyncio.run(go(f"v=spf1 {term} +all")) == "permerror"


def check(mail_from: str, peer: str, accounts: tuple[str, ...], rcpt: str = RCPT, content: bytes = b"") -> Finding:
    """One check of an envelope."""

    async def go() -> Finding:
        async with published() as (server, resolver):
            fill(server)
            return await spf.check(mail_from, rcpt=rcpt, peer=peer, accounts=accounts, dns=resolver, content=content)

    return asyncio.run(go())


def test_a_listed_accounts_forward_is_a_proof() -> None:
    """Gmail's envelope of a listed account, from a server that may send for it, speaks for that account."""
    for accounts in (("ann@gmail.com",), ("*@gmail.com",), ("a.n.n@googlemail.com",)):
        found = check(ENVELOPE, "192.0.2.7", accounts)
        assert isinstance(found, Proven)
        assert found.covers("ann@gmail.com")
        assert not found.covers("bob@gmail.com")
        assert found.sure == found.named
        assert found.is_form_signed  # it came as the account has got it
        assert found.warning == ""


@pytest.mark.parametrize(
    ("mail_from", "peer", "accounts", "why"),
    [
        (ENVELOPE, "198.51.100.7", ("ann@gmail.com",), "SPF softfail"),
        (ENVELOPE, "", ("ann@gmail.com",), "not known"),
        (ENVELOPE, "192.0.2.7", (), "not listed"),
        (ENVELOPE, "192.0.2.7", ("bob@gmail.com",), "not listed"),
        ("ann@gmail.com", "192.0.2.7", ("ann@gmail.com",), "not that of a Gmail forward"),
        ("", "192.0.2.7", ("*",), "not that of a Gmail forward"),
        ("ann+caf_=other=bridge.example@gmail.com", "192.0.2.7", ("ann@gmail.com",), "another recipient"),
        ("ann+caf_=codes=bridge.example@plain.example", "198.51.100.7", ("ann@plain.example",), "not Google's"),
        ("ann+caf_=codes=bridge.example@own.example", "198.51.100.7", ("*@own.example",), "not Google's"),
        ("ann+caf_=codes=bridge.example@own.example", "::ffff:198.51.100.7", ("*@own.example",), "not Google's"),
    ],
)
def test_what_is_no_forward(mail_from: str, peer: str, accounts: tuple[str, ...], why: str) -> None:
    """Another server, another account, another recipient or another envelope is no proof, and says why."""
    found = check(mail_from, peer, accounts)
    assert isinstance(found, Unproven)
    assert why in found.why


def test_a_business_customers_forward_needs_no_record_of_its_own() -> None:
    """Gmail's envelope of another domain is believed from Google's servers, whatever that domain's own policy says of them."""
    for domain in ("own.example", "plain.example", "nowhere.example"):
        found = check(f"ann+caf_=codes=bridge.example@{domain}", "192.0.2.7", (f"*@{domain}",))
        assert isinstance(found, Proven)
        assert found.named == {f"ann@{domain}"}


def test_googles_own_trace_may_contradict_the_envelope() -> None:
    """A mail that Google took in for another mailbox was not forwarded by the account, whatever stands below that trace."""
    trace = b"Received: from x.example by mx.google.com with ESMTPS id 1 for <%s>; Sat, 28 Nov 2026 09:57:25 +0000\r\n"
    lines = b"Delivered-To: ann@gmail.com\r\n" + trace % b"ann@gmail.com"
    for content, is_good in (
        (lines + mail(), True),
        (trace % b"A.N.N@gmail.com" + mail(), True),
        (trace % b"mallory@evil.example" + lines + mail(), False),
        (b"X-Received: by 2002:a05\r\n" + trace % b"mallory@evil.example" + mail(), False),
        (trace.replace(b" for <%s>", b"") + lines + mail(), False),
        (b"Received: from mail.google.com by bridge.example for <codes@bridge.example>; x\r\n" + lines + mail(), True),
        (mail(), True),
        (b"\r\n", True),
    ):
        assert isinstance(check(ENVELOPE, "192.0.2.7", ("ann@gmail.com",), content=content), Proven) is is_good, content[:200]


def test_a_server_failure_is_no_answer() -> None:
    """RFC 7208's temperror is told apart from having no policy."""

    async def go() -> None:
        async with published() as (server, _):
            server.broken["_spf.google.com"] = "servfail"
            resolver = Dns(timeout=timedelta(seconds=1), nameservers=[server.address])
            with pytest.raises(DnsUnavailable):
                await spf.evaluate("_spf.google.com", ip_address("192.0.2.7"), resolver)
            with pytest.raises(DnsUnavailable):
                await spf.check(ENVELOPE, rcpt=RCPT, peer="192.0.2.7", accounts=("ann@gmail.com",), dns=resolver)

    asyncio.run(go())


def test_the_account_in_an_envelope() -> None:
    """The one that forwards to this recipient, however that is written; none in another envelope."""
    assert spf.forwarding_account(ENVELOPE, rcpt="Codes@BRIDGE.example") == "ann@gmail.com"
    assert spf.forwarding_account(ENVELOPE.replace("codes", "CODES"), rcpt=RCPT) == "ann@gmail.com"
    assert spf.forwarding_account(ENVELOPE, rcpt="other@bridge.example") == ""
    for mail_from in ("", "ann@gmail.com", "ann+caf_=@gmail.com"):
        assert spf.forwarding_account(mail_from, rcpt=RCPT) == ""


def test_either_of_the_services_policies_is_enough() -> None:
    """A server that only the second of Google's own domains names is Google's as well."""
    assert isinstance(check(ENVELOPE, "203.0.113.9", ("ann@gmail.com",)), Proven)
    assert isinstance(check(ENVELOPE, "203.0.113.10", ("ann@gmail.com",)), Unproven)


@pytest.mark.parametrize(
    ("account", "accounts", "is_listed"),
    [
        ("ann@corp.example", ("ann@corp.example",), True),
        ("Ann+x@CORP.example", ("ann@corp.example",), True),
        ("ann@corp.example", ("bob@corp.example", "Ann@Corp.EXAMPLE"), True),
        ("Ann@CORP.example", ("*@corp.EXAMPLE",), True),
        ("ann@corp.example", ("a*@corp.example",), True),
        ("ann@corp.example", ("b*@corp.example",), False),
        ("ann@corp.example", ("bob@corp.example",), False),
        ("ann@evil.example", ("*@corp.example",), False),
        ("ann@corp.example", (), False),
    ],
)
def test_who_is_listed(account: str, accounts: tuple[str, ...], is_listed: bool) -> None:
    """The mailbox itself in any spelling, or a pattern in any case."""
    assert spf.is_listed(account, accounts) is is_listed
