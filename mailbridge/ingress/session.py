"""One SMTP or LMTP connection: its client, whether there is room for it, how long it may stay, and how it ends.

aiosmtpd gives the plumbing between socket, TLS and streams. Two of its behaviours are replaced here: when a client leaves, it
cancels the handler that is storing the mail; and a client that sends a NOOP now and then may stay for ever.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Callable
from dataclasses import field
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal

from aiosmtpd.proxy_protocol import V2_CMD, get_proxy
from aiosmtpd.smtp import SMTP

from mailbridge import log_events
from mailbridge.config.settings import SmtpSettings
from mailbridge.core.dataclass import dataclass
from mailbridge.ingress import reply as r
from mailbridge.ingress.limits import Limits, origin_of
from mailbridge.ingress.reply import Reply
from mailbridge.ingress.tls import Certificate
from mailbridge.intake.admission import Admission
from mailbridge.intake.answer import Accept
from mailbridge.intake.events import Events, NoEvents

log = logging.getLogger("mailbridge.smtp")

MAX_LINE = 1_000
"""Octets of a command line including its end. RFC 5321 4.5.3.1.4 asks for 512, and for more with extensions."""

COMMAND_LIMIT = 4 * MAX_LINE
"""Octets that may wait for a line's end before the session is closed. Complete commands in a pipeline are not counted."""


@dataclass(slots=True, kw_only=True)
class ListenerContext:
    """What all sessions of a daemon share."""

    settings: SmtpSettings
    hostname: str
    accept: Accept
    admission: Admission
    now: Callable[[], datetime]
    limits: Limits
    certificate: Certificate | None
    proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    sessions: dict[Session, None] = field(default_factory=dict)
    """The open sessions, in the order in which they came or last brought a mail."""

    silent: dict[Session, None] = field(default_factory=dict)
    """Those that have not said anything yet, in the order in which they came."""

    storing: set[asyncio.Task[Reply]] = field(default_factory=set)
    is_closing: bool = False
    events: Events = field(default_factory=NoEvents)

    def make_room(self, now: float) -> bool:
        """Disconnect one session: the oldest of those that have said nothing, else the oldest of those that bring no mail. False
        if there is none.

        So a thousand clients that only hold a connection do not keep out the one that brings a mail, whatever number of addresses
        they have.
        """
        idle = next(iter(self.silent), None) or self._idlest(now)
        if idle is None:
            return False
        idle.yield_place()
        return True

    def _idlest(self, now: float) -> Session | None:
        for session in self.sessions:
            if session.yields(now):
                return session
            if session.is_young(now):  # and so are all that follow
                return None
        return None


class Closed(Exception):  # noqa: N818  (a condition, not a fault)
    """The session is over: the client has left, or was told to leave."""


class Session(SMTP):
    """One connection. The constructor makes a template, and `spawn` copies it for each connection, because aiosmtpd's
    constructor reflects over every method. That costs more than the whole dialogue of a mail."""

    def __init__(self, post: ListenerContext, kind: Literal["smtp", "lmtp"], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(object(), hostname=post.hostname, ident="ESMTP", loop=loop, timeout=3600)
        self._context = post
        self._kind: Literal["smtp", "lmtp"] = kind
        self._peer = ""
        self._origin: str | None = None
        self._is_admitted = False
        self._is_in_data = False
        self._is_storing = False
        self._is_in_handshake = False
        self._is_in_dialogue = False
        self._since = 0.0
        self._data_since = 0.0
        self._ends_at = 0.0
        self._idle_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def spawn(self) -> Session:
        """A fresh session for one connection."""
        session = copy.copy(self)
        reader = asyncio.StreamReader(limit=COMMAND_LIMIT, loop=self.loop)
        asyncio.StreamReaderProtocol.__init__(session, reader, session._cb_client_connected, self.loop)  # noqa: SLF001
        return session

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Admit or refuse the connection. The dialogue runs in its own task."""
        asyncio.StreamReaderProtocol.connection_made(self, transport)
        self.transport = transport
        self.session = self._create_session()
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else ""
        now = self.loop.time()
        is_full = not self._context.is_closing and not self._context.limits.enter()
        if is_full and self._context.make_room(now):
            is_full = not self._context.limits.enter()
        if self._context.is_closing or is_full:
            self._writer.write((r.GOING_DOWN if self._context.is_closing else r.BUSY).encode())
            transport.close()
            return
        self._is_admitted = True
        self._since = now
        self._context.sessions[self] = None
        self._context.silent[self] = None
        settings = self._context.settings
        self._ends_at = now + settings.session_timeout.total_seconds()
        self._touch(settings.idle_timeout.total_seconds())
        self._is_in_dialogue = True
        self._handler_coroutine = self.loop.create_task(self._dialogue())

    def connection_lost(self, error: Exception | None) -> None:
        """Let the dialogue see the end of its input. A mail that is being stored is still stored."""
        asyncio.StreamReaderProtocol.connection_lost(self, error)
        self._depart()

    def _depart(self) -> None:
        """Stop counting this connection. A second call does no harm."""
        self.transport = None
        if self._timer is not None:
            self._timer.cancel()
        self._give_place_back()
        self._let_go()

    def _let_go(self) -> None:
        """After connection and dialogue have ended, release the writer, which refers to the session. Otherwise both stay in
        memory, 8 kB for each connection, until the garbage collector runs."""
        if self.transport is None and not self._is_in_dialogue:
            self._client_connected_cb = None
            self._writer = None  # type: ignore[assignment]

    def _give_place_back(self) -> None:
        if self._is_admitted:
            self._is_admitted = False
            self._context.sessions.pop(self, None)
            self._context.silent.pop(self, None)
            self._context.limits.leave()
            if self._origin is not None:
                self._context.limits.leave_from(self._origin)

    def yields(self, now: float) -> bool:
        """Whether it may be disconnected for a newcomer: it brings no mail, or its mail has already taken a quarter of the
        allowed time."""
        if self._is_in_data:
            return not self._is_storing and now - self._data_since >= self._context.settings.data_timeout.total_seconds() / 4
        return not self.is_young(now)

    def is_young(self, now: float) -> bool:
        """Whether it came, or brought a mail, less than a thirtieth of the idle time ago."""
        return now - self._since < self._context.settings.idle_timeout.total_seconds() / 30

    def yield_place(self) -> None:
        """Leave for a newcomer, and free the place at once."""
        self._leave(r.BUSY)
        self._give_place_back()

    def extend_deadline(self) -> None:
        """Restart the session's clock after an accepted mail, so that a busy MTA may keep its connection."""
        self._since = self.loop.time()
        self._ends_at = self._since + self._context.settings.session_timeout.total_seconds()
        if self._is_admitted:
            del self._context.sessions[self]
            self._context.sessions[self] = None

    def eof_received(self) -> bool | None:
        """Half-close: what is in progress is answered, then the session ends (aiosmtpd would cancel it)."""
        return asyncio.StreamReaderProtocol.eof_received(self)

    def shut(self, farewell: Reply) -> None:
        """Say why and close, unless a mail is arriving or being stored."""
        if not self._is_in_data:
            self._leave(farewell)

    def _leave(self, farewell: Reply) -> None:
        if self._is_in_handshake:
            self.cut()
        elif self.transport is not None:
            self._writer.write(farewell.encode())
            self._close()

    def _close(self) -> None:
        """Close after everything is sent. A client that does not read is not waited for."""
        if self.transport is not None and not self.transport.is_closing():
            if self.transport.get_write_buffer_size():  # type: ignore[attr-defined]
                self.loop.call_later(1.0, self.cut)
            self.transport.close()

    def cut(self) -> None:
        """Close at once."""
        if self._is_in_handshake:
            assert self._handler_coroutine is not None
            self._handler_coroutine.cancel()  # a transport that closes during a handshake never answers its waiter
        elif self.transport is not None:
            self.transport.abort()  # type: ignore[attr-defined]

    def _touch(self, seconds: float, *, is_ours: bool = False) -> None:
        """Allow the session ``seconds`` for what comes next, but not beyond its own end unless it waits for us (``is_ours``).

        There is one lazy timer for each session. It is set again only if it would fire too late, or has fired too early.
        """
        self._idle_at = self.loop.time() + seconds
        if not is_ours:
            self._idle_at = min(self._idle_at, self._ends_at)
        if self._timer is None or self._idle_at < self._timer_at:
            self._set_timer()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._idle_at
        self._timer = self.loop.call_at(self._timer_at, self._check_time)

    def _check_time(self) -> None:
        if self.transport is None:
            return
        if self.loop.time() < self._idle_at - 0.001:
            self._set_timer()
        else:
            self._leave(r.TIMED_OUT)

    async def _admit(self) -> None:
        """Find out whose connection it is: the peer's own, or that of the client that a listed proxy names (PROXY protocol 1
        and 2)."""
        if self._context.proxies and self._is_proxy(self._peer):
            data = await get_proxy(self._reader)
            if not data.valid:
                log.warning("PROXY header missing or malformed", extra={"event": log_events.PROXY_REFUSED, "peer": self._peer})
                raise Closed
            # With LOCAL and UNKNOWN the proxy speaks for itself: a health check.
            if data.command is not V2_CMD.LOCAL and data.src_addr is not None:
                self._peer = _spoken_for(data.src_addr)
        if self.transport is None:
            raise Closed
        origin = origin_of(self._peer)
        if not self._context.limits.enter_from(origin):
            await self._reply(r.BUSY)
            raise Closed
        self._origin = origin

    @property
    def _client(self) -> str:
        """The client that a flood is counted against. "" if the peer is this machine, since a mail server in front of us
        speaks for everybody."""
        origin = self._origin or ""
        return "" if origin.startswith("127.") or self._peer == "::1" else origin

    def _is_proxy(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        plain = address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
        return any(plain in network for network in self._context.proxies)

    async def _say(self, octets: bytes) -> None:
        if self.transport is None:
            raise Closed
        self._writer.write(octets)
        await self._writer.drain()

    async def _reply(self, answer: Reply) -> None:
        await self._say(answer.encode())

    async def _dialogue(self) -> None:
        """The dialogue on this connection, from the greeting to its end."""
        raise NotImplementedError


def _spoken_for(address: object) -> str:
    """The client that a PROXY header names. "" for one without an IP address (a unix socket behind the proxy)."""
    text = str(address) if isinstance(address, str | IPv4Address | IPv6Address) else ""
    return text if origin_of(text) else ""
