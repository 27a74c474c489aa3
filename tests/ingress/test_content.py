"""DATA: one true end, bounded memory, every octet kept."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import tracemalloc
from pathlib import Path

import pytest

from mailbridge.core.mail import Envelope
from mailbridge.ingress.content import DRAIN_LIMIT, READ_SIZE
from mailbridge.intake.answer import Answer
from tests.ingress.listener_context import CODES, STORED, Desk, house, run

MIB = 1_048_576

SMUGGLED = b"MAIL FROM:<admin@b.example>\r\nRCPT TO:<second@bridge.example>\r\nDATA\r\nsmuggled\r\n.\r\n"
FALSE_ENDS = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\n.\r",
    b"\r.\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\0\r\n.\0\r\n",
    b"\r\n.\r\r\n",
]


@pytest.mark.parametrize("end", FALSE_ENDS, ids=lambda end: end.hex())
def test_no_mail_is_smuggled_in(end: bytes, tmp_path: Path) -> None:
    """What is not CRLF.CRLF does not end a mail: what stands behind it is that mail's own text, and one mail is taken."""

    async def main() -> None:
        async with house(tmp_path) as running:
            peer = await running.connect()
            await peer.ready_for_data()
            await peer.send(b"Subject: a\r\n\r\ntext" + end + SMUGGLED)
            assert (await peer.reply()).startswith("250 2.0.0 OK: queued as 1")
            assert (await peer.ask("QUIT")).startswith("221 ")
            assert await peer.is_closed()
            assert [mail.mail_from for mail in running.desk.taken] == ["a@b.example"]
            assert b"smuggled" in running.desk.taken[0].content

    run(main())


def test_a_doubled_cr_before_a_true_end_ends_the_mail(tmp_path: Path) -> None:
    """CR CR LF . CR LF holds a true CRLF.CRLF, so what follows is a command: the one odd form that is honest."""

    async def main() -> None:
        async with house(tmp_path) as running:
            peer = await running.connect()
            await peer.ready_for_data()
            await peer.send(b"text\r\r\n.\r\nNOOP\r\n")
            assert (await peer.reply()).startswith("250 2.0.0 OK: queued as 1")
            assert (await peer.reply()).startswith("250 ")
            assert running.desk.taken[0].content == b"text\r\r\n"

    run(main())


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b".x\r\n..\r\n...\r\n.\r\n", b"x\r\n.\r\n..\r\n"),
        (b"a\n..\r\n.\r\n", b"a\n..\r\n"),
        (b"a\0b\xff\r\n.\r\n", b"a\0b\xff\r\n"),
        (b"\r\n" * 3 + b".\r\n", b"\r\n" * 3),
        (b"x" * MIB + b"\r\n.\r\n", b"x" * MIB + b"\r\n"),
    ],
    ids=["empty", "blank", "dot", "dots", "bare-lf-dot", "binary", "blank-lines", "a-line-of-1-MiB"],
)
@pytest.mark.parametrize("step", [1, 3, 1 << 30], ids=["octet-wise", "by-threes", "at-once"])
def test_content_is_what_was_sent(sent: bytes, kept: bytes, step: int, tmp_path: Path) -> None:
    """Transparency dots go, nothing else changes, however the octets are cut into segments."""
    if len(sent) > 1_000 and step < 1_000:
        step *= 10_001

    async def main() -> None:
        async with house(tmp_path) as running:
            peer = await running.connect()
            await peer.ready_for_data()
            for at in range(0, len(sent), step):
                await peer.send(sent[at : at + step])
                await asyncio.sleep(0)
            assert (await peer.reply()).startswith("250 ")
            assert running.desk.taken[0].content == kept

    run(main())


def test_what_follows_a_large_mail_keeps_its_order(tmp_path: Path) -> None:
    """Ten mails of odd sizes around the read size, sent without waiting for anything, come out whole and in order."""
    sizes = [READ_SIZE + odd for odd in range(-5, 5)] + [3 * READ_SIZE + 7]
    bodies = [b"%d " % number + b"y" * size + b"\r\n" for number, size in enumerate(sizes)]
    one = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<codes@bridge.example>\r\nDATA\r\n"

    async def main() -> None:
        async with house(tmp_path) as running:
            peer = await running.connect()
            await peer.ready()
            sending = asyncio.ensure_future(peer.send(b"".join(one + body + b".\r\n" for body in bodies)))
            for _ in bodies:
                assert [(await peer.reply())[:3] for _ in range(4)] == ["250", "250", "354", "250"]
            await sending
            assert [mail.content for mail in running.desk.taken] == bodies

    run(main())


def test_a_mail_too_large_is_refused_while_it_comes(tmp_path: Path) -> None:
    """Over the limit the mail is thrown away as it comes, answered 552 at its end, and the session goes on."""

    async def main() -> None:
        async with house(tmp_path, max_size=100_000) as running:
            peer = await running.connect()
            await peer.ready_for_data()
            for _ in range(30):
                await peer.send(b"z" * 100_000 + b"\r\n")
                assert running.reserved <= 100_000 + READ_SIZE
            await peer.send(b".\r\n")
            assert (await peer.reply()).startswith("552 5.3.4 ")
            assert (await peer.ask("NOOP")).startswith("250 ")
            assert running.desk.taken == []

    run(main())


def test_the_limit_is_exact(tmp_path: Path) -> None:
    """A mail of exactly the largest size is taken, one octet more is not."""

    async def main() -> None:
        async with house(tmp_path, max_size=10_000) as running:
            for size, code in ((10_000, "250"), (10_001, "552")):
                peer = await running.connect()
                await peer.ready_for_data()
                await peer.send(b"z" * (size - 2) + b"\r\n.\r\n")
                assert (await peer.reply())[:3] == code

    run(main())


def test_a_mail_that_never_ends_is_cut_early(tmp_path: Path) -> None:
    """Without a line end or an end, the client hears 552 and is cut after some MiB, and little is held meanwhile."""

    async def main() -> None:
        async with house(tmp_path, max_size=MIB) as running:
            peer = await running.connect()
            await peer.ready_for_data()
            tracemalloc.start()
            sent = 0
            try:
                while sent < 100 * MIB:
                    await peer.send(b"z" * 65_536)
                    sent += 65_536
                    assert running.reserved <= MIB + READ_SIZE
            except ConnectionError:
                pass
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert MIB < sent < MIB + DRAIN_LIMIT + 16 * MIB  # the sockets' own buffers are the rest
            assert peak < 12 * MIB
            await running.settles(lambda: running.open == 0)
            assert running.desk.taken == []

    run(main())


def test_a_mail_of_empty_lines_costs_what_it_weighs(tmp_path: Path) -> None:
    """Five million empty lines are ten million octets, and no forty times that."""

    async def main() -> None:
        async with house(tmp_path) as running:
            peer = await running.connect()
            await peer.ready_for_data()
            tracemalloc.start()
            await peer.send(b"\r\n" * 5_000_000 + b".\r\n")
            assert (await peer.reply()).startswith("250 ")
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert len(running.desk.taken[0].content) == 10_000_000
            assert peak < 60 * MIB  # the client's own copies are among them

    run(main())


def test_memory_is_shared_and_given_back(tmp_path: Path) -> None:
    """With the memory for mails in transit used up, the next mail is put off (452), and taken once there is room again."""

    async def main() -> None:
        async with house(tmp_path, max_size=MIB, max_memory=MIB) as running:
            first = await running.connect()
            await first.ready_for_data()
            await first.send(b"z" * (MIB - 1_000))
            await running.settles(lambda: running.reserved == MIB - 1_000)
            second = await running.connect()
            await second.ready_for_data()
            await second.send(b"z" * 2_000 + b"\r\n.\r\n")
            assert (await second.reply()).startswith("452 4.3.1 ")
            first.close()
            await running.settles(lambda: running.reserved == 0)
            await second.send(b"MAIL FROM:<>\r\nRCPT TO:<codes@bridge.example>\r\nDATA\r\nz\r\n.\r\n")
            assert [(await second.reply())[:3] for _ in range(4)] == ["250", "250", "354", "250"]

    run(main())


@pytest.mark.parametrize("way", ["close", "reset"])
def test_a_client_that_leaves_while_sending_leaves_nothing_behind(way: str, tmp_path: Path) -> None:
    """No partial mail is taken and no memory stays held, however the client leaves; `house` checks the counters too."""

    async def main() -> None:
        async with house(tmp_path) as running:
            peer = await running.connect()
            await peer.ready_for_data()
            await peer.send(b"Your code is 4711\r\n" * 10_000)
            await running.settles(lambda: running.reserved > 0)
            _leave(peer.writer, way)
            await running.settles(lambda: running.reserved == 0 and running.open == 0)
            assert running.desk.taken == []

    run(main())


@pytest.mark.parametrize("way", ["close", "reset", "half-close"])
def test_a_client_that_leaves_while_we_store_changes_nothing(way: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The mail is stored to the end: the client's leaving is no reason to stop, no cancellation reaches the store, and an answer
    that nobody waits for is no error."""
    seen: list[str] = []

    async def main() -> None:
        is_storing, may_go_on = asyncio.Event(), asyncio.Event()

        async def slow(envelope: Envelope) -> Answer:
            is_storing.set()
            try:
                await may_go_on.wait()
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise
            return STORED

        async with house(tmp_path, desk=Desk(answer=slow)) as running:
            peer = await running.connect()
            await peer.ready_for_data()
            await peer.send(b"text\r\n.\r\n")
            await is_storing.wait()
            if way == "half-close":
                peer.writer.write_eof()
            else:
                _leave(peer.writer, way)
            # A reset is seen at once; an end of input may be a half-close, and the session waits to answer.
            await running.settles(lambda: running.open == (0 if way == "reset" else 1))
            may_go_on.set()
            await running.settles(lambda: len(running.desk.taken) == 1)
            if way == "half-close":
                assert (await peer.reply()).startswith("250 ")
        assert seen == []
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []

    run(main())


def test_several_recipients_are_one_mail(tmp_path: Path) -> None:
    """One mail for two recipients is handed in once, with both, with our clock and the peer's address."""

    async def main() -> None:
        async with house(tmp_path) as running:
            peer = await running.connect()
            await peer.ready_for_data(CODES, "third@bridge.example")
            await peer.send(b"text\r\n.\r\n")
            assert (await peer.reply()).startswith("250 ")
            (mail,) = running.desk.taken
            assert (mail.rcpt_to, mail.peer, mail.ingress) == ((CODES, "third@bridge.example"), "127.0.0.1", "smtp")

    run(main())


def _leave(writer: asyncio.StreamWriter, way: str) -> None:
    if way == "reset":
        one = writer.get_extra_info("socket")
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        writer.close()
