"""What people add by command or page: data in the store beside the configuration's file, in force at once.

Everything raises StoreUnavailable and nothing else, as the rest of the contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Literal, Protocol

from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret

Role = Literal["agent", "ingest", "viewer", "operator"]
"""What a token allows: an agent reads the codes of its identifiers, an ingest token posts mail and does nothing else, a viewer sees
everything but codes, an operator does everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that was added: an address, a mailbox, a known sender, a target …

    ``kind`` is the configuration's own word for it (``address``, ``imap``, ``target``), ``name`` tells it from the others of its
    kind, ``settings`` are its keys and values as its section of the file would hold them, secrets excepted: of those only the names
    are here. ``added_by`` is who added or last changed it.
    """

    kind: str
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    added_at: datetime
    added_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A bearer token without its text, of which only a hash is kept. ``expires_at`` None: never."""

    id: int
    name: str
    identifiers: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    role: Role = "agent"

    def may_read(self, identifier: str) -> bool:
        """Whether an identifier is one of its own; ``*`` stands for any text, case makes no difference. An ingest token reads none:
        its identifiers are those for which it may bring codes that nothing else proves (`may_bring`)."""
        return self.role != "ingest" and self._names(identifier)

    def may_bring(self, identifier: str) -> bool:
        """Whether it may bring an unproven code for an identifier."""
        return self.role == "ingest" and self._names(identifier)

    def _names(self, identifier: str) -> bool:
        folded = identifier.casefold()
        return any(fnmatchcase(folded, pattern.casefold()) for pattern in self.identifiers)


class Entries(Protocol):
    """Entries by kind and name, and tokens by their hash."""

    async def put(
        self,
        kind: str,
        name: str,
        settings: Mapping[str, Any],
        *,
        by: str,
        secrets: Mapping[str, Secret] | None = None,
        is_new: bool = False,
    ) -> bool:
        """Add an entry, or put it in the place of the one of its name. ``settings`` are JSON, ``secrets`` are kept encrypted.

        ``is_new``: only where there is none of that name. Returns whether it was written.
        """
        ...

    async def entries(self, kind: str | None = None) -> tuple[Entry, ...]:
        """Those of a kind, or all, in the order in which they were first added."""
        ...

    async def secrets(self, kind: str, name: str) -> Mapping[str, Secret]:
        """The secrets of an entry; empty where there is none, or they cannot be decrypted."""
        ...

    async def remove(self, kind: str, name: str) -> bool:
        """Forget an entry and erase its secrets; False if there is none of that name."""
        ...

    async def revision(self) -> int:
        """A number that grows with every entry that is put or removed, whoever did it."""
        ...

    async def add_token(
        self, digest: bytes, *, name: str, identifiers: Sequence[str], expires_at: datetime | None, role: Role = "agent"
    ) -> Token:
        """Keep a token by its hash (SHA-256 of a text with at least 128 bits of chance)."""
        ...

    async def token(self, digest: bytes) -> Token | None:
        """The token of a hash; None where there is none, or it is over."""
        ...

    async def tokens(self) -> tuple[Token, ...]:
        """Every token, oldest first, those that are over too."""
        ...

    async def remove_token(self, number: int) -> bool:
        """Forget a token; False if there is none of that number."""
        ...
