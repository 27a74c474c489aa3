"""One request and its whole answer: HTTP/1.1 by h11, over connections of our own to one place.

For the one client whose time counts. httpx stays for everything else: redirects, cookies, proxies, many hosts. A request and its answer
cost 0.12 ms of the processor here and 0.33 ms through httpx's transport (loopback, uvloop, medians of 5 rounds in one run).
Faults have httpx's names, so that whoever asks need not know which of the two it was.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import field
from typing import cast

import h11
import httpcore
import httpx

from mailbridge.core.dataclass import dataclass
from mailbridge.net.outgoing import Connection, Connections

READ = 65_536
"""Octets that are read at once."""

MOST_HEAD = 65_536
"""Octets of an answer's head, and of a line between chunks, from which it is no answer any more."""

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where requests go; ``context``: with TLS, and whom to believe. ``host`` as in a URL, without brackets."""

    host: str
    port: int
    context: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds that may pass until there is room for one more request, until a connection stands, and until octets come."""

    room: float
    connect: float
    read: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer. ``body`` is cut where it is longer than was asked for; it is as it came, compressed if it came so."""

    status: int
    headers: Headers
    body: bytes


@dataclass(slots=True, kw_only=True)
class _Line:
    """A connection, and where HTTP stands on it."""

    connection: Connection
    http: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEAD))
    idle_since: float = 0.0


class Exchanges:
    """Requests to one place, at most ``most`` at once; a connection is used again within ``keepalive`` seconds."""

    def __init__(self, place: Place, *, most: int, keepalive: float, check: Callable[[str], str | None] | None = None) -> None:
        """``check``: see `Connections`."""
        self._place = place
        self._keepalive = keepalive
        self._connections = Connections(check)
        self._room = asyncio.Semaphore(most)
        self._idle: list[_Line] = []

    async def prepare(self, *, life: float) -> None:
        """Have a connection ready, unless one is open and idle; unused it is closed after ``life`` seconds.

        Raises:
            httpcore.ConnectError, httpcore.ConnectTimeout: nobody answers there, or not as expected.
        """
        if not any(self._is_usable(one) for one in self._idle):
            place = self._place
            await self._connections.prepare(place.host, place.port, place.context, timeout=life, life=life)

    async def ask(self, method: str, target: bytes, headers: Headers, body: bytes, *, timeouts: Timeouts, most: int) -> Reply:
        """Send one request; return its final answer, with ``most`` octets of the body or fewer. Nothing is sent a second time.

        ``headers`` have Host, and Content-Length where there is a body.

        Raises:
            httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout: no octet of the request has left.
            httpx.TransportError: it may have left, and there is no whole answer.
        """
        await self._wait_for_room(timeouts.room)
        try:
            line = await self._line(timeouts.connect)
            try:
                reply = await _exchange(
                    line, h11.Request(method=method, target=target, headers=list(headers)), body, timeouts, most
                )
            except BaseException:
                line.connection.abort()
                raise
            self._keep(line)
            return reply
        finally:
            self._room.release()

    async def aclose(self) -> None:
        """Close every connection that waits for a request."""
        idle, self._idle = self._idle, []
        for line in idle:
            await line.connection.aclose()
        await self._connections.aclose()

    async def _wait_for_room(self, seconds: float) -> None:
        if not self._room.locked():
            await self._room.acquire()
            return
        try:
            async with asyncio.timeout(seconds):
                await self._room.acquire()
        except TimeoutError:
            raise httpx.PoolTimeout("no connection became free") from None

    async def _line(self, seconds: float) -> _Line:
        while self._idle:
            line = self._idle.pop()
            if self._is_usable(line):
                return line
            line.connection.abort()
        place = self._place
        with _as_httpx():
            opened = cast("Connection", await self._connections.connect_tcp(place.host, place.port, seconds))
            if place.context is not None:
                place.context.set_alpn_protocols(["http/1.1"])
                try:
                    await opened.start_tls(place.context, place.host, seconds)
                except BaseException:
                    opened.abort()
                    raise
        return _Line(connection=opened)

    def _is_usable(self, line: _Line) -> bool:
        return not line.connection.is_readable and time.monotonic() < line.idle_since + self._keepalive

    def _keep(self, line: _Line) -> None:
        """Keep a connection for the next request where both sides mean to and nothing is left over on it."""
        http = line.http
        if http.our_state is h11.DONE and http.their_state is h11.DONE and http.trailing_data == (b"", False):
            http.start_next_cycle()
            line.idle_since = time.monotonic()
            self._idle.append(line)
        else:
            line.connection.abort()


async def _exchange(line: _Line, request: h11.Request, body: bytes, timeouts: Timeouts, most: int) -> Reply:
    http, connection = line.http, line.connection
    with _as_httpx():
        octets = http.send(request) or b""
        if body:
            octets += http.send(h11.Data(data=body)) or b""
        octets += http.send(h11.EndOfMessage()) or b""
        await connection.write(octets, timeouts.read)
        response: h11.Response | None = None
        parts: list[bytes] = []
        size = 0
        while size < most:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await connection.read(READ, timeouts.read))
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                parts.append(bytes(event.data))
                size += len(event.data)
            elif isinstance(event, h11.EndOfMessage):
                break
            elif not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
                raise httpx.RemoteProtocolError("the connection ended, or speaks something else")
    if response is None:
        raise httpx.RemoteProtocolError("no answer")
    return Reply(status=response.status_code, headers=list(response.headers), body=b"".join(parts)[:most])


@contextmanager
def _as_httpx() -> Iterator[None]:
    """Tell the faults of connections and of HTTP by httpx's names."""
    try:
        yield
    except httpcore.ConnectTimeout:
        raise httpx.ConnectTimeout("not connected in time") from None
    except httpcore.ConnectError as fault:
        raise httpx.ConnectError(str(fault)) from None
    except httpcore.ReadTimeout:
        raise httpx.ReadTimeout("no answer in time") from None
    except httpcore.WriteTimeout:
        raise httpx.WriteTimeout("not taken in time") from None
    except httpcore.ReadError as fault:
        raise httpx.ReadError(str(fault)) from None
    except httpcore.WriteError as fault:
        raise httpx.WriteError(str(fault)) from None
    except h11.RemoteProtocolError as fault:
        raise httpx.RemoteProtocolError(str(fault)) from None
    except h11.LocalProtocolError as fault:
        raise httpx.LocalProtocolError(str(fault)) from None
