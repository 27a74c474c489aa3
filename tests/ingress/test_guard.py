"""A session trusts nobody: limits, deadlines, faults, proxies; and it goes down without losing a mail."""

from __future__ import annotations

import asyncio
import gc
import logging
from datetime import timedelta
from pathlib import Path

import pytest

from mailbridge.core.mail import Envelope
from mailbridge.ingress.guard import Guard
from mailbridge.intake.answer import Answer, Full
from tests.ingress.listener_context import CODES, STORED, Desk, house, run

SECOND = timedelta(seconds=1)


def test_an_idle_client_is_sent_away(tmp_path: Path) -> None:
    """After the idle time without a whole command: 421 and closed, also where half a command dribbles in."""

    async def main() -> None:
        async with house(tmp_path, idle_timeout=SECOND) as running:
            idle, dribbling = await running.connect(), await running.connect()
            await idle.ready()
            await dribbling.reply()
            drip = asyncio.ensure_future(_drip(dribbling.writer, b"N"))
            assert (await idle.reply()).startswith("421 4.4.2 ")
            assert await idle.is_closed()
            assert (await dribbling.reply()).startswith("421 4.4.2 ")
            assert await dribbling.is_closed()
            drip.cancel()
            await running.settles(lambda: running.open == 0)

    run(main())


def sessions_in_memory() -> int:
    """How many sessions there are, templates among them."""
    return sum(isinstance(one, Guard) for one in gc.get_objects())


@pytest.mark.parametrize("ending", ["quit", "hung up", "cut", "refused", "in a mail"])
def test_nothing_is_left_of_a_session(tmp_path: Path, ending: str) -> None:
    """A session that has ended leaves memory at once, not when the garbage collector comes by."""

    async def main() -> None:
        async with house(tmp_path, max_connections=1 if ending == "refused" else 10) as running:
            templates = sessions_in_memory()
            for _ in range(5):
                peer = await running.connect()
                if ending == "in a mail":
                    await peer.ready_for_data()
                else:
                    await peer.ready()
                    assert await peer.bring() == ["250", "250", "354", "250"]
                if ending == "refused":
                    other = await running.connect()
                    assert (await other.reply()).startswith("421 ")
                    assert await other.is_closed()
                    other.close()
                if ending == "quit":
                    assert (await peer.ask("QUIT")).startswith("221 ")
                if ending == "cut":
                    peer.writer.transport.abort()
                peer.close()
                await running.settles(lambda: running.open == 0)
            await running.settles(lambda: sessions_in_memory() == templates)

    gc.collect()
    gc.disable()
    try:
        run(main())
    finally:
        gc.enable()


def test_noops_do_not_keep_a_session_open(tmp_path: Path) -> None:
    """A command now and then is not idle, but the session's own time ends all the same."""

    async def main() -> None:
        async with house(tmp_path, idle_timeout=SECOND * 5, session_timeout=SECOND) as running:
            peer = await running.connect()
            await peer.ready()
            drip = asyncio.ensure_future(_drip(peer.writer, b"NOOP\r\n"))
            lines = [await peer.line()]
            while lines[-1].startswith("250"):
                lines.append(await peer.line())
            drip.cancel()
            assert lines[-1].startswith("421 4.4.2 ")
            assert len(lines) > 3

    run(main())


def test_a_mail_earns_the_session_more_time(tmp_path: Path) -> None:
    """Whoever brings mails may stay: the session's clock starts anew with each, as a busy MTA keeps its connection."""

    async def main() -> None:
        async with house(tmp_path, session_timeout=SECOND * 2) as running:
            peer = await running.connect()
            await peer.ready()
            loop = asyncio.get_running_loop()
            began = loop.time()
            while loop.time() < began + 4:
                assert await peer.bring() == ["250", "250", "354", "250"]
                await asyncio.sleep(0.1)
            assert (await peer.reply()).startswith("421 4.4.2 ")

    run(main())


def test_data_has_a_deadline_of_its_own(tmp_path: Path) -> None:
    """A line now and then does not keep DATA open for ever, and what has come until then is no mail."""

    async def main() -> None:
        async with house(tmp_path, idle_timeout=SECOND * 5, data_timeout=timedelta(seconds=0.3)) as running:
            peer = await running.connect()
            await peer.ready_for_data()
            drip = asyncio.ensure_future(_drip(peer.writer, b"a line\r\n"))
            assert (await peer.reply()).startswith("421 4.4.2 ")
            assert await peer.is_closed()
            drip.cancel()
            await running.settles(lambda: running.open == 0 and running.reserved == 0)
            assert running.desk.taken == []

    run(main())


def test_idle_time_is_short_again_after_a_long_data(tmp_path: Path) -> None:
    """The deadline of DATA does not linger: after the mail the idle time holds as before it."""

    async def main() -> None:
        async with house(tmp_path, idle_timeout=SECOND, data_timeout=SECOND * 60) as running:
            peer = await running.connect()
            await peer.ready_for_data()
            await asyncio.sleep(1.3)  # the idle timer fires within DATA, and is set to DATA's end
            await peer.send(b".\r\n")
            assert (await peer.reply()).startswith("250 ")
            assert (await peer.reply()).startswith("421 4.4.2 ")

    run(main())


def test_our_own_slowness_is_not_the_clients(tmp_path: Path) -> None:
    """While a mail is being stored no deadline of the session counts: the client gets the store's answer."""

    async def main() -> None:
        async def slow(envelope: Envelope) -> Answer:
            await asyncio.sleep(1.3)
            return STORED

        short = SECOND
        async with house(
            tmp_path, desk=Desk(answer=slow), idle_timeout=short, data_timeout=short, session_timeout=short
        ) as running:
            peer = await running.connect()
            await peer.ready_for_data()
            await peer.send(b".\r\n")
            assert (await peer.reply()).startswith("250 ")

    run(main())


def test_a_client_that_does_not_read_is_cut(tmp_path: Path) -> None:
    """Thousands of commands whose replies nobody reads end at a deadline, and hold no more than the buffers."""

    async def main() -> None:
        async with house(tmp_path, idle_timeout=timedelta(seconds=0.3), session_timeout=timedelta(seconds=0.5)) as running:
            peer = await running.connect()
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            peer.writer.write(b"EHLO client.example\r\n" * 200_000)
            await running.settles(lambda: running.open == 0)
            peer.writer.transport.abort()

    run(main())


def test_a_command_line_without_end_is_cut_early(tmp_path: Path) -> None:
    """A line over 1,000 octets is 500 and the end of the session, long before its end has come."""

    async def main() -> None:
        async with house(tmp_path) as running:
            peer = await running.connect()
            await peer.ready()
            assert (await peer.ask("NOOP " + "x" * 993)).startswith("250 ")
            assert (await peer.ask("NOOP " + "x" * 994)).startswith("500 5.5.2 ")
            assert await peer.is_closed()
            endless = await running.connect()
            await endless.ready()
            sent = 0
            with pytest.raises(ConnectionError):
                while sent < 64 * 1_048_576:
                    await endless.send(b"x" * 65_536)
                    sent += 65_536
            assert sent < 16 * 1_048_576
            await running.settles(lambda: running.open == 0)

    run(main())


def test_commands_without_a_mail_are_counted(tmp_path: Path) -> None:
    """A thousand commands, and the client is sent away; a mail starts the count anew."""

    async def main() -> None:
        async with house(tmp_path) as running:
            peer = await running.connect()
            await peer.reply()
            peer.writer.write(b"NOOP\r\n" * 2_000)
            answers = [(await peer.reply())[:9] for _ in range(1_001)]
            assert answers == ["250 2.0.0"] * 1_000 + ["421 4.7.0"]
            assert await peer.is_closed()
            busy = await running.connect()
            await busy.ready()
            mail = b"MAIL FROM:<>\r\nRCPT TO:<codes@bridge.example>\r\nDATA\r\n.\r\n"
            busy.writer.write(mail * 400)
            answers = [(await busy.reply())[:3] for _ in range(1_600)]
            assert answers == ["250", "250", "354", "250"] * 400

    run(main())


def test_our_fault_is_451_and_says_nothing_of_its_insides(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An exception behind the door: try again, and not a word of it on the wire or in the log."""

    async def main() -> None:
        async def broken(envelope: Envelope) -> Answer:
            raise RuntimeError("database is locked: /var/lib/secret.db, code 4711")

        async with house(tmp_path, desk=Desk(answer=broken)) as running:
            peer = await running.connect()
            await peer.ready_for_data()
            await peer.send(b"Your code is 4711\r\n.\r\n")
            reply = await peer.reply()
            assert reply == "451 4.3.0 Temporary failure on our side, try again"
            assert (await peer.ask("NOOP")).startswith("250 ")

    with caplog.at_level(logging.DEBUG):
        run(main())
    assert "mail not taken: RuntimeError" in caplog.text
    assert "secret" not in caplog.text
    assert "4711" not in caplog.text


def test_a_full_store_is_452(tmp_path: Path) -> None:
    """What the door answers is what the client hears, once for each recipient over LMTP."""

    async def main() -> None:
        async def full(envelope: Envelope) -> Answer:
            return Full()

        async with house(tmp_path, kind="lmtp", desk=Desk(answer=full)) as running:
            peer = await running.connect()
            await peer.ready_for_data(CODES, "second@bridge.example", name="LHLO")
            await peer.send(b".\r\n")
            assert [(await peer.reply())[:9] for _ in range(2)] == ["452 4.3.1"] * 2
            assert (await peer.ask("NOOP")).startswith("250 ")

    run(main())


def test_aiosmtpd_never_logs_a_mail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With everything at DEBUG neither ``mail.log`` nor anything else writes a line of a mail, or an address."""
    caplog.set_level(logging.DEBUG)
    logging.getLogger("mail.log").setLevel(logging.DEBUG)

    async def main() -> None:
        async with house(tmp_path) as running:
            peer = await running.connect()
            await peer.ready_for_data()
            await peer.send(b"Your code is 4711\r\n.\r\n")
            assert (await peer.reply()).startswith("250 ")

    run(main())
    assert logging.getLogger("mail.log").level == logging.WARNING
    assert "4711" not in caplog.text
    assert CODES not in caplog.text


def test_recipients_can_change_under_an_open_session(tmp_path: Path) -> None:
    """A new table holds from the next RCPT on."""

    async def main() -> None:
        known = {CODES}
        async with house(tmp_path, recipients=known.__contains__) as running:
            peer = await running.connect()
            await peer.ready()
            assert (await peer.ask("MAIL FROM:<>")).startswith("250 ")
            assert (await peer.ask("RCPT TO:<new@bridge.example>")).startswith("550 ")
            known.clear()
            known.add("new@bridge.example")
            assert (await peer.ask("RCPT TO:<new@bridge.example>")).startswith("250 ")
            assert (await peer.ask(f"RCPT TO:<{CODES}>")).startswith("550 ")

    run(main())


def test_going_down_finishes_what_is_in_hand(tmp_path: Path) -> None:
    """At close the idle hear 421, nobody new is let in, a mail under way is taken and its client then sent away."""

    async def main() -> None:
        async with house(tmp_path) as running:
            idle, busy = await running.connect(), await running.connect()
            await idle.ready()
            await busy.ready_for_data()
            port = running.port
            closing = asyncio.ensure_future(running.listeners.close(timedelta(seconds=5)))
            assert (await idle.reply()).startswith("421 4.3.2 ")
            assert await idle.is_closed()
            with pytest.raises(OSError, match=r".+"):
                await asyncio.open_connection("127.0.0.1", port)
            await busy.send(b"text\r\n.\r\n")
            assert (await busy.reply()).startswith("250 ")
            assert (await busy.reply()).startswith("421 4.3.2 ")
            await closing
            assert len(running.desk.taken) == 1

    run(main())


def test_going_down_does_not_wait_for_ever(tmp_path: Path) -> None:
    """A client that never ends its mail is cut when the drain is over."""

    async def main() -> None:
        async with house(tmp_path) as running:
            peer = await running.connect()
            await peer.ready_for_data()
            await peer.send(b"text\r\n")
            await running.listeners.close(timedelta(seconds=0.1))
            assert await peer.is_closed()
            assert running.desk.taken == []

    run(main())


async def _drip(writer: asyncio.StreamWriter, octets: bytes) -> None:
    """Send a little every 20 ms until cancelled."""
    while True:
        writer.write(octets)
        await asyncio.sleep(0.02)
