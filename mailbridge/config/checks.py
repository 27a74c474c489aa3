"""What one value alone cannot tell: settings that contradict each other, or that name what cannot be."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from ipaddress import ip_network

from mailbridge.config.mailboxes import mailbox_mistakes
from mailbridge.config.problems import Problem
from mailbridge.config.settings import Settings, SkyvernSettings, TargetSettings
from mailbridge.config.values import listen
from mailbridge.core.addresses import parse_mailbox

SHORTEST_TOKEN = 8

Where = Callable[[str, str], str]

SHORTEST = timedelta(milliseconds=100)
DATABASE = re.compile(r"sqlite:///[^?#]*[^/?#]")
API_KEY = re.compile(r"[!#-&(-~]+")
"""What can stand in a header: printable ASCII without blanks; and no quotes, which come along when a key is copied."""


def check(settings: Settings, where: Where) -> Iterator[Problem]:
    """Every contradiction, each with the place that it stands in."""
    for section, key, what in (
        *_listeners(settings),
        *_smtp(settings),
        *_recipients(settings),
        *_trust(settings),
        *mailbox_mistakes(settings),
        *_rest(settings),
    ):
        yield Problem(where=where(section, key), what=f"[{section}] {key}: {what}")


def _listeners(settings: Settings) -> Iterator[tuple[str, str, str]]:
    every = [("smtp", "listen", one, True) for one in settings.smtp.listen]
    every += [("smtp", "lmtp", one, True) for one in settings.smtp.lmtp]
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
    for proxy in smtp.proxy_from:
        try:
            ip_network(proxy, strict=False)
        except ValueError:
            yield "smtp", "proxy_from", f"{proxy!r} is no IP address or network such as 10.0.0.0/8"


def _recipients(settings: Settings) -> Iterator[tuple[str, str, str]]:
    seen: set[str] = set()
    for entry in settings.address:
        if parse_mailbox(entry.rcpt) is None:
            yield "address", "rcpt", f"{entry.rcpt!r} is no mail address"
        if entry.rcpt.casefold() in seen:
            yield "address", "rcpt", f"{entry.rcpt} is listed twice"
        seen.add(entry.rcpt.casefold())
    named = [("domains", "accept", domain) for domain in settings.domains.accept]
    named += [("identity", "own_domains", domain) for domain in settings.identity.own_domains]
    for section, key, domain in named:
        if parse_mailbox(f"x@{domain}") is None:
            yield section, key, f"{domain!r} is no domain"


def _trust(settings: Settings) -> Iterator[tuple[str, str, str]]:
    trust = settings.trust
    for section, key, listed in (
        ("trust", "default", trust.default),
        *(("address", "trust", one.trust) for one in settings.address),
        *(("imap", "trust", one.trust) for one in settings.imap),
    ):
        if not isinstance(listed, tuple):
            continue
        if not listed:
            yield section, key, 'must name a proof; "none" asks for nothing'
        elif "none" in listed and len(listed) > 1:
            yield section, key, '"none" asks for nothing; beside it no other proof has a meaning'
    for signer in trust.signers:
        domain, equals, other = signer.partition("=")
        if not equals or any(parse_mailbox(f"x@{one.strip()}") is None for one in (domain, other)):
            yield (
                "trust",
                "signers",
                f"{signer!r} must be like acme.com=mailer.example: a From's domain, and who else may sign for it",
            )
    for key in ("forwarders", "authserv_ids"):
        for domain in getattr(trust, key):
            if parse_mailbox(f"x@{domain}") is None:
                yield "trust", key, f"{domain!r} is no domain"
    for account in trust.accounts:
        if parse_mailbox(account.replace("*", "x")) is None:
            yield "trust", "accounts", f"{account!r} is no mail address, nor a pattern such as *@corp.com"
        elif account.startswith("*@") and "*" in account[1:]:
            yield "trust", "accounts", f"{account!r} would be everybody's account; name the domain"
    for host in trust.link_hosts:
        if parse_mailbox(f"x@{host.removeprefix('*.')}") is None:
            yield "trust", "link_hosts", f"{host!r} is no host, nor one such as *.auth.example"
    for server in trust.nameservers:
        try:
            listen(server if ":" in server else f"{server}:53", is_unix_allowed=False)
        except ValueError:
            yield (
                "trust",
                "nameservers",
                f"{server!r} must be an IP address such as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:53",
            )
    if trust.dns_timeout < timedelta(milliseconds=100):
        yield "trust", "dns_timeout", "must be at least 100ms"
    if not 0 <= trust.alarm_held <= 100_000:
        yield "trust", "alarm_held", "must be between 0 and 100000"


def _rest(settings: Settings) -> Iterator[tuple[str, str, str]]:
    names = Counter(("skyvern", *(target.name for target in settings.target)))
    for name, count in names.items():
        if count > 1:
            yield "target", "name", f"{name!r} names more than one target"
    for target in settings.target:
        if target.api_key is None:
            yield "target", "api_key", f"target {target.name!r} needs api_key or api_key_file"
    yield from _keys(settings)
    targets: list[tuple[str, SkyvernSettings | TargetSettings]] = [("skyvern", settings.skyvern)]
    targets += [("target", target) for target in settings.target]
    for section, one in targets:
        if not 1 <= one.senders <= 64:
            yield section, "senders", "must be between 1 and 64"
        if not one.base_url.startswith(("http://", "https://")):
            yield section, "base_url", "must begin with https:// or http://"
        if one.timeout < SHORTEST:
            yield section, "timeout", "must be at least 100ms"
    if settings.pull.grace > timedelta(hours=1):
        yield "pull", "grace", "must be at most 1h, else a run may be given the code of an earlier login"
    if settings.http.token is not None and len(settings.http.token) < SHORTEST_TOKEN:
        yield "http", "token", f"must have at least {SHORTEST_TOKEN} characters; make one with `openssl rand -hex 24`"
    if settings.http.public_url and not settings.http.public_url.startswith(("http://", "https://")):
        yield "http", "public_url", "must begin with https:// or http://"
    if not DATABASE.fullmatch(settings.store.url):
        yield "store", "url", "must be sqlite:///path/to/mailbridge.db, with a fourth slash where the path is absolute"
    if settings.rules.lifetime < timedelta(seconds=1):
        yield "rules", "lifetime", "must be at least 1s, else no code would live to be pushed"
    if settings.parser.timeout < SHORTEST:
        yield "parser", "timeout", "must be at least 100ms"
    if not 1 <= settings.parser.workers <= 16:
        yield "parser", "workers", "must be between 1 and 16"


def _keys(settings: Settings) -> Iterator[tuple[str, str, str]]:
    keys = [("skyvern", settings.skyvern.api_key), *(("target", target.api_key) for target in settings.target)]
    for section, api_key in keys:
        if api_key is not None and not API_KEY.fullmatch(api_key.reveal()):
            yield section, "api_key", "must be the bare key: one word, without quotes and without `x-api-key:` before it"
