"""Which server reads a mailbox, by the domain of its address: the presets of `[[imap]]` for the domains of the large providers."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

PRESETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "gmail": ("gmail.com", "googlemail.com"),
        "outlook": ("outlook.com", "hotmail.com", "live.com", "msn.com"),
        "yahoo": ("yahoo.com", "yahoo.de", "yahoo.fr", "yahoo.co.uk", "ymail.com"),
        "icloud": ("icloud.com", "me.com", "mac.com"),
        "fastmail": ("fastmail.com", "fastmail.fm"),
        "zoho": ("zoho.com", "zohomail.com"),
        "proton": ("proton.me", "protonmail.com", "pm.me"),
        "163": ("163.com",),
        "yandex": ("yandex.com", "yandex.ru", "ya.ru"),
    }
)

WITHOUT_PASSWORD: Mapping[str, str] = MappingProxyType(
    {
        "outlook": "Outlook takes no password: docs/imap.md says how to let mailbridge in by OAuth",
        "proton": "Proton is read through Proton Bridge on this machine: docs/imap.md has the lines for the configuration",
    }
)
"""Providers that need more than an address and a password."""

PASSWORDS: Mapping[str, str] = MappingProxyType(
    {
        "gmail": "app password, 16 letters: https://myaccount.google.com/apppasswords",
        "yahoo": "app password, from the account's security page",
        "icloud": "app-specific password: https://account.apple.com",
        "fastmail": "app password, from Settings, Privacy & Security",
        "zoho": "app password; IMAP has to be switched on in its settings",
        "163": "authorisation code, from its settings",
        "yandex": "app password; IMAP has to be switched on in its settings",
    }
)

PORT_STARTTLS = "143"


def preset_of(address: str) -> str | None:
    """The preset of the provider of a mail address; None for a domain that is not known here."""
    domain = address.rpartition("@")[2].casefold()
    return next((name for name, domains in PRESETS.items() if domain in domains), None)


def account(address: str, host: str, *, taken: Collection[str] = ()) -> dict[str, Any]:
    """The `[[imap]]` table of a mailbox; ``host`` is ``host`` or ``host:port``, "" for a domain whose preset is known.

    ``taken`` are the names of the accounts that there are. A name holds no address, since it stands in metrics.
    """
    preset = preset_of(address)
    values: dict[str, Any] = {"name": _name(preset or address.rpartition("@")[2], taken), "username": address}
    if host:
        server, _, port = host.partition(":")
        values |= {"host": server, **({"port": int(port)} if port else {})}
        values |= {"tls": "starttls"} if port == PORT_STARTTLS else {}
    elif preset is not None:
        values["preset"] = preset
    return values


def _name(wanted: str, taken: Collection[str]) -> str:
    """The word, or the word with the first number that makes it new."""
    plain = re.sub(r"[^a-z0-9.-]+", "-", wanted.casefold()).strip(".-") or "mailbox"
    folded = {one.casefold() for one in taken}
    names = (plain if number == 1 else f"{plain}-{number}" for number in range(1, len(folded) + 2))
    return next(one for one in names if one not in folded)
