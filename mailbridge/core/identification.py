"""What is found out about whom a mail was for, and by which identifiers; who only handles answers needs nothing that reads mails."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from mailbridge.core.addresses import canonical, split
from mailbridge.core.dataclass import dataclass

if TYPE_CHECKING:  # who only handles answers loads no words of languages
    from mailbridge.core.wording import ForwardWords

PATTERN = "*"
"""What makes a known identifier a pattern of several."""


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
    _own: _Own = field(init=False, repr=False, compare=False)
    _spelled: _Spelled = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Put addresses in order by what they are compared by: a mail asks several times, and thousands of identifiers may be known."""
        object.__setattr__(self, "_own", _Own.of(self.own_domains, self.own_addresses))
        object.__setattr__(self, "_spelled", _Spelled.of(self.known, self.learned))

    def is_own(self, address: str) -> bool:
        """Whether an address is ours: it says how the mail came here, not for whom it was."""
        folded = address.casefold()
        if split(folded)[1] in self._own.domains:
            return True
        return bool(self._own.addresses) and canonical(folded) in self._own.addresses

    def spelling(self, address: str) -> str | None:
        """How a known identifier is spelled, exactly or as the same mailbox; None where it is not known.

        Where several known identifiers are tags of one mailbox, an address that is none of them exactly is none of them.
        """
        exact = self._spelled.exact.get(address.casefold())
        if exact is not None or not self._spelled.exact:
            return exact
        same = self._spelled.same.get(canonical(address), ())
        return same[0] if len(same) == 1 else None

    def is_allowed(self, address: str) -> bool:
        """Whether a pattern with ``*`` lets an address through as it is."""
        if PATTERN in self._spelled.patterns:  # alone it lets everything through
            return True
        folded = address.casefold()
        return any(fnmatchcase(folded, pattern) for pattern in self._spelled.patterns)


class _Own(NamedTuple):
    """Our own domains, without case, and addresses, by their canonical form."""

    domains: frozenset[str]
    addresses: frozenset[str]

    @classmethod
    def of(cls, domains: Iterable[str], addresses: Iterable[str]) -> _Own:
        return cls(frozenset([own.casefold() for own in domains]), frozenset(map(canonical, addresses)))


class _Spelled(NamedTuple):
    """Known identifiers without case, each with its spelling; by mailbox, each with its different spellings; and patterns without case."""

    exact: Mapping[str, str]
    same: Mapping[str, Sequence[str]]
    patterns: Sequence[str]

    @classmethod
    def of(cls, known: Iterable[str], learned: Iterable[str]) -> _Spelled:
        exact: dict[str, str] = {}
        same: dict[str, list[str]] = {}
        for one in (*known, *learned):
            if PATTERN not in one and one.casefold() not in exact:
                exact[one.casefold()] = one
                same.setdefault(canonical(one), []).append(one)
        return cls(exact, same, [one.casefold() for one in known if PATTERN in one])
