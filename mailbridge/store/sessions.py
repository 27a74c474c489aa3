"""Logins to the page, and login links. Only the hash of each secret is stored.

Everything raises only StoreUnavailable, as does the rest of the contract.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol

from mailbridge.core.dataclass import dataclass

PageRole = Literal["viewer", "operator"]
LoginWay = Literal["link", "password"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One login. ``created_at`` is the time of the login, ``seen_at`` about when it was last used. It ends at ``expires_at``."""

    id: int
    name: str
    role: PageRole
    way: LoginWay
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


class Sessions(Protocol):
    """Sessions and invitations by a hash (32 octets). Expired ones count as missing."""

    async def invite(self, digest: bytes, *, name: str, role: PageRole, until: datetime) -> None:
        """Store a login link until it is used."""
        ...

    async def redeem(self, digest: bytes) -> tuple[str, PageRole] | None:
        """Use a login link: its name and role. A link works once, even if two ask at the same time. None if it is not valid."""
        ...

    async def begin(self, digest: bytes, *, name: str, role: PageRole, way: LoginWay, until: datetime) -> Session:
        """Store a new session."""
        ...

    async def find(self, digest: bytes) -> Session | None:
        """The session of a cookie. None if there is none."""
        ...

    async def extend(self, number: int, until: datetime) -> None:
        """Note that a session was used now, and ends at ``until``. Does nothing if it has ended."""
        ...

    async def sessions(self) -> tuple[Session, ...]:
        """Every session, newest login first."""
        ...

    async def end(self, number: int) -> bool:
        """End a session at once. False if there is none."""
        ...

    async def set_password(self, phc: str | None) -> None:
        """Store the value that a password is checked against (a PHC string), or remove it. Every session that began with a
        password ends."""
        ...

    async def password(self) -> str | None:
        """The value that a password is checked against; None if there is none."""
        ...
