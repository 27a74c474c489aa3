"""For whom a mail was if the author's signed To does not say: by a direct delivery from the author, or by a mailbox server's
stamp.

Anybody can write a To that no signature covers: an attacker can get a code for their own account and send it on with another To.
The attacker cannot send it from a server that only the author uses. From a server that the author shares with others the attacker
can (`mailbridge.trust.servers`).
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
    """The proof, with the mailboxes that are known from outside the author's signature. Unchanged if a signed To or Cc names
    somebody.

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
    """The mailbox from which a mail was fetched, if its server has stamped that and neither To nor Cc names anybody else.

    The lines above the topmost Received line are the server's own: the server writes a Received line above all that the sender
    wrote.
    """
    boxes = frozenset(map(canonical, envelope.rcpt_to))
    names = [name for name, _ in mail.headers]
    own = mail.headers[: names.index("received")] if "received" in names else ()
    if {name for name, _ in own} & OF_AUTHOR or not mail.recipients(RECIPIENTS) <= boxes:
        return frozenset()
    stamped = stamps.delivered(list(own), DELIVERED)
    return stamped if stamped == boxes else frozenset()


async def _is_from_author(envelope: Envelope, sender: str, dns: Resolver) -> bool:
    """Whether the server that sends us the mail is the author's alone, by SPF for an envelope of the author's organization.

    Others can send from shared servers. Google's, for example, also send what customers route through them, with the original
    envelope, and many domains list Google's servers as their own.
    """
    address = spf.address_of(envelope.peer)
    domain = split(envelope.mail_from)[1].lower()
    if address is None or not dkim.may_sign(domain, split(sender)[1].lower()):
        return False
    if await spf.evaluate(domain, address, dns) != "pass":
        return False
    return not await servers.is_shared(domain, address, dns)
