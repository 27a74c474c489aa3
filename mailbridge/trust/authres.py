"""What a mailbox's own server found (RFC 8601): the topmost Authentication-Results, if the operator has named its server.

This counts only for mail that is fetched from a mailbox. There the server writes its results above everything that the sender
wrote. In a mail that is sent to us the header is the sender's own claim and proves nothing.

The results say who wrote the mail, never for whom. Anybody can send another person's genuine mail on to the mailbox, and it stays
genuine. To and Cc say for whom the mail was if they are the author's own words: covered by the author's signature, or straight
from the author's servers. If the author names nobody (a blind copy, or a signature without To), the server's own delivery stamp
counts.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import datetime

from mailbridge.core.addresses import canonical
from mailbridge.trust import Finding, Proven, Unproven, dkim, stamps
from mailbridge.trust.arc import HEADER_FROM, SPF, bare, is_by_shared_server, is_from_authors_server, is_signed_by
from mailbridge.trust.dates import stamped
from mailbridge.trust.dns import DnsUnavailable, Resolver
from mailbridge.trust.raw import MISSED, RECIPIENTS, RawMail
from mailbridge.trust.servers import is_customers

NAME = re.compile(r"[ \t]*([!-~]+)(?![^ \t])")
"""A server's name as every server reads it. A server removes foreign results that carry its own name. It does not recognise a
name that only we would read as its own (with a blank or a non-ASCII letter), so such a header is the sender's."""

DMARC = re.compile(r"(?i)^\s*dmarc\s*=\s*([a-z]+)")
OF_AUTHOR = frozenset(
    {"from", "to", "cc", "subject", "date", "message-id", "mime-version", "content-type", "dkim-signature", "reply-to", "sender"}
)
"""Headers that a server does not write. If one stands above a server's results, the server does not put its results on top. Then
anybody may have written what is above them."""


async def find(mail: RawMail, *, sender: str, servers: Collection[str], now: datetime, dns: Resolver) -> Finding:
    """`check`, with a look at the author's sender policy if it matters whether SPF passed for a server of the author alone.

    Raises:
        DnsUnavailable: it matters, and the policy could not be looked up.
    """
    strict = check(mail, sender=sender, servers=servers, now=now, is_shared=True)
    if isinstance(strict, Proven) and len(strict.written) == 1:
        return strict  # the author's servers would only add for whom of several, or of none, the mail was
    loose = check(mail, sender=sender, servers=servers, now=now)
    if loose == strict:
        return strict
    try:
        is_shared = await is_by_shared_server(mail.values("authentication-results")[0], sender.rpartition("@")[2], dns)
    except DnsUnavailable:
        if isinstance(strict, Proven):
            return strict
        raise
    return strict if is_shared else loose


def check(mail: RawMail, *, sender: str, servers: Collection[str], now: datetime, is_shared: bool = False) -> Finding:
    """Whether the mailbox's server found the mail genuine. ``servers`` are the authserv-ids that the operator named.
    ``is_shared``: others may send from the server for which SPF passed, so its SPF results do not count. Any mail gives a
    Finding."""
    if not sender:
        return Unproven(by="authres", why="the mail has not exactly one From address")
    if mail.doubt or mail.is_missed:
        return Unproven(by="authres", why=mail.doubt or MISSED)
    topmost = next(iter(mail.values("authentication-results")), None)
    if topmost is None:
        return Unproven(by="authres", why="its mailbox's server wrote no Authentication-Results")
    text = bare(topmost)
    server, *results = text.split(";")
    own = NAME.match(server)
    name = own[1].lower() if own is not None else ""
    if name not in {one.lower() for one in servers}:
        return Unproven(
            by="authres", why=f"its topmost Authentication-Results is of {name[:100] or 'nobody'}, which is not named"
        )
    domain = sender.rpartition("@")[2].lower()
    is_signature_needed = is_shared or is_customers(domain)
    found = _found(results, domain, is_signature_needed=is_signature_needed)
    if not found and _found(results, domain, is_signature_needed=False):
        return Unproven(by="authres", why=f"{name} found no signature of {domain}, and others may send from where it came")
    if not found:
        return Unproven(by="authres", why=f"{name} found neither dmarc=pass nor a signature of {domain}")
    signed = dkim.aligned(mail, sender)
    is_direct = not is_shared and _is_direct(results, is_signed=bool(signed), domain=domain)
    for one in signed:
        why = ("" if is_direct else dkim.uncovered(one, mail)) or dkim.aged(
            one.tags, now=now, written=dkim.signed_date(one.covered, mail)
        )
        if why:
            return Unproven(by="authres", why=why)
    written = _written(mail, signed, is_direct=is_direct)
    delivered = stamped_accounts(mail)
    if written:
        delivered &= written if is_direct else frozenset()
    sure = {canonical(sender), *delivered}
    covered = set[str].intersection(*({*one.covered} for one in signed)) if signed else set[str]()
    return Proven(
        by="authres",
        detail=f"{name} found {found} {domain}",
        named=(written | sure) - {""},
        written=written,
        sure=frozenset(sure),
        is_to_signed=is_direct or (bool(signed) and all({*one.covered} & {*RECIPIENTS} for one in signed)),
        is_form_signed=bool(signed) and all({*dkim.FORM} <= {*one.covered} for one in signed),
        signed=frozenset(covered),
        signers=frozenset(one.domain for one in signed),
        dated_at=dkim.signed_date(covered, mail) or stamped(mail.values("received")),
        signed_at=dkim.first_signed_at(signed, mail),
    )


def _found(results: Sequence[str], domain: str, *, is_signature_needed: bool) -> str:
    """What the server found that counts, or ``""``. ``is_signature_needed``: dmarc=pass alone does not count, since SPF may be
    its only reason."""
    is_dmarc_enough = not is_signature_needed or is_signed_by(results, domain)
    for result in results:
        verdict = DMARC.match(result)
        if verdict is not None and verdict[1].lower() == "pass" and is_dmarc_enough:
            named = HEADER_FROM.findall(result)
            if named and all(one.lower() == domain for one in named):
                return "dmarc=pass for"
        if is_signed_by((result,), domain):
            return "the signature of"
    return ""


def _written(mail: RawMail, signed: list[dkim.Signature], *, is_direct: bool) -> frozenset[str]:
    """The mailboxes for which the author wrote the mail, from headers that nobody else can have written.

    The server does not always say which of several signatures it found genuine. So a header counts only if every signature covers
    it.
    """
    if is_direct:
        covered = set(RECIPIENTS)
    else:
        covered = set(RECIPIENTS).intersection(*(one.covered for one in signed)) if signed else set()
    return mail.recipients(covered)


def _is_direct(results: list[str], *, is_signed: bool, domain: str) -> bool:
    """Whether the mailbox's server got the mail straight from a server of the author, so that every line of the mail is the
    author's.

    The server says so by SPF for an envelope of the author's organization. If the mail has no signature of the author, DMARC can
    only have passed by SPF.
    """
    if is_from_authors_server(results, domain):
        return True
    verdicts = [(verdict[1].lower(), result.lower()) for result in results if (verdict := SPF.match(result))]
    if any(verdict != "pass" or "smtp.mailfrom" in result for verdict, result in verdicts):
        return False
    return not is_signed and any(DMARC.match(result) for result in results)


def stamped_accounts(mail: RawMail) -> frozenset[str]:
    """The mailboxes in the delivery stamps above the server's results and above every line that a server does not write."""
    lines: list[stamps.Line] = []
    for name, value in mail.headers:
        if name == "authentication-results":
            return stamps.delivered(lines, names=("delivered-to", "x-original-to", "x-delivered-to"))
        if name in OF_AUTHOR:
            break
        lines.append((name, value))
    return frozenset()
