"""What reads octets from a socket: the SMTP listener, and the HTTP port of a whole daemon; and seeds for each.

An HTTP answer is judged as a stranger's auditor would: no 5xx, no insides of ours in it, every refusal as problem+json that no
cache keeps, and no code for whom it is not. ``LIVE`` may be told to who shows its token or its signature, ``HIDDEN`` to nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import itertools
import logging
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mailbridge.app.daemon import Bridge, bridge
from mailbridge.config import settings as s
from mailbridge.core.secret import Secret
from mailbridge.core.token import token_digest
from mailbridge.ingress.smtp import Listeners, serve
from mailbridge.intake.admission import Admission
from mailbridge.logs import LogFormatter as Line
from mailbridge.store.reading import Wanted
from tests.fuzz.kinds import SIGNED
from tests.ingress.listener_context import CODES, KNOWN, Desk
from tests.web.daemon import Sender

SLOWEST = 2.0
"""Seconds that one input may take."""

QUIET = 0.05
"""Seconds without an answer after which the server is taken to wait for more, which does not come."""

HONEST = 60.0
"""Seconds for the answer to an honest request, which ends by itself: our end of it, shown early, would end it without an answer."""

OFTEN = 200
"""Inputs after which the daemon has to answer honest requests as ever."""

ANN = "ann@corp.com"
LIVE, HIDDEN = "40718263", "95182037"
TOKEN, NARROW, ADMIN, KEY = "mbt_reads-ann", "mbt_reads-bob", "the-token-of-the-operator", "the-key-of-skyvern"
INSIDES = re.compile(rb"(?i)traceback|exception|error\(|\.py\b|sqlite|mailbridge\.(?:web|store)")
ANSWER = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")
SHOWN = re.compile(rb"(?i)authorization\s*:\s*bearer\s+" + TOKEN.encode())
LAST = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


class SmtpTalk:
    """A listener of our own, and a client that says whatever it is given and leaves."""

    def __init__(self, desk: Desk, listeners: Listeners) -> None:
        self._desk = desk
        host, _, port = listeners.addresses[0].rpartition(":")
        self._at = (host, int(port))

    async def __call__(self, octets: bytes) -> None:
        """A whole dialogue at once: the listener answers, closes, and takes the next one."""
        reader, writer = await asyncio.open_connection(*self._at)
        with contextlib.suppress(ConnectionError):
            writer.write(octets)
            writer.write_eof()
            async with asyncio.timeout(SLOWEST):
                assert (await reader.read()).startswith(b"220 ")
        writer.close()
        assert all(one.rcpt_to for one in self._desk.taken)
        self._desk.taken.clear()


@asynccontextmanager
async def smtp_talk() -> AsyncIterator[SmtpTalk]:
    """The listener, without the limits that a single client would meet."""
    desk = Desk()
    settings = s.SmtpSettings(
        listen=("127.0.0.1:0",), tls=False, max_per_ip=1_000, rate_recipient=0, rate_sender=0, rate_client=0
    )
    with tempfile.TemporaryDirectory() as folder:
        admission = Admission(is_ours=KNOWN.__contains__, memory=settings.max_memory)
        listeners = await serve(settings, desk.accept, admission, now=lambda: datetime.now(UTC), state_dir=Path(folder))
        yield SmtpTalk(desk, listeners)
        await listeners.close(timedelta(seconds=5))


class Unnoticed(AssertionError):  # noqa: N818  (a finding, as AssertionError is none of ours)
    """Something that no client saw went wrong, for one of the inputs in hand."""


class Heard(logging.Handler):
    """Listens to the log as the daemon writes it: what is an error there, or tells a secret, is a fault of the input."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(Line(form="json", is_hashed=True))
        self.faults: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        line = self.format(record)
        if record.levelno >= logging.ERROR or any(secret in line for secret in (LIVE, HIDDEN, TOKEN, KEY)):
            trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
            self.faults.append(f"{line}\n{trace}")


class HttpTalk:
    """A whole daemon, and clients of many addresses that send it octets."""

    def __init__(self, running: Bridge, heard: Heard) -> None:
        self._running = running
        self._heard = heard
        host, _, port = running.http_address.rpartition(":")
        self._at = (host, int(port))
        self._numbers = itertools.count()

    async def __call__(self, octets: bytes) -> None:
        """One input, a last request behind it, and all that comes back; now and then honest requests."""
        judge(octets, await self._exchange(octets + LAST))
        if next(self._numbers) % OFTEN == 0:
            await self.tend()
        if self._heard.faults:
            raise Unnoticed("\n".join(self._heard.faults))

    async def tend(self) -> None:
        """The daemon is well, keeps its code for whom it is, and gives it to the seeds that may have it."""
        ready = b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        assert b"200 OK" in await self._exchange(ready, quiet=HONEST, slowest=HONEST)
        if (
            await self._running.engine.store.codes.newest(_wanted(self._running)) is None
        ):  # an honest consumer was among the mutations
            await plant(self._running)
        for seed in (BEARER, POLL):
            answered = await self._exchange(seed + LAST, quiet=HONEST, slowest=HONEST)
            assert LIVE.encode() in answered, f"who may have the code does not get it: {answered[:300]!r}"

    async def _exchange(self, octets: bytes, *, quiet: float = QUIET, slowest: float = SLOWEST) -> bytes:
        """Everything that is answered until the server closes; one that was silent for ``quiet`` seconds sees our end of it first."""
        number = next(self._numbers)
        own = (f"127.{number >> 14 & 127}.{number >> 7 & 127}.{number & 127 or 128}", 0) if sys.platform == "linux" else None
        async with asyncio.timeout(slowest):
            reader, writer = await asyncio.open_connection(*self._at, local_addr=own)
            parts: list[bytes] = []
            with contextlib.suppress(ConnectionError):
                writer.write(octets)
                try:
                    while part := await asyncio.wait_for(reader.read(65_536), quiet):
                        parts.append(part)
                except TimeoutError:
                    writer.write_eof()
                    parts.append(await reader.read())
            writer.transport.abort()
        return b"".join(parts)


def is_signed(octets: bytes) -> bool:
    """Whether a signature is in them, in either case, and with it the body that it is of, whole or in two chunks."""
    return any(signature in octets.lower() and first in octets and second in octets for signature, first, second in SIGNATURES)


def judge(octets: bytes, answered: bytes) -> None:
    """Raises AssertionError where an answer is none that may be given to these octets."""
    assert not answered or answered.startswith(b"HTTP/1.1 "), answered[:200]
    assert HIDDEN.encode() not in answered, "told a code that nobody may read"
    if not (SHOWN.search(octets) or is_signed(octets)):
        assert LIVE.encode() not in answered, "told a code without a token and without a signature"
    heads = list(ANSWER.finditer(answered))
    ends = [*(one.start() for one in heads[1:]), len(answered)] if heads else []
    for head, end in zip(heads, ends, strict=True):
        status, fields, body = int(head[1]), head[2].lower(), answered[head.end() : end]
        assert status < 500, answered[head.start() : end]
        assert not INSIDES.search(body) or fields.find(b"text/plain") >= 0 or b"openapi" in body[:40], body[:500]
        if status >= 400:
            assert b"application/problem+json" in fields, answered[head.start() : end]
        if status >= 200:
            assert b"no-store" in fields or b"openapi" in body[:40], answered[head.start() : end]


@asynccontextmanager
async def http_talk() -> AsyncIterator[HttpTalk]:
    """The daemon as it serves, with a code for Ann and one that nobody's token is for."""
    heard, logger = Heard(), logging.getLogger()
    level = logger.level
    logger.addHandler(heard)
    logger.setLevel(logging.INFO)
    try:
        with tempfile.TemporaryDirectory() as folder:
            async with bridge(_settings(Path(folder)), state_dir=Path(folder)) as running:
                for text, who in ((TOKEN, ANN), (NARROW, "bob@corp.com")):
                    await running.engine.store.entries.add_token(
                        token_digest(text), name=who, identifiers=(who,), expires_at=None
                    )
                await plant(running)
                talk = HttpTalk(running, heard)
                await talk.tend()
                yield talk
                await talk.tend()
    finally:
        logger.removeHandler(heard)
        logger.setLevel(level)


async def plant(running: Bridge) -> None:
    """Mail both codes in."""
    sender = await Sender.connect(running.smtp_addresses[0])
    for identifier, code in ((ANN, LIVE), ("zoe@corp.com", HIDDEN)):
        await sender.send(identifier, code, rcpt=CODES)
    await sender.close()


def _wanted(running: Bridge) -> Wanted:
    return Wanted(identifier=ANN, since=running.engine.clock.now() - timedelta(minutes=5))


def _settings(folder: Path) -> s.Settings:
    any_port = "127.0.0.1:0"
    return s.Settings(
        smtp=s.SmtpSettings(listen=(any_port,), tls=False, rate_recipient=0, rate_sender=0, rate_client=0),
        domains=s.DomainSettings(accept=("bridge.example",)),
        identity=s.IdentitySettings(learn_from_skyvern=False),
        practice=s.PracticeSettings(listen=any_port),
        pull=s.PullSettings(keys=(Secret(KEY),), grace=timedelta(days=1)),
        http=s.HttpSettings(listen=any_port, token=Secret(ADMIN)),
        store=s.StoreSettings(url=f"sqlite:///{folder}/mailbridge.db"),
        retention=s.RetentionSettings(code=timedelta(days=1)),
    )


def _request(line: str, *fields: str, body: bytes = b"") -> bytes:
    """A request as a client writes it."""
    return "".join(f"{one}\r\n" for one in (f"{line} HTTP/1.1", "Host: codes.example", *fields)).encode() + b"\r\n" + body


def _poll(identifier: str, body: bytes, *fields: str, is_signed: bool = True, is_chunked: bool = False) -> bytes:
    """A poll as Skyvern signs it."""
    signature = hmac.new(KEY.encode() if is_signed else b"another", body, hashlib.sha256).hexdigest()
    half = len(body) // 2
    chunks = b"".join(b"%x;a=b\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:])) + b"0\r\nX-Late: a\r\n\r\n"
    return _request(
        f"POST /skyvern/totp/{identifier}",
        f"x-skyvern-signature: {signature}",
        "x-skyvern-timestamp: 1764000000",
        "Content-Type: application/json",
        "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {len(body)}",
        *fields,
        body=chunks if is_chunked else body,
    )


BODY = b'{"task_id":"tsk_1","workflow_run_id":"wr_1","workflow_permanent_id":"wpid_1"}'
DEEP = b'{"task_id":' + b"[" * 20_000
SIGNATURES = [
    (hmac.new(KEY.encode(), body, hashlib.sha256).hexdigest().encode(), body[: len(body) // 2], body[len(body) // 2 :])
    for body in (BODY, b"{}", DEEP)
]
"""What a signed poll consists of: its signature, and the halves of its body."""

AUTH = f"Authorization: Bearer {TOKEN}"
OTHER = f"Authorization: Bearer {NARROW}"
BEARER = _request(
    "GET /api/v1/codes?identifier=ann%40corp.com&limit=20&since=2026-01-31T12:00:00Z", AUTH, "Accept: application/json"
)
POLL = _poll(ANN, BODY)
WAIT = _request(
    "GET /api/v1/codes/wait?identifier=ann@corp.com&timeout=0&kind=code&from=github.com&run=tsk_1&consume=false", AUTH
)
HTTP_SEEDS = (
    POLL,
    BEARER,
    WAIT,
    _poll("ann%40corp.com", b"{}", "Expect: 100-continue", "Accept-Encoding: gzip"),
    _poll("ann%40corp.com", BODY, is_chunked=True),
    _poll("zoe@corp.com", BODY, is_signed=False),
    _poll("%E2%82%AC%00%ff/..%2f", BODY, is_signed=False),
    _poll(ANN, DEEP),
    _request("GET /api/v1/codes?identifier=zoe@corp.com", AUTH),
    _request("GET /api/v1/codes?identifier=ann@corp.com", OTHER),
    _request("GET /api/v1/codes?since=1764000000", "authorization:bearer  mbt_unknown", "Connection: close"),
    _request("GET /api/v1/codes/wait?identifier=zoe@corp.com&timeout=0", OTHER, "X-Forwarded-For: 192.0.2.1, 192.0.2.2"),
    _request("GET /api/v1/codes/wait?identifier=ann%40corp.com&timeout=0.01&since=%ff%fe&kind=link", AUTH),
    _request("HEAD /api/v1/codes/wait?identifier=ann@corp.com", AUTH, "X-Forwarded-Proto: https"),
    _request("GET /api/v1/waiting", AUTH),
    _request("GET /api/v1/given?limit=50", AUTH, "Cookie: a=b", "Range: bytes=0-1"),
    _request("GET /api/v1/events?after=0", AUTH, "Last-Event-ID: 1", "Accept: text/event-stream"),
    _request("GET /api/v1/events", OTHER),
    _request("GET /metrics", "Upgrade: websocket", "Connection: upgrade", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="),
    _request("GET /readyz", "X-Long: " + "a" * 30_000),
    _request("OPTIONS *", "Origin: https://evil.example", "Content-Length: 3", body=b"abc"),
    _request("POST /api/v1/codes", AUTH, "Content-Type: application/x-www-form-urlencoded", "Content-Length: 25", body=b"identifier=ann%40corp.com"),
    _request("PUT http://codes.example/api/v1/token", "Content-Length: 9999", body=b'{"name":"a"}'),
    _request("GET /healthz") + POLL + _request("GET /openapi.json") + WAIT + _request("GET /nothing/here?%c3%28"),
)  # fmt: skip
SMTP_SEEDS = (
    b"EHLO a.example\r\nMAIL FROM:<a@b.example> SIZE=10\r\nRCPT TO:<codes@bridge.example>\r\nDATA\r\n"
    + SIGNED
    + b".\r\nNOOP\r\nRSET\r\nQUIT\r\n",
)
