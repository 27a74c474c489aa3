"""The resolver against a real server: its memory, its deadline, and what it calls no answer."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from itertools import count
from pathlib import Path

import dns.name
import pytest

from mailbridge.trust.dns import Dns, DnsUnavailable
from tests.ingress.listener_context import LOOPS
from tests.loop import PATIENCE, looped
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
            for name in (
                "x" * 70 + ".example",
                "x." * 130 + "example",
                "a..example",
                "a\\999.example",
                "\udc80.example",
                "\u200b.example",
            ):
                assert await resolver.txt(name) == (), name
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


class Clock:
    """A clock that the test moves on."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


@pytest.mark.parametrize(
    ("name", "ttl", "kept"),
    [
        ("a.example", 300, 300),
        ("a.example", 5, 60),
        ("a.example", 86_400, 3_600),
        ("no-such-name.example", 300, 60),
        ("no-such-record.example", 300, 60),
        ("broken.example", 300, 5),
    ],
)
@looped
async def test_how_long_an_answer_is_remembered(name: str, ttl: int, kept: int) -> None:
    """For its own time within a minute and an hour; that there is none for a minute, a failure for five seconds; then it is asked anew."""
    async with dns_server() as server:
        server.txt("a.example", "one")
        server.zone["no-such-record.example", "A"] = ["192.0.2.1"]
        server.broken["broken.example"] = "servfail"
        server.ttl = ttl
        clock = Clock()
        resolver = Dns(timeout=timedelta(seconds=3), nameservers=[server.address], clock=clock)

        async def questions() -> int:
            with contextlib.suppress(DnsUnavailable):
                assert await resolver.txt(name) == (("one",) if name == "a.example" else ())
            return server.asked[name]

        first = await questions()
        clock.now += kept - 1
        assert await questions() == first
        clock.now += 1
        assert await questions() > first


@looped
async def test_what_was_asked_for_last_is_remembered_of_very_many() -> None:
    """A thousand names and some are kept, and those go first that nobody has asked for in the longest time."""
    async with dns_server() as server:
        server.txt("a.example", "one")
        clock = Clock()
        resolver = Dns(timeout=timedelta(seconds=3), nameservers=[server.address], clock=clock)
        numbers = count()

        async def others(number: int) -> None:
            for _ in range(number):
                assert await resolver.txt(f"{'x' * 64}{next(numbers)}.example") == ()  # too long to be asked for

        async def questions() -> int:
            assert await resolver.txt("a.example") == ("one",)
            return server.asked["a.example"]

        assert await questions() == 1
        await others(1_023)
        assert await questions() == 1  # asking for it has made it one of the last
        await others(1_023)
        assert await questions() == 1
        await others(1_024)
        assert await questions() == 2
        await others(1_000)
        clock.now += 300
        assert await questions() == 3  # asked anew, and so one of the last
        await others(1_000)
        assert await questions() == 3


@looped
async def test_records_of_each_kind() -> None:
    """Addresses of both versions, IPv4 first; exchangers by their number, the least first, without the final dot."""
    async with dns_server() as server:
        server.zone["a.example", "A"] = ["192.0.2.1"]
        server.zone["a.example", "AAAA"] = ["2001:db8::1"]
        server.zone["a.example", "MX"] = ["20 b.example.", "5 c.example.", "10 d.example."]
        resolver = Dns(timeout=timedelta(seconds=3), nameservers=[server.address])
        assert await resolver.addresses("a.example") == ("192.0.2.1", "2001:db8::1")
        assert await resolver.exchangers("a.example") == ("c.example", "d.example", "b.example")


@looped
async def test_a_question_that_is_lost_is_asked_again() -> None:
    """Within the time that there is for the answer."""
    async with dns_server() as server:
        server.txt("a.example", "one")
        server.lost["a.example"] = 1
        resolver = Dns(timeout=timedelta(seconds=3), nameservers=[server.address])
        assert await resolver.txt("a.example") == ("one",)
        assert server.asked["a.example"] == 2


@looped
async def test_an_answer_that_is_as_large_as_may_be() -> None:
    """16,384 characters are kept, and one more is not."""
    async with dns_server() as server:
        server.txt("a.example", "x" * 16_384)
        server.txt("b.example", "x" * 16_385)
        resolver = Dns(timeout=timedelta(seconds=3), nameservers=[server.address])
        assert await resolver.txt("a.example") == ("x" * 16_384,)
        assert await resolver.txt("b.example") == ()


@looped
async def test_a_name_is_asked_for_as_it_stands() -> None:
    """The system's search domains are for people: what there is below one of them is another name."""
    async with dns_server() as server:
        server.txt("a.example.corp.example", "one")
        resolver = Dns(timeout=timedelta(seconds=3), nameservers=[server.address])
        resolver._resolver().search = [dns.name.from_text("corp.example")]
        assert await resolver.txt("a.example") == ()


def test_which_servers_are_asked(tmp_path: Path) -> None:
    """Those that are named, in each way to write them, whatever the system has; else the system's."""
    written = ("192.0.2.1", "192.0.2.1:5353", "[2001:db8::1]:54", "[2001:db8::1]", "2001:db8::1")
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.53\n")
    for name in ("resolv.conf", "missing"):
        resolver = Dns(timeout=timedelta(seconds=1), nameservers=written, resolv_conf=str(tmp_path / name))
        assert [*resolver.nameservers] == [
            "Do53:192.0.2.1@53",
            "Do53:192.0.2.1@5353",
            "Do53:2001:db8::1@54",
            "Do53:2001:db8::1@53",
            "Do53:2001:db8::1@53",
        ]
    resolver = Dns(timeout=timedelta(seconds=1), resolv_conf=str(tmp_path / "resolv.conf"))
    assert [*resolver.nameservers] == ["192.0.2.53"]


@looped
async def test_a_server_that_is_not_there_is_no_answer() -> None:
    """NoEvents listens: that is told in time, as silence is."""
    resolver = Dns(timeout=timedelta(milliseconds=200), nameservers=["127.0.0.1:1"])
    with pytest.raises(DnsUnavailable):
        await resolver.txt("a.example")
