"""ARC seals of forwarders (RFC 8617): a listed forwarder says that the mail was the author's when the forwarder received it.

Anybody can seal, so a valid chain alone proves nothing. Every seal must be of a listed forwarder, and the first seal must say
that DMARC passed for this From. A seal that names its destination (Google's ``darn=``) must name ours.

A seal covers whatever the mail contained on arrival, so it does not say for whom the mail was. The author says that, if the
author's signature still holds. Otherwise the forwarder says it, in a line or an envelope that only it writes
(`mailbridge.trust.stamps`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from functools import partial

from mailbridge.core.addresses import canonical
from mailbridge.trust import Finding, Proven, Unproven, dkim, keys, servers, spf, stamps, verify
from mailbridge.trust.dates import stamped
from mailbridge.trust.dkim import LARGE, aged, signed_date
from mailbridge.trust.dns import DnsUnavailable, Resolver
from mailbridge.trust.raw import MISSED, RECIPIENTS, RawMail, hosts_of, tags

MAX_SETS = 6
"""The largest number of hops that are checked. Each costs two verifications."""

STAMPING = "google.com"
"""The forwarder whose layout is known well enough to tell its own lines from others' (`mailbridge.trust.stamps`)."""

DMARC = re.compile(r"(?i)(?:^|[;\s])dmarc\s*=\s*([a-z]+)")
HEADER_FROM = re.compile(r"(?i)(?<![^\s;])header\.from\s*=\s*([a-z0-9.-]{1,253})(?![^\s;])")
"""Matches the whole value. Of ``acme.example_x.evil.example`` the beginning is somebody else's domain."""

DKIM_PASS = re.compile(r"(?i)^\s*dkim\s*=\s*pass\b")
SIGNER = re.compile(
    r"(?i)(?<![^\s;])header\.d\s*=\s*([a-z0-9.-]{1,253})(?![^\s;])|(?<![^\s;])header\.i\s*=\s*[^@\s;]{0,64}@([a-z0-9.-]{1,253})(?![^\s;])"
)
SPF = re.compile(r"(?i)^\s*spf\s*=\s*([a-z]+)")
ENVELOPE = re.compile(r"(?i)(?<![^\s;])smtp\.mailfrom\s*=\s*(?:[^@\s;]{0,320}@)?([a-z0-9.-]{1,253})(?![^\s;])")
COMMENT = re.compile(r"\([^()\"]*\)")
QUOTED = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
MOST_NESTED = 10

SPF_ALONE = "its first seal has only SPF for this From, by a server from which others may send as well"


async def check(
    mail: RawMail,
    *,
    sender: str,
    rcpt: str,
    forwarders: Collection[str],
    dns: Resolver,
    now: datetime,
    mail_from: str = "",
    peer: str = "",
) -> Finding:
    """Whether a chain of listed forwarders vouches for the mail.

    ``rcpt`` is our recipient. ``mail_from`` and ``peer`` are the envelope's sender and the address of the sending server, as far
    as known. Every input gives a Finding, except when DNS fails.

    Raises:
        DnsUnavailable: a chain that would count could not be checked.
    """
    if not sender:
        return Unproven(by="arc", why="the mail has not exactly one From address")
    if mail.doubt or mail.is_missed:
        return Unproven(by="arc", why=mail.doubt or MISSED)
    chain = sets(mail)
    if isinstance(chain, str):
        return Unproven(by="arc", why=chain)
    why = refusal(mail, chain, sender=sender, rcpt=rcpt, forwarders=forwarders, now=now)
    if why:
        return Unproven(by="arc", why=why)
    found: dict[str, keys.Key] = {}
    for one in (tag for hop in chain for tag in hop[:2]):
        key = await keys.find(one["s"], one["d"], dns)
        if isinstance(key, str):
            return Unproven(by="arc", why=key)
        found[key.name] = key
    genuine = partial(verify.arc, mail.content, {name: key.public for name, key in found.items()})
    sealed = await asyncio.to_thread(genuine) if len(mail.content) > LARGE else genuine()
    if sealed is None or len(sealed) != len(chain):
        why = "its chain of seals does not fit the mail: it was changed after it was sealed"
        return Unproven(by="arc", why=why, is_broken=True)
    if not is_dmarc_pass(sealed[-1], sender):
        return Unproven(by="arc", why="its first seal does not say dmarc=pass for this From")
    if await _is_of_nobody(mail, sealed[-1], sender, dns):
        return Unproven(by="arc", why=SPF_ALONE)
    newest = chain[-1][1]
    domain = newest["d"].lower()
    sure = await _delivered(mail, chain, rcpt=rcpt, mail_from=mail_from, peer=peer, dns=dns)
    written = await _written(mail, sender, is_needed=not sure, dns=dns, now=now)
    return Proven(
        by="arc",
        detail=f"sealed by {domain}, {len(chain)} hop{'s' if len(chain) > 1 else ''}",
        named=(written | sure | {canonical(sender)}) - {""},
        written=written,
        sure=sure | {canonical(sender)},
        is_to_signed=any({*one.covered} & {*RECIPIENTS} for one in dkim.aligned(mail, sender)),
        is_form_signed=_is_form_signed(mail, sender, hosts_of(newest.get("h", ""))),
        dated_at=stamped(mail.values("received")),
        signed_at=dkim.first_signed_at(dkim.aligned(mail, sender), mail),
        warning=next((text for key in found.values() if (text := key.warning(domain))), ""),
    )


async def _is_of_nobody(mail: RawMail, results: str, sender: str, dns: Resolver) -> bool:
    """Whether the mail is the author's by SPF alone, and SPF passed for a server that the author shares with others.

    SPF stands alone if no signature of the author passed, or if one of the author's signatures leaves parts of the mail
    uncovered.

    Raises:
        DnsUnavailable: a sender policy could not be looked up.
    """
    domain = sender.rpartition("@")[2].lower()
    found = bare(results).split(";")
    is_signed = is_signed_by(found, domain)
    if is_signed and not any(dkim.uncovered(one, mail) for one in dkim.aligned(mail, sender)):
        return False
    return await is_by_shared_server(results, domain, dns)


async def is_by_shared_server(results: str, domain: str, dns: Resolver) -> bool:
    """Whether the server in these results is one that the author's domain shares with others (`servers.is_shared`).

    Raises:
        DnsUnavailable: a sender policy could not be looked up.
    """
    found = [one.lower() for result in bare(results).split(";") if SPF.match(result) for one in ENVELOPE.findall(result)]
    return await servers.is_shared(next(iter(found), domain), servers.address_in(results), dns)


def is_signed_by(results: Iterable[str], domain: str) -> bool:
    """Whether results say that a signature of the author's organization is genuine."""
    for result in results:
        signers = SIGNER.findall(result) if DKIM_PASS.match(result) else []
        own = [d.lower() for d, _ in signers if d] or [i.lower() for _, i in signers]
        if own and all(dkim.may_sign(one, domain) for one in own):
            return True
    return False


async def _written(mail: RawMail, sender: str, *, is_needed: bool, dns: Resolver, now: datetime) -> frozenset[str]:
    """The recipients that the author has signed. Empty if DNS does not answer and the recipients are not needed.

    Raises:
        DnsUnavailable: DNS does not answer and the recipients are needed.
    """
    try:
        return await dkim.signed_recipients(mail, sender=sender, dns=dns, now=now)
    except DnsUnavailable:
        if is_needed:
            raise
        return frozenset()


async def _delivered(mail: RawMail, chain: list[Hop], *, rcpt: str, mail_from: str, peer: str, dns: Resolver) -> frozenset[str]:
    """The account that the forwarder says it delivered to, in a stamp or an envelope of its own.

    A seal does not cover the position of a line. So the position counts only if nobody can have moved the line: in a mail that
    was sealed for us (``darn=``), because nobody else received it, or in a mail that comes from the forwarder's own server.
    """
    newest, count = chain[-1][1], len(chain)
    if newest["d"].lower() != STAMPING:
        return frozenset()
    lines = stamps.below_seal(mail, count)
    is_ours = newest.get("darn", "").lower() == rcpt.rpartition("@")[2].lower()
    if is_ours and stamps.is_covered(mail, newest.get("h", ""), lines):
        return stamps.account_of(lines)
    is_routed = is_ours and count > 1 and not stamps.account_of(lines)
    if is_routed and chain[-2][1]["d"].lower() == STAMPING and not chain[-2][1].get("darn"):
        # Routing writes no Delivered-To. A set with a destination was not made when the mail came in.
        taken_in = stamps.taken_in_for(mail, count)
        if taken_in:
            return taken_in
    lines = stamps.above_seal(mail, count) + lines
    account = spf.forwarding_account(mail_from, rcpt=rcpt)
    address = spf.address_of(peer)
    if address is None or not (account or stamps.account_of(lines)):
        return frozenset()
    if await spf.is_of("Google", address, dns) != "pass":
        return frozenset()
    own = account and not stamps.is_for_another(mail.content, account)
    return stamps.account_of(lines) | ({canonical(account)} if own else set())


def _is_form_signed(mail: RawMail, sender: str, covered: tuple[str, ...]) -> bool:
    """Whether the headers that say how to read the body are the author's: every signature of the author and the seal cover
    them."""
    of_author = dkim.aligned(mail, sender)
    return bool(of_author) and all({*dkim.FORM} <= {*one} for one in (covered, *(signature.covered for signature in of_author)))


Hop = tuple[Mapping[str, str], Mapping[str, str], str]
"""One set: the seal's tags, the message signature's tags, and the results that it sealed."""


def sets(mail: RawMail) -> list[Hop] | str:
    """The sets in order from the first, or why they are not a chain."""
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


def refusal(mail: RawMail, chain: list[Hop], *, sender: str, rcpt: str, forwarders: Collection[str], now: datetime) -> str:
    """Why the chain could not count even if it were genuine; ``""`` if it could."""
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
    if not is_dmarc_pass(chain[0][2], sender):
        return "its first seal does not say dmarc=pass for this From"
    return _aged(mail, chain, sender=sender, now=now)


def _aged(mail: RawMail, chain: list[Hop], *, sender: str, now: datetime) -> str:
    """Why a seal or an author's signature has expired, is from the future, is too old or lets others change the mail; ``""`` if
    none does.

    A seal of today over a mail of last year only says that somebody sent the mail again. The time of a hop is the time of its
    seal or of its signature; without either it is the Date, if the newest seal covers it. DMARC also passes by a signature that
    lets others append to the mail.
    """
    written = signed_date(hosts_of(chain[-1][1].get("h", "")), mail)
    for seal, signature, _ in chain:
        over = dkim.expired(seal, now=now) or dkim.expired(signature, now=now)
        if over:
            return over
        times = [one for one in (seal, signature) if one.get("t")] or [signature]
        for one in times:
            why = aged(one, now=now, written=written)
            if why:
                return why
    is_direct = is_from_authors_server(bare(chain[0][2]).split(";"), sender.rpartition("@")[2].lower())
    for own in dkim.aligned(mail, sender):
        why = "" if is_direct else dkim.uncovered(own, mail)
        if why:
            return why
        why = aged(own.tags, now=now, written=signed_date(own.covered, mail))
        if why:
            return why
    return ""


def is_dmarc_pass(results: str, sender: str) -> bool:
    """Whether sealed results say that DMARC passed for this From's domain, once and without contradiction."""
    text = bare(results)
    verdicts = [one.lower() for one in DMARC.findall(text)]
    named = HEADER_FROM.findall(text)
    domain = sender.rpartition("@")[2].lower()
    return verdicts == ["pass"] and bool(named) and all(one.lower().rstrip(".") == domain for one in named)


def is_from_authors_server(results: list[str], domain: str) -> bool:
    """Whether results say, by SPF, that the mail came straight from a server of the author, with an envelope of the author's
    organization."""
    verdicts = [(verdict[1].lower(), result.lower()) for result in results if (verdict := SPF.match(result))]
    named = [result for _, result in verdicts if "smtp.mailfrom" in result]
    return (
        bool(named)
        and all(verdict == "pass" for verdict, _ in verdicts)
        and all(len(found := ENVELOPE.findall(one)) == 1 and dkim.is_aligned(found[0], domain) for one in named)
    )


def bare(results: str) -> str:
    """Results without comments and quoted strings, because these may contain a sender's own words. ``""`` if they are not
    balanced."""
    text = results
    for _ in range(MOST_NESTED):
        before = text
        text = COMMENT.sub(" ", QUOTED.sub(" ", text))
        if text == before:
            break
    return "" if any(mark in text for mark in '()"\\') else text
