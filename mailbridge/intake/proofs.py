"""The proofs of one mail: which are worth a look, and each of them looked for once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from typing import Literal

from mailbridge.config.settings import Trust
from mailbridge.core.mail import Envelope
from mailbridge.intake.meaning import Understanding
from mailbridge.intake.policy import Policy
from mailbridge.trust import Finding, Proven, Unproven, arc, authres, direct, dkim, raw, spf
from mailbridge.trust.authors import oddity
from mailbridge.trust.dns import Resolver
from mailbridge.trust.platforms import platforms

Proof = Literal["authres", "dkim", "arc", "forwarder"]
INEXACT = (
    "but whoever brought the mail made text of it on the way, which can change its octets and break a genuine signature; let it bring "
    "the mail unchanged (docs/ingest.md)"
)


class Proofs:
    """The proofs of one mail, each looked for at most once (for each recipient, where it depends on that)."""

    def __init__(self, envelope: Envelope, understood: Understanding, policy: Policy, dns: Resolver) -> None:
        self._envelope = envelope
        self.sender = understood.sender
        self._oddity = "" if understood.sender else oddity(understood.defects)
        self._policy = policy
        self._dns = dns
        self._found: dict[tuple[str, str], Finding] = {}

    @property
    def received_at(self) -> datetime:
        """When the mail came."""
        return self._envelope.received_at

    @cached_property
    def _mail(self) -> raw.RawMail:
        return raw.read(self._envelope.content)

    def worth(self, wanted: frozenset[Trust]) -> Sequence[Proof]:
        """The proofs to look for, cheapest first. A mailbox's server speaks for signatures and seals alike."""
        checks: list[Proof] = []
        if self._envelope.is_fetched and self._policy.servers and wanted & {"dkim", "arc"}:
            checks.append("authres")
        if "dkim" in wanted:
            checks.append("dkim")
        if "forwarder" in wanted and "+caf_=" in self._envelope.mail_from:
            checks.append("forwarder")
        if "arc" in wanted:
            checks.append("arc")
        if "forwarder" in wanted and "forwarder" not in checks:
            checks.append("forwarder")
        return checks

    def of_author(self) -> Sequence[Literal["authres", "dkim", "arc"]]:
        """The proofs that are about who wrote the mail."""
        is_read = self._envelope.is_fetched and self._policy.servers
        return ("authres", "dkim", "arc") if is_read else ("dkim", "arc")

    async def find(self, check: Proof, rcpt: str) -> Finding:
        """Raises DnsUnavailable."""
        key = (check, self._matter(check, rcpt))
        if key not in self._found:
            found = await self._look(check, rcpt)
            if check != "forwarder":
                found = await self._of_author(found)
            if isinstance(found, Unproven) and found.is_broken and not self._envelope.is_exact:
                found = replace(found, why=f"{found.why}; {INEXACT}")
            self._found[key] = found
        return self._found[key]

    async def _of_author(self, found: Finding) -> Finding:
        """What is found of the author, with whom he wrote to, or with what is odd about him."""
        if isinstance(found, Proven):
            return await direct.with_recipients(found, self._mail, self._envelope, sender=self.sender, dns=self._dns)
        return replace(found, why=f"{found.why}: {self._oddity}") if self._oddity else found

    def _matter(self, check: Proof, rcpt: str) -> str:
        """What of the recipient a proof depends on."""
        if check == "forwarder" or (check == "arc" and "+caf_=" in self._envelope.mail_from):
            return rcpt
        return rcpt.rpartition("@")[2] if check == "arc" else ""

    async def _look(self, check: Proof, rcpt: str) -> Finding:
        envelope, policy = self._envelope, self._policy
        host = self.sender.rpartition("@")[2].lower()
        if check != "forwarder" and platforms().signs_for_anybody(host):
            return Unproven(by=check, why=f"{host} is a service that signs what any of its customers writes, under any name")
        if check == "forwarder":
            return await spf.check(
                envelope.mail_from,
                rcpt=rcpt,
                peer=envelope.peer,
                accounts=policy.accounts,
                dns=self._dns,
                content=envelope.content,
            )
        now: datetime = envelope.received_at
        if check == "authres":
            return await authres.find(self._mail, sender=self.sender, servers=policy.servers, now=now, dns=self._dns)
        if check == "dkim":
            return await dkim.check(self._mail, sender=self.sender, signers=policy.signers, dns=self._dns, now=now)
        return await arc.check(
            self._mail,
            sender=self.sender,
            rcpt=rcpt,
            forwarders=policy.forwarders,
            dns=self._dns,
            now=now,
            mail_from=envelope.mail_from,
            peer=envelope.peer,
        )
