"""Connections for URLs that a stranger may have had a hand in: to the public internet, and never to a machine or a network of ours.

A name is looked up once, every address that comes of it is checked, and what is connected to is the very address that was checked: a
second look-up could say something else. The list is our own, since Python's ``is_global`` calls some of these global, and other ones
in each version. Where a URL may lead is said by a check: `denied` for what a stranger wrote, `Reach` for what an operator did. Link-local
addresses and those of the clouds' metadata services are refused by both.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import httpcore
import httpx

from mailbridge.core.dataclass import dataclass
from mailbridge.net.outgoing import Connections, Transport, trusted

Resolve = Callable[[str], Awaitable[Sequence[str]]]
"""The addresses of a host, best first. Raises OSError where there is no answer."""

DENIED = {
    ip_network(network): what
    for network, what in {
        "0.0.0.0/8": "this host",
        "10.0.0.0/8": "a private network",
        "100.64.0.0/10": "a provider's own network",
        "127.0.0.0/8": "loopback",
        "169.254.0.0/16": "link-local",
        "172.16.0.0/12": "a private network",
        "192.0.0.0/24": "protocol assignments",
        "192.0.2.0/24": "documentation",
        "192.88.99.0/24": "6to4 relays",
        "192.168.0.0/16": "a private network",
        "198.18.0.0/15": "benchmarks",
        "198.51.100.0/24": "documentation",
        "203.0.113.0/24": "documentation",
        "224.0.0.0/4": "multicast",
        "255.255.255.255/32": "broadcast",
        "240.0.0.0/4": "reserved",
        "::/128": "this host",
        "::1/128": "loopback",
        "64:ff9b:1::/48": "a translator's own network",
        "100::/64": "a black hole",
        "fc00::/7": "a private network",
        "fe80::/10": "link-local",
        "fec0::/10": "a private network (site-local)",
        "ff00::/8": "multicast",
        "2001::/32": "a tunnel (Teredo)",
        "2001:db8::/32": "documentation",
        "2001::/23": "protocol assignments",
        "2002::/16": "a tunnel (6to4)",
        "3fff::/20": "documentation",
        "::/3": "reserved",
        "4000::/2": "reserved",
        "8000::/1": "reserved",
    }.items()
}
"""Networks of the IANA special-purpose registries (RFC 6890), and all of IPv6 but 2000::/3: the first that an address is in names it."""

WRAPPED = (ip_network("::ffff:0:0/96"), ip_network("64:ff9b::/96"))
"""IPv4 addresses inside IPv6 (RFC 4291, RFC 6052), judged by the address inside. With only IPv6, the second is the way to IPv4."""


OURS = frozenset({"a private network", "a private network (site-local)", "a provider's own network", "loopback"})
"""Networks in which an operator's own receiver may be, by the words of DENIED."""

METADATA = {
    ip_address(address): f"the metadata service of {whose}"
    for address, whose in {
        "169.254.169.254": "most clouds",
        "169.254.170.2": "AWS",
        "169.254.170.23": "AWS",
        "fd00:ec2::254": "AWS",
        "fd00:ec2::23": "AWS",
        "fd20:ce::254": "Google Cloud",
        "100.100.100.200": "Alibaba Cloud",
        "168.63.129.16": "Azure",
        "192.0.0.192": "Oracle Cloud",
        "fd00:c1::a9fe:a9fe": "Oracle Cloud",
        "fd00:42::42": "Scaleway",
    }.items()
}
"""Where clouds offer a machine its credentials, according to their documentation. Several of these addresses are in networks
that are otherwise private or public, so each is listed."""

METADATA_NAMES = ("metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal")
"""Names of these services, refused whatever a resolver says."""

Check = Callable[[str], str | None]
"""What an address is used for, if connecting to it is forbidden; None if it is allowed. Raises ValueError if it is not an
address."""


class PrivateAddress(httpcore.ConnectError):
    """A host that a stranger's URL must not reach; the message says where it leads."""


def denied(address: str) -> str | None:
    """What an address is for, where nobody may be sent there; None for one of the public internet, and ValueError for none at all."""
    one = _unwrapped(address)
    return METADATA.get(one) or next((what for network, what in DENIED.items() if one in network), None)


@dataclass(frozen=True, slots=True)
class Reach:
    """Where a URL of an operator's may lead; a `Check`.

    ``is_inside_allowed``: also to private networks and this machine. ``is_inside_only``: to nothing else, for what must not cross the
    internet in clear. To link-local addresses, metadata services, multicast and reserved ones it never leads.
    """

    is_inside_allowed: bool = False
    is_inside_only: bool = False

    def __call__(self, address: str) -> str | None:
        """See `Check`."""
        what = denied(address)
        if what in OURS:
            return None if self.is_inside_allowed else what
        if what is None and self.is_inside_only:
            return "the public internet, which needs https"
        return what


def _unwrapped(address: str) -> IPv4Address | IPv6Address:
    """The address, or the one of IPv4 that it wraps, without a zone."""
    one = ip_address(address.partition("%")[0])
    if any(one in network for network in WRAPPED):  # a network holds no address of the other version
        return IPv4Address(int(one) & 0xFFFF_FFFF)
    return one


async def system_addresses(host: str) -> Sequence[str]:
    """How the C library resolves a host, with its odd spellings of an address (``127.1``, ``0x7f000001``, ``2130706433``)."""
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(one[4][0]) for one in found))


class PublicOnlyBackend(httpcore.AsyncNetworkBackend):
    """httpcore's network (``network``) with a check before each connection."""

    def __init__(
        self,
        resolve: Resolve = system_addresses,
        network: httpcore.AsyncNetworkBackend | None = None,
        *,
        check: Check = denied,
    ) -> None:
        self._check = check
        self._resolve = resolve
        self._network = network or Connections()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first of the host's addresses that answers. ``timeout`` (seconds) is for all of it, the look-up included.

        Raises:
            PrivateAddress: one of the addresses is none for a stranger's URL. Nothing was sent anywhere.
            httpcore.ConnectError, httpcore.ConnectTimeout: no address, or none that answers.
        """
        loop = asyncio.get_running_loop()
        until = None if timeout is None else loop.time() + timeout
        try:
            async with asyncio.timeout_at(until):
                left = list(await self._addresses(host))
        except TimeoutError:
            raise httpcore.ConnectTimeout(f"{host} cannot be looked up in time") from None
        fault: httpcore.ConnectError | httpcore.ConnectTimeout = httpcore.ConnectError(f"{host} has no address")
        while left:
            share = None if until is None else max(until - loop.time(), 0.0) / len(left)
            try:
                return await self._network.connect_tcp(left.pop(0), port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as refusal:
                fault = refusal
        raise fault

    async def connect_unix_socket(
        self,
        path: str,  # noqa: ARG002
        timeout: float | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        """Always refused: a stranger must not reach a unix socket of this machine."""
        raise PrivateAddress("a socket of this machine is asked for")

    async def sleep(self, seconds: float) -> None:
        """As httpcore's own."""
        await self._network.sleep(seconds)

    async def _addresses(self, host: str) -> Sequence[str]:
        if host.rstrip(".").casefold() in METADATA_NAMES:
            raise PrivateAddress(f"{host} is the name of a metadata service, where no link may lead")
        try:
            found = await self._resolve(host)
        except (OSError, UnicodeError):
            raise httpcore.ConnectError(f"{host} cannot be looked up") from None
        for address in found:
            what = self._check(address)
            if what is not None:
                raise PrivateAddress(f"{host} leads to {address} ({what}), where no link may lead")
        return found


class GuardedTransport(Transport):
    """httpx's transport over the same way to a socket, with an operator's `Reach`. Keeps no connection longer than ``idle`` seconds."""

    def __init__(
        self,
        reach: Reach,
        *,
        scheme: str,
        resolve: Resolve = system_addresses,
        network: httpcore.AsyncNetworkBackend | None = None,
        idle: float = 4.0,
    ) -> None:
        super().__init__(
            PublicOnlyBackend(resolve, network, check=reach),
            context=trusted(scheme),
            limits=httpx.Limits(max_keepalive_connections=4, keepalive_expiry=idle),
        )


class PublicOnlyTransport(Transport):
    """httpx's transport over `PublicOnlyBackend`; TLS by the name."""

    def __init__(self, resolve: Resolve = system_addresses, network: httpcore.AsyncNetworkBackend | None = None) -> None:
        super().__init__(PublicOnlyBackend(resolve, network), context=httpx.create_ssl_context(trust_env=False))
