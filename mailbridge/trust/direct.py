"""Whom a mail was for where the author's signed To says nothing: he says it by handing the mail to us himself, or a mailbox's server by its stamp.

A To that no signature covers is anybody's word: whoever got a code of his own could send it on with another To. What he cannot do is
send it from one of the author's own servers; from one that the author shares with others he can (`mailbridge.trust.servers`).
"""

from __future__ import annotations

from dataclasses import replace

from mailbridge.core.addresses import canonical, split
from mailbridge.core.mail import Envelope
from mailbridge.trust import Proven, dkim, servers, spf, stamps
from mailbridge.trust.authres import OF_AUTHOR
from mailbridge.trust.dns import Resolver
from mailbridge.trust.raw import RECIPIENTS, RawMail

DELIVERED = ("delivered-to", "x-original-to", "x-delivered-to", "envelope-to")


async def with_recipients(proof: Proven, mail: RawMail, envelope: Envelope, *, sender: str, dns: Resolver) -> Proven:
    """A proof with the mailboxes that are named beside the author's signature; the same where a signed To or Cc names somebody.

    Raises:
        DnsUnavailable: the author's sender policy could not be looked up.
    """
    if proof.written:
        return proof
    if envelope.is_fetched:
        stamped = _stamped(mail, envelope)
        return replace(proof, named=proof.named | stamped, sure=proof.sure | stamped)
    if proof.by != "dkim" or not await _is_from_author(envelope, sender, dns):
        return proof
    named = mail.recipients(RECIPIENTS)
    rcpts = frozenset(map(canonical, envelope.rcpt_to))
    return replace(proof, named=proof.named | (named - {""}) | rcpts, written=named)


def _stamped(mail: RawMail, envelope: Envelope) -> frozenset[str]:
    """The mailbox that a mail was fetched from, where its server has stamped that, and neither To nor Cc names anybody else.

    What stands above the topmost trace is the server's own: whoever brings it a mail gets a trace above all that he wrote.
    """
    boxes = frozenset(map(canonical, envelope.rcpt_to))
    names = [name for name, _ in mail.headers]
    own = mail.headers[: names.index("received")] if "received" in names else ()
    if {name for name, _ in own} & OF_AUTHOR or not mail.recipients(RECIPIENTS) <= boxes:
        return frozenset()
    stamped = stamps.delivered(list(own), DELIVERED)
    return stamped if stamped == boxes else frozenset()


async def _is_from_author(envelope: Envelope, sender: str, dns: Resolver) -> bool:
    """Whether the server that sends the mail to us is one of the author's, and nobody else's: SPF for an envelope of his organization.

    Google's servers, for one, send on what any of its customers routes, envelope and all, and many a domain lists them as its own.
    """
    address = spf.address_of(envelope.peer)
    domain = split(envelope.mail_from)[1].lower()
    if address is None or not dkim.may_sign(domain, split(sender)[1].lower()):
        return False
    if await spf.evaluate(domain, address, dns) != "pass":
        return False
    return not await servers.is_shared(domain, address, dns)
