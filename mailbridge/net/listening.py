"""Listening sockets: bound by the address that the configuration names, with a fault that says what to do."""

from __future__ import annotations

import contextlib
import errno
import socket
import stat
from pathlib import Path

BACKLOG = 512


class ListenError(Exception):
    """A listener could not be set up. ``exit_code`` is 77 where permission is missing, else 78."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def bind(address: str) -> socket.socket:
    """A listening socket for ``host:port``, ``[v6]:port`` or ``unix:/path``.

    Raises:
        ListenError: what stands in the way, and the mend.
    """
    try:
        if address.startswith("unix:"):
            return _bind_unix(Path(address.removeprefix("unix:")))
        host, _, port = address.rpartition(":")
        family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
        one = socket.socket(family, socket.SOCK_STREAM)
        try:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind((host.strip("[]"), int(port)))
            one.listen(BACKLOG)
        except OSError:
            one.close()
            raise
    except OSError as fault:
        raise ListenError(f"cannot listen on {address}: {_mend(fault)}", _exit_code(fault)) from None
    return one


def _bind_unix(path: Path) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.stat().st_mode) and not _is_answering(path):
            path.unlink()
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        one.bind(str(path))
        path.chmod(0o660)
        one.listen(BACKLOG)
    except OSError:
        one.close()
        raise
    return one


def _is_answering(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # its backlog is full, or it is not ours to ask: somebody has it
            return True
    return True


def _mend(fault: OSError) -> str:
    match fault.errno:
        case errno.EADDRINUSE:
            return "another program listens there; stop it, or choose another port"
        case errno.EACCES | errno.EPERM:
            return "no permission; ports under 1024 need CAP_NET_BIND_SERVICE, or systemd's socket unit"
        case errno.EADDRNOTAVAIL:
            return "this machine has no such address"
        case _:
            return fault.strerror or type(fault).__name__


def _exit_code(fault: OSError) -> int:
    return 77 if fault.errno in (errno.EACCES, errno.EPERM) else 78


def name_of(one: socket.socket) -> str:
    """How the address of a bound socket is written."""
    name = one.getsockname()
    if one.family == socket.AF_UNIX:
        return f"unix:{name}"
    host, port = name[0], name[1]
    return f"[{host}]:{port}" if one.family == socket.AF_INET6 else f"{host}:{port}"
