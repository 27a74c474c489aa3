"""Mails out and codes back in one process, so that one clock times both ends of whatever stands between."""

from __future__ import annotations

import asyncio
import functools
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate
from typing import cast

RCPT = "codes@mailbridge.localhost"
CODE = re.compile(rb"(?<!\d)(\d{8})(?!\d)")
LENGTH = re.compile(rb"(?i)content-length: *(\d+)")
ANSWER = b'{"totp_code_id":"totp_1","code":"00000000","otp_type":"totp"}'
FIRST_CODE = 10_000_000
NUMBER = b"NUMBER-HERE"
CODE_HERE = b"CODE-HERE"
BLOCK = '<tr><td style="padding:16px;color:#333333;font-family:Arial,sans-serif">We never ask for this by phone.</td></tr>\n'


SMALL = 22
"""Table rows of a mail of 4 kB in all."""


def mail(number: int, *, run: int, rows: int = SMALL) -> bytes:
    """A code mail in two parts, as a Gmail filter forwards it; its code and account are of this number alone. 112 octets a row."""
    return _template(run, rows).replace(NUMBER, b"%d" % number).replace(CODE_HERE, b"%d" % (FIRST_CODE + number))


@functools.cache
def _template(run: int, rows: int) -> bytes:
    """The mail of a run, with marks where the number and the code belong: building one from its parts costs a millisecond."""
    number, code = NUMBER.decode(), CODE_HERE.decode()
    message = EmailMessage()
    message["X-Forwarded-To"] = RCPT
    message["X-Forwarded-For"] = f"user{number}@example.com {RCPT}"
    message["Delivered-To"] = f"user{number}@example.com"
    message["From"] = "Larch Bank <no-reply@larch.example>"
    message["To"] = f"user{number}@example.com"
    message["Subject"] = "Your verification code"
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{run}.{number}@larch.example>"
    message.set_content(f"Hello,\n\nYour verification code is: {code}\n\nIt expires in 10 minutes.\nLarch Bank, 90210 Seaside\n")
    message.add_alternative(
        f"<html><body><table>{BLOCK * rows}<tr><td>Your verification code is:</td></tr><tr><td style='font-size:32px'>"
        f"<b>{code}</b></td></tr><tr><td>It expires in 10 minutes.</td></tr></table></body></html>",
        subtype="html",
    )
    return message.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


@dataclass(slots=True)
class Sink:
    """Answers every request after ``delay`` seconds, and notes when each code was complete here (`time.perf_counter`)."""

    seen: dict[int, float] = field(default_factory=dict)
    requests: int = 0
    port: int = 0
    delay: float = 0.0

    async def listen(self) -> asyncio.Server:
        """Listen on a free port."""
        server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def wait_for(self, codes: set[int], *, patience: float) -> None:
        """Wait until every code is here. Raises TimeoutError."""
        async with asyncio.timeout(patience):
            while not codes <= self.seen.keys():
                await asyncio.sleep(0.01)


class _Connection(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            length = LENGTH.search(self._buffer[:end])
            stop = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < stop:
                return
            body, self._buffer = self._buffer[end + 4 : stop], self._buffer[stop:]
            self._sink.requests += 1
            at = time.perf_counter()
            for code in CODE.findall(body):
                self._sink.seen.setdefault(int(code), at)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(ANSWER)
            if self._sink.delay:
                asyncio.get_running_loop().call_later(self._sink.delay, self._transport.write, head + ANSWER)
            else:
                self._transport.write(head + ANSWER)


class Client:
    """One SMTP connection."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def open(self) -> None:
        """Connect and greet."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        await self._expect(b"220")
        await self._command(b"EHLO load.localhost", b"250")

    async def send(self, content: bytes, *rcpts: str) -> tuple[float, float]:
        """Send one mail, to RCPT unless told; the moments of the end of DATA and of the 250."""
        await self._command(b"MAIL FROM:<bounce@larch.example>", b"250")
        for rcpt in rcpts or (RCPT,):
            await self._command(b"RCPT TO:<" + rcpt.encode() + b">", b"250")
        await self._command(b"DATA", b"354")
        began = time.perf_counter()  # before the write: its reader may be run at once, in our place
        self._writer.write(content + b"\r\n.\r\n")
        await self._expect(b"250")
        return began, time.perf_counter()

    async def close(self) -> None:
        """Say goodbye."""
        await self._command(b"QUIT", b"221")
        self._writer.close()

    async def _command(self, line: bytes, wanted: bytes) -> None:
        self._writer.write(line + b"\r\n")
        await self._expect(wanted)

    async def _expect(self, wanted: bytes) -> None:
        while True:
            line = await self._reader.readline()
            if not line.startswith(wanted):
                raise ConnectionError(f"expected {wanted!r}, got {line!r}")
            if line[3:4] == b" ":
                return


class Poster:
    """One HTTP connection that posts raw mails; it is used as a `Client` is."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._head = (
            f"POST /ingest/mime?rcpt={RCPT}&from=bounce@larch.example HTTP/1.1\r\nHost: load.localhost\r\n"
            f"Authorization: Bearer {token}\r\nContent-Type: message/rfc822\r\n"
        ).encode()

    async def open(self) -> None:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def send(self, content: bytes) -> tuple[float, float]:
        """Post one mail; the moments of its end and of the answer."""
        began = time.perf_counter()
        self._writer.write(self._head + b"Content-Length: %d\r\n\r\n" % len(content) + content)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 204"):
            raise ConnectionError(f"got {answer[:40]!r}")
        return began, time.perf_counter()

    async def close(self) -> None:
        """Hang up."""
        self._writer.close()


Opener = Callable[[int], Client | Poster]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a run measured: milliseconds from the end of DATA to the code at the sink, to the 250, and mails a second."""

    push: tuple[float, ...]
    acknowledged: tuple[float, ...]
    per_second: float
    requests: int

    def push_at(self, share: float) -> float:
        """A quantile of the push times, in milliseconds."""
        ordered = sorted(self.push)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def one_by_one(
    port: int, sink: Sink, *, count: int, gap: float, first: int, opener: Opener = Client, rows: int = SMALL
) -> Figures:
    """Mails one after the other, each over a connection of its own, ``gap`` seconds apart: latency."""
    sent: dict[int, float] = {}
    replies: list[float] = []
    run = time.time_ns()
    for number in range(first, first + count):
        client = opener(port)
        await client.open()
        sent[FIRST_CODE + number], at = await client.send(mail(number, run=run, rows=rows))
        replies.append((at - sent[FIRST_CODE + number]) * 1000)
        await client.close()
        await asyncio.sleep(gap)
    return await _figures(sink, sent, replies, time.perf_counter())


async def all_at_once(
    port: int, sink: Sink, *, count: int, connections: int, is_reused: bool, first: int, opener: Opener = Client
) -> Figures:
    """Mails as fast as they are taken, over so many connections: throughput, up to the last push."""
    sent: dict[int, float] = {}
    replies: list[float] = []
    run = time.time_ns()
    contents = {number: mail(number, run=run) for number in range(first, first + count)}
    numbers = iter(range(first, first + count))
    began = time.perf_counter()
    workers = [
        _keep_sending(port, numbers, contents, sent, replies, is_reused=is_reused, opener=opener) for _ in range(connections)
    ]
    await asyncio.gather(*workers)
    return await _figures(sink, sent, replies, began)


async def to_many(port: int, sink: Sink, *, count: int, connections: int, first: int, rcpts: tuple[str, ...]) -> Figures:
    """Mails to all of these recipients at once, over connections that stay open: throughput, up to the last push."""
    sent: dict[int, float] = {}
    replies: list[float] = []
    run = time.time_ns()
    numbers = iter(range(first, first + count))

    async def keep_sending() -> None:
        client = Client(port)
        await client.open()
        for number in numbers:
            sent[FIRST_CODE + number], at = await client.send(mail(number, run=run), *rcpts)
            replies.append((at - sent[FIRST_CODE + number]) * 1000)
        await client.close()

    began = time.perf_counter()
    await asyncio.gather(*(keep_sending() for _ in range(connections)))
    return await _figures(sink, sent, replies, began)


async def at_a_rate(
    port: int, sink: Sink, *, rate: float, seconds: float, first: int, dice: random.Random | None = None
) -> Figures:
    """Mails at a steady rate, each over a connection of its own, however long the ones before take: evenly spaced, or with ``dice`` at
    random moments, as mails of many senders come."""
    count = int(rate * seconds)
    moments = [index / rate for index in range(count)]
    if dice is not None:
        moments = sorted(dice.uniform(0.0, seconds) for _ in range(count))
    sent: dict[int, float] = {}
    replies: list[float] = []
    run = time.time_ns()
    began = time.perf_counter()

    async def one(number: int) -> None:
        await _keep_sending(port, iter((number,)), {number: mail(number, run=run)}, sent, replies, is_reused=False)

    async with asyncio.TaskGroup() as group:
        for index, moment in enumerate(moments):
            await asyncio.sleep(max(0.0, began + moment - time.perf_counter()))
            group.create_task(one(first + index))
    return await _figures(sink, sent, replies, began)


async def _keep_sending(
    port: int,
    numbers: Iterator[int],
    contents: dict[int, bytes],
    sent: dict[int, float],
    replies: list[float],
    *,
    is_reused: bool,
    opener: Opener = Client,
) -> None:
    client: Client | Poster | None = None
    for number in numbers:
        if client is None:
            client = opener(port)
            await client.open()
        code = FIRST_CODE + number
        sent[code], at = await client.send(contents.pop(number))
        replies.append((at - sent[code]) * 1000)
        if not is_reused:
            await client.close()
            client = None
    if client is not None:
        await client.close()


async def _figures(sink: Sink, sent: dict[int, float], replies: list[float], began: float) -> Figures:
    await sink.wait_for(set(sent), patience=60)
    arrived = [sink.seen[code] for code in sent]
    push = tuple((sink.seen[code] - at) * 1000 for code, at in sent.items())
    return Figures(push=push, acknowledged=tuple(replies), per_second=len(sent) / (max(arrived) - began), requests=sink.requests)
