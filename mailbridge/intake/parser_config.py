"""What understanding must know beside the mail: recipients, identifiers, rules; read once from the settings."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from mailbridge.config.rulepack import shipped_names
from mailbridge.core.dataclass import dataclass
from mailbridge.core.identification import IdentityPolicy
from mailbridge.core.recipients import Recipients

if TYPE_CHECKING:  # a worker needs no settings
    from mailbridge.config.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ParserConfig:
    """Everything that understanding needs to know beside the mail; plain values, so that it can cross a pipe.

    ``mailboxes`` are the addresses of watched mailboxes, each with
    the identifier that it is bound to, if it is. ``rules`` are (file name, TOML text) in order of precedence, and ``shipped`` the
    names of the files behind them that are read from the package. ``known`` are patterns, ``learned`` exact spellings.
    """

    addresses: tuple[tuple[str, str | None], ...] = ()
    domains: tuple[str, ...] = ()
    mailboxes: tuple[tuple[str, str | None], ...] = ()
    known: tuple[str, ...] = ("*",)
    learned: tuple[str, ...] = ()
    own_domains: tuple[str, ...] = ()
    rules: tuple[tuple[str, str], ...] = ()
    shipped: tuple[str, ...] = ()
    lifetime: timedelta = timedelta(minutes=10)
    with_body: bool = False
    link_hosts: tuple[str, ...] = ()

    def recipients(self) -> Recipients:
        """The table of recipients that are ours."""
        return Recipients(addresses=self.addresses, domains=self.domains)

    def policy(self) -> IdentityPolicy:
        """Which identifiers may be pushed; our own domains never are one."""
        return IdentityPolicy(
            known=self.known,
            learned=self.learned,
            own_domains=(*self.own_domains, *self.domains),
            own_addresses=tuple(rcpt for rcpt, _ in self.addresses),
        )

    def encode(self) -> bytes:
        """As octets for the worker process."""
        return msgspec.json.encode(self)

    @classmethod
    def decode(cls, octets: bytes) -> ParserConfig:
        """The other end of `encode`."""
        return msgspec.json.decode(octets, type=cls)


def parser_config_of(settings: Settings, *, rules: tuple[tuple[str, str], ...], learned: tuple[str, ...] = ()) -> ParserConfig:
    """What the workers need to know of the settings. ``rules`` are the operator's own (`config.rulepack.rule_texts`)."""
    return ParserConfig(
        addresses=tuple((entry.rcpt, entry.identifier) for entry in settings.address),
        domains=settings.domains.accept,
        mailboxes=tuple((account.mailbox, account.identifier) for account in settings.imap),
        known=settings.identity.known,
        learned=learned,
        own_domains=settings.identity.own_domains,
        rules=rules,
        shipped=shipped_names(settings.rules),
        lifetime=settings.rules.lifetime,
        with_body=settings.rules.fallback == "push-body",
        link_hosts=settings.trust.link_hosts,
    )
