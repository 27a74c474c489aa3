"""Who registered a name: the public suffix list, and the platforms that are missing from it.

The list (publicsuffixlist, renewed weekly by its maintainers) comes with the package and is read at the first link. If a suffix
is newer than both, two customers of one platform count as neighbours. Nothing worse follows.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

from mailbridge.core.url import MAX_HOST, ascii_host
from mailbridge.trust.platforms import platforms

RESERVED = frozenset({"example", "invalid", "localhost", "test"})
"""Top-level domains of documents and tests (RFC 2606), which are not in the list."""


@cache
def _suffixes() -> Any:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


@lru_cache(maxsize=1_024)
def registrable(host: str) -> str | None:
    """The registered part of a host, in ASCII (``acme.co.uk`` of ``app.acme.co.uk``); None for a suffix or an IP address.

    A name with non-ASCII letters is looked up, and returned, in its ``xn--`` form.
    """
    name = ascii_host(host).rstrip(".")
    if len(name) > MAX_HOST or name.replace(".", "").isdigit() or ":" in name:
        return None
    customer = platforms().customer(name)
    if customer is not None:
        return customer or None
    found: str | None = _suffixes().privatesuffix(name)
    return found


def is_registered(host: str) -> bool:
    """Whether a text is a host name that can exist: a registered name below an existing top-level domain."""
    name = ascii_host(host)
    if registrable(name) is None:
        return False
    return name.rpartition(".")[2] in RESERVED or _suffixes().publicsuffix(name, accept_unknown=False) is not None
