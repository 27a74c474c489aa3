"""The mail provider of an address: by its domain, by the hosts of its MX records, or by the IMAP server that is named. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mailbridge.config.settings import Preset
from mailbridge.core.dataclass import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider: its ``preset``, or its IMAP ``host`` if it has no preset. ``exchangers`` are the hosts of its MX records,
    ``servers`` its IMAP servers. Both are names, or ends of names that begin with a dot. ``oauth`` is the service whose OAuth
    permission it accepts ("" for none)."""

    name: str
    preset: Preset | None = None
    host: str = ""
    domains: tuple[str, ...] = ()
    exchangers: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()
    oauth: Literal["", "google", "microsoft"] = ""
    takes_password: bool = True


PROVIDERS: tuple[Provider, ...] = (
    Provider(
        name="Google",
        preset="gmail",
        domains=("gmail.com", "googlemail.com"),
        exchangers=(".google.com", ".googlemail.com"),
        servers=("imap.gmail.com", "imap.googlemail.com"),
        oauth="google",
    ),
    Provider(
        name="Microsoft",
        preset="outlook",
        domains=("outlook.com", "hotmail.com", "live.com", "msn.com", "passport.com", "windowslive.com"),
        exchangers=(".protection.outlook.com", ".mx.microsoft"),
        servers=("outlook.office365.com", "outlook.office.com", "imap-mail.outlook.com", "partner.outlook.cn"),
        oauth="microsoft",
        takes_password=False,
    ),
    Provider(
        name="Yahoo",
        preset="yahoo",
        domains=("yahoo.com", "ymail.com", "rocketmail.com"),
        exchangers=(".yahoodns.net",),
        servers=("imap.mail.yahoo.com",),
    ),
    Provider(name="AOL", host="imap.aol.com", domains=("aol.com", "aim.com"), servers=("imap.aol.com",)),
    Provider(
        name="iCloud",
        preset="icloud",
        domains=("icloud.com", "me.com", "mac.com"),
        exchangers=(".mail.icloud.com",),
        servers=("imap.mail.me.com",),
    ),
    Provider(
        name="Fastmail",
        preset="fastmail",
        domains=("fastmail.com", "fastmail.fm"),
        exchangers=(".messagingengine.com",),
        servers=("imap.fastmail.com",),
    ),
    Provider(name="Zoho in Europe", host="imap.zoho.eu", exchangers=(".zoho.eu",), servers=("imap.zoho.eu", "imappro.zoho.eu")),
    Provider(name="Zoho in India", host="imap.zoho.in", exchangers=(".zoho.in",), servers=("imap.zoho.in", "imappro.zoho.in")),
    Provider(
        name="Zoho",
        preset="zoho",
        domains=("zoho.com", "zohomail.com"),
        exchangers=(".zoho.com", ".zohomail.com"),
        servers=("imap.zoho.com", "imappro.zoho.com"),
    ),
    Provider(
        name="Proton",
        preset="proton",
        domains=("proton.me", "protonmail.com", "protonmail.ch", "pm.me"),
        exchangers=(".protonmail.ch",),
    ),
    Provider(
        name="163", preset="163", domains=("163.com",), servers=("imap.163.com", "imap.126.com", "imap.yeah.net", ".netease.com")
    ),
    Provider(name="126", host="imap.126.com", domains=("126.com",)),
    Provider(
        name="Yandex",
        preset="yandex",
        domains=("yandex.com", "yandex.ru", "ya.ru"),
        exchangers=("mx.yandex.net", "mx.yandex.ru"),
        servers=("imap.yandex.com", "imap.yandex.ru"),
    ),
    Provider(name="GMX", host="imap.gmx.com", domains=("gmx.com", "gmx.us"), servers=("imap.gmx.com",)),
    Provider(name="GMX", host="imap.gmx.net", domains=("gmx.net", "gmx.de", "gmx.at", "gmx.ch"), servers=("imap.gmx.net",)),
    Provider(name="WEB.DE", host="imap.web.de", domains=("web.de",), servers=("imap.web.de",)),
    Provider(
        name="mail.ru", host="imap.mail.ru", domains=("mail.ru", "bk.ru", "inbox.ru", "list.ru"), exchangers=("mxs.mail.ru",)
    ),
)
"""Providers that many people use. The order matters for MX records: the first one that matches is taken."""

SENDS_FOR = {"_spf.google.com": "gmail", "spf.protection.outlook.com": "outlook"}
"""SPF policies that domains include if their mailboxes are at that provider, by preset. They help if a filter service is in
the MX records."""


def by_domain(domain: str) -> Provider | None:
    """The provider that owns this domain."""
    folded = domain.casefold()
    return next((one for one in PROVIDERS if folded in one.domains), None)


def by_exchangers(hosts: Sequence[str]) -> Provider | None:
    """The provider that receives the mail of a domain with these MX hosts, best first."""
    for host in hosts:
        found = next((one for one in PROVIDERS if _is_among(host, one.exchangers)), None)
        if found is not None:
            return found
    return None


def by_server(host: str) -> Provider | None:
    """The provider that owns this IMAP server."""
    return next((one for one in PROVIDERS if _is_among(host, one.servers)), None)


def by_policy(records: Sequence[str]) -> Provider | None:
    """The provider that a domain's SPF record (RFC 7208) names as a sender. None if it names none, or several."""
    words = {word.casefold() for record in records if record.casefold().startswith("v=spf1") for word in record.split()}
    named = {preset for policy, preset in SENDS_FOR.items() if f"include:{policy}" in words}
    return next((one for one in PROVIDERS if named == {one.preset}), None)


def _is_among(host: str, names: Sequence[str]) -> bool:
    folded = host.casefold().rstrip(".")
    return any(folded.endswith(one) if one.startswith(".") else folded == one for one in names)
