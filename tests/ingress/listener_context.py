"""A real listener on a free port, and a hand-held client: what every test of the SMTP room stands on."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from mailbridge.config.settings import SmtpSettings
from mailbridge.core.mail import Envelope
from mailbridge.ingress.smtp import Listeners, serve
from mailbridge.intake.admission import Admission, Rates
from mailbridge.intake.answer import Answer, Stored
from mailbridge.store import Receipt

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds that anything may take before the test gives up."""

ARRIVED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
CODES = "codes@bridge.example"
STORED = Stored(receipt=Receipt(mail_id=1))
"""What a desk answers whose mails have no numbers."""

KNOWN = frozenset({CODES, "second@bridge.example", "third@bridge.example"})
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


@dataclass(slots=True)
class Desk:
    """Takes what comes in, as the store would. ``answer`` may be replaced by a test."""

    taken: list[Envelope] = field(default_factory=list)
    answer: Callable[[Envelope], Awaitable[Answer]] | None = None

    async def accept(self, envelope: Envelope) -> Answer:
        """Note the mail, and say so."""
        if self.answer is not None:
            answer = await self.answer(envelope)
            if not isinstance(answer, Stored):
                return answer
        self.taken.append(envelope)
        return Stored(receipt=Receipt(mail_id=len(self.taken)))


class Forgiving(asyncio.StreamReader):
    """A connection that broke is one that ended: what the server said before that can still be read."""

    def set_exception(self, exc: Exception) -> None:
        """See `asyncio.StreamReader.set_exception`."""
        self.feed_eof()


@dataclass(slots=True)
class Peer:
    """One client connection, driven by hand."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, octets: bytes) -> None:
        """Write octets as they are."""
        self.writer.write(octets)
        await self.writer.drain()

    async def line(self) -> str:
        """The next line that the server says, without its end; "" once it has closed."""
        async with asyncio.timeout(PATIENCE):
            octets = await self.reader.readline()
            return octets.decode("ascii").removesuffix("\r\n")

    async def reply(self) -> str:
        """The last line of the next reply."""
        line = await self.line()
        while line[3:4] == "-":
            line = await self.line()
        return line

    async def ask(self, command: str) -> str:
        """Send a command, give the last line of its reply."""
        await self.send(command.encode() + b"\r\n")
        return await self.reply()

    async def ready(self, name: str = "EHLO") -> None:
        """Read the greeting and say hello."""
        assert (await self.reply()).startswith("220 ")
        assert (await self.ask(f"{name} client.example")).startswith("250 ")

    async def ready_for_data(self, *rcpts: str, name: str = "EHLO") -> None:
        """As far as the 354."""
        await self.ready(name)
        assert (await self.ask("MAIL FROM:<a@b.example>")).startswith("250 ")
        for rcpt in rcpts or (CODES,):
            assert (await self.ask(f"RCPT TO:<{rcpt}>")).startswith("250 ")
        assert (await self.ask("DATA")).startswith("354 ")

    async def bring(self) -> list[str]:
        """Send an empty mail, where one has said hello; the codes of the four answers."""
        await self.send(b"MAIL FROM:<>\r\nRCPT TO:<codes@bridge.example>\r\nDATA\r\n.\r\n")
        return [(await self.reply())[:3] for _ in range(4)]

    async def is_closed(self) -> bool:
        """Whether the server ends the connection, whatever it still says first."""
        async with asyncio.timeout(PATIENCE):
            try:
                while await self.reader.read(65_536):
                    pass
            except ConnectionError:
                pass
        return True

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """The client's half of a TLS handshake."""
        await self.writer.start_tls(context, ssl_handshake_timeout=PATIENCE)

    def close(self) -> None:
        """Leave."""
        self.writer.close()


@dataclass(slots=True, kw_only=True)
class House:
    """The listeners with the desk behind them."""

    listeners: Listeners
    desk: Desk
    admission: Admission

    @property
    def port(self) -> int:
        """The port of the first listener."""
        return int(self.listeners.addresses[0].rpartition(":")[2])

    async def connect(self, *, source: str = "127.0.0.1") -> Peer:
        """A new client from this loopback address."""
        loop, reader = asyncio.get_running_loop(), Forgiving()
        transport, protocol = await loop.create_connection(
            lambda: asyncio.StreamReaderProtocol(reader), "127.0.0.1", self.port, local_addr=(source, 0)
        )
        return Peer(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    async def settles(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(PATIENCE):
            while not holds():
                await asyncio.sleep(0.002)

    @property
    def reserved(self) -> int:
        """Octets held for mails on their way in."""
        return self.admission.reserved

    @property
    def open(self) -> int:
        """Connections that are counted."""
        return self.listeners.limits.open

    @property
    def origins(self) -> dict[str, int]:
        """Connections that are counted, by where they come from."""
        return self.listeners.limits.origins


@asynccontextmanager
async def house(
    tmp_path: Path,
    *,
    kind: str = "smtp",
    desk: Desk | None = None,
    recipients: Callable[[str], bool] = KNOWN.__contains__,
    **settings: Any,
) -> AsyncIterator[House]:
    """Listeners on free ports of loopback for the length of the block; afterwards nothing is counted or held any more."""
    chosen: dict[str, Any] = {"listen": (), "lmtp": (), "hostname": "mx.bridge.example", "tls": False}
    chosen["lmtp" if kind == "lmtp" else "listen"] = ("127.0.0.1:0",)
    desk = desk or Desk()
    found = SmtpSettings(**{**chosen, **settings})
    rates = Rates(recipient=found.rate_recipient, sender=found.rate_sender, client=found.rate_client)
    admission = Admission(is_ours=recipients, memory=found.max_memory, rates=rates)
    listeners = await serve(found, desk.accept, admission, now=lambda: ARRIVED, state_dir=tmp_path)
    running = House(listeners=listeners, desk=desk, admission=admission)
    try:
        yield running
    finally:
        await listeners.close(timedelta(seconds=0.2))
    await running.settles(lambda: (running.open, running.reserved, running.origins) == (0, 0, {}))


def run(main: Coroutine[Any, Any, T], *, loop: str = "uvloop") -> T:
    """Run a test's coroutine on the loop that the daemon runs on, or on another."""
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(main)


def insecure() -> ssl.SSLContext:
    """A client's TLS as Gmail uses it for delivery: private, and whoever answers."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
