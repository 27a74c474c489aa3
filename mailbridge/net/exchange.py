"""One request and its whole answer: HTTP/1.1 over connections of our own to one place.

For the one client whose time counts. httpx stays for everything else: redirects, cookies, proxies, many hosts. An answer that comes
whole, in one piece and with its length is read here (`plain_reply`); h11 reads every other one, from its first octet on.
Faults have httpx's names, so that whoever asks need not know which of them it was.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import h11
import httpcore
import httpx

from mailbridge.core.dataclass import dataclass
from mailbridge.net.outgoing import Connection, Connections

READ = 65_536
"""Octets of one read."""

MOST_HEAD = 65_536
"""Largest head of an answer, and largest line between chunks, in octets."""

TOKEN = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
REQUEST_HEAD = re.compile(rb"[A-Z]+ [!-~]+ HTTP/1\.1\r\n(?:%b: [ -~]*\r\n)+\r\n" % TOKEN)
"""What may be sent, if it has as many lines as it was given headers."""

PLAIN_HEAD = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9]) [ -~]*\r\n((?:%b:[\t -~]*\r\n)+)\r\n" % TOKEN)
PLAIN_LENGTH = re.compile(rb"[0-9]{1,9}")
BODILESS = frozenset({204, 304})

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The place of requests; ``context``: TLS and its trusted authorities. ``host`` as in a URL, without brackets."""

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
    """An idle connection, or one with one request."""

    connection: Connection
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
                reply, is_reusable = await _exchange(line.connection, method, target, headers, body, timeouts, most)
            except BaseException:
                line.connection.abort()
                raise
            self._keep(line, is_reusable=is_reusable)
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

    def _keep(self, line: _Line, *, is_reusable: bool) -> None:
        """Keep a connection for the next request if both sides allow it and nothing is left to read."""
        if is_reusable:
            line.idle_since = time.monotonic()
            self._idle.append(line)
        else:
            line.connection.abort()


def plain_reply(octets: bytes, most: int) -> Reply | None:
    """The answer, where these octets are one of the plainest form: whole and alone, with its length, behind which its connection may be
    used again, and as strict a reader would read it. None for every other one, be it right or wrong.
    """
    found = PLAIN_HEAD.match(octets, 0, MOST_HEAD)
    if found is None or (status := int(found[1])) in BODILESS:
        return None
    fields = [line.partition(b":") for line in found[2].split(b"\r\n")[:-1]]
    headers = [(name.lower(), value.strip(b" \t")) for name, _, value in fields]
    lengths = [value for name, value in headers if name == b"content-length"]
    if len(lengths) != 1 or PLAIN_LENGTH.fullmatch(lengths[0]) is None or int(lengths[0]) >= most:
        return None
    if any(name in (b"transfer-encoding", b"connection") for name, _ in headers) or len(octets) != found.end() + int(lengths[0]):
        return None
    return Reply(status=status, headers=headers, body=octets[found.end() :])


async def _exchange(
    connection: Connection, method: str, target: bytes, headers: Headers, body: bytes, timeouts: Timeouts, most: int
) -> tuple[Reply, bool]:
    """The answer, and whether its connection may be used again."""
    lines = b"".join([b"%b: %b\r\n" % line for line in headers])
    head = b"%b %b HTTP/1.1\r\n%b\r\n" % (method.encode("ascii"), target, lines)
    if REQUEST_HEAD.fullmatch(head) is None or head.count(b"\n") != len(headers) + 2:
        raise httpx.LocalProtocolError("the request has characters that no request has")
    with _as_httpx():
        await connection.write(head + body, timeouts.read)
        octets = await connection.read(READ, timeouts.read)
        reply = plain_reply(octets, most)
        if reply is not None:
            return reply, True
        request = h11.Request(method=method, target=target, headers=list(headers))
        return await _read_on(connection, octets, request, body, timeouts, most)


async def _read_on(
    connection: Connection, octets: bytes, request: h11.Request, body: bytes, timeouts: Timeouts, most: int
) -> tuple[Reply, bool]:
    """The answer to a request that has been sent, of which these octets have come, and whether its connection may be used again."""
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEAD)
    for sent in (request, h11.Data(data=body), h11.EndOfMessage()) if body else (request, h11.EndOfMessage()):
        http.send(sent)
    http.receive_data(octets)
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
    is_over = http.our_state is h11.DONE and http.their_state is h11.DONE and http.trailing_data == (b"", False)
    return Reply(status=response.status_code, headers=list(response.headers), body=b"".join(parts)[:most]), is_over


@contextmanager
def _as_httpx() -> Iterator[None]:
    """Raise faults of connections and of HTTP as httpx's exceptions."""
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
