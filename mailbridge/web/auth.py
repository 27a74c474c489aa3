"""Who sends a request and what they may do: bearer tokens (RFC 6750), and operators of this machine, who use the unix socket."""

from __future__ import annotations

import hmac
import time
from collections.abc import Mapping
from types import MappingProxyType

from starlette.exceptions import HTTPException
from starlette.requests import Request

from mailbridge.core.dataclass import dataclass
from mailbridge.core.secret import Secret
from mailbridge.core.token import token_digest
from mailbridge.store.entries import Entries, Role, Token
from mailbridge.web.limits import RateLimit, limit

ADMIN = "[http] token"
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="mailbridge"'}


RANKS: Mapping[Role, int] = MappingProxyType({"ingest": -1, "agent": 0, "viewer": 1, "operator": 2})
"""What a role includes: everything of the roles below it. Exceptions: a viewer does not see the codes of agents, and only an
ingest token may post mail."""

BRINGERS = "a bearer token of role ingest is needed; `mailbridge token add --role ingest` makes one"

PEER = "mailbridge_peer"
"""Where the unix socket's own connection says who is at its other end. No request can set it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whoever asks: a name for records, a role, and the identifiers (patterns) that may be read.

    ``reads_codes``: whether codes are shown in clear on the routes of agents. ``is_local``: it came by the unix socket.
    """

    name: str
    token: Token | None = None
    role: Role = "viewer"
    reads_codes: bool = True
    is_local: bool = False

    def may(self, role: Role) -> bool:
        """Whether the caller has a role, or one above it."""
        return RANKS[self.role] >= RANKS[role]

    @property
    def key(self) -> str:
        """A unique name for records: several tokens may have the same name."""
        return f"token {self.token.id}" if self.token is not None else f"{'socket' if self.is_local else 'setting'} {self.name}"

    @property
    def identifiers(self) -> tuple[str, ...]:
        """Patterns; ``*`` for all."""
        return ("*",) if self.token is None else self.token.identifiers

    def may_read(self, identifier: str) -> bool:
        """Whether an identifier is one of its own."""
        return self.token is None or self.token.may_read(identifier)

    def must_read(self, identifier: str) -> None:
        """Raise 403 if the token was not made for this identifier, or if its role sees no codes."""
        if not self.reads_codes:
            raise HTTPException(403, "a viewer sees no codes; `mailbridge token add --identifier` makes a token that reads them")
        if not self.may_read(identifier):
            raise HTTPException(403, "this token is not for that identifier; see `mailbridge token list`")


class TokenAuth:
    """Tells callers by their token; everybody else gets 401, and too many guesses 429."""

    def __init__(self, *, entries: Entries, admin: Secret | None, strangers: RateLimit | None = None) -> None:
        self._entries = entries
        self._admin = None if admin is None else token_digest(admin.reveal())
        self._strangers = strangers or RateLimit(rate=2, burst=30, now=time.monotonic)

    async def caller(self, request: Request) -> Caller:
        """Who asks: an operator at the unix socket, or whoever holds a token. That of ``[http] token`` reads everything.

        Raises:
            HTTPException: 401 for no, an unknown or an expired token, all alike; 403 for an ingest token; 429 after many wrong ones.
            StoreUnavailable: tokens cannot be looked up now.
        """
        peer = request.scope.get("state", {}).get(PEER)
        if isinstance(peer, str):
            return Caller(name=peer, role="operator", is_local=True)
        text = bearer_of(request)
        if text:
            digest = token_digest(text)
            if self._admin is not None and hmac.compare_digest(digest, self._admin):
                return Caller(name=ADMIN)
            token = await self._entries.token(digest)
            if token is not None and token.role == "ingest":
                raise HTTPException(403, "a token of role ingest posts mail and does nothing else")
            if token is not None:
                return Caller(name=token.name, token=token, role=token.role, reads_codes=token.role != "viewer")
        limit(self._strangers, request)
        raise HTTPException(401, "a bearer token is needed; `mailbridge token add` makes one", headers=CHALLENGE)

    async def bringer(self, request: Request, text: str) -> Token:
        """The ingest token of this text, which may post mail.

        Raises:
            HTTPException: 401 for no, an unknown or an expired token, all alike; 403 for one of another role; 429 after many wrong ones.
            StoreUnavailable: tokens cannot be looked up now.
        """
        token = await self._entries.token(token_digest(text)) if text else None
        if token is not None and token.role == "ingest":
            return token
        limit(self._strangers, request)
        if token is not None:
            raise HTTPException(403, BRINGERS)
        raise HTTPException(401, BRINGERS, headers=CHALLENGE)


def bearer_of(request: Request) -> str:
    """The bearer token of a request; "" if it has none."""
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    return text.strip() if scheme.casefold() == "bearer" else ""
