"""Who may read: bearer tokens (RFC 6750), each for the identifiers that it was made for."""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request

from mailbridge.core.secret import Secret
from mailbridge.core.token import token_digest
from mailbridge.store.entries import Entries, Token
from mailbridge.web.limits import RateLimit, limit

ADMIN = "[http] token"
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="mailbridge"'}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whoever holds a token: its name, and the identifiers (patterns) that it may read."""

    name: str
    token: Token | None = None

    @property
    def identifiers(self) -> tuple[str, ...]:
        """Patterns; ``*`` for all."""
        return ("*",) if self.token is None else self.token.identifiers

    def may_read(self, identifier: str) -> bool:
        """Whether an identifier is one of its own."""
        return self.token is None or self.token.may_read(identifier)

    def must_read(self, identifier: str) -> None:
        """Raises 403 where the token was not made for this identifier."""
        if not self.may_read(identifier):
            raise HTTPException(403, "this token is not for that identifier; see `mailbridge token list`")


class Gate:
    """Tells callers by their token; everybody else gets 401, and too many guesses 429."""

    def __init__(self, *, entries: Entries, admin: Secret | None, strangers: RateLimit | None = None) -> None:
        self._entries = entries
        self._admin = None if admin is None else token_digest(admin.reveal())
        self._strangers = strangers or RateLimit(rate=2, burst=30, now=time.monotonic)

    async def caller(self, request: Request) -> Caller:
        """Who asks.

        Raises:
            HTTPException: 401 for no, an unknown or an expired token, all alike; 429 after many such.
            StoreUnavailable: tokens cannot be looked up now.
        """
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        text = text.strip()
        if scheme.casefold() == "bearer" and text:
            digest = token_digest(text)
            if self._admin is not None and hmac.compare_digest(digest, self._admin):
                return Caller(name=ADMIN)
            token = await self._entries.token(digest)
            if token is not None:
                return Caller(name=token.name, token=token)
        limit(self._strangers, request)
        raise HTTPException(401, "a bearer token is needed; `mailbridge token new` makes one", headers=CHALLENGE)
