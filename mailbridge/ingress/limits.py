"""How many connections strangers may have open at a time, in total and by address."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv6Address, ip_address, ip_network


class Limits:
    """Counts what is in use. One object for all listeners of a daemon. Use it only from the event loop."""

    def __init__(self, *, connections: int, per_ip: int) -> None:
        self._connections = connections
        self._per_ip = per_ip
        self._by_ip: Counter[str] = Counter()
        self.open = 0

    @property
    def origins(self) -> dict[str, int]:
        """The counted connections, by origin."""
        return dict(self._by_ip)

    def enter(self) -> bool:
        """Count one more connection. False (and nothing counted) if that would be too many."""
        if self.open >= self._connections:
            return False
        self.open += 1
        return True

    def leave(self) -> None:
        """The opposite of a successful `enter`."""
        self.open -= 1

    def enter_from(self, origin: str) -> bool:
        """Count one more connection of an `origin_of`. For an empty origin (a unix socket) there is no limit."""
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
    """What connections are counted by: an IPv4 address, an IPv6 /64 (one customer has a whole one), or "" without an address.

    An IPv4-mapped IPv6 address (``::ffff:192.0.2.1``, as a dual-stack socket gives it) counts as its IPv4 address.
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
