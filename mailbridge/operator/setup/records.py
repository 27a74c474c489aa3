"""DNS records to publish, in the two forms that people need: a line of a zone file, and the fields of a provider's panel. Pure."""

from __future__ import annotations

import ipaddress

from mailbridge.core.dataclass import dataclass

UNKNOWN = "ADDRESS-OF-THIS-MACHINE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record. ``name`` and a host in ``value`` are whole names without the final dot; ``priority`` belongs to MX alone."""

    name: str
    kind: str
    value: str
    priority: int | None = None

    def zone(self) -> str:
        """As a zone file has it (RFC 1035 5.1): whole names end in a dot."""
        if self.priority is None:
            return f"{self.name}. 3600 IN {self.kind} {self.value}"
        return f"{self.name}. 3600 IN {self.kind} {self.priority} {self.value}."

    def panel(self, apex: str) -> str:
        """As a panel asks for it: the host below ``apex`` (``@`` for the domain itself), the type, the value."""
        host = "@" if self.name == apex else self.name.removesuffix(f".{apex}")
        more = "" if self.priority is None else f"   priority {self.priority}"
        return f"host {host}   type {self.kind}   value {self.value}{'.' if self.priority is not None else ''}{more}"


def wanted(domain: str, addresses: tuple[str, ...]) -> tuple[Record, ...]:
    """The address of this machine at the domain, and the MX that leads there. Nothing else is needed: no mail is sent."""
    named = addresses or (UNKNOWN,)
    hosts = tuple(Record(name=domain, kind=_kind(one), value=one) for one in named)
    return (*hosts, Record(name=domain, kind="MX", value=domain, priority=10))


def _kind(address: str) -> str:
    if address == UNKNOWN:
        return "A"
    return "A" if ipaddress.ip_address(address).version == 4 else "AAAA"
