"""Memory under attack: ``python -m tests.bench.hostile [--connections 50] [--megabytes 20]``.

Starts the daemon with its defaults, sends lines without end over many connections at once, and prints the memory (PSS) of all its
processes before, during and after, and whether an honest mail was taken meanwhile. Exit 1 over the bar.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.systems import System, mailbridge

BAR = 180
"""MB of all processes together while 50 connections do their worst."""

RCPT = "codes@mailbridge.localhost"
CHUNK = b"z" * 65_536
KINDS = ("mail without a line end", "mail of empty lines", "command without end", "mails that stay unfinished")


def daemon_pids(port: int) -> tuple[int, ...]:
    """The daemon that listens on a port, and its children."""
    inode = next(
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
    )
    owner = next(pid for pid in _pids() if _has_socket(pid, inode))
    return (owner, *(pid for pid in _pids() if _parent(pid) == owner))


def _pids() -> Iterator[int]:
    return (int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit())


def _has_socket(pid: int, inode: str) -> bool:
    try:
        return any(link.readlink().name == f"socket:[{inode}]" for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def pss(pids: tuple[int, ...]) -> float:
    """Proportional set size of processes in MB (10^6 octets)."""
    total = 0
    for pid in pids:
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total * 1024 / 1_000_000


async def attack(port: int, kind: str, megabytes: int) -> int:
    """One hostile client; gives the octets that it got rid of before it was cut."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = 0
    try:
        if not kind.startswith("command"):
            writer.write(f"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{RCPT}>\r\nDATA\r\n".encode())
            while (line := await reader.readline()) and not line.startswith((b"354", b"4", b"5")):
                pass
        chunk = b"\r\n" * 32_768 if "empty" in kind else CHUNK
        while sent < megabytes * 1_000_000:
            writer.write(chunk)
            await asyncio.wait_for(writer.drain(), 5)
            sent += len(chunk)
            if kind.endswith("unfinished") and sent > 20_000_000:
                await asyncio.sleep(3)
                break
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.transport.abort()
    return sent


async def honest(port: int) -> str:
    """One mail as anybody sends it; gives the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.9", 0))
    writer.write(f"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{RCPT}>\r\nDATA\r\n".encode())
    writer.write(b"From: a@b.example\r\nTo: ann@corp.example\r\nSubject: x\r\n\r\nYour code is 482913\r\n.\r\nQUIT\r\n")
    lines = (await asyncio.wait_for(reader.read(-1), 20)).decode().splitlines()
    writer.close()
    return lines[-2] if len(lines) > 1 else str(lines)


async def measure(system: System, *, connections: int, megabytes: int) -> bool:
    """Attack in every way, one after the other; print; say whether all stayed under the bar."""
    pids = daemon_pids(system.port)
    print(f"{'before':32}{pss(pids):8.1f} MB  {len(pids)} processes")
    is_under = True
    for kind in KINDS:
        attacks = [asyncio.ensure_future(attack(system.port, kind, megabytes)) for _ in range(connections)]
        answer = asyncio.ensure_future(honest(system.port))
        peak, began = 0.0, time.perf_counter()
        while not all(one.done() for one in attacks):
            peak = max(peak, pss(daemon_pids(system.port)))
            await asyncio.sleep(0.02)
        sent = sum(one.result() for one in attacks) / 1_000_000
        is_under = is_under and peak <= BAR
        print(f"{kind:32}{peak:8.1f} MB  {sent:.0f} MB sent in {time.perf_counter() - began:.1f} s; honest mail: {await answer}")
    await asyncio.sleep(2)
    print(f"{'after':32}{pss(daemon_pids(system.port)):8.1f} MB")
    return is_under


async def main(*, connections: int, megabytes: int) -> int:
    """Run, and give the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        async with mailbridge(Path(folder)) as system:
            is_under = await measure(system, connections=connections, megabytes=megabytes)
    print(f"bar: {BAR} MB with 50 connections")
    return 0 if is_under else 1


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--connections", type=int, default=50)
    options.add_argument("--megabytes", type=int, default=20, help="that each of them tries to send")
    chosen = options.parse_args()
    sys.exit(asyncio.run(main(connections=chosen.connections, megabytes=chosen.megabytes)))
