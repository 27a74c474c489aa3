"""Outgoing connections, the network below httpx: straight on the loop's transports, and ready before they are needed.

httpcore's own network goes through anyio, which costs a quarter of what a push takes (1.0 ms against 0.75, measured on requests 20 ms
apart), sends head and body in two segments, and connects only when there is something to send: two round trips too late.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import chain, zip_longest
from typing import Any

import httpcore
import httpx

READ_AHEAD = 262_144
"""Octets that are buffered before they are read."""
WRITE_TOGETHER = 65_536
"""Octets that are buffered until an answer is awaited, so that a small request is one segment."""
UNACKNOWLEDGED = 4_000
"""Milliseconds for which the kernel sends octets again that nobody acknowledges, also those of a process that was killed: less than a
doubt about an attempt blocks a line for, by default. What is given up here must not arrive later, after something newer."""

DISCARD = struct.pack("ii", 1, 0)
"""SO_LINGER: what is not sent yet is thrown away at the end of a connection, and the other side is told by a reset."""

STAGGER = 0.25
"""Seconds after which the next address is tried in parallel (RFC 8305, section 5)."""


class Connections(httpcore.AsyncNetworkBackend):
    """Opens TCP connections, with TLS if needed. One connection to each place may be prepared in advance."""

    def __init__(self, check: Callable[[str], str | None] | None = None) -> None:
        """``check`` says what an address is for that must not be connected to (`mailbridge.net.guard.Check`); None checks nothing."""
        self._check = check
        self._ready: dict[tuple[str, int], Connection] = {}

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        """A connection: the one that is ready, if it is still open.

        Raises:
            httpcore.ConnectError, httpcore.ConnectTimeout: nobody answers there.
        """
        ready = self._ready.pop((host, port), None)
        if ready is not None and not ready.is_readable:
            return ready
        if ready is not None:
            await ready.aclose()
        return await self._opened(host, port, timeout)

    async def prepare(self, host: str, port: int, context: ssl.SSLContext | None, *, timeout: float, life: float) -> None:
        """Have a connection ready, shaken hands where there is a context; after ``life`` seconds it is closed unused.

        Raises:
            httpcore.ConnectError, httpcore.ConnectTimeout: nobody answers there, or not as expected.
        """
        place = (host, port)
        if place in self._ready:
            return
        connection = await self._opened(host, port, timeout)
        if context is not None:
            context.set_alpn_protocols(["http/1.1"])  # as httpcore will ask for
            await connection.start_tls(context, host, timeout)
        else:
            with _told(httpcore.ConnectError, httpcore.ConnectTimeout):
                await connection.start()
        if place in self._ready:
            await connection.aclose()
            return
        self._ready[place] = connection
        asyncio.get_running_loop().call_later(life, self._expire, place, connection)

    def spare(self, host: str, port: int) -> Connection | None:
        """The prepared connection for this place, if it is unused."""
        return self._ready.get((host, port))

    def _expire(self, place: tuple[str, int], connection: Connection) -> None:
        if self._ready.get(place) is connection:
            del self._ready[place]
            connection.abort()

    async def aclose(self) -> None:
        """Close a prepared connection that will not be used."""
        ready, self._ready = self._ready, {}
        for connection in ready.values():
            await connection.aclose()

    async def _opened(self, host: str, port: int, patience: float | None) -> Connection:
        with _told(httpcore.ConnectError, httpcore.ConnectTimeout):
            async with asyncio.timeout(patience):
                addresses = await _addresses(host, port)
                self._must_be_allowed(host, addresses)
                return Connection(await first_to_answer(addresses))

    def _must_be_allowed(self, host: str, addresses: list[Address]) -> None:
        for address in {str(one[3][0]) for one in addresses}:
            what = None if self._check is None else self._check(address)
            if what is not None:
                raise httpcore.ConnectError(f"{host} leads to {address} ({what})")

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class Transport(httpx.AsyncHTTPTransport):
    """httpx's transport over a network of our own, which it has no argument for. Nobody's proxy, TLS as ever."""

    def __init__(
        self, network: httpcore.AsyncNetworkBackend, *, context: ssl.SSLContext, limits: httpx.Limits | None = None
    ) -> None:
        super().__init__(verify=context, trust_env=False)
        bounds = limits or httpx.Limits()
        self._pool: httpcore.AsyncConnectionPool = httpcore.AsyncConnectionPool(
            ssl_context=context,
            max_connections=bounds.max_connections,
            max_keepalive_connections=bounds.max_keepalive_connections,
            keepalive_expiry=bounds.keepalive_expiry,
            network_backend=network,
        )


class Connection(httpcore.AsyncNetworkStream, asyncio.Protocol):
    """One connection. What is written leaves when an answer is awaited, or when it is much.

    It is a bare socket until it is known whether there is TLS on it: uvloop's ``start_tls`` waits for ever on a connection that the
    other side has closed, and takes what came before the handshake for lost.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._transport: asyncio.Transport | None = None
        self._inbox = bytearray()
        self._outbox: list[bytes] = []
        self._is_over = False
        self._fault: Exception | None = None
        self._context: tuple[ssl.SSLContext, str | None] | None = None
        self._is_paused = False
        self._is_unanswered = False
        self._news: asyncio.Future[None] | None = None
        self._room = asyncio.Event()
        self._room.set()

    # what httpcore calls

    @property
    def unread(self) -> int:
        """Octets that have come and that nobody has read yet."""
        return len(self._inbox)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Send what was written, and wait for octets; none at the end of the connection.

        Raises:
            httpcore.ReadError, httpcore.ReadTimeout: it broke, or nothing came.
        """
        transport = self._transport
        if transport is None:
            with _told(httpcore.ReadError, httpcore.ReadTimeout):
                transport = await self.start()
        self._send(transport)
        if not self._inbox and not self._is_over:
            await self._wait_for_news(timeout)
        if not self._inbox and self._fault is not None:
            raise httpcore.ReadError(type(self._fault).__name__)
        octets = bytes(self._inbox[:max_bytes])
        del self._inbox[:max_bytes]
        if self._is_paused and len(self._inbox) < READ_AHEAD:
            self._is_paused = False
            transport.resume_reading()
        return octets

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Take octets to be sent.

        Raises:
            httpcore.WriteError, httpcore.WriteTimeout: the connection is gone, or nobody takes them.
        """
        if self._is_over:
            raise httpcore.WriteError("the connection is gone")
        transport = self._transport
        if transport is None:
            with _told(httpcore.WriteError, httpcore.WriteTimeout):
                transport = await self.start()
        self._outbox.append(buffer)
        if sum(map(len, self._outbox)) >= WRITE_TOGETHER:
            self._send(transport)
            with _told(httpcore.WriteError, httpcore.WriteTimeout):
                async with asyncio.timeout(timeout):
                    await self._room.wait()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Shake hands, unless that is done already in just this way.

        Raises:
            httpcore.ConnectError, httpcore.ConnectTimeout: no TLS there, or a certificate that cannot be trusted.
        """
        if self._context == (ssl_context, server_hostname):
            return self
        if self._transport is not None:
            raise httpcore.ConnectError("TLS has to begin with the connection")
        with _told(httpcore.ConnectError, httpcore.ConnectTimeout):
            async with asyncio.timeout(timeout):
                await self.start(ssl_context, server_hostname)
        return self

    async def start(self, context: ssl.SSLContext | None = None, host: str | None = None) -> asyncio.Transport:
        """The loop's transport, made of the socket if that has not been done yet: with TLS where there is a context.

        Raises:
            OSError: the handshake did not come to its end; the socket is closed.
        """
        if self._transport is not None:
            return self._transport
        loop = asyncio.get_running_loop()
        try:
            self._transport, _ = await loop.create_connection(lambda: self, sock=self._sock, ssl=context, server_hostname=host)
        except BaseException:
            self._sock.close()
            raise
        self._context = None if context is None else (context, host)
        return self._transport

    async def aclose(self) -> None:
        """Close; what was kept back is not sent any more, and nothing of a request that was not answered."""
        self._discard()
        if self._transport is not None:
            self._transport.close()
            await asyncio.sleep(0)  # a farewell may go out
        self.abort()

    def get_extra_info(self, info: str) -> Any:
        """``is_readable`` (of an idle connection: it is over), or what the loop's transport knows."""
        if info == "is_readable":
            return self.is_readable
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return None if self._transport is None else self._transport.get_extra_info(names.get(info, info))

    @property
    def is_readable(self) -> bool:
        """Whether octets, or the end, have come that nobody has read."""
        return bool(self._inbox) or self._is_over

    def abort(self) -> None:
        """Close at once. What the kernel has still to send of a request that was not answered does not arrive any more."""
        self._discard()
        self._sock.close() if self._transport is None else self._transport.abort()

    def _discard(self) -> None:
        if self._is_unanswered and not self._is_over:
            with suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, DISCARD)

    async def _wait_for_news(self, timeout: float | None) -> None:
        """Wait for octets or the end. A timer at the future itself: every answer is waited for here, and `asyncio.timeout` costs thrice as
        much. Raises httpcore.ReadTimeout."""
        loop = asyncio.get_running_loop()
        news = self._news = loop.create_future()
        late = None if timeout is None else loop.call_later(timeout, self._tell)
        try:
            await news
        finally:
            if late is not None:
                late.cancel()
        if not self.is_readable:
            raise httpcore.ReadTimeout

    def _send(self, transport: asyncio.Transport) -> None:
        if self._outbox:
            self._is_unanswered = True
            octets, self._outbox = b"".join(self._outbox), []
            if octets and not transport.is_closing():
                transport.write(octets)

    # what the loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is established."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Octets have arrived."""
        self._is_unanswered = False
        self._inbox += data
        if len(self._inbox) >= READ_AHEAD and not self._is_paused:
            self._is_paused = True
            if self._transport is not None:
                self._transport.pause_reading()
        self._tell()

    def eof_received(self) -> bool:
        """The other side has closed its direction."""
        self._is_over = True
        self._tell()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended."""
        self._is_over, self._fault = True, exc
        self._room.set()
        self._tell()

    def pause_writing(self) -> None:
        """More is written than the network takes; stop writing."""
        self._room.clear()

    def resume_writing(self) -> None:
        """The network takes more; continue writing."""
        self._room.set()

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)


Address = tuple[int, int, int, Any]
"""Family, kind, protocol and address, as the resolver gives them."""


async def _addresses(host: str, port: int) -> list[Address]:
    """The addresses of a name, IPv4 and IPv6 by turns."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses: list[Address] = [(family, kind, protocol, address) for family, kind, protocol, _, address in found]
    first = [one for one in addresses if one[0] == addresses[0][0]]
    other = [one for one in addresses if one[0] != addresses[0][0]]
    return [one for one in chain.from_iterable(zip_longest(first, other)) if one is not None]


async def first_to_answer(addresses: list[Address]) -> socket.socket:
    """A connected socket to one of these: each is given a start before the next is tried beside it (RFC 8305).

    Raises:
        OSError: none answers; the fault of the first.
    """
    trying: set[asyncio.Task[socket.socket]] = set()
    faults: list[BaseException] = []
    try:
        for number, address in enumerate(addresses, 1):
            trying.add(asyncio.ensure_future(_connected(address)))
            while trying:
                patience = STAGGER if number < len(addresses) else None
                done, trying = await asyncio.wait(trying, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    fault = task.exception()
                    if fault is None:
                        trying |= done - {task}
                        return task.result()
                    faults.append(fault)
                if not done:
                    break
        raise faults[0] if faults else OSError("the name has no address")
    finally:
        for task in trying:
            task.cancel()
            task.add_done_callback(_hang_up)


async def _connected(address: Address) -> socket.socket:
    family, kind, protocol, where = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


def _hang_up(task: asyncio.Task[socket.socket]) -> None:
    """Close connections that came about after another one."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


@contextmanager
def _told(broken: type[Exception], late: type[Exception]) -> Iterator[None]:
    """Raise the loop's faults as httpcore's exceptions, without an address or a peer's text."""
    try:
        yield
    except TimeoutError:
        raise late() from None
    except (OSError, UnicodeError) as fault:  # the second: a name that can be none
        raise broken(_name(fault)) from None


def _name(fault: OSError | UnicodeError) -> str:
    reason = getattr(fault, "verify_message", "")
    return f"{type(fault).__name__}: {reason}" if reason else type(fault).__name__


def trusted(scheme: str) -> ssl.SSLContext:
    """Whom to believe: httpx's list ($SSL_CERT_FILE in its place) and this machine's own, so that a company's authority works.

    A plain address needs nobody, and gets nobody: reading the authorities costs 20 ms.
    """
    if scheme != "https":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = httpx.create_ssl_context()
    context.load_default_certs()
    return context
