"""A command in a pseudo-terminal: what it prints is waited for, what is typed is recorded as an action."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PATIENCE = 90.0
ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that a person does: where, its name in docs/setup.md, and what is typed."""

    where: str
    name: str
    typed: str


@dataclass(slots=True)
class Terminal:
    """A child on a pseudo-terminal. ``actions`` are everything that was done so far, in order."""

    folder: Path
    env: Mapping[str, str]
    actions: list[Action] = field(default_factory=list)
    pid: int = 0
    fd: int = -1
    text: str = ""
    read: int = 0

    def run(self, words: Sequence[str], *, is_action: bool = True) -> None:
        """Type a command: the words after ``mailbridge``."""
        if is_action:
            self.did("terminal", "setup", f"mailbridge {' '.join(words)}")
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(self.folder)
            os.execve(sys.executable, [sys.executable, "-m", "mailbridge", *words], dict(self.env))
        self.text, self.read = "", 0

    def did(self, where: str, name: str, typed: str = "") -> None:
        """Record an action, and print it."""
        self.actions.append(Action(where, name, typed))
        print(f"{len(self.actions):3}. {where}: {name}{f': {typed!r}' if typed else ''}", flush=True)

    def answer(self, name: str, prompt: str, typed: str, *, shown: str | None = None) -> None:
        """Wait for a prompt and type an answer, Enter included. ``shown`` is printed in place of a secret."""
        self.until(prompt)
        self.did("terminal", name, (shown if shown is not None else typed) + "\n")
        os.write(self.fd, f"{typed}\n".encode())

    def said(self, wanted: str) -> str:
        """What was printed at any time. Returns the text of the pattern."""
        found = re.search(wanted, self.text)
        assert found is not None, f"{wanted!r} was not printed:\n{self.text}"
        return found.group(found.lastindex or 0)

    def until(self, wanted: str) -> str:
        """Wait until a pattern is printed after what was waited for last. Returns the text of it."""
        until = time.monotonic() + PATIENCE
        while (found := re.search(wanted, self.text[self.read :])) is None:
            assert time.monotonic() < until, f"{wanted!r} did not come; it printed:\n{self.text}"
            assert self._take() or re.search(wanted, self.text[self.read :]), f"ended without {wanted!r}:\n{self.text}"
        self.read += found.end()
        return found.group(found.lastindex or 0)

    def interrupt(self) -> int:
        """Ctrl-C, and the exit code. Pressed again after two seconds, as people do.

        CPython looks for signals and then waits for a key, so that one between the two is not seen before the next key.
        """
        return self.ended(key=b"\x03")

    def ended(self, *, key: bytes = b"") -> int:
        """The exit code, once it has ended. ``key`` is pressed now and every two seconds."""
        start = pressed = time.monotonic()
        os.write(self.fd, key)
        while self._take():
            assert time.monotonic() < start + PATIENCE, f"it does not end:\n{self.text}"
            if key and time.monotonic() > pressed + 2:
                pressed = time.monotonic()
                with contextlib.suppress(OSError):  # it ended meanwhile
                    os.write(self.fd, key)
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        """End it, if it still runs."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0

    def _take(self) -> bool:
        """Take what is printed, for up to 0.2 s. False where it has ended."""
        ready, _, _ = select.select([self.fd], [], [], 0.2)
        if not ready:
            return True
        try:
            octets = os.read(self.fd, 65_536)
        except OSError:  # EIO: the other end is closed
            return False
        self.text += ANSI.sub("", octets.decode("utf-8", "replace")).replace("\r\n", "\n")
        return bool(octets)
