"""A worker's process, before anybody speaks to it.

It imports little, so that `serve` can begin with it: the worker takes as long to load what reads mails as the daemon takes to load the
rest, and on two processors both happen at once (start to the banner 1.14 to 0.87 s, medians of twelve starts).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from mailbridge.core.dataclass import dataclass

UNDERSTAND = "mailbridge.intake.understand:build"
"""The task of a daemon's worker: ``module:factory``."""

PASSED_ON = ("PATH", "LANG", "LC_ALL", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""The only variables that a worker starts with; it clears them too. No key is ever among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """A process that waits for its configuration, and our end of the socket to it."""

    process: subprocess.Popen[bytes]
    channel: socket.socket

    def discard(self) -> None:
        """End it if it still runs; harmless a second time."""
        self.channel.close()
        self.process.kill()
        self.process.wait()


def launch(target: str) -> Launched:
    """Start a worker's process.

    Raises:
        OSError: the machine has no room for it.
    """
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            process = subprocess.Popen(  # noqa: S603  (no shell)
                [sys.executable, "-m", "mailbridge.intake.worker", target],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
                close_fds=True,
            )
    except BaseException:
        ours.close()
        raise
    ours.setblocking(False)
    return Launched(process=process, channel=ours)
