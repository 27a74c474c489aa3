"""Listening sockets: bound by the address that the configuration names, with a fault that says what to do."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

BACKLOG = 512

LONGEST_NAME = 107 if os.uname().sysname == "Linux" else 103
"""Octets of the path of a unix socket (sun_path, less its final NUL)."""

ANY = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "localhost": "127.0.0.1"}  # noqa: S104  (what such a listener answers on)
PROC_FD = Path("/proc/self/fd")


class ListenError(Exception):
    """A listener could not be set up. ``exit_code`` is 77 where permission is missing, else 78."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def reachable(listen: str) -> str:
    """``host:port`` on which a listener of this machine can be reached."""
    host, _, port = listen.rpartition(":")
    return f"{ANY.get(host, host)}:{port}"


def bind(address: str) -> socket.socket:
    """A listening socket for ``host:port``, ``[v6]:port`` or ``unix:/path``.

    Raises:
        ListenError: what stands in the way, and what fixes it.
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
        raise ListenError(f"cannot listen on {address}: {_hint(fault)}", _exit_code(fault)) from None
    return one


def bind_private(path: Path) -> socket.socket:
    """A listening socket at a path of the file system, which only this user may open (0600). A file that nobody answers at any more
    is replaced; one that somebody answers at is never taken.

    Raises:
        ListenError: what stands in the way, and what fixes it.
    """
    try:
        return _bind_unix(path, mode=0o600)
    except OSError as fault:
        raise ListenError(f"cannot listen on unix:{path}: {_hint(fault)}", _exit_code(fault)) from None


@contextlib.contextmanager
def bound(listen: str, private: Path | None) -> Iterator[list[socket.socket]]:
    """The sockets of ``listen`` and ``private`` (see `bind_private`) for the length of the block. Whoever connects before they are
    served waits.

    Raises:
        ListenError: one of them cannot be bound.
    """
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(bind(listen))]
        if private is not None:
            sockets.append(stack.enter_context(_own(private)))
        yield sockets


@contextlib.contextmanager
def _own(path: Path) -> Iterator[socket.socket]:
    """The socket at a path; its file is removed with it."""
    with bind_private(path) as one:
        own = path.lstat()
        try:
            yield one
        finally:
            with contextlib.suppress(OSError):
                found = path.lstat()
                if (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino):  # else it is another daemon's by now
                    path.unlink()


def connect_private(path: Path, *, timeout: float) -> socket.socket:
    """A connection to a socket in the file system. Raises OSError."""
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    one.settimeout(timeout)
    try:
        with short(path) as name:
            one.connect(name)
    except OSError:
        one.close()
        raise
    return one


@contextlib.contextmanager
def short(path: Path) -> Iterator[str]:
    """A name for a socket that the kernel takes, for the length of the block: one of more than LONGEST_NAME octets is reached through
    a descriptor of its folder, where there is /proc.

    Raises:
        OSError: its folder cannot be opened, or the name is too long and there is no other way to it.
    """
    if len(os.fsencode(path)) <= LONGEST_NAME:
        yield str(path)
        return
    if not PROC_FD.is_dir() or len(os.fsencode(path.name)) > LONGEST_NAME - 40:
        raise OSError(
            errno.ENAMETOOLONG, f"longer than {LONGEST_NAME} octets; choose a shorter folder for [store] url", str(path)
        )
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"{PROC_FD}/{folder}/{path.name}"
    finally:
        os.close(folder)


def _bind_unix(path: Path, *, mode: int = 0o660) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(path.lstat().st_mode) and not _is_answering(path):
            path.unlink()
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o777 & ~mode)  # so that nobody else gets in between bind and chmod
    try:
        with short(path) as name:
            one.bind(name)
        path.chmod(mode)
        one.listen(BACKLOG)
    except OSError:
        one.close()
        raise
    finally:
        os.umask(mask)
    return one


def _is_answering(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            with short(path) as name:
                probe.connect(name)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # its backlog is full, or it is not ours to ask: somebody has it
            return True
    return True


def _hint(fault: OSError) -> str:
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
    """The written form of a bound socket's address."""
    name = one.getsockname()
    if one.family == socket.AF_UNIX:
        return f"unix:{name}"
    host, port = name[0], name[1]
    return f"[{host}]:{port}" if one.family == socket.AF_INET6 else f"{host}:{port}"
