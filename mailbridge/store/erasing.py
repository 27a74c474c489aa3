"""What it is to forget an identifier, whatever the database: which facts name it, and what is left of them for others."""

from __future__ import annotations

from dataclasses import replace

from mailbridge.core.addresses import canonical
from mailbridge.store.packing import Facts

IN_NAMES = tuple("_-+@")
"""What, beside letters and digits, goes on with an address."""

REASON = "removed by an operator"
ENDED = "its inbox is over"
EMPTY = Facts(
    mail_from="",
    rcpt_to=(),
    peer="",
    sender="",
    message_id="",
    identifiers=(),
    identifier_from=None,
    reason=REASON,
    defects=(),
    clues=(),
)


def names_it(facts: Facts, line: str) -> bool:
    """Whether a mail names an identifier: it is for it, to it, from it, or has a clue to it."""
    named = (*facts.identifiers, *facts.rcpt_to, facts.sender, facts.mail_from, *(clue.address for clue in facts.clues))
    return any(is_same(one, line) for one in named if one)


def others_of(facts: Facts, line: str) -> tuple[str, ...]:
    """For whom else a mail is."""
    return tuple(one for one in facts.identifiers if not is_same(one, line))


def without(facts: Facts, line: str) -> Facts:
    """What is kept of a mail that is for others too: they keep their codes, and what would tell of this one is gone."""
    return replace(
        facts,
        identifiers=others_of(facts, line),
        clues=(),
        rcpt_to=tuple(one for one in facts.rcpt_to if not is_same(one, line)),
        mail_from="" if is_same(facts.mail_from, line) else facts.mail_from,
        sender="" if is_same(facts.sender, line) else facts.sender,
        trust="",
        held=(),
    )


def is_same(address: str, line: str) -> bool:
    """Whether an address is that of the identifier, in another spelling perhaps (`canonical`): with a tag, as the envelope senders of
    forwards have it, or with other dots at Gmail."""
    folded = address.casefold()
    return folded == line or ("@" in folded and "@" in line and canonical(folded) == canonical(line))


def names(text: str, line: str) -> bool:
    """Whether a text names an identifier: as a whole, not as a part of another one."""
    folded = text.casefold()
    at = folded.find(line)
    while at >= 0:
        before, after = folded[at - 1 : at], folded[at + len(line) : at + len(line) + 1]
        if not (before.isalnum() or before in IN_NAMES) and not (after.isalnum() or after in IN_NAMES):
            return True
        at = folded.find(line, at + 1)
    return False
