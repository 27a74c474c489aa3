"""The author's own signature (RFC 6376, RFC 8463): a domain that is the From's, exactly, vouches for what the mail shows.

Which signature may count is decided here, since libraries take any: one whose ``d=`` is From's domain
(or listed for it), over the whole body, over From and Subject, neither expired nor old, by a key that is strong enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial

from mailbridge.trust import Finding, Proven, Unproven, keys, verify
from mailbridge.trust.dns import Resolver
from mailbridge.trust.raw import RawMail, hosts_of, tags

MAX_SIGNATURES = 3
"""Signatures of the From's domain that are tried; others cost nothing, since they could not count."""

MAX_LOOKED_AT = 40
ALGORITHMS = ("rsa-sha256", "ed25519-sha256")
SKEW = timedelta(minutes=5)
OLDEST = timedelta(days=1)
"""A code that was signed longer ago is none any more: somebody sends an old mail again."""

LARGE = 65_536
"""Octets from which verifying takes over 1 ms (measured), and so goes to a thread."""

RECIPIENTS = ("to", "cc")


async def check(mail: RawMail, *, sender: str, signers: Mapping[str, frozenset[str]], dns: Resolver, now: datetime) -> Finding:
    """Whether the author's domain has signed the mail. ``sender`` is the one From address; ``signers`` who else may sign for it.

    Total but for DNS: any octets give a Finding.

    Raises:
        DnsUnavailable: a signature that would count could not be checked.
    """
    if not sender:
        return Unproven(by="dkim", why="the mail has not exactly one From address")
    if mail.doubt:
        return Unproven(by="dkim", why=mail.doubt)
    domain = sender.rpartition("@")[2].lower()
    allowed = {domain} | signers.get(domain, frozenset())
    headers = mail.values("dkim-signature")
    if not headers:
        return Unproven(by="dkim", why="it is not signed")
    why = f"none of its signatures is of {domain}"
    tried = 0
    for index, header in enumerate(headers[:MAX_LOOKED_AT]):
        signature = tags(header)
        if signature is None or signature.get("d", "").lower() not in allowed:
            continue
        tried += 1
        if tried > MAX_SIGNATURES:
            break
        found = await _one(mail, index, signature, dns=dns, now=now)
        if isinstance(found, Proven):
            return found
        why = found.why
    return Unproven(by="dkim", why=why)


async def _one(mail: RawMail, index: int, signature: Mapping[str, str], *, dns: Resolver, now: datetime) -> Finding:
    domain = signature["d"].lower()
    why = refused(signature, mail, now=now)
    if why:
        return Unproven(by="dkim", why=why)
    key = await keys.find(signature["s"], domain, dns)
    if isinstance(key, str):
        return Unproven(by="dkim", why=key)
    is_large = len(mail.content) > LARGE
    genuine = partial(verify.dkim, mail.content, index, {key.name: key.public})
    is_valid = await asyncio.to_thread(genuine) if is_large else genuine()
    if not is_valid:
        return Unproven(by="dkim", why=f"the signature of {domain} does not fit the mail: it was changed, or never signed by it")
    return Proven(
        by="dkim",
        detail=f"signed by {domain}",
        named=mail.mailboxes(hosts_of(signature["h"]), RECIPIENTS) | mail.mailboxes(("from",), ("from",)),
        warning=key.warning(domain),
    )


def refused(signature: Mapping[str, str], mail: RawMail, *, now: datetime) -> str:
    """Why a signature could not count even if it were genuine; ``""`` where it could."""
    if "l" in signature:
        return "its signature has l=, which lets anybody append to the mail"
    if signature.get("a", "").lower() not in ALGORITHMS:
        return f"its signature's algorithm is not {' or '.join(ALGORITHMS)}: {signature.get('a', '')[:20]}"
    if not signature.get("s") or not signature.get("b") or not signature.get("bh"):
        return "its signature is incomplete"
    covered = hosts_of(signature.get("h", ""))
    for name in ("from", "subject"):
        if name not in covered and mail.values(name):
            return f"its signature does not cover {name.capitalize()}"
    return aged(signature, now=now)


def aged(signature: Mapping[str, str], *, now: datetime) -> str:
    """Whether a signature is over, from the future, or too old for a code; ``""`` where it is none of these."""
    at = now.timestamp()
    signed, expires = signature.get("t", ""), signature.get("x", "")
    for value in (signed, expires):
        if value and not (value.isascii() and value.isdigit() and len(value) <= 12):
            return "its signature has a time that is none"
    if expires and int(expires) < at:
        return "its signature has expired (x=)"
    if signed and int(signed) > at + SKEW.total_seconds():
        return "its signature is from the future (t=)"
    if signed and int(signed) < at - OLDEST.total_seconds():
        return "its signature is older than a day (t=)"
    return ""
