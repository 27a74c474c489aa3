"""The author's own signature (RFC 6376, RFC 8463): a domain of the From's organization vouches for what the mail shows.

Which signature may count is decided here, since a verifier takes any: one whose ``d=`` is From's domain, one of the same
organization (DMARC's relaxed alignment, either way), or one that is listed for it; over the whole
body, over From and Subject, neither expired nor old, by a key that is strong enough.
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
"""Signatures of the From's domain that are tried; others cost nothing, since they could not count."""

ALGORITHMS = ("rsa-sha256", "ed25519-sha256")
SKEW = timedelta(minutes=5)
OLDEST = timedelta(days=1)
"""A code that was signed longer ago is none any more: somebody sends an old mail again."""

LONGEST_TIME = 11
"""Digits of a moment in seconds since 1970 that is one of a calendar's."""

LARGE = 65_536
"""Octets from which verifying takes over 1 ms (measured), and so goes to a thread."""

BOUND = ("otp-token", "one-time-code", "date")
"""Headers that say the code and its site, and when it was written."""

FORM = ("content-type", "content-transfer-encoding")
"""Headers that say how the body is read. MIME-Version changes nothing for us, and Content-Disposition can only hide a body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A signature as it stands in the mail, whether it is genuine or not: at which place, its tags, and the headers it lists."""

    index: int
    tags: Mapping[str, str]
    covered: tuple[str, ...]

    @property
    def domain(self) -> str:
        """Who is said to have signed."""
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
    """Whether the author's organization has signed the mail. ``sender`` is the one From address; ``signers`` who else may sign for
    it; ``is_exact``: of his own domains that of the From alone.

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
    """The signatures, genuine or not, that DMARC would count for this author: of his domain, or of its parent, child or sibling."""
    domain = sender.rpartition("@")[2].lower()
    return [one for one in signatures(mail) if is_aligned(one.domain, domain)]


def is_aligned(domain: str, author: str) -> bool:
    """Whether two domains are of one organization, as DMARC has it (RFC 7489 3.1.1, relaxed)."""
    if domain == author:
        return True
    if domain.split(".")[-2:] != author.split(".")[-2:]:
        return False  # what is registrable has two labels at least: most strangers are told without the list
    own = registrable(author)
    return own is not None and registrable(domain) == own


def may_sign(domain: str, author: str) -> bool:
    """Whether what a domain signs is an author's word: `is_aligned`, but of a platform's customers each speaks for itself alone."""
    customer = platforms().tenant(domain)
    return is_aligned(domain, author) and (not customer or customer == platforms().tenant(author))


def warm_up() -> None:
    """Load the list of suffixes now: it takes 0.2 s, during which the event loop would serve nobody."""
    registrable("acme.example")


async def signed_recipients(mail: RawMail, *, sender: str, dns: Resolver, now: datetime) -> frozenset[str]:
    """The recipients that the author's organization has signed (`RawMail.recipients`), by the signatures of `aligned` that are genuine.

    That alone proves no author (a hosted customer may sign for a neighbour): it is for whoever knows by other means that DMARC
    has passed.

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
    """What two genuine signatures of one author say together."""
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
    """Why a signature could not count even if it were genuine; ``""`` where it could."""
    read = signature.tags
    if read.get("a", "").lower() not in ALGORITHMS:
        return f"its signature's algorithm is not {' or '.join(ALGORITHMS)}: {read.get('a', '')[:20]}"
    if not read.get("s") or not read.get("b") or not read.get("bh"):
        return "its signature is incomplete"
    return uncovered(signature, mail) or aged(read, now=now, written=signed_date(signature.covered, mail))


def uncovered(signature: Signature, mail: RawMail) -> str:
    """What a signature leaves to anybody on the way, where that is the mail's own words; ``""`` where it leaves nothing of them."""
    if "l" in signature.tags:
        return "its signature has l=, which lets anybody append to the mail"
    for name in ("from", "subject"):
        if name not in signature.covered and mail.values(name):
            return f"its signature does not cover {name.capitalize()}"
    return ""


def signed_date(covered: Collection[str], mail: RawMail) -> datetime | None:
    """The moment in the Date header, where these headers are covered and it is one."""
    dates = mail.values("date")
    return moment(dates[0]) if "date" in covered and len(dates) == 1 else None


def signed_at(signature: Signature, mail: RawMail) -> datetime | None:
    """When a mail was signed (``t=``) or, by the Date that its signature covers, written: the later of them, since some senders' clocks or
    zones are wrong. None where the signature says neither."""
    made = signature.tags.get("t", "")
    at = datetime.fromtimestamp(int(made), UTC) if made.isascii() and made.isdigit() and len(made) <= LONGEST_TIME else None
    return max(filter(None, (at, signed_date(signature.covered, mail))), default=None)


def first_signed_at(signed: Iterable[Signature], mail: RawMail) -> datetime | None:
    """The earliest `signed_at` of several, where it is not known which of them is genuine."""
    return min(filter(None, (signed_at(one, mail) for one in signed)), default=None)


def expired(signature: Mapping[str, str], *, now: datetime) -> str:
    """Whether a signature or a seal is over by its own word (``x=``), or has a time that is none; ``""`` where neither is so."""
    for value in (signature.get("t", ""), expires := signature.get("x", "")):
        if value and not (value.isascii() and value.isdigit() and len(value) <= 12):
            return "its signature has a time that is none"
    return "its signature has expired (x=)" if expires and int(expires) < now.timestamp() else ""


def aged(signature: Mapping[str, str], *, now: datetime, written: datetime | None) -> str:
    """Whether a signature is over, from the future, or too old for a code; ``""`` where it is none of these.

    ``written`` is the Date that it covers: the age of one that names no time of its own (``t=``). Without either it has none.
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
