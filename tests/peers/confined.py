"""A program for a confined service: tries what nobody there should be able to do, and prints what came of it as one JSON object.

Run as ``python confined.py FOLDER``, the folder being one that it may write in. Each attempt is made in a process of its own. Its
outcome is "done", the name of an errno, or the signal that ended it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import mmap
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

CLONE_NEWUSER = 0x10000000
PERSONALITY_LINUX32 = 8
IO_URING_SETUP = 425
"""The same number on every architecture."""
PTRACE_TRACEME = 0
LIBC = ctypes.CDLL(None, use_errno=True)
SYSTEM_FILES = ("/etc/mailbridge", "/opt/mailbridge", "/var/lib")


def _called(result: int) -> None:
    if result == -1:
        raise OSError(ctypes.get_errno(), "")


def _writable_code() -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)


def _written_code() -> None:
    area = mmap.mmap(-1, 4096)
    place = ctypes.addressof(ctypes.c_char.from_buffer(area))
    _called(LIBC.mprotect(ctypes.c_void_p(place), 4096, mmap.PROT_READ | mmap.PROT_EXEC))


def _read_parent() -> None:
    """No octet of it, but the kernel is asked."""
    _called(LIBC.process_vm_readv(os.getppid(), None, 0, None, 0, 0))


def _setuid_file(folder: Path) -> None:
    path = folder / "setuid"
    path.touch()
    path.chmod(0o4755)


def _real_time() -> None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def attempts(folder: Path) -> dict[str, Callable[[], object]]:
    """What is tried, by name."""
    tried: dict[str, Callable[[], object]] = {
        "user namespace": lambda: _called(LIBC.unshare(CLONE_NEWUSER)),
        "ptrace": lambda: _called(LIBC.ptrace(PTRACE_TRACEME, 0, None, None)),
        "io_uring": lambda: _called(LIBC.syscall(IO_URING_SETUP, 1, ctypes.create_string_buffer(120))),
        "another's memory": _read_parent,
        "personality": lambda: _called(LIBC.personality(PERSONALITY_LINUX32)),
        "writable code": _writable_code,
        "written code": _written_code,
        "set-user-id file": lambda: _setuid_file(folder),
        "real time": _real_time,
        "priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, -5),
        "chroot": lambda: os.chroot("/usr"),
        "other user": lambda: os.setuid(1),
        "host name": lambda: socket.sethostname("elsewhere"),
        "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
        "packets": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
        "raw": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        "/root": lambda: list(Path("/root").iterdir()),
        "init": lambda: list(Path("/proc/1").iterdir()),
        "own folder": lambda: (folder / "note").write_text("x"),
        "temporary": lambda: Path("/tmp/note").write_text("x"),
        "internet": lambda: socket.socket(socket.AF_INET6, socket.SOCK_STREAM),
        "unix": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
        "own limit": lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
        "own credential": lambda: Path(os.environ["CREDENTIALS_DIRECTORY"], "skyvern_api_key").read_text(),
        "credential's source": lambda: Path("/etc/mailbridge/skyvern_api_key").read_text(),
    }
    return (
        tried
        | {f"write {one}": lambda one=one: Path(one, "note").write_text("x") for one in SYSTEM_FILES}
        | {"mount": lambda: _called(LIBC.mount(b"none", str(folder).encode(), b"tmpfs", 0, None))}
    )


def outcome(attempt: Callable[[], object]) -> str:
    """What comes of an attempt in a process of its own."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            try:
                attempt()
            except OSError as fault:
                os._exit(fault.errno or 255)
            os._exit(0)
        os._exit(255)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    code = os.WEXITSTATUS(status)
    return "done" if code == 0 else errno.errorcode.get(code, str(code))


def main() -> None:
    """Print it all."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    facts = {
        name: status[name].strip()
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Umask")
    }
    facts["uid"] = status["Uid"].split()[1]
    facts["core"] = str(resource.getrlimit(resource.RLIMIT_CORE)[0])
    facts["files"] = str(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    found = {name: outcome(attempt) for name, attempt in attempts(Path(sys.argv[1])).items()}
    print(json.dumps({"facts": facts, "outcomes": found}), flush=True)


main()
