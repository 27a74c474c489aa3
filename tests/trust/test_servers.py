"""Whether a server is a domain's own or one that many share, as a table of policies."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from mailbridge.trust import servers
from tests.loop import looped
from tests.peers.zone import Zone

OWN, BELOW, OTHERS, SERVICE, NOBODYS = "192.0.2.1", "198.51.100.1", "203.0.113.1", "192.0.2.77", "233.252.0.1"
INCLUDING = "v=spf1 ip4:192.0.2.0/24 include:_spf.own.example include:mailer.example -all"


def zone(policy: str | tuple[str, ...]) -> Zone:
    """own.example with this policy, its own servers below it, a newsletter service, and SendGrid with one server."""
    found = Zone()
    found.texts["own.example"] = (policy,) if isinstance(policy, str) else policy
    found.texts["_spf.own.example"] = (f"v=spf1 ip4:{BELOW} -all",)
    found.texts["both.own.example"] = (f"v=spf1 ip4:{BELOW} include:mailer.example -all",)
    found.texts["loop.own.example"] = ("v=spf1 include:loop.own.example -all",)
    for name, following in (("one", "two"), ("two", "three"), ("three", "_spf")):
        found.texts[f"{name}.own.example"] = (f"v=spf1 include:{following}.own.example -all",)
    found.texts["mailer.example"] = (f"v=spf1 ip4:{OTHERS} -all",)
    found.texts["sendgrid.net"] = (f"v=spf1 ip4:{SERVICE} ~all",)
    found.hosts["mail.own.example"] = (OWN,)
    found.hosts["own.example"] = (OWN,)
    found.hosts["mx.mailer.example"] = (OTHERS,)
    return found


@pytest.mark.parametrize(
    ("policy", "server", "is_shared"),
    [
        (INCLUDING, OWN, False),
        (INCLUDING, BELOW, False),
        (INCLUDING, OTHERS, True),
        (INCLUDING, NOBODYS, True),
        (INCLUDING, None, True),
        # Its own by their number: unless that is a service's that sends for many.
        (INCLUDING, SERVICE, True),
        (f"v=spf1 ip4:{OWN} -all", None, False),
        ("v=spf1 ip4:192.0.2.0/24 include:_spf.own.example -all", None, False),
        ("v=spf1 include:both.own.example -all", BELOW, False),
        ("v=spf1 include:both.own.example -all", OTHERS, True),
        ("v=spf1 include:both.own.example -all", None, True),
        # A host of its own, or another's.
        ("v=spf1 a -all", OWN, False),
        ("v=spf1 a:mail.own.example -all", OWN, False),
        ("v=spf1 a:mx.mailer.example -all", OTHERS, True),
        ("v=spf1 a:mail.own.example -all", None, False),
        ("v=spf1 a:mx.mailer.example -all", None, True),
        # Another policy in place of it.
        ("v=spf1 redirect=_spf.own.example", BELOW, False),
        ("v=spf1 redirect=_spf.own.example", None, False),
        ("v=spf1 redirect=mailer.example", OTHERS, True),
        ("v=spf1 redirect=mailer.example", None, True),
        # Everybody, or whom a name server says.
        ("v=spf1 +all", OWN, True),
        ("v=spf1 +all", None, True),
        ("v=spf1 exists:own.example -all", OWN, True),
        # What is no pass lists nobody.
        (f"v=spf1 ?ip4:{OWN} -all", OWN, True),
        (f"v=spf1 ?include:mailer.example ip4:{OWN} -all", None, False),
        # The first term that is about the server decides.
        (f"v=spf1 ip4:{OTHERS} include:mailer.example -all", OTHERS, False),
        (f"v=spf1 include:mailer.example ip4:{OTHERS} -all", OTHERS, True),
        # No policy shares nothing; none that can be read may share anything.
        ("no policy", OWN, False),
        ("no policy", None, False),
        ((f"v=spf1 ip4:{OWN} -all", f"v=spf1 ip4:{OWN} ~all"), OWN, True),
        (f"v=spf1 ip4:{OWN}", NOBODYS, True),
        ("v=spf1 ip6:2001:db8::/32 -all", "2001:db8::1", False),
        ("v=spf1 include:one.own.example -all", BELOW, False),
        ("v=spf1 ip4:nonsense -all", OWN, True),
        ("v=spf1 include:loop.own.example -all", OWN, True),
        ("v=spf1 include:loop.own.example -all", None, True),
    ],
)
@looped
async def test_whose_server_it_is(policy: str | tuple[str, ...], server: str | None, is_shared: bool) -> None:
    """The domain's own by its number, its hosts and its records; another's by another's record; without a server, whether any is."""
    address = None if server is None else ip_address(server)
    for domain in ("own.example", "own.example."):
        assert await servers.is_shared(domain, address, zone(policy)) is is_shared


@pytest.mark.parametrize(
    "record",
    [
        "_netblocks.sparkpostmail.com",
        "_spf.google.com",
        "_spf.salesforce.com",
        "amazonses.com",
        "gmail.com",
        "mail.zendesk.com",
        "mailgun.org",
        "sendgrid.net",
        "servers.mcsv.net",
        "spf.brevo.com",
        "spf.mailjet.com",
        "spf.mandrillapp.com",
        "spf.mtasv.net",
        "spf.protection.outlook.com",
        "zohomail.com",
    ],
)
@looped
async def test_a_services_server_is_shared_also_where_it_is_listed_by_its_number(record: str) -> None:
    """A server in a record of a service that sends for many is nobody's own."""
    one = Zone()
    one.texts["own.example"] = (f"v=spf1 ip4:{SERVICE} -all",)
    assert await servers.is_shared("own.example", ip_address(SERVICE), one) is False
    one.texts[record] = (f"v=spf1 ip4:{SERVICE} ~all",)
    assert await servers.is_shared("own.example", ip_address(SERVICE), one) is True


@pytest.mark.parametrize(
    ("exchangers", "server", "is_shared"),
    [
        (("mail.own.example",), OWN, False),
        (("Mail.Own.example.",), OWN, False),
        (("mx.mailer.example",), OTHERS, True),
        (("mail.own.example", "mx.mailer.example"), OWN, True),
    ],
)
@looped
async def test_mail_exchangers_are_its_own_where_all_of_them_are(
    exchangers: tuple[str, ...], server: str, is_shared: bool
) -> None:
    """By their names, in any case; one of another's makes them another's."""
    one = zone("v=spf1 mx -all")
    one.mail["own.example"] = exchangers
    one.hosts.update({name: one.hosts[name.lower().rstrip(".")] for name in exchangers})
    assert await servers.is_shared("own.example", ip_address(server), one) is is_shared


@looped
async def test_a_customers_domain_is_shared_and_a_providers_own_is_not() -> None:
    """Below a platform many have a name; Google answers for its own mailboxes; nothing is asked for either."""
    one = zone("v=spf1 +all")
    for domain, is_shared in (
        ("acme.zendesk.com", True),
        ("acme.onmicrosoft.com", True),
        ("gmail.com", False),
        ("gmail.com.", False),
    ):
        assert await servers.is_shared(domain, ip_address(OWN), one) is is_shared, domain
    assert one.asked.total() == 0


@pytest.mark.parametrize(
    ("results", "address"),
    [
        ("spf=pass (google.com: domain of a@own.example designates 192.0.2.1 as permitted sender)", OWN),
        ("spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=own.example", OWN),
        ("spf=pass client-ip=192.0.2.1;", OWN),
        ("spf=pass remote-ip=192.0.2.1", OWN),
        ("designates 192.0.2.1 as permitted sender) client-ip=192.0.2.1", OWN),
        ("designates 192.0.2.1 as permitted sender) client-ip=203.0.113.1", None),
        ("designates ::ffff:192.0.2.1 as permitted sender)", OWN),
        ("spf=pass smtp.mailfrom=own.example", None),
        ("client-ip=1.2.3.4.5", None),
    ],
)
def test_the_server_that_results_name(results: str, address: str | None) -> None:
    """As Google, Microsoft and others write it; none where they do not say it, or say two."""
    assert servers.address_in(results) == (None if address is None else ip_address(address))
