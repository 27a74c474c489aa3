"""What is found out about whom a mail was for, and by which identifiers; who only handles answers needs nothing that reads mails."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from mailbridge.core.addresses import canonical, split
from mailbridge.core.dataclass import dataclass

if TYPE_CHECKING:  # who only handles answers loads no words of languages
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


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityPolicy:
    """Which identifiers may be pushed, and which addresses are our own plumbing and never one.

    ``known`` are exact addresses or patterns with ``*``; ``learned`` exact spellings that a target asks for. ``forward`` are the
    words by which a block of forwarded headers is known.
    """

    known: tuple[str, ...] = ("*",)
    learned: tuple[str, ...] = ()
    own_domains: tuple[str, ...] = ()
    own_addresses: tuple[str, ...] = ()
    forward: ForwardWords | None = None

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
