"""A forwarder's seal (RFC 8617): a listed forwarder says that the mail was the author's when it came, and what it forwarded.

Anybody can seal, so a valid chain alone says nothing: every seal of it must be a listed forwarder's, the first of them must have
seen DMARC pass for this From, and a seal that names its destination (Google's ``darn=``) must name ours.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Mapping
from datetime import datetime
from functools import partial

from mailbridge.trust import Finding, Proven, Unproven, keys, verify
from mailbridge.trust.dkim import LARGE, aged
from mailbridge.trust.dns import Resolver
from mailbridge.trust.raw import RawMail, hosts_of, tags

MAX_SETS = 6
"""Hops that are followed; each costs two verifications."""

RECIPIENTS = ("to", "cc")
DMARC = re.compile(r"(?i)(?:^|[;\s])dmarc\s*=\s*([a-z]+)")
HEADER_FROM = re.compile(r"(?i)(?<![^\s;])header\.from\s*=\s*([a-z0-9.-]{1,253})(?![^\s;])")
"""The whole value: of ``acme.example_x.evil.example`` the beginning is somebody else's domain."""

COMMENT = re.compile(r"\([^()\"]*\)")
QUOTED = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
MOST_NESTED = 10


async def check(mail: RawMail, *, sender: str, rcpt: str, forwarders: Collection[str], dns: Resolver, now: datetime) -> Finding:
    """Whether a chain of listed forwarders vouches for the mail. ``rcpt`` is our recipient.

    Total but for DNS.

    Raises:
        DnsUnavailable: a chain that would count could not be checked.
    """
    if not sender:
        return Unproven(by="arc", why="the mail has not exactly one From address")
    if mail.doubt:
        return Unproven(by="arc", why=mail.doubt)
    chain = _chain(mail)
    if isinstance(chain, str):
        return Unproven(by="arc", why=chain)
    why = _refused(mail, chain, sender=sender, rcpt=rcpt, forwarders=forwarders, now=now)
    if why:
        return Unproven(by="arc", why=why)
    found: dict[str, keys.Key] = {}
    for one in (tag for hop in chain for tag in hop[:2]):
        selector, domain = one["s"], one["d"].lower()
        key = await keys.find(selector, domain, dns)
        if isinstance(key, str):
            return Unproven(by="arc", why=key)
        found[key.name] = key
    genuine = partial(verify.arc, mail.content, {name: key.public for name, key in found.items()})
    sealed = await asyncio.to_thread(genuine) if len(mail.content) > LARGE else genuine()
    if sealed is None or len(sealed) != len(chain):
        return Unproven(by="arc", why="its chain of seals does not fit the mail: it was changed after it was sealed")
    if not _is_dmarc_pass(sealed[-1], sender):
        return Unproven(by="arc", why="its first seal does not say dmarc=pass for this From")
    newest = chain[-1][1]
    domain = newest["d"].lower()
    # A seal covers the bottom-most Delivered-To: with two of them that may be one that the author wrote.
    delivered = ("delivered-to",) if len(mail.values("delivered-to")) == 1 else ()
    return Proven(
        by="arc",
        detail=f"sealed by {domain}, {len(chain)} hop{'s' if len(chain) > 1 else ''}",
        named=mail.mailboxes((*hosts_of(newest["h"]), "from"), (*RECIPIENTS, *delivered, "from")),
        warning=next((text for key in found.values() if (text := key.warning(domain))), ""),
    )


Hop = tuple[Mapping[str, str], Mapping[str, str], str]
"""One set: the seal's tags, the message signature's tags, and the results that it sealed."""


def _chain(mail: RawMail) -> list[Hop] | str:
    """The sets in order from the first, or why they are no chain."""
    seals, signatures, results = {}, {}, {}
    for header in mail.values("arc-seal"):
        found = tags(header)
        if found is None or found.get("i") in seals:
            return "its seals are malformed"
        seals[found.get("i")] = found
    if not seals:
        return "it is not sealed"
    for header in mail.values("arc-message-signature"):
        found = tags(header)
        if found is None or found.get("i") in signatures:
            return "its seals are malformed"
        signatures[found.get("i")] = found
    for header in mail.values("arc-authentication-results"):
        number = re.match(r"i\s*=\s*(\d{1,2})\s*;", header)
        if number is None or number[1] in results:
            return "its seals are malformed"
        results[number[1]] = header
    count = len(seals)
    wanted = {str(number) for number in range(1, count + 1)}
    if count > MAX_SETS:
        return f"it has more than {MAX_SETS} seals"
    if not (set(seals) == set(signatures) == set(results) == wanted):
        return "its chain of seals has gaps"
    return [(seals[n], signatures[n], results[n]) for n in sorted(wanted, key=int)]


def _refused(mail: RawMail, chain: list[Hop], *, sender: str, rcpt: str, forwarders: Collection[str], now: datetime) -> str:
    """Why the chain could not count even if it were genuine; ``""`` where it could."""
    for number, (seal, signature, _) in enumerate(chain, 1):
        if seal.get("cv") != ("none" if number == 1 else "pass"):
            return f"seal {number} says that the chain before it was broken"
        for one in (seal, signature):
            if not all(one.get(name) for name in ("a", "d", "s", "b")) or one["a"].lower() != "rsa-sha256":
                return "its seals are incomplete, or not rsa-sha256"
            if one["d"].lower() not in forwarders:
                return f"{one['d'][:100]}, which sealed it, is no listed forwarder"
    newest = chain[-1][1]
    covered = hosts_of(newest.get("h", ""))
    for name in ("from", "subject"):
        if name not in covered and mail.values(name):
            return f"its newest seal does not cover {name.capitalize()}"
    if "l" in newest:
        return "its newest seal has l=, which lets anybody append to the mail"
    destination = newest.get("darn", "").lower()
    if destination and destination != rcpt.rpartition("@")[2].lower():
        return f"its newest seal is for {destination[:100]}, not for us"
    if not _is_dmarc_pass(chain[0][2], sender):
        return "its first seal does not say dmarc=pass for this From"
    return aged(newest, now=now)


def _is_dmarc_pass(results: str, sender: str) -> bool:
    """Whether sealed results say that DMARC passed for this From's domain, once and without contradiction."""
    text = bare(results)
    verdicts = [one.lower() for one in DMARC.findall(text)]
    named = HEADER_FROM.findall(text)
    domain = sender.rpartition("@")[2].lower()
    return text != "" and verdicts == ["pass"] and bool(named) and all(one.lower().rstrip(".") == domain for one in named)


def bare(results: str) -> str:
    """Results without comments and quoted strings, where a sender's own words may stand; ``""`` where they do not come out even."""
    text = results
    for _ in range(MOST_NESTED):
        before = text
        text = COMMENT.sub(" ", QUOTED.sub(" ", text))
        if text == before:
            break
    return "" if any(mark in text for mark in '()"\\') else text
