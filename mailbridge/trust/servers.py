"""Whether SPF's pass says who sent a mail: the server is the domain's own, or many share it.

A domain lists everybody who may send for it: its own servers, and through their records its mail service, its newsletter service
and its host. Each customer of those services can send from the same servers, with any envelope. So only a domain's own entries
name its own servers: a network, or a host or a record of its own organization.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Literal

from mailbridge.trust import dkim, spf
from mailbridge.trust.dns import Resolver
from mailbridge.trust.platforms import platforms
from mailbridge.trust.policies import Malformed, Mechanism, is_policy, parse

SHARED: Mapping[str, tuple[str, ...]] = {
    **spf.SERVICES,
    "Amazon SES": ("amazonses.com",),
    "Brevo": ("spf.brevo.com",),
    "Mailchimp": ("servers.mcsv.net", "spf.mandrillapp.com"),
    "Mailgun": ("mailgun.org",),
    "Mailjet": ("spf.mailjet.com",),
    "Microsoft 365": ("spf.protection.outlook.com",),
    "Postmark": ("spf.mtasv.net",),
    "Salesforce": ("_spf.salesforce.com",),
    "SendGrid": ("sendgrid.net",),
    "SparkPost": ("_netblocks.sparkpostmail.com",),
    "Zendesk": ("mail.zendesk.com",),
    "Zoho": ("zohomail.com",),
}
"""Services that send for many, and the records that name their servers, as the services document them (2026). They are for
domains that list such a server by its IP address."""

SENT_BY = re.compile(
    r"(?i)\bdesignates ([0-9a-f.:]{3,45}) as permitted sender\)|\bsender ip is ([0-9a-f.:]{3,45})\)|\b(?:remote-ip|client-ip)=([0-9a-f.:]{3,45})"
)
"""Where Google, Microsoft and others write the server for which SPF was checked."""

Whose = Literal["own", "others", "nobody's", "unknown"]


async def is_shared(domain: str, address: spf.Address | None, dns: Resolver) -> bool:
    """Whether others may also send from that server, so that a pass of the domain's policy does not say who sent.

    ``address`` is the server's. None means that it is not known; then the policy must not include any record of others. A domain
    without a policy shares nothing.

    Raises:
        DnsUnavailable: a policy could not be looked up.
    """
    name = domain.rstrip(".")
    if is_customers(name):
        return True
    if any(dkim.is_aligned(name, one) for one in spf.SERVICES["Google"]):
        return False  # Google's own mailboxes: Google is responsible for their From
    try:
        whose = await _whose(name, name, address, dns, spf.Budget())
    except Malformed:
        return True
    if whose == "own" and address is not None:
        return await _is_services(address, dns)
    return whose in ("others", "nobody's")


def is_customers(domain: str) -> bool:
    """Whether a domain is one of many customer domains below a platform's own. Such customers share the platform's servers and
    keys."""
    return bool(platforms().tenant(domain) or platforms().customer(domain))


def address_in(results: str) -> spf.Address | None:
    """The server for which SPF was checked, according to these results. None if they do not say, or name several (some may be a
    sender's words)."""
    found = {one for groups in SENT_BY.findall(results) for one in groups if one}
    return spf.address_of(found.pop()) if len(found) == 1 else None


async def _is_services(address: spf.Address, dns: Resolver) -> bool:
    records = [one for domains in SHARED.values() for one in domains]
    return "pass" in await asyncio.gather(*(spf.evaluate(one, address, dns) for one in records))


async def _whose(domain: str, owner: str, address: spf.Address | None, dns: Resolver, budget: spf.Budget) -> Whose:
    """Whose server it is, by a policy that the owner's policy leads to. Without an address: whether any part of the policy is of
    others."""
    records = [one for one in await dns.txt(domain) if is_policy(one)]
    if len(records) > 1:
        raise Malformed
    if not records:
        return "unknown"
    (record,) = records
    policy = parse(record)
    terms = [*policy.mechanisms]
    if policy.redirect is not None:
        terms.append(Mechanism(kind="include", result="pass", domain=policy.redirect))
    for one in terms:
        if address is None:
            if one.result == "pass" and await _term(one, domain, owner, None, dns, budget) == "others":
                return "others"
        elif await spf.matches(one, domain, address, dns, budget):
            return await _term(one, domain, owner, address, dns, budget) if one.result == "pass" else "nobody's"
    return "own" if address is None else "nobody's"


async def _term(one: Mechanism, domain: str, owner: str, address: spf.Address | None, dns: Resolver, budget: spf.Budget) -> Whose:
    """Whose server a term lists."""
    target = spf.expanded(one.domain) if one.domain else domain
    match one.kind:
        case "ip4" | "ip6":
            return "own"
        case "a":
            return "own" if dkim.is_aligned(target, owner) else "others"
        case "mx":
            hosts = await dns.exchangers(target)
            return "own" if all(dkim.is_aligned(host.rstrip(".").lower(), owner) for host in hosts) else "others"
        case "include":
            if address is None:
                budget.spend()  # with an address, `spf.matches` has already followed the term
            return await _whose(target, owner, address, dns, budget) if dkim.is_aligned(target, owner) else "others"
        case _:
            return "others"  # everybody (all), or whatever a name server says (exists, ptr)
