"""Whether a sender is known for an identifier, and by which source: a table of all sources that make a sender known.

Only a proven From may be asked about here, since anybody can write an unproven one. The registrable domain is compared. The same
name under another suffix (amazon.co.uk for amazon.com) is a different owner. If many owners share a registrable domain, the part
that each owns alone is compared: the subdomain of a platform's customer (acme.zendesk.com), and the whole address at a mailbox
provider.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from fnmatch import fnmatchcase
from functools import lru_cache

from mailbridge.core.dataclass import dataclass
from mailbridge.core.url import ascii_host
from mailbridge.trust.platforms import platforms
from mailbridge.trust.suffixes import is_registered, registrable

HOST = re.compile(r"(?i)^\s*(?:[a-z][a-z0-9+.-]*://|//)?(?:[^/\\?#\s]*@)?(\[[^\]]*\]|[^/\\?#:\s]+)")
ANYBODY = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A sender that a person has allowed or forbidden by command: a domain or an address, for some identifiers (patterns) or all."""

    sender: str
    identifiers: tuple[str, ...] = (ANYBODY,)
    is_allowed: bool = True

    def concerns(self, sender: str, identifier: str) -> bool:
        """Whether this entry applies to the sender and the identifier. A domain includes everything below its registrable domain.
        A domain of a platform's customer includes this customer alone."""
        is_its = sender.casefold() == self.sender.casefold() if "@" in self.sender else _is_below(_host(sender), self.sender)
        return is_its and any(fnmatchcase(identifier.casefold(), one.casefold()) for one in self.identifiers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One proven sender and one identifier, with what is known of this mail.

    ``accept_from`` and ``sites`` belong to the address that received the mail. ``ruled`` are the senders of the operator's rule
    that found its code. ``learned`` are the sites of Skyvern's credentials, ``polling`` the sites of the runs that poll now.
    """

    sender: str
    identifier: str
    accept_from: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    ruled: tuple[str, ...] = ()
    learned: frozenset[str] = frozenset()
    polling: frozenset[str] = frozenset()

    @property
    def is_any_said(self) -> bool:
        """Whether this mail or its identifier has any source by which a sender could be known."""
        return bool(self.accept_from or self.sites or self.ruled or self.learned or self.polling)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquaintance:
    """What the operator has configured about senders. ``mailing`` maps a site to the other domains that send mail for it."""

    senders: tuple[str, ...] = ()
    named: tuple[Named, ...] = ()
    mailing: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def by(self, question: Question) -> str:
        """The source by which a sender is known for an identifier; "" if the sender is not known."""
        if not (self.senders or self.named) and not question.is_any_said:
            return ""
        if self.named and self.forbids(question.sender, question.identifier):
            return ""
        return next((source for source, is_known in SOURCES if is_known(self, question)), "")

    def forbids(self, sender: str, identifier: str) -> bool:
        """Whether the most exact of a person's entries for the sender forbid it. Among equally exact entries, one that forbids
        wins."""
        about = [one for one in self.named if one.concerns(sender, identifier)]
        exact = [one for one in about if "@" in one.sender] or about
        own = [one for one in exact if ANYBODY not in one.identifiers] or exact
        return any(not one.is_allowed for one in own)

    def lists_exactly(self, question: Question) -> bool:
        """Whether the sender's exact address is listed."""
        folded = question.sender.casefold()
        listed = {one.casefold() for one in (*self.senders, *question.accept_from, *question.ruled)}
        allowed = {one.sender.casefold() for one in self.named if one.is_allowed and one.concerns(folded, question.identifier)}
        return folded in listed | allowed

    def mails_for(self, sites: frozenset[str], sender: str) -> bool:
        """Whether the sender belongs to one of these sites, or to a domain that sends mail for one."""
        return bool(sites) and domain_of(sender) in self.mailing_for(sites)

    def mailing_for(self, sites: Iterable[str]) -> tuple[str, ...]:
        """The sites, and the domains that send mail for them. A platform sends mail for the sites of its customers."""
        return tuple(dict.fromkeys(domain for site in sites for domain in self._mailing(site)))

    def _mailing(self, site: str) -> Iterator[str]:
        for own in (site, registrable(site)):
            if own:
                yield own
                yield from sorted(self.mailing.get(own, ()))


def _is_allowed(one: Acquaintance, question: Question) -> bool:
    return any(named.is_allowed and named.concerns(question.sender, question.identifier) for named in one.named)


SOURCES: tuple[tuple[str, Callable[[Acquaintance, Question], bool]], ...] = (
    ("[trust] senders", lambda one, question: is_listed(question.sender, one.senders)),
    ("accept_from of its address", lambda _, question: is_listed(question.sender, question.accept_from)),
    ("a rule", lambda _, question: is_listed(question.sender, question.ruled)),
    ("`mailbridge sender allow`", _is_allowed),
    ("[[address]] site", lambda one, question: one.mails_for(_sites(question.sites), question.sender)),
    ("the site of a Skyvern credential", lambda one, question: one.mails_for(question.learned, question.sender)),
    ("the site of the run that polls", lambda one, question: one.mails_for(question.polling, question.sender)),
)
"""All sources that make a sender known, in the order in which they are reported."""


def is_listed(sender: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of the patterns includes this sender and names somebody's domain. A pattern for everybody does not count."""
    folded = sender.casefold()
    return any(names_somebody(one) and fnmatchcase(folded, one.casefold()) for one in patterns)


@lru_cache(maxsize=1_024)
def names_somebody(pattern: str) -> bool:
    """Whether everything that a pattern leaves open is below one registrable domain."""
    domain = pattern.rpartition("@")[2].removeprefix("*.")
    return "@" in pattern and "*" not in domain and registrable(domain) is not None


def site_of(text: str) -> str:
    """The site of a URL, or of a host without a scheme, as people enter it: its registrable domain, or the subdomain of a
    platform's customer; "" if it has none."""
    found = HOST.match(text[:2_000]) if not re.search(r"\s", text.strip()) else None
    return _owner(found[1]) if found is not None and is_registered(found[1]) else ""


@lru_cache(maxsize=1_024)
def domain_of(sender: str) -> str:
    """The domain for which an address speaks: the registrable domain, or the subdomain of a platform's customer. At a mailbox
    provider an address speaks only for itself. "" if it has none."""
    host = _host(sender)
    return sender.casefold() if host.casefold() in platforms().mailboxes else _owner(host)


def _host(sender: str) -> str:
    return sender.rpartition("@")[2]


@lru_cache(maxsize=1_024)
def _owner(host: str) -> str:
    name = "" if "[" in host else ascii_host(host).rstrip(".")
    return platforms().tenant(name) or registrable(name) or ""


@lru_cache(maxsize=1_024)
def _is_below(host: str, named: str) -> bool:
    """Whether a host belongs to the named domain. A named customer of a platform includes no other customer."""
    own, wanted = _owner(host), _owner(named)
    return own != "" and (own == wanted or registrable(own) == wanted)


def _sites(hosts: tuple[str, ...]) -> frozenset[str]:
    return frozenset(filter(None, map(site_of, hosts)))
