"""The unix socket: for its own user alone, never stolen, replaced when stale, and reached whatever the length of its path."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mailbridge.net.listening import LONGEST_NAME, ListenError, connect_private, short
from mailbridge.web.auth import PEER
from mailbridge.web.connection import Bounds
from mailbridge.web.peer import name_of
from mailbridge.web.server import serve_app
from tests.loop import looped

ASK = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
STRANGER = """
import contextlib, os, socket, sys
os.setgid(12345)
os.setuid(12345)
with socket.socket(socket.AF_UNIX) as one:
    one.connect(sys.argv[1])
    with contextlib.suppress(BrokenPipeError):
        one.sendall(b"GET / HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
    print(one.makefile().read())
"""


async def who(request: Request) -> Response:
    """Who the server says that asks."""
    return JSONResponse({"peer": request.scope["state"].get(PEER)})


APP = Starlette(routes=[Route("/", who)])


def ask(path: Path) -> str:
    """What a request over the socket is answered."""
    with connect_private(path, timeout=10) as one:
        one.sendall(ASK)
        return one.makefile().read()


async def asked(path: Path) -> str:
    """The same, beside the loop."""
    return await asyncio.to_thread(ask, path)


@looped
async def test_who_asks_is_said_by_the_kernel(tmp_path: Path) -> None:
    """Over the socket a request knows its user; over TCP it knows nobody, whatever it says."""
    path = tmp_path / "one.sock"
    async with serve_app(APP, listen="127.0.0.1:0", private=path) as bound:
        assert f'"peer":"{name_of(os.geteuid())}"' in await asked(path)
        host, _, port = bound.address.rpartition(":")

        def over_tcp() -> str:
            with socket.create_connection((host, int(port)), timeout=10) as one:
                one.sendall(ASK.replace(b"Host", f"{PEER}: root\r\nHost".encode()))
                return one.makefile().read()

        assert '"peer":null' in await asyncio.to_thread(over_tcp)


@looped
async def test_only_its_user_may_open_it(tmp_path: Path) -> None:
    """Mode 0600 from the first moment; the file is gone with the server."""
    path = tmp_path / "one.sock"
    old = os.umask(0)
    try:
        async with serve_app(APP, listen="127.0.0.1:0", private=path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(old)
    assert not path.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
@looped
async def test_another_user_gets_no_answer_although_the_file_is_open_to_him(tmp_path: Path) -> None:
    """Where somebody has changed the mode of the socket, the kernel still says who asks: 403."""
    path = Path("/tmp") / f"mailbridge-test-{os.getpid()}.sock"
    async with serve_app(APP, listen="127.0.0.1:0", private=path):
        path.chmod(0o666)
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-I", "-c", STRANGER, str(path)], capture_output=True, text=True, timeout=20
        )
        assert "HTTP/1.1 403" in done.stdout, done.stderr
        assert "peer" not in done.stdout


@looped
async def test_a_stale_file_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    """What a killed daemon left is no obstacle; where one answers, a second one fails and the first goes on."""
    path = tmp_path / "one.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with serve_app(APP, listen="127.0.0.1:0", private=path):
        with pytest.raises(ListenError, match="another program listens there"):
            async with serve_app(APP, listen="127.0.0.1:0", private=path):
                pass
        assert "200 OK" in await asked(path)
    path.write_text("somebody's file")
    with pytest.raises(ListenError):
        async with serve_app(APP, listen="127.0.0.1:0", private=path):
            pass
    assert path.read_text() == "somebody's file"


@pytest.mark.skipif(sys.platform != "linux", reason="a path that is too long is reached through /proc")
@looped
async def test_a_path_that_is_too_long_for_the_kernel_is_reached(tmp_path: Path) -> None:
    """Longer than 107 octets: bound, asked, replaced and removed like any other."""
    folder = tmp_path / ("a" * 80) / ("b" * 80)
    folder.mkdir(parents=True)
    path = folder / "mailbridge.sock"
    assert len(str(path)) > LONGEST_NAME
    for _ in range(2):
        async with serve_app(APP, listen="127.0.0.1:0", private=path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert "200 OK" in await asked(path)
        assert not path.exists()


def test_a_name_that_is_too_long_by_itself_is_told(tmp_path: Path) -> None:
    """There is no way to it, and the message says what to choose."""
    with pytest.raises(OSError, match="choose a shorter folder"), short(tmp_path / ("n" * 200)):
        pass


@looped
async def test_strangers_who_use_up_the_connections_leave_room(tmp_path: Path) -> None:
    """The operator is answered while every connection over TCP is taken."""
    path = tmp_path / "one.sock"
    async with serve_app(APP, listen="127.0.0.1:0", private=path, bounds=Bounds(connections=0)):
        assert "200 OK" in await asked(path)
