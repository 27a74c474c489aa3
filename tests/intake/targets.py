"""What a worker is told to run in place of a parser: it does to itself what a hostile mail would do to it."""

from __future__ import annotations

import ctypes
import os
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mailbridge.intake.worker_protocol import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """The answer: the configuration, what was asked, and by which process it was done."""

    config: str
    text: str
    pid: int


def build(config: bytes) -> Callable[[Request], Echo]:
    """A reader that obeys the first word of a mail."""
    if config == b"broken":
        raise ValueError("this configuration cannot be used")
    if config.startswith(b"broken-while ") and Path(config.decode().partition(" ")[2]).exists():
        raise ValueError("this configuration cannot be used now")
    if config == b"slow":
        time.sleep(0.8)

    def read(request: Request) -> Echo:
        verb, _, rest = request.content.decode().partition(" ")
        return Echo(config=config.decode(), text=_do(verb, rest) or request.content.decode(), pid=os.getpid())

    return read


def _do(verb: str, rest: str) -> str:
    match verb:
        case "sleep":
            time.sleep(float(rest))
        case "spin":
            while True:
                pass
        case "raise":
            raise RuntimeError(f"the secret is {rest}")
        case "die":
            os._exit(1)
        case "crash":
            ctypes.string_at(0)
        case "die-once":
            # a file tells whether it has happened: the limits forbid to write one, not to remove one
            if Path(rest).exists():
                Path(rest).unlink()
                os._exit(1)
        case "memory":
            return str(len(bytearray(1 << 31)))
        case "pages":
            return str(_pages_of_large_blocks())
        case "grow":
            return str(len(bytearray(b"x") * (400 << 20)))
        case "environment":
            return Path("/proc/self/environ").read_bytes().decode() + repr(dict(os.environ))
        case "files":
            return ",".join(path.name for path in Path("/proc/self/fd").iterdir())
        case "write":
            Path(rest).write_text("x")
        case "long":
            return "x" * (8 << 20)
    return ""


def _pages_of_large_blocks() -> int:
    """Take as much memory as a mail of 500 kB does, let it go, and count the pages that the system gives for the same again."""
    faults = [0]
    for _ in range(4):
        blocks = [bytearray(b"x") * 500_000 for _ in range(8)]
        blocks.clear()
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    return faults[-1] - faults[-3]
