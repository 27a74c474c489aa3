"""Bearer tokens: made, listed and removed."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime
from typing import Annotated

import msgspec

from mailbridge.core.token import RANDOM, token_digest, token_text
from mailbridge.operator.asks import Ask, MaybeText, Moment, Nothing, Number, Text
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.shapes import Done, NewToken, TokenPage
from mailbridge.operator.shown import new_token, token_shape
from mailbridge.store.entries import Entries, Role


class AddToken(Ask, frozen=True, kw_only=True):
    """A new token. An agent's names the identifiers whose codes it may read, an ingest token's those for which it may bring codes that
    nothing proves (none: raw mails only); viewers and operators see everything anyway.

    ``expires_at`` null: never.
    """

    role: Role = "agent"
    identifiers: Annotated[tuple[Text, ...], msgspec.Meta(max_length=100)] = ()
    expires_at: Moment | None = None
    name: MaybeText = ""


class OneToken(Ask, frozen=True, kw_only=True):
    """A token by its number."""

    id: Number


class Tokens:
    """The verbs of tokens."""

    def __init__(self, *, entries: Entries, now: Callable[[], datetime]) -> None:
        self._entries = entries
        self._now = now

    async def find(self, ask: Nothing) -> TokenPage | Fault:  # noqa: ARG002  (a verb's form)
        """Every token without its text, oldest first, those that are over too."""
        now = self._now()
        return TokenPage(tokens=[token_shape(one, now) for one in await self._entries.tokens()])

    async def add(self, ask: AddToken) -> NewToken | Fault:
        """Make a token. Its text is returned only now; only a hash is stored."""
        if ask.role == "agent" and not ask.identifiers:
            return Fault(kind=Kind.REFUSED, title="identifiers: an agent's token names whose codes it may read; * is any text")
        if ask.role in ("viewer", "operator") and ask.identifiers:
            return Fault(kind=Kind.REFUSED, title=f"identifiers: a token of role {ask.role} sees all of them; leave it out")
        now = self._now()
        if ask.expires_at is not None and ask.expires_at <= now:
            return Fault(kind=Kind.REFUSED, title="expires_at: that time has passed")
        text = token_text(os.urandom(RANDOM))
        identifiers = ask.identifiers or (() if ask.role == "ingest" else ("*",))
        made = await self._entries.add_token(
            token_digest(text),
            name=ask.name.strip() or (", ".join(identifiers) if ask.role == "agent" else ask.role),
            identifiers=identifiers,
            expires_at=ask.expires_at,
            role=ask.role,
        )
        return new_token(made, text, now)

    async def remove(self, ask: OneToken) -> Done | Fault:
        """Make a token worthless at once."""
        if await self._entries.remove_token(ask.id):
            return Done()
        return Fault(kind=Kind.NOT_FOUND, title=f"there is no token {ask.id}; `mailbridge token list` lists them")
