"""The daemon as a process of its own, on ports that stay the same over restarts, and the mails that it is sent."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

PATIENCE = float(os.environ.get("MAILBRIDGE_PATIENCE", "60"))
"""Seconds; more of them for a campaign on a machine that others use."""

KEPT = ("PATH", "PYTHONPATH")
RCPT = "codes@mailbridge.localhost"

CONFIG = """
[smtp]
listen = ["{host}:{smtp}"]
tls = false
max_per_ip = 100
[http]
listen = "{host}:{http}"
[identity]
learn_from_skyvern = false
[store]
url = "{url}"
{store}
busy_timeout = "300ms"
[skyvern]
base_url = "{base_url}"
api_key = "sk-canary-key-of-the-tests"
grace = "{grace}"
timeout = "3s"
[trust]
default = "none"
[log]
format = "{form}"
level = "{level}"
{more}
"""


PORTS = (20_000, 32_768)
DICE = random.SystemRandom()


def free_port() -> int:
    """A port that nobody listens on now, below those that the kernel gives to connections: it is free when a daemon comes back to it."""
    while True:
        port = DICE.randrange(*PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_for(holds: Callable[[], object], what: str, *, patience: float = PATIENCE) -> None:
    """Wait for a condition. Raises AssertionError naming it."""
    until = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < until, f"did not come about in {patience} s: {what}"
        time.sleep(0.005)


@dataclass(slots=True)
class House:
    """A folder with a configuration, in which daemons run one after the other. With a ``url`` of PostgreSQL several of these share it,
    and ``key_file``."""

    folder: Path
    base_url: str
    grace: str = "1s"
    form: str = "json"
    level: str = "debug"
    more: str = ""
    url: str = ""
    key_file: Path | None = None
    smtp: int = 0
    http: int = 0
    host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        self.smtp = self.smtp or free_port()
        self.http = self.http or free_port()
        self.configure()

    def configure(self) -> None:
        """Write the configuration."""
        own = f'folder = "{self.folder}/state"\nkey_file = "{self.key_file}"'
        text = CONFIG.format(
            host=self.host,
            smtp=self.smtp,
            http=self.http,
            url=self.url or f"sqlite:///{self.folder}/state/mailbridge.db",
            store=own if self.url else "",
            base_url=self.base_url,
            grace=self.grace,
            form=self.form,
            level=self.level,
            more=self.more,
        )
        self.config.write_text(text, encoding="utf-8")

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "mailbridge.toml"

    @property
    def database(self) -> Path:
        """The database file."""
        return self.folder / "state" / "mailbridge.db"

    @property
    def log(self) -> Path:
        """What every daemon here said."""
        return self.folder / "serve.log"

    def start(self, *, before: Sequence[str] = (), env: Mapping[str, str] | None = None) -> Daemon:
        """Start one, behind the words of ``before`` where there are any. It may not be ready yet."""
        with self.log.open("ab") as stream:
            process = subprocess.Popen(
                [*before, sys.executable, "-m", "mailbridge", "serve", "--config", str(self.config)],
                cwd=self.folder,
                env={name: os.environ[name] for name in KEPT if name in os.environ}
                | {"HOME": str(self.folder)}
                | dict(env or {}),
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        return Daemon(house=self, process=process)

    @contextmanager
    def running(self, *, before: Sequence[str] = (), env: Mapping[str, str] | None = None) -> Iterator[Daemon]:
        """One that is ready, for the length of the block."""
        daemon = self.start(before=before, env=env)
        try:
            daemon.until_ready()
            yield daemon
        finally:
            daemon.kill()

    def visit(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command on this configuration."""
        return subprocess.run(
            [sys.executable, "-m", "mailbridge", *words, "--config", str(self.config)],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def send(self, code: str, *, identifier: str, sender: str = "no-reply@larch.example", number: str = "") -> tuple[int, str]:
        """Send a mail with a code, and what was answered to it. Raises OSError where nobody is there."""
        content = mail(code, identifier=identifier, sender=sender, number=number or code)
        with smtplib.SMTP(self.host, self.smtp, local_hostname="load.localhost", timeout=10) as client:
            try:
                client.sendmail(sender, [RCPT], content)
            except smtplib.SMTPResponseException as refusal:
                return refusal.smtp_code, refusal.smtp_error.decode() if isinstance(refusal.smtp_error, bytes) else ""
            except smtplib.SMTPRecipientsRefused as refused:
                return next(iter(refused.recipients.values()))[0], ""
        return 250, ""

    def token(self) -> str:
        """A new token that may post mail; a daemon must run."""
        made = self.visit("token", "add", "--role", "ingest", "--json")
        assert made.returncode == 0, made.stderr
        return str(json.loads(made.stdout)["token"])

    def post(self, code: str, *, identifier: str, sender: str, token: str) -> int:
        """Post a mail with a code; the status. Raises OSError where nobody is there."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "message/rfc822"}
        content = mail(code, identifier=identifier, sender=sender, number=code)
        url = f"http://{self.host}:{self.http}/ingest/mime"
        try:
            query = {"rcpt": RCPT, "from": sender}
            return httpx.post(url, params=query, content=content, headers=headers, trust_env=False, timeout=10).status_code
        except httpx.HTTPError:
            raise OSError from None


@dataclass(slots=True, kw_only=True)
class Daemon:
    """One run of the daemon."""

    house: House
    process: subprocess.Popen[bytes]

    def until_ready(self, *, patience: float = PATIENCE) -> None:
        """Wait until it accepts mail. Raises AssertionError with its last words where it ended instead."""

        def is_ready() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(f"exit {self.process.returncode}: {self.house.log.read_text()[-2000:]}")
            with contextlib.suppress(OSError), socket.create_connection((self.house.host, self.house.smtp), timeout=5) as probe:
                return probe.recv(4).startswith(b"220")
            return False

        wait_for(is_ready, "the daemon is ready", patience=patience)

    def get(self, path: str) -> httpx.Response:
        """Ask its HTTP listener."""
        return httpx.get(f"http://{self.house.host}:{self.house.http}{path}", trust_env=False, timeout=10)

    def waiting(self) -> int:
        """How many deliveries are unfinished."""
        lines = self.get("/metrics").text.splitlines()
        wanted = ('mailbridge_outbox{state="pending"}', 'mailbridge_outbox{state="in_flight"}')
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith(wanted))

    def terminate(self, *, patience: float = 30.0) -> int:
        """SIGTERM, and its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(patience)

    def kill(self) -> None:
        """kill -9, of everything that it started too."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def mail(code: str, *, identifier: str, sender: str, number: str) -> bytes:
    """A mail with a code, as a filter forwards it."""
    lines = [
        f"Delivered-To: {identifier}",
        f"X-Forwarded-To: {RCPT}",
        f"X-Forwarded-For: {identifier} {RCPT}",
        f"From: Larch Bank <{sender}>",
        f"To: {identifier}",
        "Subject: Your verification code",
        f"Message-ID: <{number}@larch.example>",
        "",
        "Hello,",
        "",
        f"Your verification code is: {code}",
        "",
    ]
    return "\r\n".join(lines).encode()


def rows_of(output: str) -> list[dict[str, Any]]:
    """The JSON lines of a command."""
    return [json.loads(line) for line in output.splitlines()]


def agent_token(house: House) -> dict[str, str]:
    """What lets an agent ask for any code."""
    made = house.visit("token", "add", "--identifier", "*", "--json")
    assert made.returncode == 0, made.stderr
    return {"Authorization": f"Bearer {json.loads(made.stdout)['token']}"}
