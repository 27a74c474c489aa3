"""Running mailbridge as people do: a command in this process, a command of its own, or the daemon with its log."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

PR_CAPBSET_DROP = 24
OVERRIDES = (1, 2, 10)
"""CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH and CAP_NET_BIND_SERVICE: with them root would be refused nothing."""

PATIENCE = 60.0
PROGRAM = [sys.executable, "-m", "mailbridge"]
PLAIN = """\
From: Larch Bank <no-reply@larch.example>\r
To: ann@example.com\r
Subject: Your sign-in code\r
Message-ID: <%s@larch.example>\r
\r
Your sign-in code is: %s\r
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a command left: its exit code, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[Any]:
        """A JSON object for each line of its output."""
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Done]


def environment(home: Path, **extra: str) -> dict[str, str]:
    """What a program needs, and nothing of ours that the tester's own shell may hold."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH", "VIRTUAL_ENV") if name in os.environ}
    return {**kept, "HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), **extra}


def command(*args: str, cwd: Path, env: Mapping[str, str] | None = None, **options: Any) -> Done:
    """Run a command as a process of its own, to its end."""
    done = subprocess.run(
        [*PROGRAM, *args],
        cwd=cwd,
        env=environment(cwd) | dict(env or {}),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        **options,
    )
    return Done(code=done.returncode, out=done.stdout, err=done.stderr)


def without_privilege() -> None:
    """Called in a child before it begins: root that may read and write what its own modes allow, no more; for others nothing."""
    if os.geteuid() == 0:
        for capability in OVERRIDES:
            ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability)


@dataclass(slots=True, kw_only=True)
class Daemon:
    """A running `mailbridge serve`: where it listens, and what it says."""

    process: subprocess.Popen[bytes]
    log: Path
    folder: Path
    ready: dict[str, Any] = field(default_factory=dict)

    @property
    def smtp(self) -> str:
        """``host:port`` of its SMTP listener."""
        return str(self.ready["smtp"])

    @property
    def http(self) -> str:
        """``host:port`` of its HTTP listener."""
        return str(self.ready["http"])

    def events(self) -> list[dict[str, Any]]:
        """Its log so far; lines that are no event (the banner) are left out."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def until_waiting(self) -> None:
        """Until somebody waits for a code by the API."""
        self._until(
            lambda: 'mailbridge_waiting{way="api"} 0.0' not in httpx.get(f"http://{self.http}/metrics", trust_env=False).text
        )

    def until_refused(self, host: str, port: int) -> None:
        """Until nobody listens there any more."""
        self._until(lambda: not _is_listening(host, port))

    def _until(self, holds: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < until
            time.sleep(0.01)

    def until(self, wanted: str, count: int = 1) -> dict[str, Any]:
        """The event whose name, outcome or text holds ``wanted``, the ``count``-th of them, waiting for it."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            found = [event for event in self.events() if wanted in _said(event)]
            if len(found) >= count:
                return found[count - 1]
            if self.process.poll() is not None and len(found) < count:
                break
            time.sleep(0.01)
        raise AssertionError(f"{wanted!r} did not come {count} times; the log says:\n{self.log.read_text(encoding='utf-8')}")

    def text(self, wanted: str) -> str:
        """All that it has printed, once ``wanted`` is in it."""
        until = time.monotonic() + PATIENCE
        while wanted not in (text := self.log.read_text(encoding="utf-8")):
            assert time.monotonic() < until, text
            time.sleep(0.01)
        return text

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def ended(self) -> int:
        """Its exit code, waiting for its end."""
        return self.process.wait(PATIENCE)


@contextlib.contextmanager
def serving(
    folder: Path, *args: str, env: Mapping[str, str] | None = None, limits: tuple[int, int] | None = None
) -> Iterator[Daemon]:
    """A daemon in ``folder`` on free ports (HTTP: where ``env`` says), for the length of the block; ``limits`` are its open files, soft
    and hard."""
    log = folder / "serve.log"
    http = (env or {}).get("MAILBRIDGE_HTTP__LISTEN", "127.0.0.1:0")
    ports = ("--set", "smtp.listen=127.0.0.1:0", "--set", f"http.listen={http}", "--set", "practice.listen=127.0.0.1:0")
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*PROGRAM, *ports, "serve", *args],
            cwd=folder,
            env=environment(folder) | dict(env or {}),
            stdout=stream,
            stderr=stream,
            start_new_session=True,
            preexec_fn=None if limits is None else lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limits),
        )
    daemon = Daemon(process=process, log=log, folder=folder)
    try:
        daemon.ready = daemon.until("ready")
        yield daemon
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _is_listening(host: str, port: int) -> bool:
    with contextlib.suppress(ConnectionRefusedError), socket.create_connection((host, port), timeout=PATIENCE):
        return True
    return False


def _said(event: dict[str, Any]) -> str:
    return " ".join(str(event[name]) for name in ("event", "outcome", "message") if name in event)
