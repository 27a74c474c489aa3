"""What one value alone cannot tell: settings that contradict each other, or that name what cannot be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from ipaddress import ip_network

from mailbridge.config.mailboxes import mailbox_mistakes
from mailbridge.config.problems import Problem
from mailbridge.config.settings import Settings
from mailbridge.config.values import listen
from mailbridge.core.addresses import parse_mailbox

Where = Callable[[str, str], str]


def check(settings: Settings, where: Where) -> Iterator[Problem]:
    """Every contradiction, each with the place that it stands in."""
    for section, key, what in (
        *_listeners(settings),
        *_smtp(settings),
        *_recipients(settings),
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
    for domain in (*settings.domains.accept, *settings.identity.own_domains):
        if parse_mailbox(f"x@{domain}") is None:
            yield "domains", "accept", f"{domain!r} is no domain"


def _rest(settings: Settings) -> Iterator[tuple[str, str, str]]:
    names = Counter(("skyvern", *(target.name for target in settings.target)))
    for name, count in names.items():
        if count > 1:
            yield "target", "name", f"{name!r} names more than one target"
    for target in settings.target:
        if target.api_key is None:
            yield "target", "api_key", f"target {target.name!r} needs api_key or api_key_file"
    for key in ("senders",):
        if not 1 <= getattr(settings.skyvern, key) <= 64:
            yield "skyvern", key, "must be between 1 and 64"
    for section, url in (("skyvern", settings.skyvern.base_url), *(("target", t.base_url) for t in settings.target)):
        if not url.startswith(("http://", "https://")):
            yield section, "base_url", "must begin with https:// or http://"
    if not settings.store.url.startswith("sqlite:"):
        yield "store", "url", "must be sqlite:///path/to/mailbridge.db"
    if not 1 <= settings.parser.workers <= 16:
        yield "parser", "workers", "must be between 1 and 16"
