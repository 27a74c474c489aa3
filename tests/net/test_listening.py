"""Listening sockets: every address form, every fault with its fix."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from mailbridge.net.listening import ListenError, bind, name_of


def test_a_bound_socket_says_where_it_is() -> None:
    """Port 0 becomes a real port in the name."""
    with bind("127.0.0.1:0") as one:
        assert name_of(one) == f"127.0.0.1:{one.getsockname()[1]}"
        assert one.getsockname()[1] > 0
        socket.create_connection(one.getsockname(), timeout=5).close()


def test_a_taken_port_is_one_clear_sentence() -> None:
    """It names the address and the fix, and asks for exit 78."""
    with bind("127.0.0.1:0") as one, pytest.raises(ListenError, match="another program listens there") as caught:
        bind(name_of(one))
    assert caught.value.exit_code == 78


def test_an_address_of_another_machine_is_refused() -> None:
    """TEST-NET is nobody's."""
    with pytest.raises(ListenError, match=r"cannot listen on 192\.0\.2\.1:2525: this machine has no such address"):
        bind("192.0.2.1:2525")


def test_a_port_that_needs_permission_says_so() -> None:
    """Without the capability, port 25 is exit 77."""
    if os.geteuid() == 0 or int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 25:
        pytest.skip("this user may bind port 25: run the tests as an ordinary user")
    with pytest.raises(ListenError, match="no permission") as caught:
        bind("127.0.0.1:25")
    assert caught.value.exit_code == 77


def test_a_stale_unix_socket_is_replaced(tmp_path: Path) -> None:
    """One that a killed daemon left behind is no obstacle."""
    path = tmp_path / "x.sock"
    bind(f"unix:{path}").close()
    assert path.exists()
    with bind(f"unix:{path}") as one:
        assert name_of(one) == f"unix:{path}"


@pytest.mark.parametrize("waiting", [0, 600], ids=["idle", "backlog-full"])
def test_a_unix_socket_in_use_is_left_alone(waiting: int, tmp_path: Path) -> None:
    """A socket that somebody answers on is taken, also when it has no room for another client."""
    path = tmp_path / "x.sock"
    with bind(f"unix:{path}") as one:
        clients = []
        for _ in range(waiting):
            client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            client.setblocking(False)
            clients.append(client)
            if client.connect_ex(str(path)):
                break
        with pytest.raises(ListenError, match="another program listens there"):
            bind(f"unix:{path}")
        assert name_of(one) == f"unix:{path}"
        assert path.exists()
        for client in clients:
            client.close()


def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    """A path that names a file is a mistake, and the file stays."""
    path = tmp_path / "precious.txt"
    path.write_text("keep me")
    with pytest.raises(ListenError):
        bind(f"unix:{path}")
    assert path.read_text() == "keep me"
