"""What forgetting an identifier means in every database: which facts name it, and what others keep."""

from __future__ import annotations

from dataclasses import replace

from mailbridge.core.addresses import canonical
from mailbridge.store.packing import Facts

IN_NAMES = tuple("_-+@")
"""Characters besides letters and digits that continue an address."""

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
    """Whether a mail names an identifier: as its recipient or sender, as the identifier that it is for, or in a clue."""
    named = (*facts.identifiers, *facts.rcpt_to, facts.sender, facts.mail_from, *(clue.address for clue in facts.clues))
    return any(is_same(one, line) for one in named if one)


def others_of(facts: Facts, line: str) -> tuple[str, ...]:
    """The other identifiers that a mail is for."""
    return tuple(one for one in facts.identifiers if not is_same(one, line))


def without(facts: Facts, line: str) -> Facts:
    """The facts that are kept of a mail that is also for others. The others keep their codes, and all traces of this
    identifier are removed."""
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
    """Whether an address is the identifier's, perhaps in another spelling (`canonical`): with a tag, as in the envelope
    senders of forwards, or with other dots at Gmail."""
    folded = address.casefold()
    return folded == line or ("@" in folded and "@" in line and canonical(folded) == canonical(line))


def names(text: str, line: str) -> bool:
    """Whether a text names an identifier: as a whole, not as a part of another name."""
    folded = text.casefold()
    at = folded.find(line)
    while at >= 0:
        before, after = folded[at - 1 : at], folded[at + len(line) : at + len(line) + 1]
        if not (before.isalnum() or before in IN_NAMES) and not (after.isalnum() or after in IN_NAMES):
            return True
        at = folded.find(line, at + 1)
    return False
