"""A resolver whose answers are a suite's own zone: no network, no time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mailbridge.trust.dns import DnsUnavailable

MOST_ALIASES = 8


class Zone:
    """Answers by name and type. A name with ``TIMEOUT`` among its records answers what stands before it, and else never."""

    def __init__(self, records: Mapping[str, Iterable[Any]]) -> None:
        self._records = {name.lower().rstrip("."): list(rows) for name, rows in records.items()}

    async def txt(self, name: str) -> tuple[str, ...]:
        """TXT records; where a name has none, those that older suites call SPF."""
        found = self._of(name, "TXT")
        if not found and not any(isinstance(row, dict) and "TXT" in row for row in self._rows(name)):
            found = self._of(name, "SPF")
        return tuple("".join(one) if isinstance(one, list) else str(one) for one in found)

    async def addresses(self, name: str) -> tuple[str, ...]:
        """IPv4 and IPv6 addresses."""
        return tuple(str(one) for kind in ("A", "AAAA") for one in self._of(name, kind))

    async def exchangers(self, name: str) -> tuple[str, ...]:
        """Hosts of MX records, best first."""
        return tuple(str(host) for _, host in sorted(self._of(name, "MX")))

    def _rows(self, name: str) -> list[Any]:
        key = name.lower().rstrip(".")
        for _ in range(MOST_ALIASES):
            rows = self._records.get(key, [])
            alias = next((row["CNAME"] for row in rows if isinstance(row, dict) and "CNAME" in row), None)
            if alias is None:
                return rows
            key = str(alias).lower().rstrip(".")
        return []

    def _of(self, name: str, kind: str) -> list[Any]:
        found: list[Any] = []
        for row in self._rows(name):
            if row == "TIMEOUT":
                if found:
                    break
                raise DnsUnavailable(name)
            if kind in row and row[kind] != "NONE":
                found.append(row[kind])
        return found
