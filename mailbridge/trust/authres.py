"""What a mailbox's own server found (RFC 8601): the topmost Authentication-Results, if it is one that the operator named.

Only for mail that is fetched from a mailbox: there the server writes it above everything that the sender wrote. In a mail that is
sent to us it is the sender's own claim, and means nothing.

It says who wrote the mail, never for whom: anybody can send somebody else's genuine mail on to the mailbox, and it stays genuine.
Whom it was for is said by To and Cc where they are the author's own words: covered by his signature, or come straight from his
servers. Where he says nothing (a blind copy, or a signature that leaves To out) the server's own stamp of delivery counts.
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
"""A server's name as every server reads it. What only we read as one (a blank or a letter beyond ASCII) is left by the server that takes
away results under its own name, and is a sender's."""

DMARC = re.compile(r"(?i)^\s*dmarc\s*=\s*([a-z]+)")
OF_AUTHOR = frozenset(
    {"from", "to", "cc", "subject", "date", "message-id", "mime-version", "content-type", "dkim-signature", "reply-to", "sender"}
)
"""Headers that a server does not write. Where one stands above its results, the server does not put them on top, and what is above
them may be anybody's."""


async def find(mail: RawMail, *, sender: str, servers: Collection[str], now: datetime, dns: Resolver) -> Finding:
    """`check`, where the author's own policy is asked if it matters whether SPF's pass is about a server of his alone.

    Raises:
        DnsUnavailable: it matters, and is not known.
    """
    strict = check(mail, sender=sender, servers=servers, now=now, is_shared=True)
    if isinstance(strict, Proven) and len(strict.written) == 1:
        return strict  # what else a server of the author's would prove is for whom of several, or of none
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
    """Whether the mailbox's server found the mail genuine. ``servers`` are the authserv-ids that are named. ``is_shared``: what it says of
    SPF may be about a server from which others send as well, and so counts for nothing. Total."""
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
    """What the server found that counts, or ``""``. ``is_signature_needed``: dmarc=pass alone does not, since SPF may be all of it."""
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
    """Whom the author says that the mail was for, in headers that nobody else can have written.

    Which of several signatures the server found genuine it does not always tell: a header counts if each of them covers it.
    """
    if is_direct:
        covered = set(RECIPIENTS)
    else:
        covered = set(RECIPIENTS).intersection(*(one.covered for one in signed)) if signed else set()
    return mail.recipients(covered)


def _is_direct(results: list[str], *, is_signed: bool, domain: str) -> bool:
    """Whether the mail came to the mailbox's server straight from one of the author's, so that every line of it is his.

    The server says so by SPF for an envelope of the author's organization. Where the mail holds no signature of his, DMARC can
    have passed by nothing else.
    """
    if is_from_authors_server(results, domain):
        return True
    verdicts = [(verdict[1].lower(), result.lower()) for result in results if (verdict := SPF.match(result))]
    if any(verdict != "pass" or "smtp.mailfrom" in result for verdict, result in verdicts):
        return False
    return not is_signed and any(DMARC.match(result) for result in results)


def stamped_accounts(mail: RawMail) -> frozenset[str]:
    """The mailboxes in the stamps that stand above the server's results, and above every line that a server does not write."""
    lines: list[stamps.Line] = []
    for name, value in mail.headers:
        if name == "authentication-results":
            return stamps.delivered(lines, names=("delivered-to", "x-original-to", "x-delivered-to"))
        if name in OF_AUTHOR:
            break
        lines.append((name, value))
    return frozenset()
