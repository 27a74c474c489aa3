"""Checks that need more than one value: settings that contradict each other, or that name something impossible."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from ipaddress import ip_network

from mailbridge.config.ingest import ingest_mistakes
from mailbridge.config.mailboxes import mailbox_mistakes
from mailbridge.config.problems import Problem
from mailbridge.config.receivers import heartbeat_mistakes, receiver_mistakes
from mailbridge.config.settings import InboxesSettings, Settings, SkyvernSettings, TargetSettings
from mailbridge.config.stores import store_mistakes
from mailbridge.config.values import (
    SENDERS,
    host_mistake,
    listen,
    proof_mistakes,
    sender_pattern,
    shortened,
    written_duration,
)
from mailbridge.core.addresses import LABEL, parse_mailbox
from mailbridge.core.inbox import TARGET as INBOX

SHORTEST_TOKEN = 8
LONGEST_DRAIN = timedelta(minutes=1)

Where = Callable[[str, str, int | None], str]
"""Gives the place of a section's key. For a list of tables it also takes the table's number, from 0."""

FOLLOWS = {("imap", "host"): "preset", ("imap", "name"): "preset"}
"""Keys whose mistake only follows from another key: an account without a preset has no host and no name of its own."""

SHORTEST = timedelta(milliseconds=100)
HOSTNAME = re.compile(rf"{LABEL}(?:\.{LABEL})*\.?")
API_KEY = re.compile(r"[!#-&(-~]+")
"""What an HTTP header can hold: printable ASCII without blanks. Quotes are refused too, because people copy them with a key."""


def check(
    settings: Settings, where: Where, *, is_known_as_wrong: Callable[[str, int | None, str], bool] = lambda *_: False
) -> Iterator[Problem]:
    """All contradictions, each with its place. A value that ``is_known_as_wrong`` gives no second problem."""
    for section, key, what in (
        *_listeners(settings),
        *_smtp(settings),
        *_recipients(settings),
        *_trust(settings),
        *_rest(settings),
        *ingest_mistakes(settings.ingest),
        *heartbeat_mistakes(settings.heartbeat),
    ):
        name, _, entry = key.partition("[")
        if not is_known_as_wrong(section, None, name):
            place = where(section, name, int(entry[:-1]) if entry else None)
            yield Problem(where=place, what=f"[{section}] {name}: {what}")
    for section, number, key, what in (
        *_addresses(settings),
        *_senders(settings),
        *_targets(settings),
        *receiver_mistakes(settings),
        *mailbox_mistakes(settings),
    ):
        cause = FOLLOWS.get((section, key), key)
        if not is_known_as_wrong(section, number, key) and not is_known_as_wrong(section, number, cause):
            yield Problem(where=where(section, key, number), what=f"[[{section}]] {key}: {what}")
    yield from _doubles(settings, where)


def _doubles(settings: Settings, where: Where) -> Iterator[Problem]:
    """Tables that occur twice, in one file or in two, each with the place of the first."""
    for section, key, names in (
        ("address", "rcpt", [one.rcpt for one in settings.address]),
        ("target", "name", [one.name for one in settings.target]),
        ("notify", "name", [one.name for one in settings.notify]),
        ("imap", "name", [one.label for one in settings.imap]),
        ("sender", "sender", [one.label for one in settings.sender]),
        ("rule", "name", [one.name for one in settings.rule]),
    ):
        first: dict[str, int] = {}
        for number, name in enumerate(names):
            known = first.setdefault(name.casefold(), number)
            if known != number:
                what = f"[[{section}]] {key}: {name!r} is listed twice; the first is at {where(section, key, known)}"
                yield Problem(where=where(section, key, number), what=what)


def _listeners(settings: Settings) -> Iterator[tuple[str, str, str]]:
    every = [("smtp", f"listen[{number}]", one, True) for number, one in enumerate(settings.smtp.listen)]
    every += [("smtp", f"lmtp[{number}]", one, True) for number, one in enumerate(settings.smtp.lmtp)]
    every += [("http", "listen", settings.http.listen, False), ("practice", "listen", settings.practice.listen, False)]
    for section, key, value, is_unix_allowed in every:
        try:
            listen(value, is_unix_allowed=is_unix_allowed)
        except ValueError as fault:
            yield section, key, str(fault)
    taken = Counter(value for _, _, value, _ in every if not value.endswith(":0"))
    for section, key, value, _ in every:
        if taken[value] > 1:
            yield section, key, f"{value} is used twice; every listener needs a port of its own"
            taken[value] = 0


def _smtp(settings: Settings) -> Iterator[tuple[str, str, str]]:
    smtp = settings.smtp
    if smtp.hostname and not (len(smtp.hostname) <= 253 and HOSTNAME.fullmatch(smtp.hostname)):
        yield (
            "smtp",
            "hostname",
            f"{shortened(smtp.hostname)} is not a host name such as bridge.example.com (ASCII, without blanks)",
        )
    if (smtp.tls_cert is None) != (smtp.tls_key is None):
        missing = "tls_key" if smtp.tls_key is None else "tls_cert"
        yield "smtp", missing, "a certificate needs its key and a key its certificate; name both, or neither"
    for key, low, high in (
        ("max_size", 1_024, 1 << 30),
        ("max_recipients", 1, 10_000),
        ("max_connections", 1, 100_000),
        ("max_per_ip", 1, 100_000),
        ("max_memory", 1_048_576, 1 << 36),
        ("rate_recipient", 0, 1_000_000),
        ("rate_sender", 0, 1_000_000),
        ("rate_client", 0, 1_000_000),
    ):
        if not low <= getattr(smtp, key) <= high:
            yield "smtp", key, f"must be between {low} and {high}"
    if smtp.max_memory < smtp.max_size:
        yield "smtp", "max_memory", "must be at least max_size, else no mail of that size could ever come in"
    for key in ("idle_timeout", "session_timeout", "data_timeout"):
        if getattr(smtp, key) < timedelta(seconds=1):
            yield "smtp", key, "must be at least 1s"
    for number, proxy in enumerate(smtp.proxy_from):
        try:
            ip_network(proxy, strict=False)
        except ValueError:
            yield "smtp", f"proxy_from[{number}]", f"{shortened(proxy)} is not an IP address or network such as 10.0.0.0/8"


def _recipients(settings: Settings) -> Iterator[tuple[str, str, str]]:
    named = [("domains", f"accept[{number}]", domain) for number, domain in enumerate(settings.domains.accept)]
    named += [("identity", f"own_domains[{number}]", domain) for number, domain in enumerate(settings.identity.own_domains)]
    for section, key, domain in named:
        if parse_mailbox(f"x@{domain}") is None:
            yield section, key, f"{shortened(domain)} is not a domain such as bridge.example.com"


def _addresses(settings: Settings) -> Iterator[tuple[str, int, str, str]]:
    for number, entry in enumerate(settings.address):
        if parse_mailbox(entry.rcpt) is None:
            yield "address", number, "rcpt", f"{shortened(entry.rcpt)} is not a mail address"
        if entry.accept_from == ():
            yield "address", number, "accept_from", "is empty, which limits nothing; name senders, or leave it out"
        for what in proof_mistakes(entry.trust):
            yield "address", number, "trust", what
        for sender in entry.accept_from or ():
            if sender_pattern(sender) is None:
                yield "address", number, "accept_from", f"{sender!r} {SENDERS}"
        for what in filter(None, map(host_mistake, entry.site or ())):
            yield "address", number, "site", what


def _senders(settings: Settings) -> Iterator[tuple[str, int, str, str]]:
    """What is wrong with the `[[sender]]` tables: who is allowed or forbidden by name."""
    for number, entry in enumerate(settings.sender):
        is_address = "@" in entry.sender.removeprefix("@")
        if "*" in entry.sender or entry.sender.startswith("@") or sender_pattern(entry.sender) is None:
            yield "sender", number, "sender", f"{entry.sender!r} must be a domain such as github.com, or an address"
        elif not is_address and entry.sender != entry.sender.strip().lower():
            yield "sender", number, "sender", f"{entry.sender!r} must be written in small letters"
        if not entry.identifiers:
            yield "sender", number, "identifiers", 'must name an identifier, or "*" for all'


def _trust(settings: Settings) -> Iterator[tuple[str, str, str]]:
    trust = settings.trust
    for what in proof_mistakes(trust.default):
        yield "trust", "default", what
    for number, signer in enumerate(trust.signers):
        domain, equals, other = signer.partition("=")
        if not equals or any(parse_mailbox(f"x@{one.strip()}") is None for one in (domain, other)):
            yield (
                "trust",
                f"signers[{number}]",
                f"{shortened(signer)} must be like acme.com=mailer.example: a From's domain, and who else may sign for it",
            )
    for key in ("forwarders", "authserv_ids"):
        for number, domain in enumerate(getattr(trust, key)):
            if parse_mailbox(f"x@{domain}") is None:
                yield "trust", f"{key}[{number}]", f"{shortened(domain)} is not a domain such as bridge.example.com"
    for number, account in enumerate(trust.accounts):
        if parse_mailbox(account.replace("*", "x")) is None:
            yield "trust", f"accounts[{number}]", f"{shortened(account)} is not a mail address, nor a pattern such as *@corp.com"
        elif account.startswith("*@") and "*" in account[1:]:
            yield "trust", f"accounts[{number}]", f"{shortened(account)} would be everybody's account; name the domain"
    for number, host in enumerate(trust.link_hosts):
        if parse_mailbox(f"x@{host.removeprefix('*.')}") is None:
            yield "trust", f"link_hosts[{number}]", f"{shortened(host)} is not a host, nor one such as *.auth.example"
    for number, server in enumerate(trust.nameservers):
        try:
            listen(server if ":" in server else f"{server}:53", is_unix_allowed=False)
        except ValueError:
            yield (
                "trust",
                f"nameservers[{number}]",
                f"{shortened(server)} must be an IP address such as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53",
            )
    if not trust.senders:
        yield "trust", "senders", 'is empty: nothing would ever be pushed; name senders such as acme.com, or "*" for all'
    for sender in trust.senders:
        if sender_pattern(sender) is None:
            yield "trust", "senders", f"{sender!r} {SENDERS}"
    for pair in trust.sites:
        site, equals, mailing = pair.partition("=")
        if not equals or any(host_mistake(one) for one in (site, mailing)):
            yield (
                "trust",
                "sites",
                f"{pair!r} must be like facebook.com=facebookmail.com: a site, and the domain that mails for it",
            )
    if trust.dns_timeout < timedelta(milliseconds=100):
        yield "trust", "dns_timeout", "must be at least 100ms"
    if not 0 <= trust.alarm_held <= 100_000:
        yield "trust", "alarm_held", "must be between 0 and 100000"


def _rest(settings: Settings) -> Iterator[tuple[str, str, str]]:
    for key, what in _target(settings.skyvern):
        yield "skyvern", key, what
    if settings.pull.totp_left > timedelta(seconds=15):
        yield "pull", "totp_left", "must be at most 15s, else a code of 30 s would hardly ever be given"
    if settings.pull.grace > timedelta(hours=1):
        yield "pull", "grace", "must be at most 1h, else a run may be given the code of an earlier login"
    yield from (("inboxes", key, what) for key, what in _inboxes(settings.inboxes))
    if settings.http.token is not None and len(settings.http.token) < SHORTEST_TOKEN:
        yield "http", "token", f"must have at least {SHORTEST_TOKEN} characters; make one with `openssl rand -hex 24`"
    if not timedelta() <= settings.http.drain <= LONGEST_DRAIN:
        yield "http", "drain", f"must be from 0s to {LONGEST_DRAIN.total_seconds():.0f}s"
    if settings.http.public_url and not settings.http.public_url.startswith(("http://", "https://")):
        yield "http", "public_url", "must begin with https:// or http://"
    for key, what in store_mistakes(settings.store):
        yield "store", key, what
    if settings.rules.lifetime < timedelta(seconds=1):
        yield "rules", "lifetime", "must be at least 1s, else no code would live to be pushed"
    if settings.parser.timeout < SHORTEST:
        yield "parser", "timeout", "must be at least 100ms"
    if not 1 <= settings.parser.workers <= 16:
        yield "parser", "workers", "must be between 1 and 16"


def _inboxes(inboxes: InboxesSettings) -> Iterator[tuple[str, str]]:
    if inboxes.domain and ("@" in inboxes.domain or parse_mailbox(f"x@{inboxes.domain}") is None):
        yield "domain", f"{shortened(inboxes.domain)} is not a domain such as bridge.example.com"
    if not timedelta(seconds=1) <= inboxes.longest <= timedelta(days=30):
        yield "longest", "must be between 1s and 30d"
    if not timedelta(seconds=1) <= inboxes.lifetime <= inboxes.longest:
        yield "lifetime", f"must be between 1s and [inboxes] longest, {written_duration(inboxes.longest)}"
    if not 1 <= inboxes.most <= 10_000:
        yield "most", "must be between 1 and 10000"


def _targets(settings: Settings) -> Iterator[tuple[str, int, str, str]]:
    for number, target in enumerate(settings.target):
        if target.name in ("skyvern", "practice"):
            yield "target", number, "name", f"'{target.name}' is the name of the main target, [skyvern]"
        if target.name == "unknown":
            yield "target", number, "name", "'unknown' stands for targets that were removed"
        if target.name == INBOX:
            yield "target", number, "name", f"'{INBOX}' stands for codes of throw-away inboxes, which go nowhere"
        if target.kind == "skyvern" and target.api_key is None:
            yield "target", number, "api_key", f"target {target.name!r} needs api_key or api_key_file"
        for key, what in _target(target):
            yield "target", number, key, what


def _target(target: SkyvernSettings | TargetSettings) -> Iterator[tuple[str, str]]:
    """What is wrong with a target, the main one or another one, by key."""
    if target.api_key is not None and not API_KEY.fullmatch(target.api_key.reveal()):
        yield "api_key", "must be the bare key: one word, without quotes and without `x-api-key:` before it"
    if not 1 <= target.senders <= 64:
        yield "senders", "must be between 1 and 64"
    if not target.base_url.startswith(("http://", "https://")):
        yield "base_url", "must begin with https:// or http://"
    if target.timeout < SHORTEST:
        yield "timeout", "must be at least 100ms"
