"""Who was this mail for: stamps and headers become an identifier, with provenance."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from mailbridge.core.addresses import canonical, find_mailboxes, split
from mailbridge.core.forwards import forwarded_block
from mailbridge.core.mail import Message
from mailbridge.core.recipients import Recipient
from mailbridge.core.wording import ForwardWords


@dataclass(frozen=True, slots=True, kw_only=True)
class Clue:
    """One address that the mail offers as its first recipient: where it stood, and what became of it.

    ``source`` is a header name, or one of ``address``, ``attached``, ``inline``, ``envelope``, ``mailbox``, ``Received``.
    ``verdict`` is ``chosen`` or why it was passed over (``own domain``, ``several addresses``, ``later hop`` …).
    """

    address: str
    source: str
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Identification:
    """The identifiers to push under, best first; empty means hold. ``source`` is the provenance of the first."""

    identifiers: tuple[str, ...] = ()
    source: str | None = None
    clues: tuple[Clue, ...] = ()
    reason: str = ""


MAX_CLUES = 40
RECEIVED_FOR = re.compile(r"\bfor\s+<?([^\s<>;]{3,254})>?")
CAF = re.compile(r"^(.{1,64}?)\+caf_=.{1,300}@([^@]{1,253})$")
WRITTEN = frozenset({"address", "attached", "To", "inline", "From"})
"""Sources of an identifier that are no forwarder's stamp."""

LATER_STAMPS = ("X-Original-To", "X-Delivered-To", "Envelope-To", "X-Envelope-To", "X-Rcpt-To", "Delivered-To")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityPolicy:
    """Which identifiers may be pushed, and which addresses are our own plumbing and never one.

    ``known`` are exact addresses or patterns with ``*``; ``learned`` exact spellings that a target expects. ``forward`` are the
    words by which a block of forwarded headers is known.
    """

    known: tuple[str, ...] = ("*",)
    learned: tuple[str, ...] = ()
    own_domains: tuple[str, ...] = ()
    own_addresses: tuple[str, ...] = ()
    forward: ForwardWords = field(default_factory=ForwardWords)

    def is_own(self, address: str) -> bool:
        """Whether an address is ours: it says how the mail came here, not for whom it was."""
        folded = address.casefold()
        domain = split(folded)[1]
        return domain in {own.casefold() for own in self.own_domains} or canonical(folded) in {
            canonical(own) for own in self.own_addresses
        }

    def spelling(self, address: str) -> str | None:
        """How a known identifier is spelled, exactly or as the same mailbox; None where it is not known.

        Where several known identifiers are tags of one mailbox, an address that is none of them exactly is none of them.
        """
        exact = [one for one in (*self.known, *self.learned) if "*" not in one]
        folded = address.casefold()
        for one in exact:
            if one.casefold() == folded:
                return one
        same = {one.casefold(): one for one in reversed(exact) if canonical(one) == canonical(address)}
        return next(iter(same.values())) if len(same) == 1 else None

    def is_allowed(self, address: str) -> bool:
        """Whether a pattern with ``*`` lets an address through as it is."""
        return any("*" in one and fnmatchcase(address.casefold(), one.casefold()) for one in self.known)


class _Clues:
    """The addresses that a mail offers, in the order in which they are believed."""

    def __init__(self, policy: IdentityPolicy) -> None:
        self.policy = policy
        self.found: list[Clue] = []

    def add(self, text: str | None, source: str) -> str | None:
        """Note the first address in a text; give it if it may be an identifier."""
        if not text or len(self.found) >= MAX_CLUES:
            return None
        mailbox = next(iter(find_mailboxes(text, limit=1)), None)
        if mailbox is None:
            return None
        is_own = self.policy.is_own(mailbox)
        self.found.append(Clue(address=mailbox, source=source, verdict="own domain" if is_own else "candidate"))
        return None if is_own else mailbox

    def told(self, chosen: set[tuple[str, str]]) -> tuple[Clue, ...]:
        """The clues as they ended, each chosen one (address, source) marked once."""
        left = set(chosen)
        told = []
        for clue in self.found:
            is_it = (clue.address, clue.source) in left
            left.discard((clue.address, clue.source))
            verdict = "chosen" if is_it else "passed over" if clue.verdict == "candidate" else clue.verdict
            told.append(Clue(address=clue.address, source=clue.source, verdict=verdict))
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
        return Identification(identifiers=(recipient.identifier,), source="address", clues=(clue,))
    if recipient.is_mailbox:
        policy = replace(policy, own_addresses=(*policy.own_addresses, recipient.rcpt))
    clues = _Clues(policy)
    offered = _offered(message, mail_from, clues, are_stamps_believed=are_stamps_believed)
    if recipient.is_mailbox:
        offered = _or_mailbox(message, recipient.rcpt, offered, clues)
    if not offered:
        return Identification(clues=tuple(clues.found), reason="the mail does not tell whom it was first sent to")
    picked = _picked(offered, policy)
    if not picked:
        address, source = offered[0]
        reason = f"{address} is not among the known identifiers: [identity] known"
        return Identification(source=source, clues=clues.told(set()), reason=reason)
    return Identification(
        identifiers=tuple(dict.fromkeys(spelling for spelling, _ in picked)),
        source=picked[0][1][1],
        clues=clues.told({offer for _, offer in picked}),
    )


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
        if len(inner.to) == 1 and (address := clues.add(inner.to[0], "attached")):
            return [(address, "attached")]
    stamps = _stamps(message, mail_from, clues) if are_stamps_believed else []
    typed = [address for address in message.to if clues.add(address, "To")]
    if stamps:
        return _with_typed(stamps, typed)
    if len(typed) == 1 and len(message.to) == 1:
        return [(typed[0], "To")]
    block = forwarded_block(message, clues.policy.forward) if not typed else None
    if block is not None:
        inner_to = next((one for one in block.to if clues.add(one, "inline")), None)
        if inner_to:
            return [(inner_to, "inline")]
        forwarder = clues.add(message.sender, "From")
        if forwarder:
            return [(forwarder, "From")]
    if len(typed) == 1:
        return [(typed[0], "To")]
    return _oldest_received(message, clues) if are_stamps_believed else []


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
    if not chosen and not any(clue.verdict == "candidate" for clue in clues.found):
        clues.found.append(Clue(address=mailbox, source="mailbox", verdict="candidate"))
        return [(mailbox, "mailbox")]
    return chosen


def _with_typed(stamps: list[tuple[str, str]], typed: list[str]) -> list[tuple[str, str]]:
    """The To header wins as it was typed when it is one address that a person's own forward left alone.

    A list or a group in To loses to an Exchange stamp, which names the mailbox itself.
    """
    address, source = stamps[0]
    if len(typed) != 1 or typed[0] == address:
        return stamps
    is_same = canonical(typed[0]) == canonical(address)
    is_alias_hop = source in ("X-Forwarded-For", "Delivered-To", "envelope") and not is_same
    if is_same and "+" in address and "+" not in typed[0]:
        return stamps
    if is_same or is_alias_hop:
        return [(typed[0], "To"), *stamps]
    return stamps


def _stamps(message: Message, mail_from: str, clues: _Clues) -> list[tuple[str, str]]:
    """What forwarders wrote, oldest hop first."""
    found: list[tuple[str, str]] = []

    def take(text: str | None, source: str) -> None:
        address = clues.add(text, source)
        if address is not None:
            found.append((address, source))

    loop = message.header("X-MS-Exchange-ForwardingLoop")
    take(loop.partition(";")[0] if loop else None, "X-MS-Exchange-ForwardingLoop")
    take(message.header("X-Gm-Original-To"), "X-Gm-Original-To")
    take(message.header("X-Pm-Forwarded-From"), "X-Pm-Forwarded-From")
    take(message.header("X-SimpleLogin-Envelope-To"), "X-SimpleLogin-Envelope-To")
    _take_gmail(message, take)
    yahoo = re.search(r"from\s+(\S+)", message.header("X-Yahoo-Forwarded") or "")
    take(yahoo[1] if yahoo else None, "X-Yahoo-Forwarded")
    take(message.header("X-MS-Exchange-Inbox-Rules-Loop"), "X-MS-Exchange-Inbox-Rules-Loop")
    take(message.header("Resent-From"), "Resent-From")
    account = CAF.match(mail_from)
    take(f"{account[1]}@{account[2]}" if account else None, "envelope")
    for name in LATER_STAMPS:
        for value in reversed(message.all_headers(name)[:10]):
            take(value, name)
    return found


def _take_gmail(message: Message, take: Callable[[str | None, str], None]) -> None:
    """Gmail's pair: the bottom-most X-Forwarded-For names the base account, a Delivered-To of the same mailbox its tag."""
    forwards = message.all_headers("X-Forwarded-For")
    if not forwards:
        return
    account = next(iter(find_mailboxes(forwards[-1], limit=1)), None)
    if account is None:
        return
    for value in reversed(message.all_headers("Delivered-To")[:20]):
        delivered = next(iter(find_mailboxes(value, limit=1)), None)
        if delivered is not None and canonical(delivered) == canonical(account):
            take(delivered, "Delivered-To")
            return
    take(account, "X-Forwarded-For")


def _oldest_received(message: Message, clues: _Clues) -> list[tuple[str, str]]:
    for value in reversed(message.all_headers("Received")[:50]):
        found = RECEIVED_FOR.search(value)
        address = clues.add(found[1], "Received") if found else None
        if address is not None:
            return [(address, "Received")]
    return []
