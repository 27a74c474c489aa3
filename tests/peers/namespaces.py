"""Machines on a network of their own, made of the kernel's network namespaces, whose links can be cut, slowed, or broken in one direction.

One namespace is the hub, where server, receiver and clients are; each of the others is linked with it alone. The machine's own network
is not touched: the links lie between the namespaces, and all of it is gone with the block.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

CLONE_NEWNET = 0x40000000
MEND = "network namespaces cannot be made here: that needs root on Linux, ip and iptables (Debian: iproute2, iptables)"
FOLDER = Path("/run/netns")
HUB = "10.77.0.1"
SLOW = "rate 96kbit burst 2kb latency 4s"
"""A link that is slow, where the kernel cannot delay packets: a mail and its transaction take a second on it."""

LATE = "delay 300ms 200ms"

Direction = Literal["both", "in", "out"]


@contextmanager
def inside(namespace: Path) -> Iterator[None]:
    """Sockets, threads and processes that begin in this block, in this thread, are on that network, and stay there."""
    with Path("/proc/thread-self/ns/net").open() as here, namespace.open() as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(here.fileno())


def _enter(network: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(network, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def is_usable() -> bool:
    """Whether networks can be made, and filtered, here."""
    if sys.platform != "linux" or os.geteuid() != 0 or not all(shutil.which(one) for one in ("ip", "iptables", "tc")):
        return False
    name = f"mailbridge-{os.getpid()}-try"
    if subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True).returncode:
        return False
    tried = subprocess.run(["ip", "netns", "exec", name, "iptables", "-w", "10", "-S"], check=False, capture_output=True)
    _run("ip", "netns", "delete", name)
    return tried.returncode == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A hub and those that are linked with it, by number from 0."""

    name: str
    count: int
    can_delay: bool

    @property
    def hub(self) -> Path:
        """The namespace of the hub."""
        return FOLDER / f"{self.name}-hub"

    def address(self, number: int) -> str:
        """Where one of the others listens."""
        return f"10.77.{number + 1}.2"

    def within(self, number: int) -> list[str]:
        """The words before a command that is to run on one of the others."""
        return ["ip", "netns", "exec", f"{self.name}-{number}"]

    @contextmanager
    def cut(self, number: int, *, port: int | None = None, direction: Direction = "both") -> Iterator[None]:
        """Packets of one of the others vanish without a word to either side: all, or those to and from one port of the hub; ``in``:
        only those that come to it."""
        which = {"in": [("INPUT", "-i", "--sport")], "out": [("OUTPUT", "-o", "--dport")]}
        rules = which["in"] + which["out"] if direction == "both" else which[direction]
        with ExitStack() as stack:
            for chain, interface, side in rules:
                words = [chain, interface, "hub", "-p", "tcp", *([] if port is None else [side, str(port)]), "-j", "DROP"]
                _run(*self.within(number), "iptables", "-w", "10", "-I", *words)
                stack.callback(_run, *self.within(number), "iptables", "-w", "10", "-D", *words)
            yield

    @contextmanager
    def slowed(self, number: int) -> Iterator[None]:
        """Packets of one of the others are late, in both directions: by as much as the kernel is told, or by a link that is slow."""
        how = ["netem", *LATE.split()] if self.can_delay else ["tbf", *SLOW.split()]
        hub = ["ip", "netns", "exec", f"{self.name}-hub"]
        ends = ((hub, f"to{number}"), (self.within(number), "hub"))
        with ExitStack() as stack:
            for where, link in ends:
                _run(*where, "tc", "qdisc", "replace", "dev", link, "root", *how)
                stack.callback(_run, *where, "tc", "qdisc", "delete", "dev", link, "root")
            yield


@contextmanager
def linked(count: int) -> Iterator[Network]:
    """So many linked with a hub, for the length of the block."""
    name = f"mailbridge-{os.getpid()}"
    hub = f"{name}-hub"
    with ExitStack() as stack:
        for one in (hub, *(f"{name}-{number}" for number in range(count))):
            _run("ip", "netns", "add", one)
            stack.callback(_run, "ip", "netns", "delete", one)
            _run("ip", "-n", one, "link", "set", "lo", "up")
        _run("ip", "-n", hub, "address", "add", f"{HUB}/32", "dev", "lo")
        for number in range(count):
            _link(hub, f"{name}-{number}", number)
        netem = ["ip", "netns", "exec", hub, "tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "0ms"]
        can_delay = subprocess.run(netem, check=False, capture_output=True).returncode == 0
        if can_delay:
            _run(*netem[:6], "delete", "dev", "lo", "root")
        yield Network(name=name, count=count, can_delay=can_delay)


def _link(hub: str, other: str, number: int) -> None:
    words: Sequence[str] = ("link", "add", f"to{number}", "type", "veth", "peer", "name", "hub", "netns", other)
    _run("ip", "-n", hub, *words)
    _run("ip", "-n", hub, "address", "add", f"10.77.{number + 1}.1/24", "dev", f"to{number}")
    _run("ip", "-n", hub, "link", "set", f"to{number}", "up")
    _run("ip", "-n", other, "address", "add", f"10.77.{number + 1}.2/24", "dev", "hub")
    _run("ip", "-n", other, "link", "set", "hub", "up")
    _run("ip", "-n", other, "route", "add", "default", "via", f"10.77.{number + 1}.1")


def _run(*words: str) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
