"""The forwarder's own envelope: SPF (RFC 7208) for Gmail's ``account+caf_=recipient@…``, of accounts that are listed.

Only this envelope says who forwarded, and only a pass counts; any other result means nothing, since honest forwards fail SPF every
day. So what is needed of RFC 7208 is small: the mechanisms that large providers publish, without macros. The library for all of
it, pyspf, has had no release since 2020 and brings its own resolver.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from mailbridge.core.addresses import canonical, parse_forwarding_envelope, split
from mailbridge.trust import Finding, Proven, Unproven
from mailbridge.trust.dns import Resolver

MAX_LOOKUPS = 10
"""Mechanisms that ask DNS, in one evaluation (RFC 7208 4.6.4)."""

MAX_ADDRESSES = 10
Address = IPv4Address | IPv6Address


class _Broken(Exception):  # noqa: N818  (a finding about the record)
    """The record cannot be evaluated: RFC 7208's permerror, which is no pass."""


@dataclass(slots=True)
class _Budget:
    lookups: int = MAX_LOOKUPS

    def spend(self) -> None:
        """Count one mechanism that asks DNS."""
        self.lookups -= 1
        if self.lookups < 0:
            raise _Broken


async def check(mail_from: str, *, rcpt: str, peer: str, accounts: Iterable[str], dns: Resolver) -> Finding:
    """Whether a listed account's own mail service has forwarded the mail to us.

    Raises:
        DnsUnavailable: the sender policy could not be looked up.
    """
    found = parse_forwarding_envelope(mail_from)
    if found is None:
        return Unproven(by="forwarder", why="its envelope is not that of a Gmail forward")
    account, destination = found
    domain = split(account)[1].lower()
    if destination.casefold() != rcpt.replace("@", "=").casefold():
        return Unproven(by="forwarder", why="its envelope names another recipient")
    if not is_listed(account, accounts):
        return Unproven(by="forwarder", why="the account that forwards is not listed")
    try:
        address = ip_address(peer)
    except ValueError:
        return Unproven(by="forwarder", why="the address of the sending server is not known")
    verdict = await evaluate(domain, address, dns)
    if verdict != "pass":
        return Unproven(by="forwarder", why=f"{domain} does not send from this server (SPF {verdict})")
    return Proven(
        by="forwarder",
        detail=f"forwarded by a listed account at {domain}",
        named=frozenset({canonical(account)}),
        is_forwarders=True,
    )


def is_listed(account: str, accounts: Iterable[str]) -> bool:
    """Whether an account is among those listed, exactly, as the same mailbox, or by a pattern with ``*``."""
    folded = account.casefold()
    return any(fnmatchcase(folded, one.casefold()) if "*" in one else canonical(one) == canonical(account) for one in accounts)


async def evaluate(domain: str, address: Address, dns: Resolver) -> str:
    """SPF's result: ``pass``, ``fail``, ``softfail``, ``neutral``, ``none`` or ``permerror``.

    Raises:
        DnsUnavailable: RFC 7208's temperror.
    """
    try:
        return await _evaluate(domain, address, dns, _Budget())
    except _Broken:
        return "permerror"


async def _evaluate(domain: str, address: Address, dns: Resolver, budget: _Budget) -> str:
    records = [one for one in await dns.txt(domain) if one.lower() == "v=spf1" or one.lower().startswith("v=spf1 ")]
    if len(records) != 1:
        if records:
            raise _Broken
        return "none"
    terms = records[0].split()[1:]
    for term in terms:
        if re.match(r"(?i)(?:redirect|exp|[a-z][a-z0-9_.-]*)=", term):
            continue
        result = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}.get(term[0])
        mechanism = term[1:] if result else term
        if await _matches(mechanism, domain, address, dns, budget):
            return result or "pass"
    target = next((term.partition("=")[2] for term in terms if term.lower().startswith("redirect=")), None)
    if target is None:
        return "neutral"
    budget.spend()
    result = await _evaluate(_plain(target), address, dns, budget)
    if result == "none":
        raise _Broken
    return result


async def _matches(mechanism: str, domain: str, address: Address, dns: Resolver, budget: _Budget) -> bool:
    name, colon, value = mechanism.partition(":")
    name, slash, _ = name.lower().partition("/")
    match name:
        case "all":
            return True
        case "ip4" | "ip6":
            return _is_in(value, address)
        case "include":
            budget.spend()
            result = await _evaluate(_plain(value), address, dns, budget)
            if result == "none":
                raise _Broken
            return result == "pass"
        case "a" | "mx":
            budget.spend()
            target, four, six = _target(mechanism, has_value=bool(colon), has_length=bool(slash) or "/" in value, domain=domain)
            hosts = (target,) if name == "a" else (await dns.exchangers(target))[:MAX_ADDRESSES]
            for host in hosts:
                for one in (await dns.addresses(host))[: MAX_ADDRESSES * 2]:
                    length = four if ":" not in one else six
                    if _is_in(f"{one}/{length}", address):
                        return True
            return False
        case "exists":
            budget.spend()
            return any(":" not in one for one in await dns.addresses(_plain(value)))
        case "ptr":
            budget.spend()
            return False  # RFC 7208 5.5: should not be published, and not be relied on
        case _:
            raise _Broken


def _target(mechanism: str, *, has_value: bool, has_length: bool, domain: str) -> tuple[str, int, int]:
    """Domain and prefix lengths of ``a`` and ``mx``: ``a:host/24//64``."""
    rest = mechanism.partition(":")[2] if has_value else mechanism
    host, _, lengths = rest.partition("/") if has_length else (rest, "", "")
    four, _, six = lengths.partition("//") if not lengths.startswith("/") else ("", "", lengths[1:])
    try:
        sizes = int(four or 32), int(six or 128)
    except ValueError:
        raise _Broken from None
    return (_plain(host) if has_value else domain), *sizes


def _plain(name: str) -> str:
    if "%" in name or not name or len(name) > 253:
        raise _Broken  # macros are for senders' own bookkeeping; a record with them is no pass here
    return name.lower().rstrip(".")


def _is_in(network: str, address: Address) -> bool:
    try:
        return address in ip_network(network, strict=False)
    except ValueError:
        raise _Broken from None
