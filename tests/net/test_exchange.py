"""One request and its answer, beside httpx's own transport: what servers may say, and what none should."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import h11
import httpx
import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from mailbridge.net.exchange import Exchanges, Place, Reply, Timeouts, plain_reply
from mailbridge.net.outgoing import Connections, Transport, trusted
from tests.loop import PATIENCE as WHOLE
from tests.loop import until
from tests.peers.scripted import Play, Scripted, answer, scripted, silence

MOST = 4_096
GENEROUS = Timeouts(room=30.0, connect=30.0, read=30.0)
SHORT = Timeouts(room=0.05, connect=30.0, read=0.05)
HEAD = [(b"Host", b"skyvern.localhost"), (b"Content-Length", b"4")]

STATUS_LINES = st.sampled_from(
    b"HTTP/1.1 200 OK|HTTP/1.1 503 Busy|HTTP/1.0 200 OK|HTTP/1.1 204 None|HTTP/1.1 304 Same|HTTP/1.1 200|HTTP/2 200 OK|HTTP/1.1 20 OK"
    b"|HTTP/1.1 abc OK|220 mail ESMTP||HTTP/1.1 999 Odd|http/1.1 200 OK|HTTP/1.1 101 Switching".split(b"|")
)
BODIES = st.sampled_from([b"", b"{}", b'{"code":"482913"}', b"x" * (MOST + 5), b"\r\n\r\n", b"0\r\n\r\n"])
LENGTHS = st.sampled_from(["right", "right", "right", "none", "short", "long", "twice", "two", "odd", "negative"])
FRAMINGS = st.sampled_from(["length", "length", "chunked", "chunked", "chunks-cut", "chunks-odd", "both"])
EXTRAS = st.lists(
    st.sampled_from(
        b"Connection: close|Connection: keep-alive|Server: uvicorn|X-Odd:|X Odd: 1|: 1| folded|Retry-After: 7|Content-Encoding: identity"
        b"|X-Bytes: \xff\xfe|X-Nul: a\x00b|Transfer-Encoding: gzip".split(b"|")
    ),
    max_size=3,
)
BEFORE = st.lists(st.sampled_from([b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n"]), max_size=2)


def framed(body: bytes, framing: str, length: str) -> tuple[list[bytes], bytes]:
    """The headers that frame a body, and the body as it goes over the wire."""
    sizes = {
        "right": [len(body)],
        "none": [],
        "short": [len(body) // 2],
        "long": [len(body) + 3],
        "two": [len(body), len(body) + 1],
    }
    values = [b"%d" % one for one in sizes.get(length, [len(body), len(body)])]
    values = [b"4x"] if length == "odd" else [b"-1"] if length == "negative" else values
    lengths = [b"Content-Length: " + one for one in values]
    if framing == "length":
        return lengths, body
    middle = len(body) // 2
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:middle], body[middle:]) if part)
    ended = {"chunked": chunks + b"0\r\n\r\n", "chunks-cut": chunks, "chunks-odd": b"zz\r\n" + chunks}.get(
        framing, chunks + b"0\r\n\r\n"
    )
    return [b"Transfer-Encoding: chunked", *(lengths if framing == "both" else [])], ended


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, list[int]]:
    """An answer, good or bad, and where the network cuts it into pieces."""
    headers, body = framed(draw(BODIES), draw(FRAMINGS), draw(LENGTHS))
    head = b"\r\n".join([draw(STATUS_LINES), *draw(st.permutations([*headers, *draw(EXTRAS)]))]) + b"\r\n\r\n"
    octets = b"".join(draw(BEFORE)) + head + body
    octets = octets[: draw(st.one_of(st.just(len(octets)), st.integers(0, len(octets))))]
    return octets, sorted(draw(st.lists(st.integers(0, len(octets)), max_size=3)))


def played(octets: bytes, cuts: list[int]) -> Play:
    """Say it in pieces, then close."""

    async def play(writer: asyncio.StreamWriter) -> None:
        for begin, end in zip([0, *cuts], [*cuts, len(octets)], strict=True):
            writer.write(octets[begin:end])
            await writer.drain()
            await asyncio.sleep(0)
        writer.close()

    return play


def exchanges_with(server: Scripted, *, most: int = 2, keepalive: float = 30.0) -> Exchanges:
    """Ours, to this server."""
    host, _, port = server.address.rpartition(":")
    return Exchanges(Place(host=host, port=int(port)), most=most, keepalive=keepalive)


async def ours(server: Scripted) -> tuple[Any, ...] | str:
    """What is made of the answer here: status, body and headers, or that it is none."""
    exchanges = exchanges_with(server)
    try:
        reply = await exchanges.ask("POST", b"/v1", HEAD, b"body", timeouts=GENEROUS, most=MOST)
    except httpx.TransportError:
        return "fault"
    finally:
        await exchanges.aclose()
    return reply.status, reply.body, [(name.lower(), value) for name, value in reply.headers]


async def theirs(server: Scripted) -> tuple[Any, ...] | str:
    """What httpx's transport makes of it, read in the same way."""
    async with httpx.AsyncHTTPTransport(trust_env=False) as transport:
        request = httpx.Request("POST", f"{server.base_url}/v1", headers=HEAD, content=b"body")
        try:
            response = await transport.handle_async_request(request)
            body = b""
            async for part in response.stream:  # type: ignore[union-attr]
                body += part
                if len(body) >= MOST:
                    break
            await response.aclose()
        except httpx.TransportError:
            return "fault"
    return response.status_code, body[:MOST], [(name.lower(), value) for name, value in response.headers.raw]


def run(main: Any) -> Any:
    """Run in the daemon's kind of loop, under a deadline."""

    async def limited() -> Any:
        async with asyncio.timeout(WHOLE):
            return await main

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(limited())


@given(answers())
@settings(max_examples=300, deadline=None)
def test_an_answer_is_read_as_httpx_reads_it(one: tuple[bytes, list[int]]) -> None:
    """Status, headers and body are the same, or both take it for no answer, however it is cut into pieces."""

    async def main() -> None:
        async with scripted(played(*one)) as server:
            assert await ours(server) == await theirs(server)

    run(main())


@given(answers())
@settings(max_examples=1_000, deadline=None)
def test_what_is_read_without_h11_is_what_h11_reads(one: tuple[bytes, list[int]]) -> None:
    """An answer that is taken as a plain one is read whole by h11 too, as the same, and leaves its connection usable."""
    octets, _ = one
    found = plain_reply(octets, MOST)
    if found is None:
        return
    http = h11.Connection(h11.CLIENT)
    for event in (h11.Request(method="POST", target="/v1", headers=HEAD), h11.Data(data=b"body"), h11.EndOfMessage()):
        http.send(event)
    http.receive_data(octets)
    response, body = http.next_event(), b""
    while isinstance(part := http.next_event(), h11.Data):
        body += bytes(part.data)
    assert isinstance(response, h11.Response)
    assert isinstance(part, h11.EndOfMessage)
    assert (found.status, list(found.headers), found.body) == (response.status_code, list(response.headers), body)
    assert (http.their_state, http.trailing_data) == (h11.DONE, (b"", False))


PLAIN = b"HTTP/1.1 200 OK\r\nServer: uvicorn\r\nContent-Length: 2\r\n\r\n{}"
NOT_PLAIN = {
    "cut": PLAIN[:-1],
    "more behind it": PLAIN + b"H",
    "without a length": PLAIN.replace(b"Content-Length: 2\r\n", b""),
    "two lengths": PLAIN.replace(b"Server: uvicorn", b"Content-Length: 2"),
    "a length that is none": PLAIN.replace(b": 2", b": +2"),
    "as long as is read": PLAIN.replace(b": 2", b": %d" % MOST) + b"x" * (MOST - 2),
    "chunked too": PLAIN.replace(b"Server: uvicorn", b"Transfer-Encoding: chunked"),
    "the last on its connection": PLAIN.replace(b"Server: uvicorn", b"Connection: close"),
    "an older HTTP": PLAIN.replace(b"1.1", b"1.0"),
    "not the final one": PLAIN.replace(b"200", b"100"),
    "a status without a body": PLAIN.replace(b"200", b"204"),
    "a folded line": PLAIN.replace(b"Server: ", b"Server:\r\n "),
    "a blank before the colon": PLAIN.replace(b"Server:", b"Server :"),
    "a bare line feed": PLAIN.replace(b"uvicorn\r", b"uvicorn"),
    "an octet that is no text": PLAIN.replace(b"uvicorn", b"uvi\x00corn"),
}


def test_the_usual_answer_is_a_plain_one() -> None:
    """What uvicorn says is read without h11."""
    headers = [(b"server", b"uvicorn"), (b"content-length", b"2")]
    assert plain_reply(PLAIN, MOST) == Reply(status=200, headers=headers, body=b"{}")


@pytest.mark.parametrize("octets", NOT_PLAIN.values(), ids=NOT_PLAIN)
def test_what_is_odd_is_not_a_plain_answer(octets: bytes) -> None:
    """Whatever is not whole, alone and in the plainest form is left to h11."""
    assert plain_reply(octets, MOST) is None


@pytest.mark.parametrize(
    "field", [(b"X-Key", b"a\r\nX-Other: b"), (b"X-Key", b"a\x00"), (b"X Key", b"a"), (b"X-Key\r\n\r\n", b"a")]
)
def test_a_header_that_would_be_two_is_not_sent(field: tuple[bytes, bytes]) -> None:
    """A name or a value with a line end, or another character that no header has, is refused before anything leaves."""

    async def main() -> None:
        async with scripted(answer(200, b"ok")) as server:
            exchanges = exchanges_with(server)
            with pytest.raises(httpx.LocalProtocolError):
                await exchanges.ask("GET", b"/", [*HEAD[:1], field], b"", timeouts=GENEROUS, most=MOST)
            with pytest.raises(httpx.LocalProtocolError):
                await exchanges.ask("GET", b"/ HTTP/1.1\r\nX: y", HEAD[:1], b"", timeouts=GENEROUS, most=MOST)
            assert server.heard == []
            await exchanges.aclose()

    run(main())


@pytest.mark.parametrize("is_big", [False, True])
def test_the_request_is_whole_and_its_connection_is_used_again(is_big: bool) -> None:
    """Head and body arrive as given, small and large; the next request takes the same connection."""
    body = b"b" * (3_000_000 if is_big else 4)
    head = [(b"Host", b"skyvern.localhost"), (b"Content-Length", b"%d" % len(body)), (b"X-Api-Key", b"key")]

    async def main() -> None:
        async with scripted(answer(200, {"code": "1"})) as server:
            exchanges = exchanges_with(server)
            for number in (1, 2, 3):
                reply = await exchanges.ask("POST", b"/v1/totp?a=b", head, body, timeouts=GENEROUS, most=MOST)
                assert (reply.status, reply.body) == (200, b'{"code": "1"}')
                heard = server.heard[-1]
                assert (heard.method, heard.target, heard.body == body) == ("POST", "/v1/totp?a=b", True)
                assert heard.headers["x-api-key"] == ["key"]
                assert (server.connections, len(server.heard)) == (1, number)
            await exchanges.aclose()

    run(main())


@pytest.mark.parametrize(
    "octets", [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"]
)
def test_what_follows_an_answer_is_nobodys_answer(octets: bytes) -> None:
    """A second answer that nobody asked for is dropped with its connection: it never answers the next request."""

    async def main() -> None:
        async with scripted(octets, answer(201, b"good")) as server:
            exchanges = exchanges_with(server)
            first = await exchanges.ask("GET", b"/", HEAD[:1], b"", timeouts=GENEROUS, most=MOST)
            second = await exchanges.ask("GET", b"/", HEAD[:1], b"", timeouts=GENEROUS, most=MOST)
            assert (first.body, second.body, server.connections) == (b"ok", b"good", 2)
            await exchanges.aclose()

    run(main())


def test_a_cut_answer_ends_its_connection() -> None:
    """The rest of an answer that is longer than wanted is not read as the next one."""

    async def main() -> None:
        async with scripted(answer(200, b"x" * (MOST * 3)), answer(200, b"next")) as server:
            exchanges = exchanges_with(server)
            first = await exchanges.ask("GET", b"/", HEAD[:1], b"", timeouts=GENEROUS, most=MOST)
            second = await exchanges.ask("GET", b"/", HEAD[:1], b"", timeouts=GENEROUS, most=MOST)
            assert (first.body, second.body, server.connections) == (b"x" * MOST, b"next", 2)
            await exchanges.aclose()

    run(main())


def test_an_idle_connection_is_left_after_its_time() -> None:
    """A connection that waited longer than it is kept is not used."""

    async def main() -> None:
        async with scripted(answer(200, b"ok")) as server:
            exchanges = exchanges_with(server, keepalive=0.0)
            for number in (1, 2):
                await exchanges.ask("GET", b"/", HEAD[:1], b"", timeouts=GENEROUS, most=MOST)
                assert server.connections == number
            await exchanges.aclose()

    run(main())


def test_silence_and_a_full_house_have_their_names() -> None:
    """No answer in time is a read that timed out; no free connection in time is told apart: nothing was sent."""

    async def main() -> None:
        async with scripted(silence()) as server:
            exchanges = exchanges_with(server, most=1)
            with pytest.raises(httpx.ReadTimeout):
                await exchanges.ask("GET", b"/", HEAD[:1], b"", timeouts=SHORT, most=MOST)
            waiting = asyncio.ensure_future(exchanges.ask("GET", b"/", HEAD[:1], b"", timeouts=GENEROUS, most=MOST))
            await until(lambda: len(server.heard) == 2)
            with pytest.raises(httpx.PoolTimeout):
                await exchanges.ask("GET", b"/", HEAD[:1], b"", timeouts=SHORT, most=MOST)
            assert len(server.heard) == 2
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await exchanges.aclose()

    run(main())


def test_a_request_that_is_given_up_gives_its_place_back() -> None:
    """A cancelled request closes its connection, and the next one gets through."""

    async def main() -> None:
        async with scripted(silence(), answer(200, b"ok")) as server:
            exchanges = exchanges_with(server, most=1)
            first = asyncio.ensure_future(exchanges.ask("GET", b"/", HEAD[:1], b"", timeouts=GENEROUS, most=MOST))
            await until(lambda: len(server.heard) == 1)
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)
            reply = await exchanges.ask("GET", b"/", HEAD[:1], b"", timeouts=GENEROUS, most=MOST)
            assert reply == Reply(status=200, headers=reply.headers, body=b"ok")
            await exchanges.aclose()

    run(main())


@pytest.mark.parametrize("is_ours", [True, False], ids=["our exchanges", "httpx over our network"])
def test_what_was_given_up_does_not_arrive_later(is_ours: bool) -> None:
    """A request that a server did not take in time is not in the kernel's hands any more: it reads on, and never gets it whole."""
    body = b"b" * 400_000
    head = [(b"Host", b"skyvern.localhost"), (b"Content-Length", b"%d" % len(body))]
    hurry = Timeouts(room=5, connect=5, read=0.3)

    async def give_up(host: str, port: int) -> None:
        if is_ours:
            exchanges = Exchanges(Place(host=host, port=port), most=1, keepalive=30)
            with pytest.raises(httpx.TransportError):
                await exchanges.ask("POST", b"/v1", head, body, timeouts=hurry, most=MOST)
            await exchanges.aclose()
            return
        async with Transport(Connections(), context=trusted("http")) as transport:
            limit = httpx.Timeout(hurry.read).as_dict()
            request = httpx.Request("POST", f"http://{host}:{port}/v1", content=body, extensions={"timeout": limit})
            with pytest.raises(httpx.TransportError):
                await transport.handle_async_request(request)

    async def main() -> None:
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            server.bind(("127.0.0.1", 0))
            server.listen()
            server.setblocking(False)
            await give_up(*server.getsockname())
            loop = asyncio.get_running_loop()
            taken, _ = await loop.sock_accept(server)
            read = 0
            with taken, contextlib.suppress(ConnectionResetError):
                while octets := await loop.sock_recv(taken, 65_536):
                    read += len(octets)
            assert read < len(body)

    run(main())
