"""Platforms on whose hosts others publish: which links are not their owner's word, by the table in ``platforms.toml``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from fnmatch import translate
from functools import cache
from importlib.resources import files
from typing import Any

import re2

from mailbridge.core.dataclass import dataclass
from mailbridge.core.url import Url


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """Hosts on which others publish. ``platforms.toml`` explains each key."""

    why: str
    hosts: tuple[str, ...]
    own: tuple[str, ...]
    paths: re.Pattern[str] | None
    but: re.Pattern[str] | None
    _hosts: re2._Regexp

    @classmethod
    def read(cls, entry: dict[str, Any]) -> Pages:
        """The pages of one table of the file."""
        return cls(
            why=entry["why"],
            hosts=tuple(entry["hosts"]),
            own=tuple(entry.get("own", ())),
            paths=_below(entry.get("paths", ())),
            but=_below(entry.get("but", ())),
            _hosts=_any_of(entry["hosts"]),
        )

    def has(self, url: Url) -> bool:
        """Whether a URL leads to one of these pages."""
        if url.host in self.own or self._hosts.fullmatch(url.host) is None:
            return False
        if self.paths is not None:
            return self.paths.match(url.path) is not None
        return self.but is None or self.but.match(url.path) is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Platforms:
    """The whole table."""

    pages: tuple[Pages, ...]
    suffixes: frozenset[str]
    mailboxes: frozenset[str]
    tenants: frozenset[str]
    owners: frozenset[str]
    signing: frozenset[str]
    _hosts: re2._Regexp

    def why(self, url: Url) -> str:
        """Why a page is not its host owner's own word; "" if it may be."""
        if self._hosts.fullmatch(url.host) is None:
            return ""
        return next((one.why for one in self.pages if one.has(url)), "")

    def customer(self, host: str) -> str | None:
        """The customer's name below a suffix of this table (``acme.sharepoint.com``). None if there is no such suffix, "" for the
        suffix itself."""
        below, name = "", host
        while name:
            if name in self.suffixes:
                return below
            below = name
            name = name.partition(".")[2]
        return None

    def tenant(self, host: str) -> str:
        """The customer's subdomain on a platform that writes for all its customers (``acme.okta.com``); "" if the host is not a
        customer's."""
        labels = host.split(".")
        for at in range(1, len(labels)):
            if ".".join(labels[at:]) in self.tenants:
                return "" if labels[at - 1] in self.owners else ".".join(labels[at - 1 :])
        return ""

    def signs_for_anybody(self, host: str) -> bool:
        """Whether a host belongs to a service that signs, with a key of its own domain, whatever a customer sends under any name
        there."""
        labels = host.split(".")
        return any(".".join(labels[at:]) in self.signing for at in range(len(labels)))


@cache
def platforms() -> Platforms:
    """The table. The file is read at the first use."""
    content = tomllib.loads(files("mailbridge.trust").joinpath("platforms.toml").read_text(encoding="utf-8"))
    return Platforms(
        pages=tuple(Pages.read(entry) for entry in content["pages"]),
        suffixes=frozenset(name for entry in content["customers"] for name in entry["suffixes"]),
        mailboxes=frozenset(name for entry in content["mailboxes"] for name in entry["domains"]),
        tenants=frozenset(name for entry in content["tenants"] for name in entry["suffixes"]),
        owners=frozenset(name for entry in content["tenants"] for name in entry["own"]),
        signing=frozenset(name for entry in content["signing"] for name in entry["domains"]),
        _hosts=_any_of(host for entry in content["pages"] for host in entry["hosts"]),
    )


def _any_of(hosts: Iterable[str]) -> re2._Regexp:
    return re2.compile("|".join(re.escape(host).replace(r"\*", ".*") for host in hosts))


def _below(paths: Iterable[str]) -> re.Pattern[str] | None:
    """One pattern for paths and everything below them; None if there are no paths."""
    patterns = [translate(form) for path in paths for form in (path, f"{path}/*")]
    return re.compile("|".join(patterns), re.IGNORECASE) if patterns else None
