"""Who is logged in to the page, and the links that were made to log in with; of neither is the secret kept, only its hash.

Everything raises StoreUnavailable and nothing else, as the rest of the contract.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Protocol

from mailbridge.core.dataclass import dataclass

PageRole = Literal["viewer", "operator"]
LoginWay = Literal["link", "password"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One login. ``created_at`` is the login itself, ``seen_at`` about when it was last used; it ends at ``expires_at``."""

    id: int
    name: str
    role: PageRole
    way: LoginWay
    created_at: datetime
    seen_at: datetime
    expires_at: datetime


class Sessions(Protocol):
    """Sessions and invitations by a hash (32 octets). What is over its time is as good as not there."""

    async def invite(self, digest: bytes, *, name: str, role: PageRole, until: datetime) -> None:
        """Keep a login link until it is used."""
        ...

    async def redeem(self, digest: bytes) -> tuple[str, PageRole] | None:
        """Use a login link: its name and role. A link is used once, whoever asks at the same time; None for every other."""
        ...

    async def begin(self, digest: bytes, *, name: str, role: PageRole, way: LoginWay, until: datetime) -> Session:
        """Keep a new session."""
        ...

    async def find(self, digest: bytes) -> Session | None:
        """The session of a cookie."""
        ...

    async def extend(self, number: int, until: datetime) -> None:
        """It was used now, and ends at ``until``. Nothing happens where it has ended."""
        ...

    async def sessions(self) -> tuple[Session, ...]:
        """Every session, newest login first."""
        ...

    async def end(self, number: int) -> bool:
        """End a session at once. False where there is none such."""
        ...

    async def set_password(self, phc: str | None) -> None:
        """Keep what a password is checked against (a PHC string), or nothing. Every session that a password began ends."""
        ...

    async def password(self) -> str | None:
        """What a password is checked against; None where there is none."""
        ...
