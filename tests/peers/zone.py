"""A resolver that answers from memory, for tests that judge many mails: no socket, and the question is answered at once."""

from __future__ import annotations

from collections import Counter

from mailbridge.trust.dns import DnsUnavailable


class Zone:
    """Implements `mailbridge.trust.dns.Resolver`. ``silent`` are names that nobody answers for; ``asked`` counts questions."""

    def __init__(self) -> None:
        self.texts: dict[str, tuple[str, ...]] = {}
        self.hosts: dict[str, tuple[str, ...]] = {}
        self.mail: dict[str, tuple[str, ...]] = {}
        self.silent: set[str] = set()
        self.asked: Counter[str] = Counter()

    async def txt(self, name: str) -> tuple[str, ...]:
        """See `Resolver.txt`."""
        return self._answer(name, self.texts)

    async def addresses(self, name: str) -> tuple[str, ...]:
        """See `Resolver.addresses`."""
        return self._answer(name, self.hosts)

    async def exchangers(self, name: str) -> tuple[str, ...]:
        """See `Resolver.exchangers`."""
        return self._answer(name, self.mail)

    def _answer(self, name: str, kind: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
        folded = name.lower().rstrip(".")
        self.asked[folded] += 1
        if folded in self.silent:
            raise DnsUnavailable(f"no answer for {folded}")
        return kind.get(folded, ())
