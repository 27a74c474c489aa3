"""systemd's two small protocols: readiness and watchdog notes (sd_notify), and sockets handed over at start.

Both are a few lines over a datagram and two environment variables; outside systemd every function does nothing.
Source: sd_notify(3), sd_listen_fds(3).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from datetime import timedelta

FIRST_FD = 3


def notify(state: str, *, environ: Mapping[str, str] = os.environ) -> bool:
    """Send one note such as ``READY=1`` or ``STOPPING=1``. False where nobody listens."""
    path = environ.get("NOTIFY_SOCKET", "")
    if not path:
        return False
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.connect(address)
            channel.send(state.encode())
        except OSError:
            return False
    return True


def watchdog_interval(*, environ: Mapping[str, str] = os.environ) -> timedelta | None:
    """How often to send ``WATCHDOG=1``: half of what the unit allows; None where no watchdog is set for this process."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        allowed = int(environ.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return timedelta(microseconds=allowed / 2) if allowed > 0 else None


def listen_sockets(*, environ: Mapping[str, str] = os.environ) -> dict[str, list[socket.socket]]:
    """The sockets that systemd opened for us, by their ``FileDescriptorName`` (``unknown`` where it has none)."""
    if environ.get("LISTEN_PID", "") != str(os.getpid()):
        return {}
    try:
        count = int(environ.get("LISTEN_FDS", "0"))
    except ValueError:
        return {}
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    handed: dict[str, list[socket.socket]] = {}
    for index in range(count):
        name = names[index] if index < len(names) and names[index] else "unknown"
        descriptor = FIRST_FD + index
        os.set_inheritable(descriptor, False)
        handed.setdefault(name, []).append(socket.socket(fileno=descriptor))
    return handed
