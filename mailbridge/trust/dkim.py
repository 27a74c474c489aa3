"""The author's own signature (RFC 6376, RFC 8463): a domain of the From's organization vouches for what the mail shows.

A verifier accepts any signature, so this module decides which one may count. Its ``d=`` must be the From's domain, a domain of
the same organization (DMARC's relaxed alignment, in both directions), or a domain that is listed for it. It must cover the whole
body, From and Subject, be neither expired nor old, and use a key that is strong enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from mailbridge.core.dataclass import dataclass
from mailbridge.trust import Finding, Proven, Unproven, keys, verify
from mailbridge.trust.dates import moment
from mailbridge.trust.dns import Resolver
from mailbridge.trust.platforms import platforms
from mailbridge.trust.raw import RECIPIENTS, RawMail, hosts_of, tags
from mailbridge.trust.suffixes import registrable

MAX_SIGNATURES = 3
"""The largest number of the From's domain's signatures that are tried. Others cost nothing, because they could not count."""

ALGORITHMS = ("rsa-sha256", "ed25519-sha256")
SKEW = timedelta(minutes=5)
OLDEST = timedelta(days=1)
"""A code whose signature is older than this is no longer valid: somebody sends an old mail again."""

LONGEST_TIME = 11
"""The largest number of digits in a time (seconds since 1970) that a calendar can still show."""

LARGE = 65_536
"""Octets. Verifying a larger mail takes over 1 ms (measured), so it runs in a thread."""

BOUND = ("otp-token", "one-time-code", "date")
"""Headers that contain the code and its site, and the time of writing."""

FORM = ("content-type", "content-transfer-encoding")
"""Headers that say how to read the body. MIME-Version changes nothing for us, and Content-Disposition can only hide a body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A signature as it is in the mail, genuine or not: its position, its tags, and the headers that it lists."""

    index: int
    tags: Mapping[str, str]
    covered: tuple[str, ...]

    @property
    def domain(self) -> str:
        """The domain that claims to have signed (``d=``)."""
        return self.tags["d"].lower()


async def check(
    mail: RawMail,
    *,
    sender: str,
    signers: Mapping[str, frozenset[str]],
    dns: Resolver,
    now: datetime,
    is_exact: bool = False,
) -> Finding:
    """Whether the author's organization has signed the mail.

    ``sender`` is the one From address. ``signers`` are the other domains that may sign for it. ``is_exact``: of the author's
    domains only the From's own counts. Every input gives a Finding, except when DNS fails.

    Raises:
        DnsUnavailable: a signature that would count could not be checked.
    """
    if not sender:
        return Unproven(by="dkim", why="the mail has not exactly one From address")
    if mail.doubt:
        return Unproven(by="dkim", why=mail.doubt)
    domain = sender.rpartition("@")[2].lower()
    allowed = {domain} | signers.get(domain, frozenset())
    if not mail.values("dkim-signature"):
        return Unproven(by="dkim", why="it is not signed")
    why = f"none of its signatures is of {domain}{'' if is_exact else ' or its organization'}"
    is_broken, found = False, None
    covered: set[str] = set()
    own = [one for one in signatures(mail) if one.domain in allowed or (not is_exact and may_sign(one.domain, domain))]
    for signature in sorted(own, key=lambda one: one.domain not in allowed)[:MAX_SIGNATURES]:
        adds = {*signature.covered} & {*RECIPIENTS, *FORM, *BOUND}
        if found is not None and adds <= covered:
            continue
        one = await _one(mail, signature, dns=dns, now=now)
        if isinstance(one, Unproven):
            why, is_broken = one.why, one.is_broken
            continue
        covered |= adds
        found = one if found is None else combined(found, one)
    return found or Unproven(by="dkim", why=why, is_broken=is_broken)


def signatures(mail: RawMail) -> list[Signature]:
    """The mail's signatures that can be read, topmost first. Nothing is verified."""
    found = []
    for index, header in enumerate(mail.values("dkim-signature")):
        read = tags(header)
        if read is not None and read.get("d"):
            found.append(Signature(index=index, tags=read, covered=hosts_of(read.get("h", ""))))
    return found


def aligned(mail: RawMail, sender: str) -> list[Signature]:
    """The signatures, genuine or not, that DMARC would count for this author: of the author's domain, or its parent, child or
    sibling."""
    domain = sender.rpartition("@")[2].lower()
    return [one for one in signatures(mail) if is_aligned(one.domain, domain)]


def is_aligned(domain: str, author: str) -> bool:
    """Whether two domains belong to one organization in the sense of DMARC (RFC 7489 3.1.1, relaxed)."""
    if domain == author:
        return True
    if domain.split(".")[-2:] != author.split(".")[-2:]:
        return False  # what is registrable has two labels at least: most strangers are told without the list
    own = registrable(author)
    return own is not None and registrable(domain) == own


def may_sign(domain: str, author: str) -> bool:
    """Whether a domain's signature counts as the author's: `is_aligned`, except that a platform's customer signs only for
    itself."""
    customer = platforms().tenant(domain)
    return is_aligned(domain, author) and (not customer or customer == platforms().tenant(author))


def warm_up() -> None:
    """Load the list of suffixes now. That takes 0.2 s, and would block the event loop later."""
    registrable("acme.example")


async def signed_recipients(mail: RawMail, *, sender: str, dns: Resolver, now: datetime) -> frozenset[str]:
    """The recipients (`RawMail.recipients`) that the author's organization has signed, by the genuine signatures of `aligned`.

    This alone does not prove the author, because a hosted customer may sign for a neighbour. Call it only if something else
    proves that DMARC has passed.

    Raises:
        DnsUnavailable: a signature that would count could not be checked.
    """
    written: frozenset[str] = frozenset()
    for signature in [one for one in aligned(mail, sender) if {*one.covered} & {*RECIPIENTS}][:MAX_SIGNATURES]:
        one = await _one(mail, signature, dns=dns, now=now)
        if isinstance(one, Proven):
            written |= one.written
    return written


async def _one(mail: RawMail, signature: Signature, *, dns: Resolver, now: datetime) -> Finding:
    domain = signature.domain
    why = refused(signature, mail, now=now)
    if why:
        return Unproven(by="dkim", why=why)
    key = await keys.find(signature.tags["s"], domain, dns)
    if isinstance(key, str):
        return Unproven(by="dkim", why=key)
    if not key.speaks_for(signature.tags):
        return Unproven(
            by="dkim", why=f"the key at {key.name} is for the domain itself (t=s), and the signature names another (i=)"
        )
    is_large = len(mail.content) > LARGE
    genuine = partial(verify.dkim, mail.content, signature.index, {key.name: key.public})
    is_valid = await asyncio.to_thread(genuine) if is_large else genuine()
    if not is_valid:
        why = f"the signature of {domain} does not fit the mail: it was changed, or never signed by it"
        return Unproven(by="dkim", why=why, is_broken=True)
    written, author = mail.recipients(signature.covered), mail.mailboxes(("from",), ("from",))
    return Proven(
        by="dkim",
        detail=f"signed by {domain}",
        named=(written | author) - {""},
        written=written,
        sure=author,
        is_to_signed=any(name in signature.covered and mail.values(name) for name in RECIPIENTS),
        is_form_signed={*FORM} <= {*signature.covered},
        signed=frozenset(signature.covered),
        signers=frozenset((domain,)),
        dated_at=signed_date(signature.covered, mail),
        signed_at=signed_at(signature, mail),
        warning=key.warning(domain),
    )


def combined(one: Proven, other: Proven) -> Proven:
    """One proof from two genuine signatures of the same author."""
    named, written = one.named | other.named, one.written | other.written
    return replace(
        one,
        named=named,
        written=written,
        is_to_signed=one.is_to_signed or other.is_to_signed,
        is_form_signed=one.is_form_signed or other.is_form_signed,
        signed=one.signed | other.signed,
        signers=one.signers | other.signers,
        dated_at=one.dated_at or other.dated_at,
        signed_at=min(filter(None, (one.signed_at, other.signed_at)), default=None),
    )


def refused(signature: Signature, mail: RawMail, *, now: datetime) -> str:
    """Why a signature could not count even if it were genuine; ``""`` if it could."""
    read = signature.tags
    if read.get("a", "").lower() not in ALGORITHMS:
        return f"its signature's algorithm is not {' or '.join(ALGORITHMS)}: {read.get('a', '')[:20]}"
    if not read.get("s") or not read.get("b") or not read.get("bh"):
        return "its signature is incomplete"
    return uncovered(signature, mail) or aged(read, now=now, written=signed_date(signature.covered, mail))


def uncovered(signature: Signature, mail: RawMail) -> str:
    """Why a signature leaves some of the mail's own words open to changes on the way; ``""`` if it leaves none."""
    if "l" in signature.tags:
        return "its signature has l=, which lets anybody append to the mail"
    for name in ("from", "subject"):
        if name not in signature.covered and mail.values(name):
            return f"its signature does not cover {name.capitalize()}"
    return ""


def signed_date(covered: Collection[str], mail: RawMail) -> datetime | None:
    """The time in the Date header, if ``covered`` contains Date and the value is valid; else None."""
    dates = mail.values("date")
    return moment(dates[0]) if "date" in covered and len(dates) == 1 else None


def signed_at(signature: Signature, mail: RawMail) -> datetime | None:
    """When a mail was signed (``t=``), or written according to the Date that its signature covers. The later of the two counts,
    since some senders have wrong clocks or zones. None if the signature has neither."""
    made = signature.tags.get("t", "")
    at = datetime.fromtimestamp(int(made), UTC) if made.isascii() and made.isdigit() and len(made) <= LONGEST_TIME else None
    return max(filter(None, (at, signed_date(signature.covered, mail))), default=None)


def first_signed_at(signed: Iterable[Signature], mail: RawMail) -> datetime | None:
    """The earliest `signed_at` of several signatures, for callers that do not know which of them is genuine."""
    return min(filter(None, (signed_at(one, mail) for one in signed)), default=None)


def expired(signature: Mapping[str, str], *, now: datetime) -> str:
    """Why a signature or a seal has expired by its own ``x=``, or has an invalid time; ``""`` if neither is so."""
    for value in (signature.get("t", ""), expires := signature.get("x", "")):
        if value and not (value.isascii() and value.isdigit() and len(value) <= 12):
            return "its signature has a time that is none"
    return "its signature has expired (x=)" if expires and int(expires) < now.timestamp() else ""


def aged(signature: Mapping[str, str], *, now: datetime, written: datetime | None) -> str:
    """Why a signature has expired, is from the future, or is too old for a code; ``""`` if none of these is so.

    ``written`` is the Date that the signature covers. It gives the age of a signature without a time of its own (``t=``). A
    signature with neither counts as too old.
    """
    at = now.timestamp()
    over = expired(signature, now=now)
    if over:
        return over
    signed = signature.get("t", "")
    if not signed and written is None:
        return "its signature is too old: it has no time (t=), and covers no Date that is one"
    made, where = (float(signed), "t=") if signed or written is None else (written.timestamp(), "its Date")
    if made > at + SKEW.total_seconds():
        return f"its signature is from the future ({where})"
    if made < at - OLDEST.total_seconds():
        return f"its signature is older than a day ({where})"
    return ""
