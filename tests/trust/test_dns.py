"""The resolver against a real server: its memory, its deadline, and what it calls no answer."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from mailbridge.trust.dns import Dns, DnsUnavailable
from tests.ingress.listener_context import LOOPS
from tests.loop import PATIENCE
from tests.peers.dns_server import dns_server


def test_answers_are_remembered_and_asked_for_once() -> None:
    """Twenty who ask for one name at once cost one question, and so does who asks later."""

    async def go() -> None:
        async with dns_server() as server:
            server.txt("a.example", "one", "two")
            resolver = Dns(timeout=timedelta(seconds=3), nameservers=[server.address])
            answers = await asyncio.gather(*(resolver.txt("A.example.") for _ in range(20)))
            assert {tuple(sorted(answer)) for answer in answers} == {("one", "two")}
            await resolver.txt("a.example")
            assert server.asked["a.example"] == 1

    asyncio.run(go())


def test_a_name_without_the_record_is_an_answer() -> None:
    """No such name, no such record and a name that cannot be are all nothing, and no failure."""

    async def go() -> None:
        async with dns_server() as server:
            server.zone["a.example", "A"] = ["192.0.2.1"]
            resolver = Dns(timeout=timedelta(seconds=3), nameservers=[server.address])
            assert await resolver.txt("a.example") == ()
            assert await resolver.txt("b.example") == ()
            assert await resolver.txt("x" * 70 + ".example") == ()
            assert await resolver.txt("a..example") == ()
            assert await resolver.addresses("a.example") == ("192.0.2.1",)
            assert await resolver.exchangers("a.example") == ()

    asyncio.run(go())


def test_a_long_record_comes_by_tcp() -> None:
    """An answer that does not fit a datagram is fetched over TCP, and its strings are joined."""

    async def go() -> None:
        async with dns_server() as server:
            server.txt("a.example", "v=DKIM1; p=" + "A" * 900)
            resolver = Dns(timeout=timedelta(seconds=3), nameservers=[server.address])
            assert await resolver.txt("a.example") == ("v=DKIM1; p=" + "A" * 900,)
            assert server.by_tcp == 1

    asyncio.run(go())


@pytest.mark.parametrize("way", ["servfail", "silent"])
def test_a_failure_is_told_within_the_deadline_and_not_tried_again_at_once(way: str) -> None:
    """A server that fails or says nothing is DnsUnavailable in time; who asks right after is told the same without a question."""

    async def go() -> None:
        async with dns_server() as server:
            server.broken["a.example"] = "servfail" if way == "servfail" else "silent"
            resolver = Dns(timeout=timedelta(milliseconds=300), nameservers=[server.address])
            async with asyncio.timeout(PATIENCE):
                with pytest.raises(DnsUnavailable):
                    await resolver.txt("a.example")
            asked = server.asked["a.example"]
            with pytest.raises(DnsUnavailable):
                await resolver.txt("a.example")
            assert server.asked["a.example"] == asked

    asyncio.run(go())


def test_an_answer_is_kept_up_to_a_size() -> None:
    """A zone that serves records without end fills no memory: what is too much is left out."""

    async def go() -> None:
        async with dns_server() as server:
            server.txt("a.example", *(f"{number}-" + "x" * 5_000 for number in range(9)))
            resolver = Dns(timeout=timedelta(seconds=3), nameservers=[server.address])
            assert len(await resolver.txt("a.example")) == 3

    asyncio.run(go())


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_it_works_on_the_loop_that_the_daemon_runs_on(loop: str) -> None:
    """By datagrams, over TCP, and when nobody answers, on uvloop as on asyncio's own loop."""

    async def go() -> None:
        async with dns_server() as server:
            server.txt("a.example", "one")
            server.txt("long.example", "x" * 900)
            server.broken["silent.example"] = "silent"
            resolver = Dns(timeout=timedelta(milliseconds=500), nameservers=[server.address])
            assert await resolver.txt("a.example") == ("one",)
            assert await resolver.txt("long.example") == ("x" * 900,)
            with pytest.raises(DnsUnavailable):
                await resolver.txt("silent.example")

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(go())


def test_a_system_without_name_servers_is_no_reason_not_to_start(tmp_path: Path) -> None:
    """No resolv.conf, or one with nothing in it, leaves this machine as the server to ask."""
    (tmp_path / "empty").touch()
    (tmp_path / "odd").write_bytes(b"nameserver nonsense\n\xff\xfe")
    for name in ("missing", "empty", "odd"):
        resolver = Dns(timeout=timedelta(milliseconds=100), resolv_conf=str(tmp_path / name))
        assert resolver.nameservers == ("Do53:127.0.0.1@53",)
