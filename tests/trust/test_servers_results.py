"""What a mailbox's server found, where it matters whether SPF's pass is about a server of the author's alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mailbridge.trust import Finding, Proven, Unproven, authres, raw
from mailbridge.trust.dns import DnsUnavailable
from tests.loop import looped
from tests.peers import signer
from tests.peers.zone import Zone
from tests.trust.mails import mail

SENDER, ANN = "no-reply@acme.example", "ann@corp.example"
OWN, SERVICE = "198.51.100.1", "203.0.113.1"
SHORT = ("from", "subject", "date")
DMARC = "dmarc=pass header.from=acme.example"
SIGNED = "dkim=pass header.d=acme.example; "
STAMP = f"Delivered-To: {ANN}\r\n".encode()


def spf(server: str = OWN, envelope: str = "b@acme.example") -> str:
    """SPF's pass for a server, as Google words it."""
    return f"spf=pass (google.com: domain of {envelope} designates {server} as permitted sender) smtp.mailfrom={envelope}; "


def fetched(results: str, content: bytes) -> bytes:
    """As it lies in the mailbox."""
    return f"Authentication-Results: mx.mailbox.example; {results}\r\n".encode() + content


def silent() -> bytes:
    """Signed by Acme, To left out."""
    return signer.dkim(mail(), "acme.example", headers=SHORT)


def checked(content: bytes, *, is_shared: bool = True, sender: str = SENDER) -> Finding:
    """`authres.check`."""
    return authres.check(
        raw.read(content), sender=sender, servers={"mx.mailbox.example"}, now=datetime.now(UTC), is_shared=is_shared
    )


async def found(content: bytes, dns: Zone, sender: str = SENDER) -> Finding:
    """`authres.find`."""
    return await authres.find(raw.read(content), sender=sender, servers={"mx.mailbox.example"}, now=datetime.now(UTC), dns=dns)


def zone(policy: str = f"v=spf1 ip4:{OWN} include:mailer.example -all") -> Zone:
    """acme.example with a policy that lists a server of its own, and a service."""
    dns = Zone()
    dns.texts["acme.example"] = (policy,)
    dns.texts["mailer.example"] = (f"v=spf1 ip4:{SERVICE} -all",)
    dns.hosts["mail.acme.example"] = (OWN,)
    return dns


def nobody() -> Zone:
    """A resolver that does not answer for acme.example."""
    dns = zone()
    dns.silent.add("acme.example")
    return dns


def why(finding: Finding) -> str:
    """Why nothing is proven."""
    assert isinstance(finding, Unproven)
    return finding.why


def proof(finding: Finding) -> Proven:
    """What is proven."""
    assert isinstance(finding, Proven), finding
    return finding


def test_where_others_send_too_a_signature_is_needed() -> None:
    """DMARC's pass alone is none of a shared server; the reason tells that from results that found nothing."""
    open_to_others = "mx.mailbox.example found no signature of acme.example, and others may send from where it came"
    assert why(checked(fetched(DMARC, mail()))) == open_to_others
    assert "found neither dmarc=pass nor a signature" in why(checked(fetched("dmarc=fail header.from=acme.example", mail())))
    assert "found neither" in why(checked(fetched("dmarc=fail header.from=acme.example", mail()), is_shared=False))
    assert proof(checked(fetched(SIGNED + DMARC, silent()))).detail.endswith("found the signature of acme.example")
    assert proof(checked(fetched(f"{DMARC}; {SIGNED}", silent()))).detail.endswith("found dmarc=pass for acme.example")
    assert proof(checked(fetched(DMARC, mail()), is_shared=False)).detail.endswith("found dmarc=pass for acme.example")


def test_a_customers_domain_shares_its_servers_always() -> None:
    """Below a platform's own domain DMARC's pass says nothing of which customer wrote."""
    sender, results = "no-reply@acme.onmicrosoft.com", "dmarc=pass header.from=acme.onmicrosoft.com"
    assert "others may send" in why(checked(fetched(results, mail(sender=sender)), is_shared=False, sender=sender))


def test_a_shared_server_says_nothing_of_what_is_not_signed() -> None:
    """A To that no signature covers is the author's word where the mail came straight from him, and from a server of his alone."""
    content = fetched(SIGNED + spf() + DMARC, silent())
    strict, loose = proof(checked(content)), proof(checked(content, is_shared=False))
    assert (strict.written, strict.is_to_signed) == (frozenset(), False)
    assert (loose.written, loose.is_to_signed) == (frozenset({ANN}), True)


def test_what_every_signature_covers_counts() -> None:
    """Which of several signatures is the genuine one is not said: what one of them leaves open is open."""
    whole = signer.dkim(mail(), "acme.example")
    both = signer.dkim(whole, "acme.example", headers=SHORT)
    one, two = proof(checked(fetched(SIGNED, whole))), proof(checked(fetched(SIGNED, both)))
    assert (one.signed, one.is_to_signed) == (frozenset(signer.USUAL), True)
    assert (two.signed, two.is_to_signed) == (frozenset(SHORT), False)
    unsigned = proof(checked(fetched("spf=fail smtp.mailfrom=evil.example; " + DMARC, mail()), is_shared=False))
    assert (unsigned.signed, unsigned.is_to_signed) == (frozenset(), False)


def test_when_a_fetched_mail_was_written() -> None:
    """By its Date where that is signed, else by the trace that the mailbox's server left."""
    trace = b"Received: from a by mx.mailbox.example; Wed, 25 Nov 2026 10:01:00 +0000\r\n"
    written, taken = datetime(2026, 11, 25, 9, 57, 25, tzinfo=UTC), datetime(2026, 11, 25, 10, 1, tzinfo=UTC)
    dated, undated = signer.dkim(mail(), "acme.example"), signer.dkim(mail(), "acme.example", headers=("from", "to", "subject"))
    assert proof(checked(fetched(SIGNED, trace + dated))).dated_at == written
    assert proof(checked(fetched(SIGNED, dated))).dated_at == written
    assert proof(checked(fetched(SIGNED, trace + undated))).dated_at == taken
    assert proof(checked(fetched(SIGNED, undated))).dated_at is None


def test_a_header_that_the_server_may_have_missed_leaves_no_proof() -> None:
    """Its results may be about another mail than the one that is read."""
    content = fetched(DMARC, mail().replace(b"MIME-Version:", b"MIME-Version :"))
    assert why(checked(content, is_shared=False)) == raw.MISSED


@pytest.mark.parametrize(
    "name", ["mx.mailbox.example\u00a0x", "mx.mailbox.example\x1fx", "mx.mailbox.example\u2003", "mx.mailbo\u212a.example"]
)
def test_only_what_a_server_reads_as_its_name_is_its_name(name: str) -> None:
    """A server takes away results under its own name; what it does not read as that name is left, and is a sender's."""
    content = mail(above=f"Authentication-Results: {name}; {DMARC}")
    servers = {"mx.mailbox.example", "mx.mailbok.example"}
    assert isinstance(authres.check(raw.read(content), sender=SENDER, servers=servers, now=datetime.now(UTC)), Unproven)


@looped
async def test_what_a_signature_proves_needs_no_policy() -> None:
    """Where the signature names the one recipient, or both readings say the same, DNS is not asked."""
    dns = nobody()
    content = STAMP + fetched(SIGNED + spf() + DMARC, signer.dkim(mail(), "acme.example"))
    assert proof(await found(content, dns)).written == {ANN}
    assert why(await found(fetched("dmarc=fail header.from=acme.example", mail()), dns))
    assert not dns.asked


@pytest.mark.parametrize(
    ("results", "policy", "is_believed"),
    [
        (spf(OWN) + DMARC, "", True),
        (spf(SERVICE) + DMARC, "", False),
        (DMARC, "", False),
        (DMARC, f"v=spf1 ip4:{OWN} -all", True),
        (spf(OWN) + DMARC, "v=spf1 a:mail.acme.example -all", True),
    ],
)
@pytest.mark.parametrize("sender", [SENDER, "no-reply@ACME.example"])
@looped
async def test_an_unsigned_mail_is_the_authors_if_its_server_is(
    results: str, policy: str, is_believed: bool, sender: str
) -> None:
    """By SPF alone a mail is believed if its server is the author's own; without a server's address if all of them are."""
    dns = zone(policy) if policy else zone()
    assert isinstance(await found(fetched(results, mail()), dns, sender), Proven) is is_believed
    assert dns.asked["acme.example"]


@looped
async def test_whom_a_mail_was_for_is_the_word_of_a_server_of_the_authors_own() -> None:
    """A genuine signature that leaves To open is no word on it; a server of the author's alone is."""
    results = SIGNED + spf("{}") + DMARC
    assert proof(await found(fetched(results.format(OWN), silent()), zone())).written == {ANN}
    assert proof(await found(fetched(results.format(SERVICE), silent()), zone())).written == frozenset()


@looped
async def test_the_topmost_results_say_which_server_it_was() -> None:
    """Those of an earlier server, below, are nobody's word."""
    below = f"Authentication-Results: mx.mailbox.example; {spf(OWN)}{DMARC}\r\n".encode()
    assert isinstance(await found(fetched(spf(SERVICE) + DMARC, below + mail()), zone()), Unproven)


@looped
async def test_where_the_policy_is_not_to_be_had() -> None:
    """What a signature proves is proven; where nothing is without the policy, the mail has to wait."""
    assert proof(await found(fetched(SIGNED + spf() + DMARC, silent()), nobody())).written == frozenset()
    with pytest.raises(DnsUnavailable):
        await found(fetched(spf() + DMARC, mail()), nobody())


@looped
async def test_capitals_in_the_authors_domain_change_nothing() -> None:
    """Whether others send from its servers is asked of the domain, however the From writes it."""
    for sender in (SENDER, "no-reply@ACME.Example"):
        assert "others may send" in why(await found(fetched(DMARC, mail()), zone(), sender))


def test_blanks_before_the_servers_name_are_none_of_it() -> None:
    """A folded header begins with blanks."""
    content = fetched(DMARC, mail()).replace(b": mx.mailbox.example;", b":\r\n\t  MX.mailbox.example;", 1)
    assert proof(checked(content, is_shared=False)).detail.endswith("found dmarc=pass for acme.example")
