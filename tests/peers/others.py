"""Two further real IMAP servers on loopback: mailutils' imap4d, which renumbers at each read-only opening, and pymap, in Python, which keeps all in memory."""

from __future__ import annotations

import contextlib
import imaplib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.peers.daemon import free_port

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mailbridge"
MEND = "no {} in {}; `make e2e` puts it there (Debian)"
USER, PASSWORD = "ann@corp.example", "pw"
NOBODY = 65534

IMAP4D = """mode daemon;
foreground yes;
pidfile {folder}/pid;
auth {{ authentication generic:virtdomain; authorization virtdomain; }};
virtdomain {{ passwd-dir {folder}/passwd; }};
mailbox {{ mailbox-type maildir; mail-spool "maildir:{folder}/spool"; }};
logging {{ syslog no; severity info; }};
server 127.0.0.1:{port} {{ single-process no; }};
"""


@dataclass
class Other:
    """A server that runs, or can be started again in the same folder and on the same port. ``name`` is "imap4d" or "pymap"."""

    name: str
    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def unpacked(self) -> Path:
        """Where `make e2e` has put it."""
        return CACHE / ("mailutils" if self.name == "imap4d" else "pymap")

    @property
    def is_installed(self) -> bool:
        """Whether it can be started: imap4d changes to the mailbox's user, and so has to be root."""
        return (self.unpacked / ".complete").exists() and (self.name != "imap4d" or os.getuid() == 0)

    def prepare(self) -> None:
        """Write what the server reads."""
        for name in ("passwd", "home", "spool"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        if self.name == "pymap":
            return
        hashed = subprocess.run(["openssl", "passwd", "-6", PASSWORD], check=True, capture_output=True, text=True).stdout.strip()
        line = f"ann:{hashed}:{NOBODY}:{NOBODY}:Ann:{self.folder}/home:/bin/sh\n"
        (self.folder / "passwd" / "corp.example").write_text(line)
        (self.folder / "imap4d.conf").write_text(IMAP4D.format(folder=self.folder, port=self.port))
        for path in (self.folder / "home", self.folder / "spool"):
            shutil.chown(path, NOBODY, NOBODY)

    def start(self) -> None:
        """Start, and wait for its greeting."""
        if self.name == "imap4d":
            command = [str(self.unpacked / "usr/sbin/imap4d"), "--no-config", f"--config-file={self.folder}/imap4d.conf"]
        else:
            command = [str(self.unpacked / "bin/pymap"), "--host", "127.0.0.1", "--port", str(self.port), "--no-tls"]
            command += ["--no-service", "admin", "dict", "--demo-user", USER, "--demo-password", PASSWORD]
        libraries = ":".join(
            str(one) for one in (*self.unpacked.glob("usr/lib/*-linux-gnu"), *self.unpacked.glob("lib/*-linux-gnu"))
        )
        environ = {**os.environ, **({"LD_LIBRARY_PATH": libraries} if libraries else {})}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + 20
        while time.monotonic() < until and self.process.poll() is None:
            with contextlib.suppress(OSError, imaplib.IMAP4.error), self.client() as client:
                client.select("INBOX", readonly=True)  # imap4d makes it then
                return
            time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text())

    @contextmanager
    def client(self) -> Iterator[imaplib.IMAP4]:
        """Somebody else in the mailbox, logged in."""
        client = imaplib.IMAP4("127.0.0.1", self.port, timeout=10)
        try:
            client.login(USER, PASSWORD)
            yield client
        finally:
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                client.logout()

    def deliver(self, content: bytes) -> None:
        """Put a mail into the mailbox."""
        with self.client() as client:
            status, told = client.append("INBOX", "", "", content)
            assert status == "OK", told

    def crash(self) -> None:
        """End the whole of it at once."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@contextmanager
def running_other(name: str, folder: Path) -> Iterator[Other]:
    """A server for the length of the block."""
    server = Other(name=name, folder=folder)
    server.prepare()
    server.start()
    try:
        yield server
    finally:
        server.crash()
