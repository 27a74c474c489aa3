"""Who registered a name: the public suffix list, with the platforms that it has not got.

The list (publicsuffixlist, renewed weekly by its maintainers) comes with the package and is read at the first link. A suffix that is
newer than both makes neighbours of two customers of one platform, and no more.
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
    """The part of a host that somebody registered, in ASCII (``acme.co.uk`` of ``app.acme.co.uk``); None for a suffix or an address.

    A name with letters beyond ASCII is looked up, and given, in its ``xn--`` form.
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
    """Whether a text is a name that can exist: somebody's, below a top-level domain that there is."""
    name = ascii_host(host)
    if registrable(name) is None:
        return False
    return name.rpartition(".")[2] in RESERVED or _suffixes().publicsuffix(name, accept_unknown=False) is not None
