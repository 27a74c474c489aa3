"""How many connections strangers may hold at once, in all and by address."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv6Address, ip_address, ip_network


class Limits:
    """Counts what is in use. One for all listeners of a daemon; used from the event loop only."""

    def __init__(self, *, connections: int, per_ip: int) -> None:
        self._connections = connections
        self._per_ip = per_ip
        self._by_ip: Counter[str] = Counter()
        self.open = 0

    @property
    def origins(self) -> dict[str, int]:
        """Connections that are counted, by where they come from."""
        return dict(self._by_ip)

    def enter(self) -> bool:
        """Count one more connection; False (and nothing counted) where that would be too many."""
        if self.open >= self._connections:
            return False
        self.open += 1
        return True

    def leave(self) -> None:
        """The opposite of a successful `enter`."""
        self.open -= 1

    def enter_from(self, origin: str) -> bool:
        """Count one more connection of an `origin_of`; an empty one (a unix socket) is never too many."""
        if origin and self._by_ip[origin] >= self._per_ip:
            return False
        self._by_ip[origin] += 1
        return True

    def leave_from(self, origin: str) -> None:
        """The opposite of a successful `enter_from`."""
        self._by_ip[origin] -= 1
        if self._by_ip[origin] <= 0:
            del self._by_ip[origin]


def origin_of(peer: str) -> str:
    """What connections are counted by: an IPv4 address, an IPv6 /64 (one customer has that many), or "" for no address at all.

    An IPv4 address in IPv6 dress (``::ffff:192.0.2.1``, as a dual-stack socket gives it) counts as itself.
    """
    try:
        address = ip_address(peer)
    except ValueError:
        return ""
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((int(address), 64), strict=False))
