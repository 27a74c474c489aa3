"""A real PgBouncer in front of a PostgreSQL, on a port of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.peers.daemon import free_port
from tests.peers.postgres import NOBODY, Postgres

PROGRAM = "/usr/sbin/pgbouncer"
MEND = "PgBouncer is missing: apt-get install pgbouncer (tests/e2e/install does it)"
PATIENCE = 30.0
SIZES = {"transaction": 4, "session": 40}
"""Connections to the server: fewer than the daemons have, where one is not theirs for long."""

CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 200
server_reset_query_always = 0
logfile = {folder}/log
pidfile = {folder}/pid
"""


def found() -> bool:
    """Whether it is installed."""
    return Path(PROGRAM).exists()


@contextmanager
def pooled(server: Postgres, mode: str) -> Iterator[int]:
    """A pooler in that mode for the length of the block, and its port."""
    folder = Path(tempfile.mkdtemp(prefix="mailbridge-pgbouncer-"))
    port = free_port()
    configuration = folder / "pgbouncer.ini"
    # With ``auth_type = any`` the user has to be named.
    text = CONFIGURATION.format(server=server.port, port=port, mode=mode, size=SIZES[mode], folder=folder)
    configuration.write_text(text.replace("\n[pgbouncer]", " user=postgres\n[pgbouncer]"))
    identity: dict[str, object] = {}
    if os.getuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
        folder.chmod(0o755)
        identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    process = subprocess.Popen(
        [PROGRAM, str(configuration)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **identity,  # type: ignore[call-overload]
    )
    try:
        until = time.monotonic() + PATIENCE
        while True:
            assert process.poll() is None and time.monotonic() < until, (folder / "log").read_text()
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.02)
        yield port
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
