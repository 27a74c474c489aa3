"""Somebody who has just made a clone: its files, an empty home, and a shell in which the lines of the documentation are typed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.peers.daemon import free_port, wait_for

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KEPT = ("PATH", "LANG", "SSL_CERT_FILE")
TYPING = 600.0
"""Seconds that one line may take on a crowded machine: some download and install."""


def blocks(title: str, language: str = "sh", *, page: str = "README.md") -> list[str]:
    """The blocks of a section of the README, or of another page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    section = text.partition(f"## {title}\n")[2].partition("\n## ")[0]
    return [body for name, body in FENCE.findall(section) if name == language]


def commands(body: str) -> list[str]:
    """Its lines without their remarks."""
    return [line.partition("  #")[0].strip() for line in body.splitlines() if line.strip()]


def clone_to(folder: Path) -> Path:
    """Copy what a clone of the project would hold to ``folder``, which is returned. Skips where that cannot be told."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git, and a clone of the project")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def environment_of(home: Path) -> dict[str, str]:
    """A shell's, with an empty home: nothing is cached. The ports are others, so that a daemon of the machine is not in the way."""
    home.mkdir(parents=True, exist_ok=True)
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    ports = {f"MAILBRIDGE_{name}__LISTEN": f"127.0.0.1:{free_port()}" for name in ("SMTP", "HTTP", "PRACTICE")}
    return {"HOME": str(home), "TERM": "dumb", **kept, **ports}


@dataclass
class Stranger:
    """A clone, and the shell of somebody who has just made it. What is exported in one line holds for those after it."""

    clone: Path
    env: dict[str, str]
    exports: list[str] = field(default_factory=list)

    def types(self, line: str, *, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """One line, to its end."""
        if line.startswith("export "):
            self.exports.append(line.partition("   #")[0])
        script = "\n".join([*self.exports, line])
        return subprocess.run(
            ["bash", "-c", script],
            cwd=cwd or self.clone,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=TYPING,
            check=False,
        )

    def succeeds(self, line: str, *, cwd: Path | None = None) -> str:
        """What a line prints. Raises AssertionError with all that it said where it fails."""
        done = self.types(line, cwd=cwd)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @contextmanager
    def leaves_running(self, line: str, until: str, *, cwd: Path | None = None, patience: float = 60.0) -> Iterator[None]:
        """A line that goes on in a terminal of its own; it is ready once it has printed something. Ctrl-C ends it."""
        log = self.clone / "terminal.log"
        script = "\n".join([*self.exports, f"exec {line}"])
        with log.open("wb") as stream:
            process = subprocess.Popen(
                ["bash", "-c", script],
                cwd=cwd or self.clone,
                env=self.env,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
            )
        try:
            wait_for(
                lambda: until in log.read_text(encoding="utf-8", errors="replace") or process.poll() is not None,
                f"{line}: {until}",
                patience=patience,
            )
            assert process.poll() is None, log.read_text(encoding="utf-8", errors="replace")
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
