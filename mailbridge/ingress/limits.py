"""How much strangers may take of us at once: connections in all and by address, and memory for mails on their way in."""

from __future__ import annotations

from collections import Counter


class Limits:
    """Counts what is in use. One for all listeners of a daemon; used from the event loop only."""

    def __init__(self, *, connections: int, per_ip: int, memory: int) -> None:
        self._connections = connections
        self._per_ip = per_ip
        self._memory = memory
        self._by_ip: Counter[str] = Counter()
        self.open = 0
        self.reserved = 0

    def enter(self) -> bool:
        """Count one more connection; False (and nothing counted) where that would be too many."""
        if self.open >= self._connections:
            return False
        self.open += 1
        return True

    def leave(self) -> None:
        """The opposite of a successful `enter`."""
        self.open -= 1

    def enter_from(self, ip: str) -> bool:
        """Count one more connection of this address; an empty one (a unix socket) is never too many."""
        if ip and self._by_ip[ip] >= self._per_ip:
            return False
        self._by_ip[ip] += 1
        return True

    def leave_from(self, ip: str) -> None:
        """The opposite of a successful `enter_from`."""
        self._by_ip[ip] -= 1
        if self._by_ip[ip] <= 0:
            del self._by_ip[ip]

    def reserve(self, octets: int) -> bool:
        """Take so much of the memory for mails in transit; False (and nothing taken) where it is used up."""
        if self.reserved + octets > self._memory:
            return False
        self.reserved += octets
        return True

    def free(self, octets: int) -> None:
        """Give memory back."""
        self.reserved -= octets
