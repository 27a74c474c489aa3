"""What may be answered: each question's answer made into the value that is kept, or one sentence that says what is wrong. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from urllib.parse import urlsplit

from mailbridge.config.checks import API_KEY
from mailbridge.config.ingest import TOPIC
from mailbridge.core.addresses import parse_mailbox
from mailbridge.operator.doctor.network import PLAYGROUND
from mailbridge.operator.setup.posting import SERVICES

WAYS: Mapping[str, str] = MappingProxyType(
    {
        "mailbox": "a mailbox, read over IMAP",
        "gmail": "Gmail forwards to this machine",
        "lmtp": "a mail server of mine hands it on (LMTP)",
        "http": "over HTTP: Cloudflare, Mailgun, Postmark, SES, SendGrid …, texts, a Zap",
        "try": "only try: no real mail",
    }
)
"""How mail can come, in the order of the menu."""

MOST_SITES = 50
LONGEST_NAME = 320
HOST = re.compile(r"(?i)(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?::\d{1,5})?")
PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
YES, NO = ("y", "yes"), ("n", "no")


class Mistake(ValueError):  # noqa: N818  (of a person, not of ours)
    """Why an answer is refused, in one sentence for the person who typed it."""


def way(text: str) -> str:
    """One of `WAYS`, by its word or its number in the menu."""
    return _chosen(text, list(WAYS))


def _chosen(text: str, names: Sequence[str]) -> str:
    folded = text.strip().casefold()
    if folded.isascii() and folded.isdigit() and 1 <= int(folded[:4]) <= len(names):
        return names[int(folded[:4]) - 1]
    if folded in names:
        return folded
    raise Mistake(f"write a number from 1 to {len(names)}, or one of {', '.join(names)}")


def service(text: str) -> str:
    """One of `SERVICES`, by its word or its number in the menu."""
    return _chosen(text, list(SERVICES))


def identifier(text: str) -> str:
    """What Skyvern calls ``totp_identifier``: most often a mail address, but any name."""
    plain = text.strip()
    if not plain or len(plain) > LONGEST_NAME or not plain.isprintable():
        raise Mistake(f"write the address (or name) that the run waits for, up to {LONGEST_NAME} characters on one line")
    if "@" in plain and parse_mailbox(plain) is None:
        raise Mistake(f"{plain!r} is not a mail address; write it like ann@corp.com")
    return plain


def sites(text: str) -> str:
    """Domains or addresses of senders, joined by blanks; "" for any sender. A web address stands for its host."""
    found = []
    for word in text.replace(",", " ").split():
        plain = _host(word) if "://" in word else word.partition("/")[0]
        plain = plain.casefold().removeprefix("www.").rstrip(".")
        if parse_mailbox(plain if "@" in plain else f"x@{plain}") is None or "." not in plain:
            raise Mistake(f"{word!r} is neither a site such as github.com nor a sender's address")
        found.append(plain)
    if len(found) > MOST_SITES:
        raise Mistake(f"name at most {MOST_SITES} sites, or none for any sender")
    return " ".join(dict.fromkeys(found))


def _host(url: str) -> str:
    """The host of a web address; "" if it is not one."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def domain(text: str) -> str:
    """A domain, in lower case."""
    plain = text.strip().casefold().rstrip(".")
    if "@" in plain or "/" in plain:
        raise Mistake(f"{text.strip()!r}: write the domain alone, such as bridge.example.com")
    if parse_mailbox(f"x@{plain}") is None or "." not in plain or plain.replace(".", "").isdigit():
        raise Mistake(f"{text.strip()!r} is not a domain; write one such as bridge.example.com")
    return plain


def public(plain: str) -> str:
    """The same, if it can be a public name."""
    if plain.endswith(PLAYGROUND):
        raise Mistake(f"{plain} is a name that only this machine or network knows; Gmail cannot send there")
    return plain


def username(text: str) -> str:
    """The mail address of a mailbox, which is its user name too."""
    plain = text.strip()
    if parse_mailbox(plain) is None:
        raise Mistake(f"{plain!r} is not a mail address; write the address of the mailbox, such as ann@corp.com")
    return plain


def host(text: str) -> str:
    """``host`` or ``host:port`` of an IMAP server."""
    plain = text.strip().casefold().rstrip(".")
    port = plain.partition(":")[2]
    if not HOST.fullmatch(plain) or (port and not 0 < int(port) < 65_536):
        raise Mistake(f"{text.strip()!r} is not a server; write imap.corp.com, or imap.corp.com:993")
    return plain


def is_allowed(text: str) -> str:
    """``yes`` or ``no``."""
    folded = text.strip().casefold()
    if folded in YES:
        return "yes"
    if folded in NO:
        return "no"
    raise Mistake("write yes or no")


def address_of_skyvern(text: str) -> str:
    """The base URL of a Skyvern."""
    plain = text.strip().rstrip("/")
    try:
        parts = urlsplit(plain)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and (parts.port or 1) > 0
    except ValueError:
        is_url = False
    if not is_url:
        raise Mistake(f"{plain!r} is not the address of a Skyvern; write it like http://localhost:8000")
    return plain


def key(text: str) -> str:
    """The bare API key. A complaint repeats nothing of it."""
    plain = text.strip()
    if not API_KEY.fullmatch(plain):
        raise Mistake("that is not a key: a key is one word, without quotes and without `x-api-key:` before it")
    return plain


def web_address(text: str) -> str:
    """The address at which the internet reaches mailbridge. Posts contain secrets, so it must be https, except in a private
    network."""
    plain = address_of_bridge(text)
    parts = urlsplit(plain)
    if parts.scheme != "https" and not _is_near(parts.hostname or ""):
        raise Mistake(f"{plain}: codes would cross the internet in clear; put a proxy or tunnel with https before it")
    return plain


def address_of_bridge(text: str) -> str:
    """A base URL, without a path of ours, a user or a query."""
    plain = text.strip().rstrip("/")
    try:
        parts = urlsplit(plain)
        is_url = parts.scheme in ("http", "https") and bool(HOST.fullmatch(parts.netloc)) and not (parts.query or parts.fragment)
    except ValueError:
        is_url = False
    if not is_url or not PATH.fullmatch(parts.path):
        raise Mistake(f"{plain!r} is not the address of this bridge; write it like https://bridge.example.com")
    return plain


def _is_near(host: str) -> bool:
    """Whether a host is a private address, or a name without a dot."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host


def given_address(text: str) -> str:
    """The address for mail at a service."""
    plain = parse_mailbox(text.strip())
    if plain is None:
        raise Mistake(f"{text.strip()!r} is not a mail address; write the one that the service shows")
    return plain


def topic(text: str) -> str:
    """The ARN of a topic of Amazon SNS."""
    plain = text.strip()
    if not TOPIC.fullmatch(plain):
        raise Mistake(f"{plain[:100]!r} is not a topic; write its ARN, such as arn:aws:sns:eu-west-1:123456789012:mail")
    return plain


def service_key(text: str) -> str:
    """The bare key of a service. A complaint repeats nothing of it."""
    plain = text.strip()
    if not 8 <= len(plain) <= 500 or not plain.isascii() or not plain.isprintable() or " " in plain:
        raise Mistake("that is not a key: a key is one word of at least 8 characters, as the service shows it")
    return plain


def kept(text: str) -> str:
    """A short note of the client, such as the path of a file that it wrote."""
    plain = text.strip()
    if not plain or not plain.isprintable():
        raise Mistake("write it on one line")
    return plain


PARSERS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {
        "way": way,
        "service": service,
        "url": web_address,
        "rcpt": given_address,
        "topic": topic,
        "for": identifier,
        "sites": sites,
        "domain": domain,
        "username": username,
        "host": host,
        "allow": is_allowed,
        "skyvern": address_of_skyvern,
        "file": kept,
        "filter": kept,
        "test": kept,
    }
)
"""Every question whose answer is kept as text. `SECRET` are kept nowhere in the progress."""

SECRET = ("key", "password", "service-key")
