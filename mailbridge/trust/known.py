"""Whether a sender is known for an identifier, and by what: a table of everything that makes one known.

Only a From that is proven is ever asked about here: by the address alone it is anybody's word. What is compared is the registrable
domain; the same name under another suffix (amazon.co.uk for amazon.com) is somebody else's. Where many share one, it is what is each
one's own: the subdomain of a platform's customer (acme.zendesk.com), and the whole address at a provider of mailboxes.
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
        """Whether it is about this sender and this identifier. A domain stands for all that is of its registrable domain, and that of a
        platform's customer for this customer alone."""
        is_its = sender.casefold() == self.sender.casefold() if "@" in self.sender else _is_below(_host(sender), self.sender)
        return is_its and any(fnmatchcase(identifier.casefold(), one.casefold()) for one in self.identifiers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One proven sender and one identifier, with what belongs to this mail alone.

    ``accept_from`` and ``sites`` are those of the address that it came to, ``ruled`` the senders of the operator's rule that found
    its code. ``learned`` are the sites of Skyvern's credentials, ``polling`` those of the runs that poll now.
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
        """Whether anything is known of this mail or its identifier by which a sender could be known."""
        return bool(self.accept_from or self.sites or self.ruled or self.learned or self.polling)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquaintance:
    """What the operator has said of senders. ``mailing`` are the domains that mail for a site beside its own, by that."""

    senders: tuple[str, ...] = ()
    named: tuple[Named, ...] = ()
    mailing: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def by(self, question: Question) -> str:
        """By what a sender is known for an identifier; "" where he is not."""
        if not (self.senders or self.named) and not question.is_any_said:
            return ""
        if self.named and self.forbids(question.sender, question.identifier):
            return ""
        return next((source for source, is_known in SOURCES if is_known(self, question)), "")

    def forbids(self, sender: str, identifier: str) -> bool:
        """Whether a person has forbidden a sender, more exactly than he has allowed it."""
        about = [one for one in self.named if one.concerns(sender, identifier)]
        exact = [one for one in about if "@" in one.sender] or about
        own = [one for one in exact if ANYBODY not in one.identifiers] or exact
        return any(not one.is_allowed for one in own)

    def lists_exactly(self, question: Question) -> bool:
        """Whether the sender's very address is listed."""
        folded = question.sender.casefold()
        listed = {one.casefold() for one in (*self.senders, *question.accept_from, *question.ruled)}
        allowed = {one.sender.casefold() for one in self.named if one.is_allowed and one.concerns(folded, question.identifier)}
        return folded in listed | allowed

    def mails_for(self, sites: frozenset[str], sender: str) -> bool:
        """Whether a sender is of one of these sites, or of a domain that mails for one."""
        return bool(sites) and domain_of(sender) in self.mailing_for(sites)

    def mailing_for(self, sites: Iterable[str]) -> tuple[str, ...]:
        """Sites, and the domains that mail for them. A platform mails for the sites of its customers."""
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
"""Everything that makes a sender known, in the order in which it is said."""


def is_listed(sender: str, patterns: tuple[str, ...]) -> bool:
    """Whether one of the patterns is for this sender, and for somebody's domain rather than for everybody."""
    folded = sender.casefold()
    return any(names_somebody(one) and fnmatchcase(folded, one.casefold()) for one in patterns)


@lru_cache(maxsize=1_024)
def names_somebody(pattern: str) -> bool:
    """Whether a pattern leaves open no more than what is below a registrable domain."""
    domain = pattern.rpartition("@")[2].removeprefix("*.")
    return "@" in pattern and "*" not in domain and registrable(domain) is not None


def site_of(text: str) -> str:
    """Whose site it is that people enter: a URL, or a host without a scheme. Its registrable domain, or the subdomain of a platform's
    customer; "" where it has none."""
    found = HOST.match(text[:2_000]) if not re.search(r"\s", text.strip()) else None
    return _owner(found[1]) if found is not None and is_registered(found[1]) else ""


@lru_cache(maxsize=1_024)
def domain_of(sender: str) -> str:
    """For whom an address speaks: the registrable domain, the subdomain of a platform's customer, or at a provider of mailboxes nobody but
    this very address; "" where it has none."""
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
    """Whether a host is of a domain that was named, and of no other customer's than the one that was."""
    own, wanted = _owner(host), _owner(named)
    return own != "" and (own == wanted or registrable(own) == wanted)


def _sites(hosts: tuple[str, ...]) -> frozenset[str]:
    return frozenset(filter(None, map(site_of, hosts)))
