"""Listeners: by address or handed over, behind a proxy, over unix sockets and IPv6; limits count who is really there."""

from __future__ import annotations

import asyncio
import socket
import stat
import struct
from datetime import timedelta
from pathlib import Path

import pytest

from mailbridge.config.settings import SmtpSettings
from mailbridge.ingress.limits import origin_of
from mailbridge.ingress.smtp import serve
from mailbridge.intake.admission import Admission
from mailbridge.net.listening import ListenError, bind
from tests.ingress.listener_context import ARRIVED, CODES, PATIENCE, Desk, House, Peer, house, run

V2 = b"\r\n\r\n\0\r\nQUIT\n"


def v2(command: int, family: int, addresses: bytes) -> bytes:
    """A PROXY protocol 2 header."""
    return V2 + bytes([0x20 | command, family]) + struct.pack("!H", len(addresses)) + addresses


TCP4 = socket.inet_aton("192.0.2.7") + socket.inet_aton("127.0.0.1") + struct.pack("!HH", 40_000, 25)
TCP6 = (
    socket.inet_pton(socket.AF_INET6, "2001:db8::7") + socket.inet_pton(socket.AF_INET6, "::1") + struct.pack("!HH", 40_000, 25)
)


@pytest.mark.parametrize(
    ("header", "peer"),
    [
        (b"PROXY TCP4 192.0.2.7 127.0.0.1 40000 25\r\n", "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 ::1 40000 25\r\n", "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (v2(1, 0x11, TCP4), "192.0.2.7"),
        (v2(1, 0x11, TCP4 + b"\x04\0\x01x"), "192.0.2.7"),
        (v2(1, 0x21, TCP6), "2001:db8::7"),
        (v2(0, 0x00, b""), "127.0.0.1"),
        (v2(1, 0x31, b"/run/a".ljust(108, b"\0") + b"/run/b".ljust(108, b"\0")), ""),
    ],
    ids=["v1-tcp4", "v1-tcp6", "v1-unknown", "v2-tcp4", "v2-tlv", "v2-tcp6", "v2-local", "v2-unix"],
)
def test_a_listed_proxy_speaks_for_its_client(header: bytes, peer: str, tmp_path: Path) -> None:
    """The mail carries the client's address, and the client's address is what is counted."""

    async def main() -> None:
        async with house(tmp_path, proxy_from=("127.0.0.0/8",)) as running:
            client = await running.connect()
            await client.send(header)
            await client.ready_for_data()
            assert running.origins == {origin_of(peer): 1}
            await client.send(b".\r\n")
            assert (await client.reply()).startswith("250 ")
            assert running.desk.taken[0].peer == peer

    run(main())


@pytest.mark.parametrize(
    "header",
    [
        b"EHLO client.example\r\n",
        b"PROXY TCP4 192.0.2.7\r\n",
        b"PROXY TCP4 999.0.2.7 127.0.0.1 40000 25\r\n",
        b"PROXY TCP9 192.0.2.7 127.0.0.1 40000 25\r\n",
        b"PROXY " + b"x" * 5_000 + b"\r\n",
        V2 + b"\x31\x11\0\x0c" + TCP4,
        V2 + b"\x21\x11\0\x04abcd",
        b"\r\n\r\n\0\r\nQUIX\n\x21\x11\0\x0c" + TCP4,
    ],
    ids=["none", "short", "no-address", "no-family", "endless", "v3", "v2-short", "v2-signature"],
)
def test_a_proxy_that_does_not_say_is_closed(header: bytes, tmp_path: Path) -> None:
    """Missing or malformed: closed without a word, and nothing is counted any more."""

    async def main() -> None:
        async with house(tmp_path, proxy_from=("127.0.0.1/32",)) as running:
            client = await running.connect()
            await client.send(header)
            assert await client.line() == ""
            await running.settles(lambda: running.open == 0)

    run(main())


def test_a_proxy_that_is_silent_is_sent_away(tmp_path: Path) -> None:
    """The idle time holds before the header too."""

    async def main() -> None:
        async with house(tmp_path, proxy_from=("127.0.0.1",), idle_timeout=timedelta(seconds=0.1)) as running:
            client = await running.connect()
            assert (await client.reply()).startswith("421 4.4.2 ")
            assert await client.is_closed()

    run(main())


def test_clients_behind_a_proxy_are_counted_one_by_one(tmp_path: Path) -> None:
    """One client may not use up its proxy's share, and cannot have more than its own."""

    async def main() -> None:
        async with house(tmp_path, proxy_from=("127.0.0.1",), max_per_ip=1) as running:
            greetings, clients = [], []
            for last in (7, 7, 8):
                client = await running.connect()
                await client.send(b"PROXY TCP4 192.0.2.%d 127.0.0.1 40000 25\r\n" % last)
                greetings.append((await client.reply())[:3])
                clients.append(client)
            assert greetings == ["220", "421", "220"]

    run(main())


def test_nobody_else_may_speak_for_others(tmp_path: Path) -> None:
    """From an address that is not listed a PROXY header is an unknown command, and its own address counts."""

    async def main() -> None:
        async with house(tmp_path, proxy_from=("127.0.0.2",)) as running:
            client = await running.connect(source="127.0.0.1")
            assert (await client.reply()).startswith("220 ")
            assert (await client.ask("PROXY TCP4 192.0.2.7 127.0.0.1 40000 25")).startswith("500 ")
            assert running.origins == {"127.0.0.1": 1}

    run(main())


def test_lmtp_over_a_unix_socket(tmp_path: Path) -> None:
    """An MTA on this machine needs no port: the socket is ours and the group's, no address is counted, and it goes at close."""

    async def main() -> None:
        path = tmp_path / "lmtp.sock"
        async with house(tmp_path, kind="lmtp", lmtp=(f"unix:{path}",), max_per_ip=1) as running:
            assert running.listeners.addresses == (f"unix:{path}",)
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
            peers = [Peer(*await asyncio.open_unix_connection(path)) for _ in range(3)]
            for peer in peers:
                await peer.ready_for_data(name="LHLO")
                await peer.send(b".\r\n")
                assert (await peer.reply()).startswith("250 ")
            assert [mail.peer for mail in running.desk.taken] == ["", "", ""]
            assert running.desk.taken[0].ingress == "lmtp"
        assert not path.exists()

    run(main())


def test_ipv6_is_served_and_counted(tmp_path: Path) -> None:
    """A listener on ::1 takes mail, and its clients are counted by their /64."""
    if not socket.has_ipv6 or not _has_ipv6_loopback():
        pytest.skip("this machine has no ::1: enable IPv6 on its loopback interface")

    async def main() -> None:
        async with house(tmp_path, listen=("[::1]:0",), max_per_ip=1) as running:
            assert running.listeners.addresses[0].startswith("[::1]:")
            peer = Peer(*await asyncio.open_connection("::1", running.port))
            await peer.ready_for_data()
            await peer.send(b".\r\n")
            assert (await peer.reply()).startswith("250 ")
            assert running.desk.taken[0].peer == "::1"
            assert running.origins == {"::/64": 1}
            second = Peer(*await asyncio.open_connection("::1", running.port))
            assert (await second.reply()).startswith("421 ")

    run(main())


def _has_ipv6_loopback() -> bool:
    try:
        bind("[::1]:0").close()
    except ListenError:
        return False
    return True


def test_handed_sockets_are_served_in_place_of_addresses(tmp_path: Path) -> None:
    """A socket named smtp replaces the configured addresses; a unix path that is not ours is left where it is."""

    async def main() -> None:
        path = tmp_path / "theirs.sock"
        handed = {"smtp": [bind("127.0.0.1:0")], "lmtp": [bind(f"unix:{path}")]}
        desk = Desk()
        settings = SmtpSettings(listen=("192.0.2.1:25",), lmtp=("192.0.2.1:24",), tls=False, hostname="mx.bridge.example")
        admission = Admission(is_ours=lambda rcpt: rcpt == CODES, memory=settings.max_memory)
        listeners = await serve(settings, desk.accept, admission, now=lambda: ARRIVED, state_dir=tmp_path, sockets=handed)
        running = House(listeners=listeners, desk=desk, admission=admission)
        peer = await running.connect()
        await peer.ready()
        local = Peer(*await asyncio.open_unix_connection(path))
        await local.ready("LHLO")
        await listeners.close(timedelta(seconds=0.1))
        assert path.exists()

    run(main())


def test_every_address_that_cannot_be_bound_is_named_at_once(tmp_path: Path) -> None:
    """Two taken ports are two lines in one error, and nothing stays bound."""

    async def main() -> None:
        with bind("127.0.0.1:0") as one, bind("127.0.0.1:0") as two, bind("127.0.0.1:0") as three:
            taken = [f"127.0.0.1:{each.getsockname()[1]}" for each in (one, two)]
            free = f"127.0.0.1:{three.getsockname()[1]}"
            three.close()
            settings = SmtpSettings(listen=(taken[0], free), lmtp=(taken[1],), tls=False)
            with pytest.raises(ListenError) as caught:
                await serve(
                    settings, Desk().accept, Admission(is_ours=lambda _: True, memory=1), now=lambda: ARRIVED, state_dir=tmp_path
                )
            assert all(address in str(caught.value) for address in taken)
            assert free not in str(caught.value)
            bind(free).close()

    run(main())


@pytest.mark.parametrize(
    ("peer", "origin"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("/run/x.sock", ""),
    ],
)
def test_an_origin_is_what_one_customer_has(peer: str, origin: str) -> None:
    """An IPv4 address, or an IPv6 /64, since nobody runs out of addresses within one."""
    assert origin_of(peer) == origin


def test_memory_is_given_back_once(tmp_path: Path) -> None:
    """However often it is released, and also where the block ends in an exception."""
    admission = Admission(is_ours=lambda _: True, memory=100)
    with pytest.raises(RuntimeError), admission.hold() as first:
        assert first.take(60)
        with admission.hold() as second:
            assert not second.take(41)
            assert second.take(40)
        first.release()
        assert admission.reserved == 0
        assert first.take(10)
        raise RuntimeError
    assert admission.reserved == 0


def test_a_thousand_connections_leave_no_count_behind(tmp_path: Path) -> None:
    """Clients that come and go in every way are all forgotten; `house` checks it at its end."""

    async def main() -> None:
        async with house(tmp_path, max_per_ip=50) as running:
            for _ in range(25):
                peers = await asyncio.gather(*(running.connect(source=f"127.0.0.{1 + n % 3}") for n in range(40)))
                for number, peer in enumerate(peers):
                    if number % 4 == 0:
                        await peer.send(b"EHLO x\r\nMAIL FROM:<>\r\n")
                    if number % 3 == 0:
                        peer.writer.transport.abort()
                    else:
                        peer.close()
            async with asyncio.timeout(PATIENCE):
                await running.settles(lambda: running.open == 0)

    run(main())
