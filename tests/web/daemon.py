"""A daemon in a process of its own whose API is asked, the commands beside it, and the mails that are sent to it."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from click.testing import CliRunner

from mailbridge.cli import cli
from tests.cli.running import serving

ADMIN = "a-token-that-reads-everything"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a command said, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """Where it listens, and its process."""

    smtp: str
    http: str
    folder: Path
    pid: int

    @property
    def headers(self) -> dict[str, str]:
        """The token that reads everything."""
        return {"Authorization": f"Bearer {ADMIN}"}

    def run(self, *arguments: str, stdin: str = "", **variables: str) -> Done:
        """A command beside it, in this process: an interpreter of its own would cost 0.2 s a command."""
        done = CliRunner().invoke(
            cli, list(arguments), input=stdin, env={**_unset(), "MAILBRIDGE_CONFIG": str(_config(self.folder)), **variables}
        )
        return Done(returncode=done.exit_code, stdout=done.stdout, stderr=done.stderr)

    @property
    def log(self) -> str:
        """What it has said so far."""
        return (self.folder / "serve.log").read_text(encoding="utf-8")

    def rss(self) -> int:
        """Resident memory in octets."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024


@contextmanager
def running_daemon(folder: Path, more: str = "", *, token: str = ADMIN, **variables: str) -> Iterator[Daemon]:
    """``mailbridge serve`` in ``folder``, until the block ends; ``more`` is more configuration."""
    held = f'token = "{token}"\n' if token else ""
    _config(folder).write_text(
        f'[smtp]\nmax_per_ip = 1000\n[domains]\naccept = ["bridge.example"]\n[http]\n{held}'
        f'[trust]\ndefault = "none"\n[store]\nurl = "sqlite:///{folder}/mailbridge.db"\n{more}',
        encoding="utf-8",
    )
    with serving(folder, "--config", str(_config(folder)), env=variables) as running:
        yield Daemon(smtp=running.smtp, http=running.http, folder=folder, pid=running.process.pid)


def _config(folder: Path) -> Path:
    return folder / "mailbridge.toml"


def _unset() -> dict[str, str | None]:
    """Nothing of the caller's settings leaks in."""
    return {name: None for name in os.environ if name.startswith(("MAILBRIDGE_", "SKYVERN_"))}


class Sender:
    """One SMTP connection that is kept open (RFC 5321). ``ended`` is `time.perf_counter` at the end of its last mail."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._count = 0
        self.ended = 0.0

    @classmethod
    async def connect(cls, address: str) -> Sender:
        """Greeting and EHLO."""
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        one = cls(reader, writer)
        await one.greet()
        return one

    async def greet(self) -> None:
        """Read the greeting and say EHLO."""
        await self._reply()
        await self._say(b"EHLO tests.example\r\n")

    async def send(self, identifier: str, code: str, *, rcpt: str = "codes@bridge.example") -> float:
        """Send a mail with a code. Returns the seconds from the end of its data to the 250."""
        self._count += 1
        head = f"From: no-reply@github.com\r\nTo: {identifier}\r\nSubject: Your code\r\nMessage-ID: <{id(self)}.{self._count}.{code}@x>\r\n"
        content = f"{head}\r\nYour verification code is {code}\r\n.\r\n".encode()
        await self._say(b"MAIL FROM:<no-reply@github.com>\r\n")
        await self._say(f"RCPT TO:<{rcpt}>\r\n".encode())
        await self._say(b"DATA\r\n")
        self.ended = time.perf_counter()
        await self._say(content)
        return time.perf_counter() - self.ended

    async def close(self) -> None:
        """QUIT."""
        await self._say(b"QUIT\r\n")
        self._writer.close()

    async def _say(self, octets: bytes) -> None:
        self._writer.write(octets)
        await self._writer.drain()
        await self._reply()

    async def _reply(self) -> None:
        while True:
            line = await self._reader.readline()
            if line[:1] not in b"23":
                raise RuntimeError(f"refused: {line!r}")
            if line[3:4] != b"-":
                return


def client_of(daemon: Daemon, *, connections: int = 10) -> httpx.AsyncClient:
    """An HTTP client of the daemon that holds the token."""
    return httpx.AsyncClient(
        base_url=f"http://{daemon.http}",
        headers=daemon.headers,
        trust_env=False,
        timeout=90,
        limits=httpx.Limits(max_connections=connections),
    )
