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
from tests.trust.mails import RCPT

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
    ("ptr.example", "TXT"): ["v=spf1 ptr -all"],
    ("bad.example", "TXT"): ["v=spf1 ip4:nonsense +all"],
    ("gmail.com", "TXT"): ["v=spf1 ip4:192.0.2.0/24 ~all"],
}

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
    ("ptr.example", "192.0.2.7", "fail"),
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


def check(mail_from: str, peer: str, accounts: tuple[str, ...], rcpt: str = RCPT) -> Finding:
    """One check of an envelope."""

    async def go() -> Finding:
        async with published() as (server, resolver):
            fill(server)
            return await spf.check(mail_from, rcpt=rcpt, peer=peer, accounts=accounts, dns=resolver)

    return asyncio.run(go())


def test_a_listed_accounts_forward_is_a_proof() -> None:
    """Gmail's envelope of a listed account, from a server that may send for it, speaks for that account."""
    for accounts in (("ann@gmail.com",), ("*@gmail.com",), ("a.n.n@googlemail.com",)):
        found = check(ENVELOPE, "192.0.2.7", accounts)
        assert isinstance(found, Proven)
        assert found.covers("ann@gmail.com")
        assert not found.covers("bob@gmail.com")


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
        ("ann+caf_=codes=bridge.example@plain.example", "198.51.100.7", ("ann@plain.example",), "SPF fail"),
    ],
)
def test_what_is_no_forward(mail_from: str, peer: str, accounts: tuple[str, ...], why: str) -> None:
    """Another server, another account, another recipient or another envelope is no proof, and says why."""
    found = check(mail_from, peer, accounts)
    assert isinstance(found, Unproven)
    assert why in found.why


def test_a_server_failure_is_no_answer() -> None:
    """RFC 7208's temperror is told apart from having no policy."""

    async def go() -> None:
        async with published() as (server, _):
            server.broken["gmail.com"] = "servfail"
            resolver = Dns(timeout=timedelta(seconds=1), nameservers=[server.address])
            with pytest.raises(DnsUnavailable):
                await spf.evaluate("gmail.com", ip_address("192.0.2.7"), resolver)

    asyncio.run(go())
