"""systemd's protocols: notes go out, sockets come in, and outside systemd nothing happens."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from mailbridge import systemd


def test_a_note_reaches_the_socket_that_systemd_named(tmp_path: Path) -> None:
    """READY=1 arrives as one datagram at NOTIFY_SOCKET."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(5)
        assert systemd.notify("READY=1", environ={"NOTIFY_SOCKET": str(path)})
        assert listener.recv(100) == b"READY=1"


def test_without_systemd_a_note_goes_nowhere(tmp_path: Path) -> None:
    """No variable, or a socket where nobody listens, is False and no error."""
    assert not systemd.notify("READY=1", environ={})
    assert not systemd.notify("READY=1", environ={"NOTIFY_SOCKET": str(tmp_path / "nobody")})


def test_the_watchdog_is_fed_at_half_its_time() -> None:
    """WATCHDOG_USEC of 30 s asks for a note every 15 s, and only of the process it was set for."""
    mine = str(os.getpid())
    assert systemd.watchdog_interval(environ={"WATCHDOG_USEC": "30000000"}) == timedelta(seconds=15)
    assert systemd.watchdog_interval(environ={"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": mine}) == timedelta(seconds=15)
    assert systemd.watchdog_interval(environ={"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}) is None
    assert systemd.watchdog_interval(environ={"WATCHDOG_USEC": "soon"}) is None
    assert systemd.watchdog_interval(environ={}) is None


def test_a_socket_handed_over_is_found_by_its_name() -> None:
    """A child started with LISTEN_FDS=1 gets the listening socket at descriptor 3, under its name."""
    program = (
        "import os, sys; from mailbridge import systemd\n"
        "os.dup2(int(sys.argv[1]), 3)\n"
        "handed = systemd.listen_sockets(environ={'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1', 'LISTEN_FDNAMES': 'smtp'})\n"
        "print(handed['smtp'][0].getsockname()[1])"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = subprocess.run(
            [sys.executable, "-c", program, str(server.fileno())],
            pass_fds=[server.fileno()],
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(done.stdout) == server.getsockname()[1]


def test_sockets_for_another_process_are_left_alone() -> None:
    """LISTEN_PID of somebody else means that nothing was handed to us."""
    assert systemd.listen_sockets(environ={"LISTEN_PID": "1", "LISTEN_FDS": "1"}) == {}
    assert systemd.listen_sockets(environ={}) == {}
