"""SMTP, LMTP, watched mailboxes and HTTP pass the contract of a way in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from mailbridge.config.settings import SmtpSettings
from mailbridge.core.mail import Envelope
from mailbridge.core.secret import Secret
from mailbridge.ingress.http.service import Ingest, Lobby
from mailbridge.ingress.imap.service import watchers_of
from mailbridge.ingress.smtp import serve
from mailbridge.intake.answer import Answer, Stored
from mailbridge.intake.doorway import Doorway
from mailbridge.store.entries import Token
from mailbridge.web.server import serve_app
from tests.ingress.contract import RCPT, IngressContract
from tests.ingress.contract.queue import Queue
from tests.ingress.imap.watched import account
from tests.peers.scripted_imap import ScriptedImap

AT_ONCE = timedelta(milliseconds=100)


SAYS = {"stored": "250", "proof": "451", "locked": "451", "gone": "451", "closed": "451", "full": "452"}


@dataclass(frozen=True, slots=True)
class SmtpPlace:
    """A listener on a free port; its sender is a mail server with a queue. Implements `tests.ingress.contract.Place`."""

    folder: Path
    kind: Literal["smtp", "lmtp"]
    says: Mapping[str, str] = field(default_factory=lambda: SAYS)
    asks: bool = True

    @asynccontextmanager
    async def serve(self, doorway: Doorway) -> AsyncIterator[str]:
        """Gives ``host:port``."""
        listen = ("127.0.0.1:0",)
        settings = SmtpSettings(
            listen=listen if self.kind == "smtp" else (),
            lmtp=listen if self.kind == "lmtp" else (),
            tls=False,
            hostname="mx.example",
        )
        listeners = await serve(settings, doorway.accept, doorway.admission, now=doorway.now, state_dir=self.folder)
        try:
            yield listeners.addresses[0]
        finally:
            await listeners.close(AT_ONCE)

    def source(self, where: str) -> Queue:
        """A mail server."""
        return Queue(lambda mail, rcpt: self._hand(where, mail, rcpt))

    async def say(self, where: str, mail: bytes) -> str:
        """The line after the last dot."""
        return await self._hand(where, mail, RCPT)

    async def _hand(self, where: str, mail: bytes, rcpt: str) -> str:
        host, _, port = where.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            line = await _reply(reader)
            hello = b"EHLO" if self.kind == "smtp" else b"LHLO"
            for command in (hello + b" client.example", b"MAIL FROM:<a@larch.example>", f"RCPT TO:<{rcpt}>".encode(), b"DATA"):
                writer.write(command + b"\r\n")
                line = await _reply(reader)
                if line[:1] not in "23":
                    return line
            stuffed = mail.replace(b"\r\n.", b"\r\n..")
            writer.write(stuffed + b".\r\n")
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            return await _reply(reader)
        finally:
            writer.close()


async def _reply(reader: asyncio.StreamReader) -> str:
    """The last line of a reply. Raises EOFError."""
    line = (await reader.readline()).decode("ascii")
    while line[3:4] == "-":
        line = (await reader.readline()).decode("ascii")
    if not line:
        raise EOFError
    return line


@dataclass(frozen=True, slots=True)
class Cursors:
    """How far a mailbox is taken in, kept in a file, as the store keeps it in the transaction of the mail."""

    path: Path

    async def cursor(self, mailbox: str) -> str | None:
        """The furthest one."""
        return self.path.read_text() if self.path.exists() else None

    async def advance(self, cursor: str) -> None:
        """Go on to there."""
        beside = self.path.with_suffix(".new")
        beside.write_text(cursor)
        beside.replace(self.path)  # as a whole, also for who reads it meanwhile, and where the process is killed

    async def rewind(self, cursor: str) -> None:
        """Go back to there."""
        await self.advance(cursor)

    async def notes(self, mailbox: str) -> str:
        """Nothing is noted."""
        return "{}"

    async def note(self, mailbox: str, notes: str) -> None:
        """Nothing is noted."""

    async def pending_actions(self, mailbox: str) -> tuple[str, ...]:
        """Nothing is owed."""
        return ()

    async def actions_done(self, cursors: Sequence[str]) -> None:
        """Nothing is owed."""


@dataclass(frozen=True, slots=True)
class ImapPlace:
    """A mailbox on a scripted server; what is above its cursor is not taken. Implements `tests.ingress.contract.Place`."""

    port: int
    cursors: Cursors
    says: Mapping[str, str] = field(default_factory=dict)
    asks: bool = False

    @asynccontextmanager
    async def serve(self, doorway: Doorway) -> AsyncIterator[str]:
        """A source needs to know nothing of it."""

        async def accept(envelope: Envelope) -> Answer:
            answer = await doorway.bring(envelope)
            if isinstance(answer, Stored) and envelope.cursor is not None:
                await self.cursors.advance(envelope.cursor)
            return answer

        box = account(self.port, address=RCPT)
        watchers = watchers_of((box,), accept, self.cursors, now=doorway.now)
        watchers.start()
        try:
            yield ""
        finally:
            await watchers.close(timedelta(seconds=3))

    def source(self, where: str) -> Mailbox:
        """The mailbox."""
        return Mailbox(SERVERS[self.port], self.cursors)

    async def say(self, where: str, mail: bytes) -> str:
        """NoEvents hears anything."""
        raise NotImplementedError


SERVERS: dict[int, ScriptedImap] = {}
"""The servers of this process by their port: a place goes into another process without them."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Implements `tests.ingress.contract.Source`."""

    server: ScriptedImap
    cursors: Cursors

    async def post(self, mail: bytes, *, rcpt: str = RCPT) -> None:
        """Put it into the mailbox."""
        self.server.deliver(mail)

    def held(self) -> int:
        """The mails above the cursor."""
        known = self.cursors.path.read_text() if self.cursors.path.exists() else "box/0/0"
        return sum(one.uid > int(known.rpartition("/")[2]) for one in self.server.mails)

    async def close(self) -> None:
        """They stay there."""


class NoSecrets:
    """Callers with one token, and proofs that are never spent; no adapter and no question is used."""

    webhook_secrets = ()

    async def bearer(self, request: Request) -> Token | None:
        """Whoever asks."""
        return Token(id=1, name="queue", identifiers=(), created_at=datetime(2026, 1, 1, tzinfo=UTC), role="ingest")

    async def key(self, request: Request) -> Token:
        """Nobody."""
        raise AssertionError

    async def has(self, proof: str) -> bool:
        """None is."""
        return False

    async def spend(self, proof: str) -> None:
        """Forgotten."""

    async def ask(self, envelope: Envelope, text: str, link: Secret) -> Answer:
        """Nobody asks."""
        raise AssertionError


HEARD = {429: "451", 500: "451", 503: "451", 408: "451"}
"""What a mail server makes of an answer that says "come again"; any other refusal is for good."""


@dataclass(frozen=True, slots=True)
class HttpPlace:
    """The route of raw mails on a free port; its sender is a mail server that posts. Implements `tests.ingress.contract.Place`."""

    says: Mapping[str, str] = field(
        default_factory=lambda: {"stored": "250", **dict.fromkeys(("proof", "locked", "gone", "closed", "full"), "451")}
    )
    asks: bool = True

    @asynccontextmanager
    async def serve(self, doorway: Doorway) -> AsyncIterator[str]:
        """Gives ``host:port``."""
        desk = NoSecrets()
        lobby = Lobby(doorway=doorway, callers=desk, largest=26_214_400)
        ingest = Ingest(lobby, adapters=tuple, spent=desk, ask=desk.ask)
        app = Starlette(routes=[Route("/ingest/mime", ingest.mime, methods=["POST"])])
        async with serve_app(app, listen="127.0.0.1:0") as bound:
            yield bound.address

    def source(self, where: str) -> Queue:
        """A mail server."""
        return Queue(lambda mail, rcpt: self._hand(where, mail, rcpt))

    async def say(self, where: str, mail: bytes) -> str:
        """The answer as SMTP would word it."""
        return await self._hand(where, mail, RCPT)

    async def _hand(self, where: str, mail: bytes, rcpt: str) -> str:
        headers = {"Content-Type": "message/rfc822"}
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
                answer = await client.post(f"http://{where}/ingest/mime", params={"rcpt": rcpt}, content=mail, headers=headers)
        except httpx.HTTPError:
            raise OSError from None
        return "250" if answer.is_success else HEARD.get(answer.status_code, "550")


class TestHttp(IngressContract):
    """Raw mails that are posted."""

    @pytest.fixture
    def place(self) -> HttpPlace:
        """On a free port."""
        return HttpPlace()


class TestSmtp(IngressContract):
    """A listener."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> SmtpPlace:
        """On a free port."""
        return SmtpPlace(tmp_path, "smtp")


class TestLmtp(IngressContract):
    """A listener."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> SmtpPlace:
        """On a free port."""
        return SmtpPlace(tmp_path, "lmtp")


class TestImap(IngressContract):
    """A watched mailbox."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[ImapPlace]:
        """On a server that behaves."""
        with ScriptedImap() as server:
            SERVERS[server.port] = server
            yield ImapPlace(server.port, Cursors(tmp_path / "cursor"))
            del SERVERS[server.port]
