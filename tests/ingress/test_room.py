"""Room for whom: connections are counted, and where all places are taken, who only holds one yields to who brings a mail."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from mailbridge.core.mail import Envelope
from mailbridge.intake.answer import Answer
from tests.ingress.listener_context import STORED, Desk, Peer, house, run

SECOND = timedelta(seconds=1)


def test_connections_are_limited_by_address(tmp_path: Path) -> None:
    """The third of one address is 421 and closed, another address is served, and a place that comes free is taken again."""

    async def main() -> None:
        async with house(tmp_path, max_per_ip=2) as running:
            first, second, third = [await running.connect() for _ in range(3)]
            assert [(await peer.reply())[:9] for peer in (first, second, third)] == ["220 mx.br"] * 2 + ["421 4.7.0"]
            assert await third.is_closed()
            other = await running.connect(source="127.0.0.2")
            assert (await other.reply()).startswith("220 ")
            first.close()
            await running.settles(lambda: running.origins == {"127.0.0.1": 1, "127.0.0.2": 1})
            assert (await (await running.connect()).reply()).startswith("220 ")

    run(main())


def test_connections_are_limited_in_all(tmp_path: Path) -> None:
    """Over the total everybody hears 421, and who was there before is served on."""

    async def main() -> None:
        async with house(tmp_path, max_connections=2) as running:
            first, second = await running.connect(), await running.connect(source="127.0.0.2")
            await first.ready()
            await second.ready()
            third = await running.connect(source="127.0.0.3")
            assert (await third.reply()).startswith("421 4.7.0 ")
            assert await third.is_closed()
            assert (await first.ask("NOOP")).startswith("250 ")
            assert (await second.ask("NOOP")).startswith("250 ")
            assert running.open == 2

    run(main())


def test_who_brings_nothing_makes_room_for_who_comes(tmp_path: Path) -> None:
    """Where there is no place left, who has been there longest without a mail is sent away, whatever he says meanwhile; nobody at once."""

    async def main() -> None:
        async with house(tmp_path, max_connections=3, idle_timeout=SECOND * 60) as running:
            idle, busy, talking = [await running.connect(source=f"127.0.0.{number}") for number in (1, 2, 3)]
            await idle.ready()
            await busy.ready()
            await talking.ready()
            hurried = await running.connect(source="127.0.0.4")
            assert (await hurried.reply()).startswith("421 4.7.0 ")
            await asyncio.sleep(2.1)  # a thirtieth of the idle time, and more: they are no newcomers any more
            await talking.send(b"NOOP\r\n")
            assert (await talking.reply()).startswith("250 ")
            assert await busy.bring() == ["250", "250", "354", "250"]
            newcomers: list[Peer] = []
            for gone in (idle, talking):
                newcomers.append(await running.connect(source=f"127.0.0.{5 + len(newcomers)}"))
                await newcomers[-1].ready()
                assert (await gone.reply()).startswith("421 4.7.0 ")
                assert await gone.is_closed()
            assert (await (await running.connect(source="127.0.0.7")).reply()).startswith("421 4.7.0 ")
            assert await busy.bring() == ["250", "250", "354", "250"]
            assert running.open == 3

    run(main())


def test_who_says_nothing_makes_room_at_once(tmp_path: Path) -> None:
    """However many hold a connection in silence, or drip octets that are no command, each who speaks is served."""

    async def main() -> None:
        async with house(tmp_path, max_connections=10, max_per_ip=100) as running:
            silent = [await running.connect(source="127.0.0.2") for _ in range(50)]
            for peer in silent[40:]:
                await peer.send(b"N")
            speaking = [await running.connect(source=f"127.0.0.{number}") for number in range(3, 8)]
            for peer in speaking:
                await peer.ready()
                assert await peer.bring() == ["250", "250", "354", "250"]
            assert running.open == 10

    run(main())


def test_a_mail_on_its_way_makes_room_only_when_it_takes_long(tmp_path: Path) -> None:
    """Who sends a mail is not sent away for a newcomer, unless the mail takes longer than a quarter of its time; one being stored never."""

    async def main() -> None:
        storing = asyncio.Event()

        async def slowly(envelope: Envelope) -> Answer:
            await storing.wait()
            return STORED

        desk = Desk(answer=slowly)
        async with house(tmp_path, desk=desk, max_connections=2, idle_timeout=SECOND * 30, data_timeout=SECOND * 8) as running:
            dripping, stored = await running.connect(), await running.connect(source="127.0.0.2")
            await dripping.ready_for_data()
            await dripping.send(b"a line\r\n")
            await stored.ready_for_data()
            await stored.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
            assert (await (await running.connect(source="127.0.0.3")).reply()).startswith("421 4.7.0 ")
            await asyncio.sleep(2.1)  # a quarter of the time for a mail, and more
            newcomer = await running.connect(source="127.0.0.4")
            assert (await newcomer.reply()).startswith("220 ")
            assert (await dripping.reply()).startswith("421 4.7.0 ")
            storing.set()
            assert (await stored.reply()).startswith("250 ")

    run(main())
