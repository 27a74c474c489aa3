"""No receiver of anybody's leads to a metadata service or a link-local address, nor inwards where that was not allowed: nothing is dialled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import httpcore
import pytest

from mailbridge.core.delivery import Accepted, Deferred, Refused
from mailbridge.core.secret import Secret
from mailbridge.net.guard import METADATA, METADATA_NAMES, OURS, Reach, denied, system_addresses
from mailbridge.net.outgoing import Connections
from mailbridge.sinks.posting import Address, Poster, web_address
from mailbridge.sinks.skyvern import NEVER_METADATA
from tests.loop import looped
from tests.peers.scripted import answer, scripted

INSIDE = Reach(is_inside_allowed=True)
PUBLIC = Reach()
CLEAR = Reach(is_inside_allowed=True, is_inside_only=True)

NEVER = [
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.169.254:80/",
    "http://169.254.169.254./",
    "http://169.254.0.1/",
    "http://169.254.255.255/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0xA9.0xFE.0xA9.0xFE/",
    "http://0251.0376.0251.0376/",
    "http://025177524776/",
    "http://169.254.43518/",
    "http://169.16689662/",
    "http://0xa9.254.169.0376/",
    "http://169.254.170.2/v2/credentials",
    "http://169.254.170.23/",
    "http://0251.254.169.254/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[0:0:0:0:0:ffff:a9fe:a9fe]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b::169.254.169.254]/",
    "http://[fe80::1]/",
    "http://[fe80::a9fe:a9fe]/",
    "http://[febf::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fd00:0ec2:0:0:0:0:0:254]/",
    "http://[fd00:ec2::23]/",
    "http://[fd20:ce::254]/",
    "http://[fd00:c1::a9fe:a9fe]/",
    "http://[fd00:42::42]/",
    "http://100.100.100.200/",
    "http://1684301000/",
    "http://192.0.0.192/",
    "https://168.63.129.16/metadata",
    "https://2822734096/",
    "http://metadata/",
    "http://METADATA.google.internal/computeMetadata/v1/",
    "http://metadata.google.internal./",
    "http://metadata.goog/",
    "http://instance-data/",
    "http://instance-data.ec2.internal/",
    "http://0.0.0.0/",
    "http://0/",
    "http://00000000/",
    "http://[::]/",
    "http://255.255.255.255/",
    "http://224.0.0.1/",
    "http://[ff02::1]/",
    "http://240.0.0.1/",
    "http://192.0.2.1/",
    "http://[2001:db8::1]/",
    "http://[2002:a9fe:a9fe::1]/",
    "http://[2001:0:a9fe:a9fe::1]/",
    "http://[::a9fe:a9fe]/",
    "http://[::2]/",
]
"""Refused although private addresses are allowed: link-local, metadata, this host, multicast, tunnels and reserved ones."""

INWARDS = [
    "https://127.0.0.1/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://127.255.255.254/",
    "https://localhost/",
    "https://LOCALHOST/",
    "https://[::1]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://10.0.0.1/",
    "https://10.255.255.255/",
    "https://167772161/",
    "https://0xa.1/",
    "https://012.0.0.1/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.0.1/",
    "https://3232235521/",
    "https://192.168.257/",
    "https://[::ffff:192.168.0.1]/",
    "https://100.64.0.1/",
    "https://[fc00::1]/",
    "https://[fdff::1]/",
    "https://[fec0::1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[64:ff9b::10.0.0.1]/",
]
"""Refused for what was added by command or page, unless it allows private addresses."""

OUTSIDE = ("http://8.8.8.8/", "http://134744072/", "http://[2001:4860:4860::8888]/", "http://[::ffff:8.8.8.8]/")
"""Refused in clear."""

CASES = [*((url, INSIDE) for url in NEVER), *((url, PUBLIC) for url in (*NEVER, *INWARDS)), *((url, CLEAR) for url in OUTSIDE)]


class Dialled(httpcore.AsyncNetworkBackend):
    """A network that notes who is called and lets only the test's own server be reached."""

    def __init__(self, allowed: str = "") -> None:
        self.called: list[str] = []
        self._allowed = allowed

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        self.called.append(f"{host}:{port}")
        if self.called[-1] != self._allowed:
            raise httpcore.ConnectError("nobody is called from a test")
        return await Connections().connect_tcp(host, port, timeout)


def poster(url: str, reach: Reach, network: Dialled, *answers: Sequence[str]) -> Poster:
    """One that looks names up as the system does, or gets these answers in turn."""
    left = list(answers)

    async def resolve(host: str) -> Sequence[str]:
        return left.pop(0) if left else await system_addresses(host)

    address = Address(url=Secret(url), reach=reach, timeout=timedelta(seconds=5), resolve=resolve, network=network)
    return Poster(address)


def test_the_set_is_large_enough() -> None:
    """At least sixty different addresses are refused."""
    assert len({url for url, _ in CASES}) >= 60


@pytest.mark.parametrize(("url", "reach"), CASES)
@looped
async def test_nothing_is_dialled(url: str, reach: Reach) -> None:
    """However it is written. It is put off and told to a person, or it is no address at all; the secret path is in no reason."""
    network = Dialled()
    try:
        one = poster(f"{url}a-secret-path", reach, network)
    except ValueError:
        return
    sent = await one.send(b"{}", [])
    await one.aclose()
    assert network.called == []
    assert isinstance(sent.outcome, Deferred)
    assert "a-secret-path" not in sent.outcome.reason


@pytest.mark.parametrize("name", METADATA_NAMES)
@looped
async def test_a_metadata_service_is_refused_by_name_whatever_dns_says(name: str) -> None:
    """Also where the resolver gives a public or a private address."""
    for found in ("8.8.8.8", "10.0.0.1"):
        network = Dialled()
        one = poster(f"http://{name.upper()}./x", INSIDE, network, [found])
        sent = await one.send(b"{}", [])
        assert network.called == []
        assert isinstance(sent.outcome, Deferred)
        assert sent.outcome.is_alarm


@pytest.mark.parametrize(
    "found",
    [
        ["169.254.169.254"],
        ["8.8.8.8", "169.254.169.254"],
        ["2001:4860:4860::8888", "fe80::1%eth0"],
        ["fd00:ec2::254"],
        ["::ffff:169.254.169.254"],
        ["100.100.100.200"],
        ["0.0.0.0"],
        ["10.0.0.1", "169.254.169.254"],
    ],
)
@looped
async def test_a_name_that_leads_there_is_refused_as_a_whole(found: list[str]) -> None:
    """One bad address among good ones is enough: which of them is taken would be chance."""
    network = Dialled()
    one = poster("https://hooks.example/x", INSIDE, network, found)
    sent = await one.send(b"{}", [])
    assert network.called == []
    assert isinstance(sent.outcome, Deferred)
    assert sent.outcome.is_alarm


@looped
async def test_a_name_that_changes_between_two_pushes_is_checked_each_time() -> None:
    """Rebinding: what was checked is what is dialled, and the next connection is checked anew."""
    network = Dialled()
    one = poster("https://hooks.example/x", PUBLIC, network, ["8.8.8.8"], ["127.0.0.1"], ["169.254.169.254"], ["8.8.4.4"])
    for _ in range(4):
        assert isinstance((await one.send(b"{}", [])).outcome, Deferred)
    await one.aclose()
    assert network.called == ["8.8.8.8:443", "8.8.4.4:443"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@looped
async def test_no_redirect_leads_anywhere(status: int) -> None:
    """To none of these addresses, nor to a harmless one: the answer is a failure that a person is told of."""
    for url in (*NEVER[::9], *INWARDS[::9], "https://hooks.example/y", "/elsewhere", "//169.254.169.254/"):
        async with scripted(answer(status, Location=url)) as server:
            network = Dialled(server.address)
            one = poster(f"{server.base_url}/x", INSIDE, network)
            sent = await one.send(b'{"code":"482913"}', [(b"x-api-key", b"k")])
            await one.aclose()
            assert network.called == [server.address]
            assert len(server.heard) == 1
        assert isinstance(sent.outcome, Refused)
        assert sent.outcome.is_alarm


@looped
async def test_one_of_ones_own_is_reached_where_that_is_allowed() -> None:
    """The guard is no wall: loopback in clear, by a receiver of the file."""
    async with scripted(answer(204)) as server:
        network = Dialled(server.address)
        one = poster(f"{server.base_url}/x", CLEAR, network)
        assert isinstance((await one.send(b"{}", [])).outcome, Accepted)
        await one.aclose()


def test_the_lists_agree_with_each_other() -> None:
    """No metadata service counts as a private network, and the words that open the inside are words of the list."""
    for address in METADATA:
        assert denied(str(address)) not in OURS
        assert INSIDE(str(address)) is not None
    assert {denied(one) for one in ("10.0.0.1", "127.0.0.1", "100.64.0.1", "fec0::1", "fc00::1")} == OURS


@pytest.mark.parametrize("url", ["http://１６９.254.169.254/", "http://①⑥⑨.②⑤④.①⑥⑨.②⑤④/", "http://169。254。169。254/"])
@looped
async def test_letters_that_look_like_digits_are_read_before_they_are_checked(url: str) -> None:
    """They become the address that they look like (IDNA), or none."""
    network = Dialled()
    try:
        web_address(Secret(url))
        one = poster(url, INSIDE, network)
    except ValueError:
        return
    assert isinstance((await one.send(b"{}", [])).outcome, Deferred)
    assert network.called == []


@looped
async def test_skyvern_is_reached_inwards_and_never_there() -> None:
    """Its connections are checked at the same place: a Skyvern of one's own is private, none is link-local."""
    assert NEVER_METADATA("10.0.0.1") is None
    assert all(
        NEVER_METADATA(address) is not None for address in ("169.254.169.254", "fe80::1", "fd00:ec2::254", "100.100.100.200")
    )
    async with scripted(answer(200)) as server:
        host, _, port = server.address.rpartition(":")
        refusing = Connections(lambda address: "somewhere else" if address == host else None)
        for attempt in (
            refusing.connect_tcp(host, int(port), 5),
            refusing.prepare(host, int(port), None, timeout=5, life=5),
        ):
            with pytest.raises(httpcore.ConnectError, match="somewhere else"):
                await attempt
        await refusing.aclose()
        assert server.connections == 0
