"""Whether a link leads to the author of its mail, and to nobody else on the way.

This is a second line of defence: the mail around the link is already proven. It stops links that an attacker got a site to write.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailbridge.core.rules import is_host_allowed
from mailbridge.core.url import Url, ambiguity, ascii_host, read
from mailbridge.trust.handing_on import carried, carries_script
from mailbridge.trust.platforms import platforms
from mailbridge.trust.suffixes import registrable

SHOWN = 100
"""Characters of a host that a reason shows."""

MOST_CARRIED = 50
"""The largest number of addresses that a link may carry. No honest link has more than a few, and each is looked up."""


def objection(text: str, sender: str, allowed: Sequence[str]) -> str:
    """Why the link of a mail from ``sender`` must not be pushed, without the link itself; "" if it may be pushed.

    The link must use https and be read alike by every parser. It must lead to a host of the From's registrable domain on which
    nobody else publishes, or to one of ``allowed`` (a host, or ``*.`` for the subdomains of a registered name). It must not carry
    another owner's address, to which a page could redirect. An IP address is always refused, in any spelling and even if listed.
    """
    url = read(text)
    if url is None:
        return "the link is none that a browser opens"
    doubt = ambiguity(url)
    if doubt:
        return doubt
    if url.scheme != "https":
        return "the link does not go by https"
    domain = ascii_host(sender.rpartition("@")[2])
    return _foreign(url, domain, allowed) or _handed_on(url, domain, allowed)


def _foreign(url: Url, domain: str, allowed: Sequence[str]) -> str:
    """Why a link's host is neither the author's nor a listed one; "" if it is one of them."""
    if _is_listed(url.host, allowed):
        return ""
    others = platforms().why(url)
    if others:
        return f"others write at {url.host}: {others}"
    if _is_below_listed(url.host, allowed) or _is_authors(url.host, domain):
        return ""
    return f"the link leads to {url.host[:SHOWN]}, neither the sender's domain nor a host that is listed"


def _handed_on(url: Url, domain: str, allowed: Sequence[str]) -> str:
    """Why an address that the link carries belongs to somebody else; "" if it carries none, or only addresses of the same
    owners."""
    if carries_script(url):
        return "the link carries a script"
    seen: set[str] = set()
    for other in carried(url):
        if other.href in seen:
            continue
        seen.add(other.href)
        is_same = _is_same_owner(other.host, url.host)
        is_good = not _foreign(other, domain, allowed) or (is_same and not platforms().why(other))
        if not is_good or len(seen) > MOST_CARRIED:
            return f"the link carries the address of another host, {other.host[:SHOWN]}, to which it may lead on"
    return ""


def _is_authors(host: str, domain: str) -> bool:
    """Whether a host belongs to the author's domain. A mailbox provider's domain does not belong to the people who have a mailbox
    there."""
    if domain in platforms().mailboxes:
        return False
    return host == domain or _is_same_owner(host, domain)


def _is_same_owner(host: str, other: str) -> bool:
    own = registrable(other)
    tenants = {platforms().tenant(host), platforms().tenant(other)} - {""}
    return own is not None and registrable(host) == own and len(tenants) < 2


def _is_listed(host: str, allowed: Sequence[str]) -> bool:
    return is_host_allowed(host, [one for one in allowed if not one.startswith("*.")])


def _is_below_listed(host: str, allowed: Sequence[str]) -> bool:
    """Whether a ``*.`` entry includes a host. An entry for a public suffix (``*.github.io``) would include everybody, so it is
    ignored."""
    return is_host_allowed(host, [one for one in allowed if one.startswith("*.") and registrable(one[2:]) is not None])
