"""Who may use the page: login links, a password where one is set, and the sessions that they begin."""

from __future__ import annotations

import asyncio
import hmac
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec

from mailbridge.core.token import RANDOM, token_digest, token_text
from mailbridge.operator.asks import Ask, MaybeText, Nothing, Number
from mailbridge.operator.faults import Fault, Kind
from mailbridge.operator.parts import Configuration, Daemon
from mailbridge.operator.shapes import Done, LoginLink, SessionPage, SessionShape
from mailbridge.operator.shown import stamp
from mailbridge.store.sessions import Session, Sessions

LINK_LIFETIME = timedelta(minutes=5)
IDLE = timedelta(hours=12)
"""A session that is not used for so long ends."""

LONGEST = timedelta(days=7)
"""A session ends after so long, however much it is used."""

FRESH = timedelta(minutes=10)
"""How old a login may be for codes in clear, targets, rules and trust."""

NOTE_EVERY = timedelta(minutes=1)
"""How often it is written down that a session was used."""

SHORTEST = 12
MEMORY, PASSES, LANES, SALT, LENGTH = 19_456, 2, 1, 16, 32
"""Argon2id as OWASP's Password Storage Cheat Sheet has it: 19 MiB (in KiB), 2 passes, 1 lane; octets of salt and hash."""


class Invite(Ask, frozen=True, kw_only=True):
    """What the link allows."""

    role: Literal["viewer", "operator"] = "operator"


class OneSession(Ask, frozen=True, kw_only=True):
    """A session by its number."""

    id: Number


class NewPassword(Ask, frozen=True, kw_only=True):
    """A password for the page; "" for none."""

    password: Annotated[str, msgspec.Meta(max_length=1000, pattern="^[^\\x00]*$")] = ""


class LogIn(Ask, frozen=True, kw_only=True):
    """The token of a login link, or a password."""

    token: MaybeText = ""
    password: MaybeText = ""


class SessionVerbs:
    """The verbs of sessions. `log_in`, `of` and `log_out` are the page's own door; they have no route of the API."""

    def __init__(self, *, sessions: Sessions, configuration: Configuration, daemon: Daemon, now: Callable[[], datetime]) -> None:
        self._sessions = sessions
        self._configuration = configuration
        self._daemon = daemon
        self._now = now

    async def invite(self, ask: Invite, by: str) -> LoginLink | Fault:
        """A link to log in with. It works once, for five minutes; only a hash of its token is kept."""
        status = await self._daemon.status()
        if isinstance(status, Fault):
            return status
        text, until = token_text(os.urandom(RANDOM)), self._now() + LINK_LIFETIME
        await self._sessions.invite(token_digest(text), name=by, role=ask.role, until=until)
        base = self._configuration.now.http.public_url.rstrip("/") or f"http://{_reachable(status.http)}"
        # In the fragment, which a browser sends to nobody: it is in no log of a proxy, and in no Referer.
        return LoginLink(url=f"{base}/login#{text}", role=ask.role, expires_at=stamp(until))

    async def find(self, ask: Nothing) -> SessionPage | Fault:  # noqa: ARG002  (a verb's form)
        """Every session, newest login first."""
        return SessionPage(sessions=[session_shape(one) for one in await self._sessions.sessions()])

    async def remove(self, ask: OneSession) -> Done | Fault:
        """End a session at once."""
        if await self._sessions.end(ask.id):
            return Done()
        return Fault(kind=Kind.NOT_FOUND, title=f"there is no session {ask.id}; `mailbridge session list` lists them")

    async def set_password(self, ask: NewPassword) -> Done | Fault:
        """Set the password of the page, or remove it. Sessions that began with the old one end."""
        if not ask.password:
            await self._sessions.set_password(None)
            return Done()
        if len(ask.password) < SHORTEST:
            return Fault(kind=Kind.REFUSED, title=f"password: needs {SHORTEST} characters at least")
        await self._sessions.set_password(await asyncio.to_thread(_derived, ask.password))
        return Done()

    async def has_password(self) -> bool:
        """Whether a password is set."""
        return await self._sessions.password() is not None

    async def log_in(self, ask: LogIn) -> tuple[str, Session] | Fault:
        """Begin a session: the text of its cookie, and the session. Every refusal has the same text."""
        refused = Fault(kind=Kind.FORBIDDEN, title="the link was used or is over, or the password is wrong")
        if ask.token:
            invited = await self._sessions.redeem(token_digest(ask.token))
            if invited is None:
                return refused
            name, role = invited
            return await self._begun(name, role, "link")
        known = await self._sessions.password()
        if not ask.password or known is None or not await asyncio.to_thread(_is_right, ask.password, known):
            return refused
        return await self._begun("password", "operator", "password")

    async def of(self, cookie: str, *, is_use: bool = True) -> Session | None:
        """The session of a cookie. That it is used is noted, unless it only was left open."""
        session = await self._sessions.find(token_digest(cookie)) if cookie else None
        if session is None or not is_use:
            return session
        now = self._now()
        if now - session.seen_at >= NOTE_EVERY:
            await self._sessions.extend(session.id, min(now + IDLE, session.created_at + LONGEST))
        return session

    async def log_out(self, session: Session) -> None:
        """End the caller's own session."""
        await self._sessions.end(session.id)

    def is_fresh(self, session: Session) -> bool:
        """Whether the login is fresh enough for codes in clear, targets, rules and trust."""
        return self._now() - session.created_at < FRESH

    async def _begun(
        self, name: str, role: Literal["viewer", "operator"], way: Literal["link", "password"]
    ) -> tuple[str, Session]:
        text = token_text(os.urandom(RANDOM))
        session = await self._sessions.begin(token_digest(text), name=name, role=role, way=way, until=self._now() + IDLE)
        return text, session


def csrf_of(cookie: str) -> str:
    """The token of a session's forms: made from the cookie, which a foreign page cannot read."""
    return hmac.new(cookie.encode(), b"mailbridge: forms of the page", "sha256").hexdigest()


def session_shape(one: Session) -> SessionShape:
    """A session without its cookie."""
    return SessionShape(
        id=one.id,
        name=one.name,
        role=one.role,
        way=one.way,
        created_at=stamp(one.created_at),
        seen_at=stamp(one.seen_at),
        expires_at=stamp(one.expires_at),
    )


def _reachable(address: str) -> str:
    """Where a browser on this machine finds a listener that is bound to every address."""
    host, _, port = address.rpartition(":")
    return f"127.0.0.1:{port}" if host in ("0.0.0.0", "[::]", "") else address  # noqa: S104  (looked for, not bound)


def _derived(password: str) -> str:
    """The stored hash of a password. Takes 19 MiB and about 50 ms."""
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    salt = os.urandom(SALT)
    made: str = Argon2id(salt=salt, length=LENGTH, iterations=PASSES, lanes=LANES, memory_cost=MEMORY).derive_phc_encoded(
        password.encode()
    )
    return made


def _is_right(password: str, phc: str) -> bool:
    from cryptography.exceptions import InvalidKey
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    try:
        Argon2id.verify_phc_encoded(password.encode(), phc)
    except InvalidKey:
        return False
    return True
