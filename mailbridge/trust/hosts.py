"""Whether a link leads to the author: same host, or same registrable domain by the public suffix list.

The list (publicsuffixlist, renewed weekly by its maintainers) comes with the package and is read at the first link. It is a second
line: the mail around the link is proven already. A suffix that is newer than the list makes neighbours of two customers of one
platform, and no more.
"""

from __future__ import annotations

from functools import cache
from typing import Any
from urllib.parse import urlsplit

from mailbridge.core.rules import is_host_allowed


@cache
def _suffixes() -> Any:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


def registrable(host: str) -> str | None:
    """The part of a host that somebody registered (``acme.co.uk`` of ``app.acme.co.uk``); None for a suffix or an address."""
    name = host.lower().rstrip(".")
    if not name.isascii() or not name or name.replace(".", "").isdigit() or ":" in name:
        return None
    found: str | None = _suffixes().privatesuffix(name)
    return found


def is_authors(url: str, sender: str, allowed: tuple[str, ...]) -> bool:
    """Whether a link goes by https to a host of the From's registrable domain, or to one that is allowed (``*.`` for subdomains)."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        is_plain = parts.scheme == "https" and not parts.username and not parts.password and parts.port in (None, 443)
    except ValueError:
        return False
    if not is_plain or not host or not host.isascii():
        return False
    if is_host_allowed(host, allowed):
        return True
    domain = sender.rpartition("@")[2].lower()
    if host == domain:
        return True
    own = registrable(domain)
    return own is not None and registrable(host) == own
