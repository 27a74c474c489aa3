"""Random dialogues into a live listener: ``python -m tests.fuzz.fuzz_smtp --count N [--seed S] [--seconds S] [--lmtp] [--tls]``.

Each dialogue has a number and is the same every time: commands in any order, commands that are none, octets, mails with every kind of
end, cut anywhere, and a client that closes, half-closes or resets. Afterwards the listener must take an honest mail, nothing may be
counted or held, and nobody may have fallen over: a session that breaks or a task with an unseen exception is a failure.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import uvloop

from tests.ingress.listener_context import CODES, House, Peer, house, insecure

COMMANDS = (
    b"EHLO client.example",
    b"HELO client.example",
    b"LHLO client.example",
    b"EHLO",
    b"MAIL FROM:<a@b.example>",
    b"MAIL FROM:<>",
    b"MAIL FROM:<a@b.example> SIZE=100 BODY=8BITMIME",
    b"MAIL FROM:<a@b.example> SIZE=999999999",
    b"RCPT TO:<codes@bridge.example>",
    b"RCPT TO:<second@bridge.example>",
    b"RCPT TO:<nobody@bridge.example>",
    b"RCPT TO:<>",
    b"DATA",
    b"DATA now",
    b"BDAT 5 LAST",
    b"RSET",
    b"NOOP",
    b"QUIT",
    b"STARTTLS",
    b"AUTH PLAIN AAAA",
    b"VRFY codes",
    b"",
    b" ",
    b"\0",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 25",
)
ENDS = (b"\r\n",) * 12 + (b"\n", b"\r", b"\r\r\n", b"\0\r\n", b"")
BODIES = (
    b"Subject: x\r\n\r\nYour code is 482913\r\n.\r\n",
    b".\r\n",
    b"\r\n.\r\n",
    b"..\r\n.\r\n",
    b"a\n.\n",
    b"a\r\n.\r",
    b"a\r.\r\n.\r\n",
    b"x" * 3_000 + b"\r\n.\r\n",
    b"\r\n" * 2_000 + b".\r\n",
    b"y" * 200_000,
)
AT_ONCE = 16


@dataclass(slots=True)
class Tally:
    """What a run found."""

    dialogues: int = 0
    mails: int = 0
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


class Faults(logging.Handler):
    """Notes every error that is logged, and every exception that nobody fetched."""

    def __init__(self, tally: Tally) -> None:
        super().__init__(logging.ERROR)
        self._tally = tally

    def emit(self, record: logging.LogRecord) -> None:
        """Note one."""
        self._tally.faults.append(record.getMessage())

    def unseen(self, _: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """The loop's exception handler."""
        self._tally.faults.append(f"{context.get('message')}: {context.get('exception')!r}")


def segments(dice: random.Random, hello: bytes) -> Sequence[bytes]:
    """What one client sends, in the pieces in which it sends them."""
    octets = b""
    if dice.random() < 0.6:
        octets += hello + b" client.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<codes@bridge.example>\r\n"
    for _ in range(dice.randint(1, 25)):
        roll = dice.random()
        if roll < 0.6:
            octets += dice.choice(COMMANDS) + dice.choice(ENDS)
        elif roll < 0.85:
            octets += b"DATA\r\n" + dice.choice(BODIES)
        elif roll < 0.95:
            octets += dice.randbytes(dice.choice((1, 5, 50, 2_000)))
        else:
            octets += b"A" * dice.choice((999, 1_001, 5_000, 70_000))
    if dice.random() < 0.5:
        octets = bytes(octet if dice.random() > 0.002 else dice.randrange(256) for octet in octets)
    cuts = sorted(dice.randint(0, len(octets)) for _ in range(dice.choice((0, 0, 1, 3, 10))))
    return [octets[start:end] for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True)]


async def converse(running: House, dice: random.Random, *, hello: bytes, is_tls: bool) -> None:
    """One dialogue, from the greeting to whatever end the dice give it."""
    peer = await running.connect(source=f"127.0.0.{dice.randint(2, 200)}")
    listening = asyncio.ensure_future(_swallow(peer))
    try:
        if is_tls and dice.random() < 0.5:
            listening.cancel()
            await peer.ready(hello.decode())
            await peer.ask("STARTTLS")
            await peer.start_tls(insecure())
            listening = asyncio.ensure_future(_swallow(peer))
        for piece in segments(dice, hello):
            await peer.send(piece)
            if dice.random() < 0.3:
                await asyncio.sleep(0)
        end = dice.choice(("close", "reset", "half-close", "wait"))
        if end == "half-close" and peer.writer.can_write_eof():
            peer.writer.write_eof()
        elif end == "reset":
            if (one := peer.writer.get_extra_info("socket")) is not None:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.writer.transport.abort()
        if end in ("half-close", "wait"):
            await asyncio.wait({listening}, timeout=0.01)
    except (ConnectionError, AssertionError):
        pass  # the server closed first
    finally:
        listening.cancel()
        peer.close()


async def _swallow(peer: Peer) -> None:
    try:
        while await peer.reader.read(65_536):
            pass
    except ConnectionError:
        pass


async def fuzz(
    *, count: int, seed: int, folder: Path, kind: str = "smtp", is_tls: bool = False, seconds: float | None = None
) -> Tally:
    """Play so many dialogues, some at a time."""
    tally = Tally()
    faults = Faults(tally)
    hello = b"LHLO" if kind == "lmtp" else b"EHLO"
    asyncio.get_running_loop().set_exception_handler(faults.unseen)
    for name in ("mailbridge", "asyncio"):
        logging.getLogger(name).addHandler(faults)
    began = time.perf_counter()
    short = timedelta(seconds=2)
    limits: dict[str, Any] = {"max_size": 100_000, "max_memory": 2_000_000, "max_per_ip": 1_000}
    try:
        async with house(
            folder, kind=kind, tls=is_tls, idle_timeout=short, data_timeout=short, session_timeout=short * 2, **limits
        ) as running:
            for number in range(seed, seed + count, AT_ONCE):
                dice = [random.Random(one) for one in range(number, min(number + AT_ONCE, seed + count))]
                await asyncio.gather(*(converse(running, one, hello=hello, is_tls=is_tls) for one in dice))
                tally.dialogues += len(dice)
                if seconds is not None and time.perf_counter() - began > seconds:
                    break
            peer = await running.connect()
            await peer.ready_for_data(CODES, name=hello.decode())
            await peer.send(b"honest\r\n.\r\n")
            if not (await peer.reply()).startswith("250 ") or running.desk.taken[-1].content != b"honest\r\n":
                tally.faults.append("an honest mail was not taken afterwards")
            tally.mails = len(running.desk.taken)
            peer.close()
            await running.settles(lambda: (running.open, running.reserved) == (0, 0))
    finally:
        for name in ("mailbridge", "asyncio"):
            logging.getLogger(name).removeHandler(faults)
    tally.seconds = time.perf_counter() - began
    return tally


def main() -> int:
    """Run, tell, and give the exit code."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=20_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--seconds", type=float)
    options.add_argument("--lmtp", action="store_true")
    options.add_argument("--tls", action="store_true")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tally = uvloop.run(
            fuzz(
                count=chosen.count,
                seed=chosen.seed,
                folder=Path(folder),
                kind="lmtp" if chosen.lmtp else "smtp",
                is_tls=chosen.tls,
                seconds=chosen.seconds,
            )
        )
    print(f"{tally.dialogues} dialogues in {tally.seconds:.0f} s, {tally.mails} mails taken, {len(tally.faults)} faults")
    for fault in tally.faults[:20]:
        print("FAULT:", fault)
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
