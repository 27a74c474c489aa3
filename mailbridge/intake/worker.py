"""The worker process: reads mails that may be hostile, holds no secrets, and can be killed at any moment.

It is started as ``python -m mailbridge.intake.worker`` with a socket as its standard input and output; the first frame
is its configuration, every further one a mail, and it answers each in order. It ends when the socket does.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import logging
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from mailbridge.intake.worker_protocol import HEADER, LAST_WORDS, MAX_FRAME, Request, decoder, encoder, frame

PR_SET_PDEATHSIG = 1
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""

KEPT = 1 << 23
"""Octets of free memory that the process keeps: what a large mail needed is there for the next one, and no page has to be asked for
again, which was a quarter of what 500 kB cost."""

MEMORY = 1 << 30
"""Octets of address space: a bomb that wants more gets a MemoryError, and the worker a successor."""

GARBAGE = 20_000
"""New objects after which the youngest are looked through; a usual mail leaves none that only the collector frees."""

RECYCLE = 1 << 28
"""Octets of resident memory that no honest mail needs: a worker that has ever grown so far ends, for heaps do not shrink."""

STATUS = Path("/proc/self/status")


def main(target: str) -> None:
    """Serve one parent until it goes."""
    gc.disable()  # until everything is loaded: none of that is garbage
    _confine()
    channel = socket.socket(fileno=os.dup(0))
    # Whatever a library prints must not get into the frames, nor an attacker's octets onto the daemon's terminal.
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    logging.disable(logging.CRITICAL)
    build = _factory(target)
    config = _receive(channel)
    if config is None:
        return
    understand = build(config)
    del config
    decode, encode = decoder(Request), encoder()
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)
    gc.enable()
    _keep_memory()
    channel.sendall(frame(b"ready"))
    while (octets := _receive(channel)) is not None:
        channel.sendall(frame(_answer(octets, decode, understand, encode)))
        if _is_swollen():
            return


def _answer(
    octets: bytes, decode: msgspec.msgpack.Decoder[Request], understand: Callable[[Request], Any], encode: msgspec.msgpack.Encoder
) -> bytes:
    """What a mail means; or where reading it failed, without the fault's own words, which may quote the mail."""
    try:
        return encode.encode(understand(decode.decode(octets)))
    except Exception as fault:  # noqa: BLE001  (the last resort of this process: the mail is held, and the place told)
        trace = traceback.extract_tb(fault.__traceback__)[-4:]
        path = " > ".join(f"{step.filename.rpartition('/')[2]}:{step.lineno}:{step.name}" for step in trace)
        return LAST_WORDS + f"{type(fault).__name__} at {path}".encode("ascii", "replace")


def _is_swollen() -> bool:
    """Whether this process has ever held more than RECYCLE. What getrusage says counts its parent's peak too, so it is a hint."""
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss <= RECYCLE // 1024:
        return False
    try:
        peak = next(line for line in STATUS.read_bytes().splitlines() if line.startswith(b"VmHWM:"))
    except (OSError, StopIteration):  # no such /proc here (macOS): the hint has to do
        return True
    return int(peak.split()[1]) > RECYCLE // 1024


def _confine() -> None:
    """Die with the parent, write no file and no core, open little, take no more memory than a mail can need."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.environ.clear()


def _keep_memory() -> None:
    """Give free memory back to the system only above KEPT (glibc; elsewhere nothing is changed)."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, KEPT)
        libc.mallopt(M_TRIM_THRESHOLD, KEPT)


def _factory(target: str) -> Callable[[bytes], Callable[[Request], Any]]:
    module, _, name = target.partition(":")
    factory: Callable[[bytes], Callable[[Request], Any]] = getattr(importlib.import_module(module), name)
    return factory


def _receive(channel: socket.socket) -> bytes | None:
    head = _exactly(channel, HEADER)
    if head is None:
        return None
    size = int.from_bytes(head, "big")
    return _exactly(channel, size) if size <= MAX_FRAME else None


def _exactly(channel: socket.socket, size: int) -> bytes | None:
    first = channel.recv(size) if size else b""
    if len(first) == size:
        return first
    buffer = bytearray(first)
    while len(buffer) < size:
        part = channel.recv(size - len(buffer)) if first else b""
        if not part:
            return None
        buffer += part
    return bytes(buffer)


if __name__ == "__main__":
    main(sys.argv[1])
