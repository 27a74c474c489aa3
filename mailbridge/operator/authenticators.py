"""Authenticator secrets: stored encrypted and never shown again, and their codes."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec

from mailbridge.core.otpauth import SecretError, read_secrets, warnings
from mailbridge.operator.asks import Ask, MaybeText, Nothing, Text
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.fresh import current
from mailbridge.operator.shapes import AuthenticatorCode, AuthenticatorPage, AuthenticatorSecret, AuthenticatorShape, Done, Shape
from mailbridge.operator.shown import authenticator_secret, authenticator_shape
from mailbridge.store.reading import StoredTotp, Vault

Sealed = Annotated[str, msgspec.Meta(min_length=1, max_length=200_000)]


class AddAuthenticator(Ask, frozen=True, kw_only=True):
    """A secret as a site shows it: Base32, an ``otpauth://`` address, or an export of several. ``identifier``: whom it answers for."""

    name: Text
    secret: Sealed
    identifier: MaybeText = ""


class Added(Shape, frozen=True, kw_only=True):
    """What was stored, and what is odd about it."""

    authenticators: list[AuthenticatorShape]
    warnings: list[str]


class OneAuthenticator(Ask, frozen=True, kw_only=True):
    """An authenticator by its name."""

    name: Text


class Bind(Ask, frozen=True, kw_only=True):
    """An authenticator by its name, and the identifier that it is to answer for; "" for nobody."""

    name: Text
    identifier: MaybeText = ""


class Authenticators:
    """The verbs of authenticators."""

    def __init__(self, *, vault: Vault) -> None:
        self._vault = vault

    async def find(self, ask: Nothing) -> AuthenticatorPage | Fault:  # noqa: ARG002  (a verb's form)
        """Every authenticator without its secret."""
        return AuthenticatorPage(authenticators=[authenticator_shape(one) for one in await self._vault.totps()])

    async def add(self, ask: AddAuthenticator) -> Added | Fault:
        """Store a secret, or those of an export as NAME/ACCOUNT each."""
        try:
            found = read_secrets(ask.secret)
        except SecretError as fault:
            return Fault(kind=Kind.REFUSED, title=f"secret: {fault}")
        identifier = ask.identifier.strip() or None
        if len(found) > 1 and identifier is not None:
            what = f"identifier: it needs one secret, and there are {len(found)} in it; bind them with `mailbridge totp bind`"
            return Fault(kind=Kind.REFUSED, title=what)
        known = {one.name for one in await self._vault.totps()}
        name = ask.name.strip()
        named = [(name if len(found) == 1 else f"{name}/{one.account or number}", one) for number, one in enumerate(found, 1)]
        added: list[AuthenticatorShape] = []
        odd: list[str] = []
        for called, one in named:
            if called in known or not await self._vault.add_totp(called, one, identifier=identifier):
                other = f", or another secret answers for {identifier}" if identifier else ""
                what = f"there is a secret {called!r} already{other}; see `mailbridge totp list`"
                return Fault(kind=Kind.EXISTS, title=what)
            odd += [f"{called}: {warning}" for warning in warnings(one)]
            stored = await self._vault.totp(called)
            added += [authenticator_shape(stored)] if stored is not None else []
        return Added(authenticators=added, warnings=odd)

    async def code(self, ask: OneAuthenticator) -> AuthenticatorCode | Fault:
        """The code of this moment, and the seconds that it has left."""
        stored = await self._stored(ask.name)
        if isinstance(stored, Fault):
            return stored
        now = time.time()
        left = int(stored.authenticator.remaining(now))
        return AuthenticatorCode(code=current(stored, now).code.reveal(), seconds_remaining=left)

    async def bind(self, ask: Bind) -> Done | Fault:
        """Let a secret answer for an identifier, or for nobody."""
        stored = await self._stored(ask.name)
        if isinstance(stored, Fault):
            return stored
        identifier = ask.identifier.strip() or None
        if await self._vault.bind_totp(stored.name, identifier):
            return Done()
        return Fault(kind=Kind.EXISTS, title=f"another secret answers for {identifier}; see `mailbridge totp list`")

    async def remove(self, ask: OneAuthenticator) -> Done | Fault:
        """Erase a secret."""
        stored = await self._stored(ask.name)
        if isinstance(stored, Fault):
            return stored
        await self._vault.remove_totp(stored.name)
        return Done()

    async def secret(self, ask: OneAuthenticator) -> AuthenticatorSecret | Fault:
        """A secret in clear, for Skyvern's credential tool: only an operator of this machine gets it."""
        stored = await self._stored(ask.name)
        return stored if isinstance(stored, Fault) else authenticator_secret(stored)

    async def _stored(self, name: str) -> StoredTotp | Fault:
        stored = await self._vault.totp(name.strip())
        if stored is None:
            what = f"there is no secret {name.strip()!r}; `mailbridge totp list` lists them"
            return Fault(kind=Kind.NOT_FOUND, title=what)
        return stored
