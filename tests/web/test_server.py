"""HTTP in our own loop: bound where it says, with nobody's signals, and gone when the block ends."""

from __future__ import annotations

import asyncio
import signal
import socket
from datetime import timedelta

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from mailbridge.net.listening import ListenError
from mailbridge.web.limits import client_of
from mailbridge.web.server import LEAST_PATIENCE, serve_app
from tests.loop import looped


async def _hello(_: Request) -> Response:
    return PlainTextResponse("hello")


APP = Starlette(routes=[Route("/", _hello)])


def test_a_free_port_is_told() -> None:
    """Port 0 is any free one, and the address says which; the server does not say what it is."""

    async def main() -> str:
        async with serve_app(APP, listen="127.0.0.1:0") as bound, httpx.AsyncClient(trust_env=False) as client:
            assert not bound.address.endswith(":0")
            answer = await client.get(f"http://{bound.address}/")
            assert "server" not in answer.headers
            return answer.text

    assert asyncio.run(main()) == "hello"


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 on this machine: nothing to bind")
def test_an_address_of_ipv6_is_written_in_brackets() -> None:
    """As in a URL."""

    async def main() -> str:
        async with serve_app(APP, listen="[::1]:0") as bound:
            return bound.address

    try:
        assert asyncio.run(main()).startswith("[::1]:")
    except ListenError as fault:
        pytest.skip(f"no ::1 on this machine: {fault}")


def test_a_taken_port_is_a_message() -> None:
    """The address, and what to do about it."""

    async def main(address: str) -> None:
        async with serve_app(APP, listen=address):
            pass

    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ListenError, match="another program listens there") as refusal:
            asyncio.run(main(address))
    assert address in str(refusal.value)


def test_the_signals_stay_the_daemons() -> None:
    """Neither while it runs nor afterwards is a handler other than before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    async def main() -> None:
        async with serve_app(APP, listen="127.0.0.1:0"):
            await asyncio.sleep(0)
            assert {number: signal.getsignal(number) for number in before} == before

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    assert {number: signal.getsignal(number) for number in before} == before


@looped
async def test_what_is_in_hand_is_answered_before_the_end() -> None:
    """A request that runs when the block ends gets its answer; afterwards nobody listens."""
    has_come, may_go = asyncio.Event(), asyncio.Event()

    async def slow(_: Request) -> Response:
        has_come.set()
        await may_go.wait()
        return PlainTextResponse("late")

    async with httpx.AsyncClient(trust_env=False) as client:
        async with serve_app(Starlette(routes=[Route("/slow", slow)]), listen="127.0.0.1:0") as bound:
            running = asyncio.create_task(client.get(f"http://{bound.address}/slow"))
            await has_come.wait()
            asyncio.get_running_loop().call_later(0.1, may_go.set)
        assert (await running).text == "late"
        with pytest.raises(httpx.ConnectError):
            await client.get(f"http://{bound.address}/")


@looped
async def test_an_idle_connection_does_not_hold_up_the_end() -> None:
    """A client that keeps its connection open, and one that never finishes its request, are let go."""
    async with serve_app(APP, listen="127.0.0.1:0") as bound:
        host, _, port = bound.address.rpartition(":")
        idle = await asyncio.open_connection(host, int(port))
        half = await asyncio.open_connection(host, int(port))
        half[1].write(b"GET / HTTP/1.1\r\nHost: x\r\n")
        await half[1].drain()
    for reader, writer in (idle, half):
        await reader.read()
        writer.close()


def test_a_post_that_has_begun_is_finished_at_the_end() -> None:
    """Its body may come in for as long as ``patience`` says, beyond what every request has."""

    async def echo(request: Request) -> Response:
        return Response(await request.body())

    async def main() -> bytes:
        app = Starlette(routes=[Route("/", echo, methods=["POST"])])
        async with serve_app(app, listen="127.0.0.1:0", patience=lambda: timedelta(seconds=60)) as bound:
            host, _, port = bound.address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nha")
            await writer.drain()
            asyncio.get_running_loop().call_later(LEAST_PATIENCE.total_seconds() * 1.5, writer.write, b"lf")
        answer = await reader.read()
        writer.close()
        return answer

    assert asyncio.run(main()).endswith(b"\r\n\r\nhalf")


@pytest.mark.parametrize(("trusted", "seen"), [("127.0.0.9", "192.0.2.7"), ("127.0.0.8", "127.0.0.9")])
def test_whom_a_listed_proxy_names_is_the_client(trusted: str, seen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """FORWARDED_ALLOW_IPS, which the Compose file and the manifests set, says whose X-Forwarded-For is believed, and nobody else's is."""
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", trusted)

    async def who(request: Request) -> Response:
        return PlainTextResponse(client_of(request))

    async def main() -> str:
        transport = httpx.AsyncHTTPTransport(local_address="127.0.0.9")
        app = Starlette(routes=[Route("/", who)])
        async with serve_app(app, listen="127.0.0.1:0") as bound, httpx.AsyncClient(transport=transport) as client:
            return (await client.get(f"http://{bound.address}/", headers={"X-Forwarded-For": "192.0.2.7"})).text

    assert asyncio.run(main()) == seen
