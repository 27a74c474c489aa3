"""What people add by command or page: data in the store, next to the configuration file, in force at once.

Everything raises only StoreUnavailable, as does the rest of the contract.
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
"""What a token allows. An agent reads the codes of its identifiers. An ingest token only posts mail. A viewer sees everything
except codes. An operator may do everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that was added: an address, a mailbox, a known sender, a target …

    ``kind`` is the configuration's word for it (``address``, ``imap``, ``target``). ``name`` distinguishes it from others of its
    kind. ``settings`` are its keys and values as in a section of the file, but without secrets: of secrets it has only the names.
    ``added_by`` is who added it or last changed it.
    """

    kind: str
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    added_at: datetime
    added_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A bearer token without its text; only a hash of the text is kept. ``expires_at`` None means never."""

    id: int
    name: str
    identifiers: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    role: Role = "agent"

    def may_read(self, identifier: str) -> bool:
        """Whether an identifier is one of its own. ``*`` stands for any text, and case makes no difference. An ingest token
        reads none: its identifiers are those for which it may bring unproven codes (`may_bring`)."""
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
        """Add an entry, or replace the one with its name. ``settings`` are JSON; ``secrets`` are stored encrypted.

        ``is_new``: write it only if there is none with that name. Returns whether it was written.
        """
        ...

    async def entries(self, kind: str | None = None) -> tuple[Entry, ...]:
        """The entries of a kind, or all, in the order in which they were first added."""
        ...

    async def secrets(self, kind: str, name: str) -> Mapping[str, Secret]:
        """The secrets of an entry. Empty if there is no such entry, or they cannot be decrypted."""
        ...

    async def remove(self, kind: str, name: str) -> bool:
        """Remove an entry and erase its secrets. False if there is none with that name."""
        ...

    async def revision(self) -> int:
        """A number that grows each time anybody adds, changes or removes an entry."""
        ...

    async def add_token(
        self, digest: bytes, *, name: str, identifiers: Sequence[str], expires_at: datetime | None, role: Role = "agent"
    ) -> Token:
        """Keep a token by its hash (SHA-256 of a text with at least 128 random bits)."""
        ...

    async def token(self, digest: bytes) -> Token | None:
        """The token with this hash. None if there is none, or it has expired."""
        ...

    async def tokens(self) -> tuple[Token, ...]:
        """Every token, oldest first, including expired ones."""
        ...

    async def remove_token(self, number: int) -> bool:
        """Remove a token. False if there is none with that number."""
        ...
