"""Outgoing connections against servers on real sockets, in the daemon's kind of loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpcore
import pytest
import uvloop

from mailbridge.ingress.tls import self_signed
from mailbridge.net import outgoing as c
from mailbridge.net.outgoing import Connections
from tests.loop import until

PATIENCE = 60.0
LogFormatter = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run under a deadline."""

    async def limited() -> None:
        async with asyncio.timeout(PATIENCE):
            await main

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(limited())


@dataclass(slots=True)
class Server:
    """Counts connections and what came in each read; ``talk`` is what it does."""

    port: int = 0
    connections: int = 0
    ended: int = 0
    reads: list[bytes] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer every read with what an HTTP client takes for an answer, until the client leaves."""
        while octets := await reader.read(1 << 20):
            self.reads.append(octets)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@asynccontextmanager
async def serving(talk: LogFormatter | None = None, context: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """A server on loopback, with TLS where there is a context."""
    server = Server()

    async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        with contextlib.suppress(ConnectionError):
            await (talk or server.answer)(reader, writer)
        server.ended += 1
        writer.close()

    listening = await asyncio.start_server(meet, "127.0.0.1", 0, ssl=context)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server


@pytest.fixture
def contexts(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's context for localhost, and that of a client who trusts it."""
    certificate = self_signed(tmp_path, hostname="localhost")
    of_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    of_server.load_cert_chain(certificate.cert, certificate.key)
    return of_server, ssl.create_default_context(cafile=str(certificate.cert))


def pool(connections: Connections, context: ssl.SSLContext | None = None) -> httpcore.AsyncConnectionPool:
    """A pool as the sink has it."""
    return httpcore.AsyncConnectionPool(ssl_context=context, max_connections=2, network_backend=connections)


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Take everything, say nothing."""
    while await reader.read(1 << 20):
        pass


def test_a_small_request_is_one_segment() -> None:
    """Head and body leave together, on one connection that is used again."""

    async def main() -> None:
        async with serving() as server, pool(Connections()) as client:
            for _ in range(3):
                answer = await client.request("POST", f"http://127.0.0.1:{server.port}/", content=b"body")
                assert (answer.status, answer.content) == (200, b"ok")
            assert server.connections == 1
            assert len(server.reads) == 3
            assert all(octets.endswith(b"\r\n\r\nbody") for octets in server.reads)

    run(main())


@pytest.mark.parametrize("is_tls", [False, True])
def test_a_connection_that_is_ready_is_used(contexts: tuple[ssl.SSLContext, ssl.SSLContext], is_tls: bool) -> None:
    """The request goes over the connection that was made ahead, hands shaken, and no second one is made."""
    of_server, trusting = contexts if is_tls else (None, None)

    async def main() -> None:
        ready = Connections()
        async with serving(context=of_server) as server, pool(ready, trusting) as client:
            for _ in range(2):
                await ready.prepare("localhost", server.port, trusting, timeout=5, life=60)
            await until(lambda: server.connections == 1)
            scheme = "https" if is_tls else "http"
            answer = await client.request("GET", f"{scheme}://localhost:{server.port}/")
            assert (answer.content, server.connections) == (b"ok", 1)

    run(main())


def test_a_ready_connection_that_was_closed_is_not_used() -> None:
    """Neither one that the server closed, nor one whose time is over; both times there is another."""

    async def main() -> None:
        is_closing = True

        async def meet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if not is_closing:
                await reader.read(100)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                await reader.read(100)

        ready = Connections()
        async with serving(meet) as server, pool(ready) as client:
            await ready.prepare("127.0.0.1", server.port, None, timeout=5, life=60)
            await until(lambda: (one := ready.spare("127.0.0.1", server.port)) is not None and one.is_readable)
            is_closing = False
            answer = await client.request("GET", f"http://127.0.0.1:{server.port}/")
            assert (answer.content, server.connections) == (b"ok", 2)
            await ready.prepare("127.0.0.1", server.port, None, timeout=5, life=0.05)
            await until(lambda: server.ended == 2)
            assert ready.spare("127.0.0.1", server.port) is None
            await ready.prepare("127.0.0.1", server.port, None, timeout=5, life=60)
            await ready.aclose()
            await until(lambda: server.ended == 3)

    run(main())


def test_a_stranger_is_not_trusted(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """A certificate that nobody vouches for, another's name, and no TLS at all, made ready or not: ConnectError with the reason."""
    of_server, trusting = contexts

    async def main() -> None:
        async with serving(context=of_server) as server, serving() as plain:
            attempts = (
                ("localhost", server.port, ssl.create_default_context(), "self-signed"),
                ("127.0.0.2", server.port, trusting, "mismatch"),
                ("localhost", plain.port, trusting, "Error"),
            )
            for host, port, context, reason in attempts:
                host_at = "127.0.0.1" if host == "127.0.0.2" else host
                stream = await Connections().connect_tcp(host_at, port, timeout=5)
                with pytest.raises(httpcore.ConnectError, match=reason):
                    await stream.start_tls(context, host, timeout=5)
            ready = Connections()
            with pytest.raises(httpcore.ConnectError):
                await ready.prepare("localhost", server.port, ssl.create_default_context(), timeout=5, life=60)
            assert ready.spare("localhost", server.port) is None

    run(main())


def test_faults_have_the_names_that_callers_know(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """NoEvents there, silence in the handshake, silence after it, a peer that takes nothing, and one that breaks off."""
    _, trusting = contexts

    async def stubborn(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(PATIENCE)
        writer.close()

    async def breaking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async def main() -> None:
        with pytest.raises(httpcore.ConnectError):
            await Connections().connect_tcp("127.0.0.1", _closed_port(), timeout=5)
        with pytest.raises(httpcore.ConnectError):
            await Connections().connect_tcp("no-such-host.invalid", 80, timeout=5)
        async with serving(silent) as server:
            stream = await Connections().connect_tcp("127.0.0.1", server.port, timeout=5)
            with pytest.raises(httpcore.ReadTimeout):
                await stream.read(10, timeout=0.05)
            with pytest.raises(httpcore.ConnectError, match="begin with the connection"):
                await stream.start_tls(trusting, "localhost", timeout=5)
            stream = await Connections().connect_tcp("127.0.0.1", server.port, timeout=5)
            with pytest.raises(httpcore.ConnectTimeout):
                await stream.start_tls(trusting, "localhost", timeout=0.05)
        async with serving(breaking) as server:
            stream = await Connections().connect_tcp("127.0.0.1", server.port, timeout=5)
            await stream.write(b"x", timeout=5)
            with pytest.raises(httpcore.ReadError):
                await stream.read(10, timeout=5)
            with pytest.raises(httpcore.WriteError):
                await stream.write(b"x", timeout=5)
        server_side = socket.create_server(("127.0.0.1", 0))
        with server_side:
            stream = await Connections().connect_tcp("127.0.0.1", server_side.getsockname()[1], timeout=5)
            with pytest.raises(httpcore.WriteTimeout):
                for _ in range(1_000):
                    await stream.write(b"x" * 100_000, timeout=0.05)
            await stream.aclose()

    run(main())


@pytest.mark.parametrize("kind", [uvloop.new_event_loop, asyncio.new_event_loop])
@pytest.mark.parametrize("delay", [0.0, 0.05])
def test_a_handshake_that_cannot_be_is_over_at_once(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], kind: Callable[[], asyncio.AbstractEventLoop], delay: float
) -> None:
    """The server has closed already, breaks off, speaks something else, or leaves in the middle: ConnectError, without a wait."""
    _, trusting = contexts

    async def closing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def babbling(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 this is a mail server\r\n")
        await writer.drain()

    async def leaving(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(10)

    async def main() -> None:
        for talk in (closing, babbling, leaving):
            async with serving(talk) as server:
                stream = await Connections().connect_tcp("127.0.0.1", server.port, timeout=5)
                await asyncio.sleep(delay)
                with pytest.raises(httpcore.ConnectError):  # and not ConnectTimeout
                    await stream.start_tls(trusting, "localhost", timeout=PATIENCE)

    with asyncio.Runner(loop_factory=kind) as runner:
        runner.run(main())


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "x..y", "\udc80"])
def test_a_name_that_can_be_none_is_a_fault_like_another(host: str) -> None:
    """Labels that are too long, empty, or no text at all."""

    async def main() -> None:
        with pytest.raises(httpcore.ConnectError):
            await Connections().connect_tcp(host, 80, timeout=5)

    run(main())


def test_a_flood_is_not_taken_in() -> None:
    """Of a long answer no more is kept than somebody is about to read, and in the end every octet was read."""
    size = 20_000_000

    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"x" * size)
        await writer.drain()

    async def main() -> None:
        async with serving(pour) as server:
            stream = await Connections().connect_tcp("127.0.0.1", server.port, timeout=5)
            assert isinstance(stream, c.Connection)
            read = 0
            while octets := await stream.read(10_000, timeout=5):
                read += len(octets)
                assert stream.unread < 2 * c.READ_AHEAD
            assert read == size
            await stream.aclose()

    run(main())


def test_the_next_address_is_tried_beside_one_that_is_silent() -> None:
    """A first address that answers nothing is given a quarter of a second, one that refuses none; and a lone one is waited for."""

    async def main() -> None:
        async with serving() as server:
            good: c.Address = (socket.AF_INET, socket.SOCK_STREAM, 0, ("127.0.0.1", server.port))
            refusing: c.Address = (socket.AF_INET, socket.SOCK_STREAM, 0, ("127.0.0.1", _closed_port()))
            with _silent_address() as hanging:
                for first, least in ((hanging, c.STAGGER), (refusing, 0.0)):
                    began = time.monotonic()
                    async with asyncio.timeout(PATIENCE):
                        (await c.first_to_answer([first, good])).close()
                    assert time.monotonic() - began >= least
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(2 * c.STAGGER):
                        await c.first_to_answer([hanging])
            with pytest.raises(ConnectionRefusedError):
                await c.first_to_answer([refusing, refusing])

    run(main())


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@contextlib.contextmanager
def _silent_address() -> Any:
    """A port whose queue is full, so that no greeting of TCP is answered there."""
    with socket.socket() as server, contextlib.ExitStack() as stack:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield (socket.AF_INET, socket.SOCK_STREAM, 0, server.getsockname())
