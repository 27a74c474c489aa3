"""One SMTP or LMTP session: aiosmtpd's connection plumbing, and a command loop that trusts no client.

What stock aiosmtpd 1.4.6 leaves open, measured: DATA without a line end takes memory past every limit; a body line over 1,001
octets bounces a mail for good; an exception is answered with a permanent 500 and its text; encoded words rewrite a recipient; a
NOOP now and then keeps a session open for ever; LMTP answers once for all recipients; a client that leaves cancels the handler
that is storing its mail. So the command loop, the addresses, DATA, the deadlines and the replies are our own.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Literal

from mailbridge import log_events
from mailbridge.core.mail import Envelope
from mailbridge.core.recipients import POSTMASTER
from mailbridge.ingress import paths
from mailbridge.ingress import reply as r
from mailbridge.ingress.content import READ_SIZE, Refusal, receive
from mailbridge.ingress.reply import Reply, reply_to
from mailbridge.ingress.session import COMMAND_LIMIT, MAX_LINE, Closed, ListenerContext, Session
from mailbridge.intake.answer import Accept

log = logging.getLogger("mailbridge.smtp")

MAX_COMMANDS = 1_000
MAX_ERRORS = 20
STORE_PATIENCE = 60.0
"""Seconds that processing and storing a mail may take before its session is told to try again."""

HANDSHAKE_TIMEOUT = 10.0

SIZE = re.compile(r"(?i:SIZE)=(\d{1,20})")
BODY = re.compile(r"(?i:BODY)=(?i:7BIT|8BITMIME)")
NAME = re.compile(r"[^\x00-\x1f\x7f]{1,900}")
"""What a client calls itself. Nothing depends on it, so anything that is not empty is accepted."""


class Guard(Session):
    """A session's dialogue: the command loop, and the commands."""

    def __init__(self, post: ListenerContext, kind: Literal["smtp", "lmtp"], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(post, kind, loop)
        self._is_greeted = False
        self._is_secure = False
        self._mail_from: str | None = None
        self._is_utf8 = False
        self._rcpt_to: list[str] = []
        self._commands = 0
        self._errors = 0

    async def _dialogue(self) -> None:
        self._reset()  # a copy shares its template's list
        try:
            await self._admit()
            greeting = "LMTP" if self._kind == "lmtp" else "ESMTP"
            await self._say(f"220 {self._context.hostname} {greeting} mailbridge".encode() + b"\r\n")
            while self._commands < MAX_COMMANDS:
                self._commands += 1
                await self._command()
            await self._reply(r.TOO_MANY_COMMANDS)
        except (Closed, OSError, asyncio.IncompleteReadError):
            pass
        except Exception as fault:  # noqa: BLE001  (the last resort: a session that breaks is ours to fix, and the client's to repeat)
            log.error("session failed: %s", type(fault).__name__, extra={"event": log_events.SESSION_FAILED})
            self._leave(r.OUR_FAULT_CLOSING)
        finally:
            self._close()
            self._is_in_dialogue = False
            self._let_go()

    async def _command(self) -> None:
        try:
            line = await self._reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            line = b" " * (MAX_LINE + 1)
        self._touch(self._context.settings.idle_timeout.total_seconds())
        if len(line) > MAX_LINE:
            await self._reply(r.LINE_TOO_LONG)
            raise Closed
        # Octets that are not UTF-8 stay as they are. No address contains them.
        text = line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")
        verb, _, argument = text.partition(" ")
        handler = COMMANDS.get(verb.upper()) if verb.isascii() else None
        if handler is None:
            await self._error(r.NOT_OFFERED if verb.upper() in REFUSED else r.UNKNOWN_COMMAND)
            return
        self._context.silent.pop(self, None)
        await handler(self, argument.strip())

    async def _error(self, answer: Reply) -> None:
        """Answer a mistake. A client that makes too many of them is disconnected."""
        self._errors += 1
        await self._reply(answer)
        if self._errors >= MAX_ERRORS:
            await self._reply(r.TOO_MANY_ERRORS)
            raise Closed

    # -- commands -----------------------------------------------------------------------------------------------------

    async def _helo(self, argument: str) -> None:
        if self._kind == "lmtp":
            await self._error(r.UNKNOWN_COMMAND)
        elif not NAME.fullmatch(argument):
            await self._error(r.BAD_SYNTAX)
        else:
            self._reset()
            self._is_greeted = True
            await self._say(f"250 {self._context.hostname}\r\n".encode())

    async def _ehlo(self, argument: str) -> None:
        if self._kind == "lmtp":
            await self._error(r.UNKNOWN_COMMAND)
        else:
            await self._hello(argument)

    async def _lhlo(self, argument: str) -> None:
        if self._kind == "smtp":
            await self._error(r.UNKNOWN_COMMAND)
        else:
            await self._hello(argument)

    async def _hello(self, argument: str) -> None:
        if not NAME.fullmatch(argument):
            await self._error(r.BAD_SYNTAX)
            return
        self._reset()
        self._is_greeted = True
        offers = ["PIPELINING", f"SIZE {self._context.settings.max_size}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"]
        if self._context.certificate is not None and not self._is_secure:
            offers.append("STARTTLS")
        lines = [self._context.hostname, *offers]
        marks = ["-"] * (len(lines) - 1) + [" "]
        await self._say("".join(f"250{mark}{line}\r\n" for mark, line in zip(marks, lines, strict=True)).encode())

    async def _mail(self, argument: str) -> None:
        if not self._is_greeted or self._mail_from is not None:
            await self._error(r.BAD_SEQUENCE)
            return
        path = paths.read(argument, "FROM")
        if path is None:
            await self._error(r.BAD_MAIL_FROM)
            return
        is_utf8 = any(parameter.upper() == "SMTPUTF8" for parameter in path.parameters)
        sender = paths.sender(path, is_utf8=is_utf8)
        if isinstance(sender, Reply):
            await self._error(sender)
            return
        for parameter in path.parameters:
            size = SIZE.fullmatch(parameter)
            if size is not None and int(size[1]) > self._context.settings.max_size:
                await self._error(r.TOO_BIG)
                return
            if size is None and parameter.upper() != "SMTPUTF8" and not BODY.fullmatch(parameter):
                await self._error(r.BAD_PARAMETER)
                return
        now, admission = self.loop.time(), self._context.admission
        if admission.is_over("client", self._client, now) or admission.is_over("sender", sender.casefold(), now):
            await self._reply(r.TOO_MUCH)
            return
        self._mail_from, self._is_utf8 = sender, is_utf8
        await self._say(b"250 2.1.0 OK\r\n")

    async def _rcpt(self, argument: str) -> None:
        if self._mail_from is None:
            await self._error(r.BAD_SEQUENCE)
            return
        path = paths.read(argument, "TO")
        mailbox = paths.recipient(path, is_utf8=self._is_utf8) if path is not None else r.BAD_RCPT_TO
        if isinstance(mailbox, Reply):
            await self._error(mailbox)
        elif path is not None and path.parameters:
            await self._error(r.BAD_PARAMETER)
        elif mailbox != POSTMASTER and not self._context.admission.is_ours(mailbox):
            await self._error(r.UNKNOWN_USER)
        elif self._context.admission.is_over("recipient", mailbox.casefold(), self.loop.time()):
            await self._reply(r.TOO_MUCH)
        elif len(self._rcpt_to) >= self._context.settings.max_recipients:
            await self._reply(r.TOO_MANY_RECIPIENTS)
        else:
            self._rcpt_to.append(mailbox)
            self._context.events.on_recipient()
            await self._say(b"250 2.1.5 OK\r\n")

    async def _noop(self, argument: str) -> None:  # noqa: ARG002
        await self._say(b"250 2.0.0 OK\r\n")

    async def _rset(self, argument: str) -> None:  # noqa: ARG002
        self._reset()
        await self._say(b"250 2.0.0 OK\r\n")

    async def _verify(self, argument: str) -> None:
        await (self._reply(r.NOT_VERIFIED) if argument else self._error(r.BAD_SYNTAX))

    async def _help(self, argument: str) -> None:  # noqa: ARG002
        await self._reply(r.HELP)

    async def _quit(self, argument: str) -> None:  # noqa: ARG002
        await self._say(b"221 2.0.0 Bye\r\n")
        raise Closed

    async def _starttls(self, argument: str) -> None:
        certificate = self._context.certificate
        if certificate is None:
            await self._error(r.TLS_UNAVAILABLE)
            return
        if argument or self._is_secure or not self._is_greeted:
            await self._error(r.BAD_SEQUENCE)
            return
        await self._say(b"220 2.0.0 Ready to start TLS\r\n")
        # The buffer was sent in the clear by an unknown sender. It must not be taken for TLS data (RFC 3207 5).
        self._reader._buffer.clear()  # type: ignore[attr-defined]  # noqa: SLF001
        self._is_in_handshake = True
        try:
            await self._writer.start_tls(certificate.context(), ssl_handshake_timeout=HANDSHAKE_TIMEOUT)
            self._is_in_handshake = False
        except OSError as fault:
            log.info(
                "TLS handshake failed",
                extra={"event": log_events.TLS_HANDSHAKE_FAILED, "peer": self._peer, "reason": type(fault).__name__},
            )
            raise Closed from None
        finally:
            if self._is_in_handshake and self.transport is not None:
                self.transport.abort()  # type: ignore[attr-defined]
                self._depart()  # connection_lost does not come if the handshake was not done
        self.transport = self._writer.transport
        self._reader._transport = self.transport  # type: ignore[attr-defined]  # noqa: SLF001
        self._is_secure = True
        self._reset()  # a second EHLO is the client's choice (RFC 3207 4.2): nothing of the first one is used

    def _reset(self) -> None:
        self._mail_from = None
        self._is_utf8 = False
        self._rcpt_to = []

    # -- the mail -----------------------------------------------------------------------------------------------------

    async def _data(self, argument: str) -> None:
        if not self._rcpt_to or self._mail_from is None:
            await self._error(r.BAD_SEQUENCE)
            return
        if argument:
            await self._error(r.BAD_SYNTAX)
            return
        settings = self._context.settings
        self._is_in_data = True
        self._data_since = self.loop.time()
        self._touch(settings.data_timeout.total_seconds())
        self._reader._limit = READ_SIZE  # type: ignore[attr-defined]  # noqa: SLF001
        try:
            await self._say(b"354 End with <CRLF>.<CRLF>\r\n")
            with self._context.admission.hold() as hold:
                content = await receive(self._reader, hold, max_size=settings.max_size)
                answer = content.reply if isinstance(content, Refusal) else await self._store(content)
        finally:
            self._is_in_data = False
            self._reader._limit = COMMAND_LIMIT  # type: ignore[attr-defined]  # noqa: SLF001
        count = len(self._rcpt_to) if self._kind == "lmtp" else 1
        self._reset()
        if answer.is_success:
            self.extend_deadline()
            self._commands = 0
            self._errors = 0
        self._touch(settings.idle_timeout.total_seconds())
        await self._say(answer.encode() * count)
        if self._context.is_closing:
            await self._reply(r.GOING_DOWN)
            raise Closed
        if isinstance(content, Refusal) and not content.is_over:
            raise Closed

    async def _store(self, content: bytes) -> Reply:
        """Pass the mail on. A client that leaves meanwhile changes nothing: the task belongs to the daemon, not to the
        session."""
        self._touch(STORE_PATIENCE, is_ours=True)
        envelope = Envelope(
            mail_from=self._mail_from or "",
            rcpt_to=tuple(self._rcpt_to),
            content=content,
            received_at=self._context.now(),
            ingress=self._kind,
            peer=self._peer,
        )
        self._context.admission.count(
            recipients=tuple(rcpt.casefold() for rcpt in envelope.rcpt_to),
            sender=envelope.mail_from.casefold(),
            client=self._client,
            now=self.loop.time(),
        )
        task = self.loop.create_task(_accepted(self._context.accept, envelope))
        self._context.storing.add(task)
        task.add_done_callback(self._context.storing.discard)
        self._is_storing = True
        try:
            return await asyncio.shield(task)
        finally:
            self._is_storing = False


async def _accepted(accept: Accept, envelope: Envelope) -> Reply:
    try:
        return reply_to(await accept(envelope))
    except Exception as fault:  # noqa: BLE001  (the last resort: our own fault is always 451, and never shows its insides)
        log.error("mail not taken: %s", type(fault).__name__, extra={"event": log_events.MAIL_FAILED})
        return r.OUR_FAULT


COMMANDS: dict[str, Callable[[Guard, str], Awaitable[None]]] = {
    "HELO": Guard._helo,  # noqa: SLF001
    "EHLO": Guard._ehlo,  # noqa: SLF001
    "LHLO": Guard._lhlo,  # noqa: SLF001
    "MAIL": Guard._mail,  # noqa: SLF001
    "RCPT": Guard._rcpt,  # noqa: SLF001
    "DATA": Guard._data,  # noqa: SLF001
    "VRFY": Guard._verify,  # noqa: SLF001
    "HELP": Guard._help,  # noqa: SLF001
    "NOOP": Guard._noop,  # noqa: SLF001
    "RSET": Guard._rset,  # noqa: SLF001
    "QUIT": Guard._quit,  # noqa: SLF001
    "STARTTLS": Guard._starttls,  # noqa: SLF001
}
REFUSED = frozenset({"AUTH", "EXPN", "BDAT", "TURN", "ETRN", "SEND", "SOML", "SAML"})
