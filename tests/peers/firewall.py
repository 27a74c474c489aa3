"""Packets on loopback that vanish: of a server's port, or of one connection to it, for the length of a block."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

MEND = "packets cannot be dropped here: that needs root and iptables; `make e2e` installs it (Debian: apt-get install iptables)"


def is_usable() -> bool:
    """Whether this process may change what the kernel drops."""
    return os.getuid() == 0 and shutil.which("iptables") is not None and shutil.which("ss") is not None and _try() == 0


@contextmanager
def dropped(port: int, *, source: int | None = None) -> Iterator[None]:
    """No packet comes from or to a port of 127.0.0.1, without a word to either side; with ``source`` only of the connection
    from that port. Nothing else on the machine is touched, and the rules go with the block."""
    client = [] if source is None else ["--sport", str(source)]
    server = [] if source is None else ["--dport", str(source)]
    rules = [["--dport", str(port), *client], ["--sport", str(port), *server]]
    added: list[list[str]] = []
    try:
        for rule in rules:
            _iptables("-I", rule)
            added.append(rule)
        yield
    finally:
        for rule in added:
            _iptables("-D", rule)


def ports_of_clients(port: int) -> list[int]:
    """The ports from which connections to a port of 127.0.0.1 come now."""
    command = ["ss", "-Htn", "state", "established", "dst", f"127.0.0.1:{port}"]
    rows = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [int(row.split()[2].rpartition(":")[2]) for row in rows]


def _iptables(action: str, rule: list[str]) -> None:
    words = ["-i", "lo", "-p", "tcp", "-d", "127.0.0.1", *rule, "-m", "comment", "--comment", "mailbridge-test", "-j", "DROP"]
    subprocess.run(["iptables", "-w", "10", action, "INPUT", *words], check=True, capture_output=True)


def _try() -> int:
    return subprocess.run(["iptables", "-w", "10", "-S", "INPUT"], check=False, capture_output=True).returncode
