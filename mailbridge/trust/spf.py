"""The forwarder's own envelope: Gmail's ``account+caf_=recipient@…``, of listed accounts, from Google's own servers (RFC 7208).

Only this envelope says who forwarded, and only a pass counts. Other results mean nothing, since honest forwards fail SPF every
day. It matters whose record is asked. The account's own domain may list a newsletter service, a shared host or a whole network,
and each of their customers could write this envelope. Only the mail service itself has reason to write it, so its record is asked
(`SERVICES`).

The part of RFC 7208 that services publish is implemented. Macros and ``ptr`` are parsed and never evaluated. If one of them would
decide, the result is a permerror, which is not a pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from mailbridge.core.addresses import canonical, parse_forwarding_envelope, split
from mailbridge.core.dataclass import dataclass
from mailbridge.trust import Finding, Proven, Unproven
from mailbridge.trust.dns import Resolver
from mailbridge.trust.policies import Malformed, Mechanism, is_policy, parse
from mailbridge.trust.stamps import is_for_another

SERVICES: Mapping[str, tuple[str, ...]] = {"Google": ("_spf.google.com", "gmail.com")}
"""Mail services that forward, and the domains whose sender policies name their servers. Google tells Workspace domains to include
``_spf.google.com``, so it applies to them whether they do or not. ``gmail.com`` is Google's own domain for everybody else."""

MAX_LOOKUPS = 10
"""The largest number of terms that may ask DNS, in one evaluation (RFC 7208 4.6.4)."""

MAX_VOID = 2
"""The largest number of DNS questions without an answer, in one evaluation (4.6.4)."""

MAX_EXCHANGERS = 10
Address = IPv4Address | IPv6Address


@dataclass(slots=True)
class Budget:
    """What one evaluation may still ask of DNS."""

    lookups: int = MAX_LOOKUPS
    void: int = MAX_VOID

    def spend(self) -> None:
        """Count one term that asks DNS."""
        self.lookups -= 1
        if self.lookups < 0:
            raise Malformed

    def answered(self, found: tuple[str, ...]) -> tuple[str, ...]:
        """Count the answer if it is empty, and return it."""
        if not found:
            self.void -= 1
            if self.void < 0:
                raise Malformed
        return found


async def check(mail_from: str, *, rcpt: str, peer: str, accounts: Iterable[str], dns: Resolver, content: bytes = b"") -> Finding:
    """Whether a listed account's own mail service has forwarded the mail to us. The proof counts for that account alone.

    ``content`` is the mail. Its topmost lines are the service's own and may contradict the envelope.

    Raises:
        DnsUnavailable: the service's sender policy could not be looked up.
    """
    if parse_forwarding_envelope(mail_from) is None:
        return Unproven(by="forwarder", why="its envelope is not that of a Gmail forward")
    account = forwarding_account(mail_from, rcpt=rcpt)
    if not account:
        return Unproven(by="forwarder", why="its envelope names another recipient")
    if not is_listed(account, accounts):
        return Unproven(by="forwarder", why="the account that forwards is not listed")
    address = address_of(peer)
    if address is None:
        return Unproven(by="forwarder", why="the address of the sending server is not known")
    verdict = await is_of("Google", address, dns)
    if verdict != "pass":
        return Unproven(
            by="forwarder", why=f"the sending server is not Google's, which alone writes this envelope (SPF {verdict})"
        )
    if is_for_another(content, account):
        return Unproven(by="forwarder", why="Google took it in for another mailbox than the one that its envelope names")
    return Proven(
        by="forwarder",
        detail=f"forwarded by a listed account at {split(account)[1].lower()}",
        named=frozenset({canonical(account)}),
        sure=frozenset({canonical(account)}),
    )


def forwarding_account(mail_from: str, *, rcpt: str) -> str:
    """The account in Gmail's envelope for a forward to this recipient; ``""`` if it is no such envelope, or one for another
    recipient."""
    account, destination = parse_forwarding_envelope(mail_from) or ("", "")
    return account if destination.casefold() == rcpt.replace("@", "=").casefold() else ""


def is_listed(account: str, accounts: Iterable[str]) -> bool:
    """Whether an account is listed: exactly, as the same mailbox, or by a pattern with ``*``."""
    folded = account.casefold()
    return any(fnmatchcase(folded, one.casefold()) if "*" in one else canonical(one) == canonical(account) for one in accounts)


def address_of(peer: str) -> Address | None:
    """The address of the server that connects to us. An IPv4-mapped IPv6 address (``::ffff:192.0.2.1``) gives its IPv4
    address."""
    try:
        address = ip_address(peer)
    except ValueError:
        return None
    return _plain(address)


async def is_of(service: str, address: Address, dns: Resolver) -> str:
    """SPF's result for a server against one of `SERVICES`: ``pass``, or another result.

    Raises:
        DnsUnavailable: a policy could not be looked up.
    """
    verdict = "none"
    for domain in SERVICES[service]:
        verdict = await evaluate(domain, address, dns)
        if verdict == "pass":
            break
    return verdict


async def evaluate(domain: str, address: Address, dns: Resolver) -> str:
    """SPF's result: ``pass``, ``fail``, ``softfail``, ``neutral``, ``none`` or ``permerror``.

    Raises:
        DnsUnavailable: RFC 7208's temperror.
    """
    name = domain.rstrip(".")
    if "." not in name:
        return "none"  # 4.3: an invalid name has no policy
    try:
        return await _evaluate(name, _plain(address), dns, Budget())
    except Malformed:
        return "permerror"


async def _evaluate(domain: str, address: Address, dns: Resolver, budget: Budget) -> str:
    records = [one for one in await dns.txt(domain) if is_policy(one)]
    if len(records) > 1:
        raise Malformed
    if not records:
        return "none"
    (record,) = records
    policy = parse(record)
    for mechanism in policy.mechanisms:
        if await matches(mechanism, domain, address, dns, budget):
            return mechanism.result
    if policy.redirect is None:
        return "neutral"
    budget.spend()
    result = await _evaluate(expanded(policy.redirect), address, dns, budget)
    if result == "none":
        raise Malformed
    return result


async def matches(mechanism: Mechanism, domain: str, address: Address, dns: Resolver, budget: Budget) -> bool:
    """Whether a mechanism of ``domain``'s policy matches this server.

    Raises:
        DnsUnavailable: a record could not be looked up.
        Malformed: the policy is not valid.
    """
    match mechanism.kind:
        case "all":
            return True
        case "ip4" | "ip6":
            return mechanism.network is not None and address in mechanism.network
    budget.spend()
    target = expanded(mechanism.domain) if mechanism.domain else domain
    match mechanism.kind:
        case "include":
            result = await _evaluate(target, address, dns, budget)
            if result == "none":
                raise Malformed
            return result == "pass"
        case "exists":
            return bool(budget.answered(await _addresses(target, dns, is_six=False)))
        case "a":
            return await _is_host(target, mechanism, address, dns, budget)
        case "mx":
            hosts = budget.answered(await dns.exchangers(target))
            if len(hosts) > MAX_EXCHANGERS:
                raise Malformed
            for host in hosts:
                if await _is_host(host, mechanism, address, dns, budget):
                    return True
            return False
        case _:
            raise Malformed  # ptr: nobody should publish it (5.5); names of a stranger's address are not worth a lookup


async def _is_host(host: str, mechanism: Mechanism, address: Address, dns: Resolver, budget: Budget) -> bool:
    is_six = isinstance(address, IPv6Address)
    length = mechanism.six if is_six else mechanism.four
    found = budget.answered(await _addresses(host, dns, is_six=is_six))
    return any(address in ip_network(f"{one}/{length}", strict=False) for one in found)


async def _addresses(host: str, dns: Resolver, *, is_six: bool) -> tuple[str, ...]:
    """A host's addresses of one IP version."""
    return tuple(one for one in await dns.addresses(host) if (":" in one) == is_six)


def expanded(domain: str) -> str:
    """A domain-spec as a name, with macros unexpanded. Macros are for senders' own bookkeeping, and no term with one may
    decide."""
    if "%" in domain:
        raise Malformed
    return domain


def _plain(address: Address) -> Address:
    return getattr(address, "ipv4_mapped", None) or address
