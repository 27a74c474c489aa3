"""No URL that a stranger had a hand in leads to this machine or to a network of ours, however it is written and whatever DNS says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from mailbridge.core.secret import Secret
from mailbridge.net.guard import PrivateAddress, PublicOnlyBackend, PublicOnlyTransport, Resolve, denied
from mailbridge.net.outgoing import Connections
from mailbridge.trust.dns import Dns
from mailbridge.trust.gmail import NotConfirmed, browser, confirm
from mailbridge.web.server import serve_app
from tests.loop import looped
from tests.peers.dns_server import dns_server

LINK = Secret("https://mail-settings.google.com/mail/vf-%5BANGjdJ-x%5D-abc")
PUBLIC = "142.250.74.69"

DENIED = """
0.0.0.0 0.255.255.255 10.0.0.0 10.255.255.255 100.64.0.0 100.127.255.255 127.0.0.1 127.255.255.255 169.254.0.1 169.254.169.254
172.16.0.1 172.31.255.255 192.0.0.0 192.0.0.8 192.0.0.170 192.0.0.255 192.0.2.1 192.88.99.1 192.168.0.1 192.168.255.255 198.18.0.1
198.19.255.255 198.51.100.1 203.0.113.255 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.254 255.255.255.255
:: ::1 ::2 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:192.0.0.8 ::ffff:0:127.0.0.1
64:ff9b::7f00:1 64:ff9b::10.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::1 64:ff9b:1::8.8.8.8 100::1 100:0:0:1::1
2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:10::1 2001:20::1 2001:1ff:ffff::1 2001:db8::1 2002:7f00:1:: 2002:a00:1::1
2002:808:808::1 3fff::1 3fff:fff:ffff::1 4000::1 5f00::1 8000::1 fbff::1 fc00::1 fd12:3456::1 fe80::1 fe80::1%1 febf::1 fec0::1 feff::1
ff02::1 ff0e::1
"""

OPEN = """
1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 142.250.74.69 169.253.255.255 169.255.0.0
172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 192.88.98.1 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0
198.51.99.255 203.0.114.0 223.255.255.255 ::ffff:8.8.8.8 64:ff9b::8.8.8.8 64:ff9b::8efa:4a45
2001:200::1 2001:4860:4860::8888 2001:db7:ffff::1 2001:db9::1 2003::1 2a00:1450:4001:830::2005 3ffe:ffff::1 3fff:1000::1
"""

SPELLINGS = ("127.0.0.1", "2130706433", "0x7f.1", "0x7f000001", "127.1", "0177.0.0.1", "localhost", "0", "0.0.0.0")


class Noted(httpcore.AsyncNetworkBackend):
    """A network where everybody's address is our server's, and where it is noted who was asked for."""

    def __init__(self, port: int = 0, *, silent: Sequence[str] = (), refusing: Sequence[str] = ()) -> None:
        self.asked: list[tuple[str, int]] = []
        self._port = port
        self._silent = silent
        self._refusing = refusing
        self.slept = 0.0
        self._real = Connections()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to our server; who is silent is waited for."""
        self.asked.append((host, port))
        if host in self._refusing:
            raise httpcore.ConnectError(f"{host} refuses")
        if host in self._silent:
            try:
                async with asyncio.timeout(timeout):
                    await asyncio.Event().wait()
            except TimeoutError:
                raise httpcore.ConnectTimeout from None
        return await self._real.connect_tcp("127.0.0.1", self._port, timeout)

    async def sleep(self, seconds: float) -> None:
        """Sleep no time, and note how long it should have been."""
        self.slept += seconds


def of(*addresses: str) -> Resolve:
    """A resolver that says the same to everybody."""

    async def resolve(host: str) -> Sequence[str]:
        return addresses

    return resolve


@pytest.mark.parametrize("address", DENIED.split())
def test_what_is_not_public_is_denied(address: str) -> None:
    """The first and the last of each special network, plain, mapped, translated and tunnelled."""
    assert denied(address)


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("0.0.0.0", "this host"),
        ("10.0.0.1", "a private network"),
        ("127.0.0.1", "loopback"),
        ("255.255.255.255", "broadcast"),
        ("255.255.255.254", "reserved"),
        ("::", "this host"),
        ("::1", "loopback"),
        ("::2", "reserved"),
        ("64:ff9b:1::1", "a translator's own network"),
        ("100::1", "a black hole"),
        ("100:0:0:1::1", "reserved"),
        ("2001::1", "a tunnel (Teredo)"),
        ("2001:2::1", "protocol assignments"),
        ("fd12:3456::1", "a private network"),
        ("fe80::1", "link-local"),
        ("fec0::1", "a private network (site-local)"),
        ("ff02::1", "multicast"),
        ("fbff::1", "reserved"),
        ("::ffff:127.0.0.1", "loopback"),
        ("64:ff9b::7f00:1", "loopback"),
    ],
)
def test_what_is_denied_is_called_by_its_name(address: str, what: str) -> None:
    """The narrowest network that an address is in names it, so that whoever reads the refusal knows what was meant."""
    assert denied(address) == what


@pytest.mark.parametrize("address", OPEN.split())
def test_what_is_public_is_not_denied(address: str) -> None:
    """The neighbours of each special network, and public addresses that are mapped or translated."""
    assert denied(address) is None


@pytest.mark.parametrize("address", ["", "localhost", "127.1", "2130706433", "1.2.3.4/8"])
def test_what_is_no_address_is_never_taken_for_a_public_one(address: str) -> None:
    """A spelling that only the C library reads is an error here, not an answer."""
    with pytest.raises(ValueError, match="does not appear"):
        denied(address)


@pytest.mark.parametrize("host", SPELLINGS)
def test_no_spelling_leads_to_this_machine(host: str) -> None:
    """By the system's own resolver, which knows them all: refused before anything is connected to, and the refusal says what it is."""

    @looped
    async def check() -> None:
        network = Noted()
        with pytest.raises(PrivateAddress, match=r"leads to .* \((loopback|this host)\), where no link may lead"):
            await PublicOnlyBackend(network=network).connect_tcp(host, 443, timeout=5)
        assert network.asked == []

    check()


@pytest.mark.parametrize(
    "addresses",
    [("127.0.0.1",), (PUBLIC, "10.0.0.1"), ("10.0.0.1", PUBLIC), (PUBLIC, "::ffff:169.254.169.254"), (PUBLIC, "64:ff9b::7f00:1")],
    ids=" ".join,
)
def test_a_name_that_leads_inwards_with_one_of_its_addresses_is_refused(addresses: tuple[str, ...]) -> None:
    """NoEvents is connected to, not even at those that are public; said by a real DNS server, and told as the reason."""

    @looped
    async def check() -> None:
        async with dns_server() as server:
            for one in addresses:
                server.zone.setdefault(("mail-settings.google.com", "AAAA" if ":" in one else "A"), []).append(one)
            names = Dns(timeout=timedelta(seconds=3), nameservers=[server.address])
            network = Noted()
            with pytest.raises(PrivateAddress, match=r"mail-settings\.google\.com leads to"):
                await PublicOnlyBackend(names.addresses, network).connect_tcp("mail-settings.google.com", 443, timeout=5)
            assert network.asked == []
            async with browser(names.addresses) as client:
                answer = await confirm(LINK, client)
            assert isinstance(answer, NotConfirmed)
            assert answer.why.startswith("not opened: mail-settings.google.com leads to ")

    check()


@looped
async def test_what_was_checked_is_what_is_connected_to() -> None:
    """One look-up, and the address that came of it: a second answer (rebinding) is never heard."""
    said = [(PUBLIC,), ("127.0.0.1",)]

    async def resolve(host: str) -> Sequence[str]:
        return said.pop(0)

    async with serve_app(Starlette(routes=[Route("/", _page)]), listen="127.0.0.1:0") as bound:
        network = Noted(int(bound.address.rpartition(":")[2]))
        async with httpx.AsyncClient(transport=PublicOnlyTransport(resolve, network)) as client:
            assert (await client.get("http://one.example/")).status_code == 302
    assert network.asked == [(PUBLIC, 80)]
    assert len(said) == 1


@looped
async def test_where_a_page_redirects_to_is_checked_as_well() -> None:
    """The first host is public and answers; the second is refused, over the same client."""

    async def resolve(host: str) -> Sequence[str]:
        return (PUBLIC,) if host == "one.example" else ("192.168.1.1",)

    async with serve_app(Starlette(routes=[Route("/", _page)]), listen="127.0.0.1:0") as bound:
        network = Noted(int(bound.address.rpartition(":")[2]))
        async with httpx.AsyncClient(transport=PublicOnlyTransport(resolve, network), follow_redirects=True) as client:
            with pytest.raises(httpx.ConnectError, match=r"two\.example leads to 192\.168\.1\.1 \(a private network\)"):
                await client.get("http://one.example/")
    assert network.asked == [(PUBLIC, 80)]


@looped
async def test_addresses_are_tried_in_turn_within_the_time() -> None:
    """One that is silent costs its share of the time, and the next one answers."""
    async with serve_app(Starlette(routes=[Route("/", _page)]), listen="127.0.0.1:0") as bound:
        network = Noted(int(bound.address.rpartition(":")[2]), silent=("8.8.8.8",))
        stream = await PublicOnlyBackend(of("8.8.8.8", PUBLIC), network).connect_tcp("one.example", 80, timeout=1)
        await stream.aclose()
        assert network.asked == [("8.8.8.8", 80), (PUBLIC, 80)]
        stream = await PublicOnlyBackend(of(PUBLIC), network).connect_tcp("one.example", 80)  # without any limit
        await stream.aclose()
    assert network.asked[2:] == [(PUBLIC, 80)]


@looped
async def test_no_address_and_no_answer_are_failures_like_any_other() -> None:
    """None, none in time, all silent: what httpcore raises where it cannot connect; and no socket of this machine."""

    async def never(host: str) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    def failing(fault: Exception) -> Resolve:
        async def fails(host: str) -> Sequence[str]:
            raise fault

        return fails

    for resolve, fault in (
        (of(), httpcore.ConnectError),
        (failing(OSError()), httpcore.ConnectError),
        (failing(UnicodeError()), httpcore.ConnectError),
        (never, httpcore.ConnectTimeout),
    ):
        with pytest.raises(fault):
            await PublicOnlyBackend(resolve, Noted()).connect_tcp("one.example", 80, timeout=0.05)
    with pytest.raises(httpcore.ConnectTimeout):
        await PublicOnlyBackend(of("8.8.8.8", PUBLIC), Noted(silent=("8.8.8.8", PUBLIC))).connect_tcp(
            "one.example", 80, timeout=0.1
        )
    with pytest.raises(PrivateAddress):
        await PublicOnlyBackend().connect_unix_socket("/run/any.sock")


@looped
async def test_an_address_that_refuses_leaves_the_next_one() -> None:
    """The next is asked; where all refuse, that is the failure."""
    async with serve_app(Starlette(routes=[Route("/", _page)]), listen="127.0.0.1:0") as bound:
        network = Noted(int(bound.address.rpartition(":")[2]), refusing=("8.8.8.8", "1.1.1.1"))
        stream = await PublicOnlyBackend(of("8.8.8.8", PUBLIC), network).connect_tcp("one.example", 80, timeout=5)
        await stream.aclose()
        with pytest.raises(httpcore.ConnectError, match=r"1\.1\.1\.1 refuses"):
            await PublicOnlyBackend(of("8.8.8.8", "1.1.1.1"), network).connect_tcp("one.example", 80, timeout=5)
    assert [host for host, _ in network.asked] == ["8.8.8.8", PUBLIC, "8.8.8.8", "1.1.1.1"]


@looped
async def test_waiting_is_the_networks_own() -> None:
    """What httpcore waits between two tries it waits as without the check."""
    network = Noted()
    await PublicOnlyBackend(network=network).sleep(7.0)
    assert network.slept == 7.0


def test_the_environment_names_no_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom TLS trusts is not said by a variable that somebody has set for another program."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    PublicOnlyTransport()


async def _page(_: Request) -> Response:
    return RedirectResponse("http://two.example/", status_code=302)
