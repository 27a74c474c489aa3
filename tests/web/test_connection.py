"""A connection is held as long as somebody asks something by it, and no longer; what is no HTTP is refused and leaves no trace."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from mailbridge.web.connection import Bounds
from mailbridge.web.limits import body_of
from mailbridge.web.server import serve_app
from tests.loop import PATIENCE, looped
from tests.web.desk import ADMIN, Desk, at_desk

QUICK = Bounds(head=0.2, body=0.2, answer=0.2, connections=3)
BIG = 20_000_000
PIECES = 200
ENDED = asyncio.Event()
PATIENT = Bounds(head=30, body=30)
GET = b"GET /%s HTTP/1.1\r\nHost: a\r\n"


async def _echo(request: Request) -> Response:
    return PlainTextResponse(f"{len(await body_of(request))}")


async def _late(_: Request) -> Response:
    await asyncio.sleep(0.6)
    return PlainTextResponse("late")


async def _big(_: Request) -> Response:
    return StreamingResponse(_pieces())


async def _pieces() -> AsyncIterator[bytes]:
    """As much as goes; `ENDED` tells when nobody wants any more."""
    try:
        for _ in range(PIECES):
            yield b"x" * (BIG // PIECES)
    finally:
        ENDED.set()


APP = Starlette(routes=[Route("/", _echo, methods=["GET", "POST"]), Route("/late", _late), Route("/big", _big)])


@asynccontextmanager
async def server(bounds: Bounds) -> AsyncIterator[tuple[str, int]]:
    """Where the app is served."""
    async with serve_app(APP, listen="127.0.0.1:0", bounds=bounds) as bound:
        host, _, port = bound.address.rpartition(":")
        yield host, int(port)


async def dripped(at: tuple[str, int], head: bytes, drip: bytes) -> bytes:
    """What comes back until the server closes, to a client that goes on dripping as long as it may.

    On a bare socket: a stream forgets what has come when a write fails, and the answer stands in what has come.
    """
    with socket.create_connection(at) as one:
        one.setblocking(False)
        one.send(head)
        answering = asyncio.ensure_future(_all_of(one))
        async with asyncio.timeout(PATIENCE):
            while not answering.done():
                with contextlib.suppress(OSError):
                    one.send(drip)
                await asyncio.wait({answering}, timeout=0.02)
            return await answering


async def _all_of(one: socket.socket) -> bytes:
    octets = b""
    with contextlib.suppress(ConnectionError):
        while part := await asyncio.get_running_loop().sock_recv(one, 65_536):
            octets += part
    return octets


@pytest.mark.parametrize(
    ("head", "drip"),
    [
        (b"", b""),
        (b"", b"G"),
        (GET % b"", b"X: y\r\n"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", b"x"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (GET % b"nothing" + b"Content-Length: 100000\r\n\r\n", b"x"),
        (GET % b"" + b"\r\n", b"G"),
    ],
    ids=["silence", "a line", "headers", "a body", "chunks", "a body behind an answer", "a second request"],
)
def test_a_request_that_never_ends_is_let_go(head: bytes, drip: bytes) -> None:
    """In silence or octet by octet, before, within or behind a request: closed at the deadline."""

    @looped
    async def check() -> None:
        async with server(QUICK) as at:
            answer = await dripped(at, head, drip)
            assert not drip or b"408 Request Timeout" in answer or head.startswith(b"GET /")

    check()


@looped
async def test_who_waits_for_an_answer_is_not_hurried() -> None:
    """A request that came in whole may take its time, and so may the next one on the same connection."""
    async with server(QUICK) as at:
        reader, writer = await asyncio.open_connection(*at)
        for _ in range(2):
            writer.write(GET % b"late" + b"\r\n")
            assert (await reader.readuntil(b"late")).startswith(b"HTTP/1.1 200")
        writer.close()


@looped
async def test_an_answer_that_nobody_reads_is_let_go() -> None:
    """Who lets it pile up is cut off."""
    ENDED.clear()
    async with server(QUICK) as at:
        reader, writer = await asyncio.open_connection(*at, limit=4_096)
        writer.write(GET % b"big" + b"Connection: close\r\n\r\n")
        await ENDED.wait()
        assert await everything(reader) < BIG
        writer.close()


@looped
async def test_an_answer_that_is_read_slowly_comes_whole() -> None:
    """Whoever reads on within the time gets all of it, although it piles up in between."""
    async with server(PATIENT) as at:
        reader, writer = await asyncio.open_connection(*at, limit=4_096)
        writer.write(GET % b"big" + b"Connection: close\r\n\r\n")
        size = len(await reader.read(100))
        await asyncio.sleep(0.1)
        assert size + await everything(reader) > BIG
        writer.close()


async def everything(reader: asyncio.StreamReader) -> int:
    """How much comes until the end, which may be a sudden one."""
    size = 0
    with contextlib.suppress(ConnectionError):
        while part := await reader.read(1_000_000):
            size += len(part)
    return size


@looped
async def test_who_only_holds_a_connection_makes_room() -> None:
    """However many are silent, drip, or wait behind their answer: who asks is answered, and so is who was asking."""
    async with server(Bounds(head=30, body=30, connections=4)) as at:
        asking = await asyncio.open_connection(*at)
        asking[1].write(GET % b"late" + b"\r\n")
        held = [await asyncio.open_connection(*at) for _ in range(20)]
        for number, (_, writer) in enumerate(held):
            writer.write(
                (b"", GET % b"", GET % b"" + b"\r\n", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n")[number % 4]
            )
        for _ in range(3):
            assert (await dripped(at, GET % b"" + b"Connection: close\r\n\r\n", b"")).startswith(b"HTTP/1.1 200")
        assert (await asking[0].readuntil(b"late")).startswith(b"HTTP/1.1 200")
        for _, writer in (asking, *held):
            writer.close()


@looped
async def test_one_connection_too_many_is_told_so() -> None:
    """Where all are asking: 503 with when to come back; when one of the others is gone, there is room."""
    async with server(Bounds(connections=3)) as at:
        held = [await asyncio.open_connection(*at) for _ in range(3)]
        for _, writer in held:
            writer.write(GET % b"late" + b"\r\n")
        reader, writer = await asyncio.open_connection(*at)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 5" in answer.lower()
        writer.close()
        assert (await held[0][0].readuntil(b"late")).startswith(b"HTTP/1.1 200")
        held[0][1].close()
        await held[0][1].wait_closed()
        while (answer := await dripped(at, GET % b"" + b"Connection: close\r\n\r\n", b"")).startswith(b"HTTP/1.1 503"):
            await asyncio.sleep(0.01)
        assert answer.startswith(b"HTTP/1.1 200")
        for _, writer in held[1:]:
            writer.close()


@pytest.mark.parametrize(
    "octets",
    [
        b"\0\1\2\r\n\r\n",
        GET % b"" + b"no field\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\nnonsense\r\n",
        GET % b"" + b"\r\nNONSENSE\r\n\r\n",
    ],
    ids=["octets", "a field", "a first chunk", "a second chunk", "a second request"],
)
def test_what_is_no_http_is_refused_and_leaves_no_trace(octets: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """One 400 as problem+json, whatever was at work for the client, and not a line in the log that strangers could fill."""

    @looped
    async def check() -> None:
        async with server(PATIENT) as at:
            reader, writer = await asyncio.open_connection(*at)
            writer.write(octets)
            answer = await reader.read()
            assert answer.count(b"HTTP/1.1 400") == 1
            body = answer.rpartition(b"\r\n\r\n")[2]
            assert json.loads(body) == {"type": "about:blank", "title": "this is not a valid HTTP/1.1 request", "status": 400}
            writer.close()

    with caplog.at_level(logging.DEBUG):
        check()
    assert [record.getMessage() for record in caplog.records if record.name.startswith(("uvicorn", "asyncio.e"))] == []


POST = b"POST %s HTTP/1.1\r\nHost: a\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
TWO_LENGTHS = {
    "a length and chunks": POST % b"/" + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": POST % b"/" + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "a length of nothing and chunks": POST % b"/" + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "other spellings": POST % b"/" + b"cOnTeNt-LeNgTh:5\r\ntransfer-ENCODING:Chunked\r\n\r\n0\r\n\r\n",
    "a GET with both": GET % b"" + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": POST % b"/" + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "two lengths in one": POST % b"/" + b"Content-Length: 5, 6\r\n\r\nhello!",
    "two spellings of one length": POST % b"/" + b"Content-Length: 5\r\nContent-Length: 05\r\n\r\nhello",
    "a length with a sign": POST % b"/" + b"Content-Length: +5\r\n\r\nhello",
    "a length in hexadecimals": POST % b"/" + b"Content-Length: 0x5\r\n\r\nhello",
    "a length below nothing": POST % b"/" + b"Content-Length: -5\r\n\r\nhello",
    "an empty length": POST % b"/" + b"Content-Length:\r\n\r\nhello",
    "chunks twice": POST % b"/" + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "another coding": POST % b"/" + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "no coding": POST % b"/" + b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
    "a coding behind a tab": POST % b"/" + b"Transfer-Encoding:\tchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "a coding behind a fold": POST % b"/" + b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "a blank before the colon": POST % b"/" + b"Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "behind an honest request": GET % b""
    + b"\r\n"
    + POST % b"/"
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("name", TWO_LENGTHS)
def test_a_request_of_two_lengths_is_refused(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """400 and the end of the connection: nothing behind it is read as a request, and not a line is logged."""

    @looped
    async def check() -> None:
        async with server(PATIENT) as at:
            reader, writer = await asyncio.open_connection(*at)
            writer.write(TWO_LENGTHS[name] + SMUGGLED)
            async with asyncio.timeout(PATIENCE):
                answer = await reader.read()
            statuses = [int(one) for one in re.findall(rb"HTTP/1\.1 (\d\d\d)", answer)]
            assert statuses == ([200, 400] if "honest" in name else [400])
            writer.close()

    with caplog.at_level(logging.DEBUG):
        check()
    assert [record.getMessage() for record in caplog.records if record.name.startswith("uvicorn")] == []


@looped
async def test_one_length_is_read_whichever_way_it_is_told() -> None:
    """A length, the same length twice, chunks: each is answered, and so is the next request on the connection."""
    async with server(PATIENT) as at:
        reader, writer = await asyncio.open_connection(*at)
        for framed in (
            b"Content-Length: 5\r\n\r\nhello",
            b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
            b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ):
            writer.write(POST % b"/" + framed)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(1) == b"5"
        writer.close()


@pytest.mark.parametrize("path", ["/healthz", "/skyvern/totp/a@b.c", "/api/v1/codes", "/nowhere"])
def test_it_is_refused_on_every_route(path: str, tmp_path: Path) -> None:
    """By the connection, before any route: with a signature, a token or none."""

    async def work(desk: Desk) -> None:
        assert desk.client.base_url.port is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", desk.client.base_url.port)
        body = b"0\r\n\r\n"
        writer.write(
            POST % path.encode()
            + b"Authorization: Bearer "
            + ADMIN.encode()
            + b"\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
            + body
        )
        async with asyncio.timeout(PATIENCE):
            assert (await reader.read()).startswith(b"HTTP/1.1 400 Bad Request")
        writer.close()

    at_desk(tmp_path, work)
