"""Who was this mail for: stamps and headers become an identifier, with provenance."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mailbridge.core import stamps
from mailbridge.core.addresses import canonical, parse_forwarding_envelope
from mailbridge.core.forwards import ForwardedBlock, forwarded_block
from mailbridge.core.identification import Clue, Identification, IdentityPolicy
from mailbridge.core.mail import Message
from mailbridge.core.recipients import POSTMASTER, Recipient
from mailbridge.core.wording import ForwardWords

__all__ = ["Clue", "Identification", "IdentityPolicy", "identify"]

MAX_CLUES = 40
CANDIDATE = "candidate"
OWN = "own domain"
WRITTEN = frozenset({"address", "attached", "To", "inline", "From"})
"""Sources of an identifier that are no forwarder's stamp."""

BEFORE_GMAIL: tuple[tuple[str, Callable[[str], str | None]], ...] = (
    ("X-MS-Exchange-ForwardingLoop", stamps.forwarding_loop),
    ("X-Gm-Original-To", stamps.bare),
    ("X-Pm-Forwarded-From", stamps.bare),
    ("X-SimpleLogin-Envelope-To", stamps.bare),
)
BEHIND_GMAIL: tuple[tuple[str, Callable[[str], str | None]], ...] = (
    ("X-Yahoo-Forwarded", stamps.yahoo),
    ("X-MS-Exchange-Inbox-Rules-Loop", stamps.bare),
    ("Resent-From", stamps.resent_from),
)
"""Forwarders' stamps and how each is read, before and behind Gmail's pair: the order in which they are believed."""

LATER_STAMPS = ("X-Original-To", "X-Delivered-To", "Envelope-To", "X-Envelope-To", "X-Rcpt-To", "Delivered-To")


class _Clues:
    """The addresses that a mail offers, in the order in which they are believed. ``mailbox`` is the watched one that it came to, or ""."""

    def __init__(self, policy: IdentityPolicy, mailbox: str) -> None:
        self.policy = policy
        self._mailbox = canonical(mailbox) if mailbox else ""
        self._found: list[tuple[str, str, str]] = []

    def add(self, mailbox: str | None, source: str) -> str | None:
        """Note a mailbox that was read; give it if it may be an identifier."""
        if not mailbox or len(self._found) >= MAX_CLUES:
            return None
        is_own = self.policy.is_own(mailbox) or (self._mailbox != "" and canonical(mailbox.casefold()) == self._mailbox)
        self._found.append((mailbox, source, OWN if is_own else CANDIDATE))
        return None if is_own else mailbox

    def add_watched(self, mailbox: str) -> None:
        """Note the watched mailbox itself."""
        self._found.append((mailbox, "mailbox", CANDIDATE))

    @property
    def has_candidate(self) -> bool:
        """Whether any may be an identifier."""
        return any(verdict == CANDIDATE for _, _, verdict in self._found)

    def is_exact(self, mailbox: str) -> bool:
        """Whether a mailbox is known by itself, not by a pattern."""
        return self.policy.spelling(mailbox) is not None

    def told(self, chosen: Iterable[tuple[str, str]] | None) -> tuple[Clue, ...]:
        """The clues as they ended, each chosen one (address, source) marked once; as they are, where there was nothing to choose from."""
        left = set(chosen or ())
        told = []
        for address, source, verdict in self._found:
            if (address, source) in left:
                left.discard((address, source))
                verdict = "chosen"
            elif verdict == CANDIDATE and chosen is not None:
                verdict = "passed over"
            told.append(Clue(address=address, source=source, verdict=verdict))
        return tuple(told)


def identify(
    message: Message, *, recipient: Recipient, mail_from: str, policy: IdentityPolicy, are_stamps_believed: bool = True
) -> Identification:
    """Whom a mail was first sent to, with provenance. Pure and total.

    In this order: what the recipient address is bound to, an attached original, forward stamps (oldest hop first), the To
    header as typed, an inline forwarded block, the oldest Received. What is found is then looked up among the known
    identifiers; with nothing known and no wildcard the mail is held. Anybody can write a stamp: without
    ``are_stamps_believed`` only what the author or a person wrote counts (To, an attached or an inline original).
    """
    if recipient.identifier:
        clue = Clue(address=recipient.identifier, source="address", verdict="chosen")
        return Identification(identifiers=(recipient.identifier,), source="address", clues=(clue, *_others(message, recipient)))
    if recipient.rcpt == POSTMASTER:
        return Identification(reason="it was sent to this server's postmaster, who waits for no code")
    if message.is_twofold:
        return Identification(reason="a header of it can be read in two ways that name different mailboxes (two-readings)")
    clues = _Clues(policy, recipient.rcpt if recipient.is_mailbox else "")
    offered = _offered(message, mail_from, clues, are_stamps_believed=are_stamps_believed)
    if recipient.is_mailbox:
        offered = _or_mailbox(message, recipient.rcpt, offered, clues)
    if not offered:
        return Identification(clues=clues.told(None), reason="the mail does not tell whom it was first sent to")
    picked = _picked(offered, policy)
    if not picked:
        address, source = offered[0]
        reason = f"{address} is not among the known identifiers: [identity] known"
        return Identification(source=source, clues=clues.told(()), reason=reason)
    return Identification(
        identifiers=tuple(dict.fromkeys(spelling for spelling, _ in picked)),
        source=picked[0][1][1],
        clues=clues.told([offer for _, offer in picked]),
    )


def _others(message: Message, recipient: Recipient) -> tuple[Clue, ...]:
    """Whom To names beside the identifier that the address is bound to: somebody may look for the mail under that name."""
    ours = {canonical(recipient.identifier or ""), canonical(recipient.rcpt)}
    named = [one for one in message.to[:MAX_CLUES] if canonical(one) not in ours]
    return tuple(Clue(address=one, source="To", verdict="passed over") for one in named)


def _picked(offered: list[tuple[str, str]], policy: IdentityPolicy) -> list[tuple[str, tuple[str, str]]]:
    """The spellings to push under, each with the offer that it comes from.

    An alias in To and the account behind it may both be known: then both get the code. Later hops, hubs among them, count
    only where neither is known or let through by a wildcard.
    """
    first = offered[:2] if offered[0][1] == "To" else offered[:1]
    known = [(spelling, offer) for offer in first if (spelling := policy.spelling(offer[0])) is not None]
    if known:
        return known
    for offer in offered:
        spelling = policy.spelling(offer[0]) or (offer[0] if policy.is_allowed(offer[0]) else None)
        if spelling is not None:
            return [(spelling, offer)]
    return []


def _offered(message: Message, mail_from: str, clues: _Clues, *, are_stamps_believed: bool) -> list[tuple[str, str]]:
    """The addresses to try with their sources, best first."""
    for inner in message.attached:
        if len(inner.to) == 1 and not inner.is_to_unclear and (address := clues.add(inner.to[0], "attached")):
            return [(address, "attached")]
    stamped = _stamped(message, mail_from, clues) if are_stamps_believed else []
    typed = [address for address in message.to if clues.add(address, "To")]
    if stamped:
        return _with_typed(stamped, typed, is_listed=message.is_listed)
    if message.is_to_unclear:  # whom it names beside these is not known, and so not which of them it was for
        return _oldest_received(message, clues) if are_stamps_believed else []
    if len(typed) == 1 and len(message.to) == 1:
        return [(typed[0], "To")]
    block = forwarded_block(message, clues.policy.forward or ForwardWords()) if not typed else None
    if block is not None:
        offered = _by_hand(message, block, clues)
        if offered or block.is_to_unclear or len(block.to) > 1:
            return offered
    exact = [one for one in typed if clues.is_exact(one)]
    if len(typed) == 1 or len(exact) == 1:
        return [((exact or typed)[0], "To")]
    if exact:  # several known ones: for which of them it was, no trace of a delivery says for sure
        return []
    return _oldest_received(message, clues) if are_stamps_believed else []


def _by_hand(message: Message, block: ForwardedBlock, clues: _Clues) -> list[tuple[str, str]]:
    """Of a mail that a person forwarded: the one mailbox that its block was for, or the person where the block names nobody but us."""
    inner = [one for one in block.to if clues.add(one, "inline")]
    if len(inner) > 1:
        inner = [one for one in inner if canonical(one) == canonical(message.sender)]
        return [(one, "inline") for one in inner[:1]]
    if inner:
        return [(inner[0], "inline")]
    forwarder = clues.add(message.sender or None, "From") if not block.is_to_unclear else None
    return [(forwarder, "From")] if forwarder else []


def _or_mailbox(message: Message, mailbox: str, chosen: list[tuple[str, str]], clues: _Clues) -> list[tuple[str, str]]:
    """What a mail in a watched mailbox offers: the mailbox's own address as typed, unless the mail was forwarded to it.

    A forward's evidence wins over it, traces of delivery (Delivered-To and its like) and further addresses in To do not. A mail
    that names nobody at all (a blind copy) was for the mailbox.
    """
    own = next((one for one in message.to if canonical(one) == canonical(mailbox)), None)
    if own is not None:
        is_forwarded = bool(chosen) and (
            chosen[0][1] not in ("To", "Received", *LATER_STAMPS) or message.header("X-Forwarded-For") is not None
        )
        return chosen if is_forwarded else [(own, "To"), *chosen]
    if not chosen and not message.is_to_unclear and not clues.has_candidate:
        clues.add_watched(mailbox)
        return [(mailbox, "mailbox")]
    return chosen


def _with_typed(stamped: list[tuple[str, str]], typed: list[str], *, is_listed: bool) -> list[tuple[str, str]]:
    """The To header wins as it was typed when it is one address that a person's own forward left alone.

    A list or a group in To loses to an Exchange stamp, which names the mailbox itself, and that of a mail over a list to any stamp:
    To then names the list (``repo@noreply.github.com``), not the account that forwards.
    """
    address, source = stamped[0]
    if len(typed) != 1 or typed[0] == address:
        return stamped
    is_same = canonical(typed[0]) == canonical(address)
    is_alias_hop = source in ("X-Forwarded-For", "Delivered-To", "envelope") and not is_same
    if (is_same and "+" in address and "+" not in typed[0]) or (is_listed and not is_same):
        return stamped
    if is_same or is_alias_hop:
        return [(typed[0], "To"), *stamped]
    return stamped


def _stamped(message: Message, mail_from: str, clues: _Clues) -> list[tuple[str, str]]:
    """What forwarders wrote, oldest hop first."""
    found: list[tuple[str, str]] = []

    def take(mailbox: str | None, source: str) -> None:
        address = clues.add(mailbox, source)
        if address is not None:
            found.append((address, source))

    there = message.stamp_names
    for name, read in BEFORE_GMAIL:
        if name.lower() in there:
            take(read(message.stamps(name)[0]), name)
    _take_gmail(message, take)
    for name, read in BEHIND_GMAIL:
        if name.lower() in there:
            take(read(message.stamps(name)[0]), name)
    envelope = parse_forwarding_envelope(mail_from)
    take(envelope[0] if envelope else None, "envelope")
    for name in LATER_STAMPS:
        if name.lower() in there:
            for value in reversed(message.stamps(name)[:10]):
                take(stamps.bare(value), name)
    return found


def _take_gmail(message: Message, take: Callable[[str | None, str], None]) -> None:
    """Gmail's pair: the bottom-most X-Forwarded-For names the base account, a Delivered-To of the same mailbox its tag."""
    forwards = message.stamps("X-Forwarded-For")
    account = stamps.forwarding_account(forwards[-1]) if forwards else None
    if account is None:
        return
    for value in reversed(message.stamps("Delivered-To")[:20]):
        delivered = stamps.bare(value)
        if delivered is not None and (delivered == account or canonical(delivered) == canonical(account)):
            take(delivered, "Delivered-To")
            return
    take(account, "X-Forwarded-For")


def _oldest_received(message: Message, clues: _Clues) -> list[tuple[str, str]]:
    for value in reversed(message.stamps("Received")[:50]):
        address = clues.add(stamps.received_for(value), "Received")
        if address is not None:
            return [(address, "Received")]
    return []
