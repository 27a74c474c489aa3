"""Three further real IMAP servers on loopback: mailutils' imap4d, which renumbers at each read-only opening, Courier, which tells of a mail
up to a minute late, and pymap, in Python, which keeps all in memory."""

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
from itertools import count
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

# Courier has the places of its files built in: they are laid over the system's, in a namespace that only it sees and that ends with it.
COURIER = """set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/upper /run/work /run/courier/authdaemon
mount -t overlay overlay -o lowerdir={unpacked}/usr:/usr /usr
mount -t overlay overlay -o lowerdir={unpacked}/etc:/etc,upperdir=/run/upper,workdir=/run/work /etc
printf '%s\\tuid={nobody}|gid={nobody}|home={folder}/home|mail={folder}/home/Maildir|systempw=%s\\n' \
  {user} '{hashed}' >/etc/courier/userdb
chmod 600 /etc/courier/userdb
makeuserdb
sed -i 's/^authmodulelist=.*/authmodulelist="authuserdb"/' /etc/courier/authdaemonrc
[ -d {folder}/home/Maildir ] || maildirmake.courier {folder}/home/Maildir
chown -R {nobody}:{nobody} {folder}/home
set -a
. /etc/courier/authdaemonrc
trap 'kill $(jobs -p)' TERM
/usr/lib/courier/courier-authlib/authdaemond &
. /etc/courier/imapd-ssl
. /etc/courier/imapd
couriertcpd -address=127.0.0.1 -maxprocs=40 -maxperip=20 -nodnslookup -noidentlookup {port} \
  /usr/lib/courier/courier/imaplogin /usr/bin/imapd Maildir &
wait
"""
ALONE = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc")
UNPACKED = {"imap4d": "mailutils", "courier": "courier", "pymap": "pymap"}
SESSIONS = {"imap4d": "imap4d", "courier": "imapd"}
"""Under which name a session's process runs, where each session has one."""


@dataclass
class Other:
    """A server that runs, or can be started again in the same folder and on the same port. ``name`` is among `UNPACKED`."""

    name: str
    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    _count: Iterator[int] = field(default_factory=count)
    _poster: imaplib.IMAP4 | None = None

    @property
    def unpacked(self) -> Path:
        """Where `make e2e` has put it."""
        return CACHE / UNPACKED[self.name]

    @property
    def lacking(self) -> str:
        """What keeps it from being started here; "" where nothing does."""
        if not (self.unpacked / ".complete").exists():
            return MEND.format(self.name, self.unpacked)
        if self.name == "pymap":
            return ""
        if os.getuid() != 0:
            return f"{self.name} changes to the mailbox's user: run it as root"
        if self.name == "courier" and subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode != 0:
            return "Courier is run in namespaces of its own, which needs CAP_SYS_ADMIN"
        return ""

    @property
    def inbox(self) -> Path:
        """Courier's INBOX, as a Maildir."""
        return self.folder / "home" / "Maildir"

    def prepare(self) -> None:
        """Write what the server reads."""
        for name in ("passwd", "home", "spool"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        if self.name == "pymap":
            return
        (self.folder / "imap4d.conf").write_text(IMAP4D.format(folder=self.folder, port=self.port))
        for path in (self.folder / "home", self.folder / "spool"):
            shutil.chown(path, NOBODY, NOBODY)

    def _let_in(self, password: str) -> None:
        """Let Ann in by this password from the next start on."""
        if self.name == "pymap":
            return
        hashed = subprocess.run(["openssl", "passwd", "-6", password], check=True, capture_output=True, text=True).stdout.strip()
        line = f"ann:{hashed}:{NOBODY}:{NOBODY}:Ann:{self.folder}/home:/bin/sh\n"
        (self.folder / "passwd" / "corp.example").write_text(line)
        places = {"unpacked": self.unpacked, "folder": self.folder, "port": self.port, "nobody": NOBODY}
        (self.folder / "courier.sh").write_text(COURIER.format(**places, user=USER, hashed=hashed))

    def _command(self, password: str) -> list[str]:
        match self.name:
            case "imap4d":
                return [str(self.unpacked / "usr/sbin/imap4d"), "--no-config", f"--config-file={self.folder}/imap4d.conf"]
            case "courier":
                return [*ALONE, "bash", f"{self.folder}/courier.sh"]
            case _:
                command = [str(self.unpacked / "bin/pymap"), "--host", "127.0.0.1", "--port", str(self.port), "--no-tls"]
                return [*command, "--no-service", "admin", "dict", "--demo-user", USER, "--demo-password", password]

    def start(self, password: str = PASSWORD) -> None:
        """Start, and wait until it lets Ann in."""
        self._let_in(password)
        command = self._command(password)
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
            with contextlib.suppress(OSError, imaplib.IMAP4.error), self.client(password) as client:
                if self.name == "imap4d":
                    client.select("INBOX", readonly=True)  # it is made then
                return
            time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text())

    @contextmanager
    def client(self, password: str = PASSWORD) -> Iterator[imaplib.IMAP4]:
        """Somebody else in the mailbox, logged in."""
        client = imaplib.IMAP4("127.0.0.1", self.port, timeout=10)
        try:
            client.login(USER, password)
            yield client
        finally:
            with contextlib.suppress(OSError, imaplib.IMAP4.error):
                client.logout()

    def deliver(self, content: bytes) -> None:
        """Put a mail into the mailbox: as a file, as its delivery agent does (Courier), or by APPEND."""
        if self.name == "courier":
            name = f"{time.time():.6f}.M{next(self._count)}.host"
            path = self.inbox / "tmp" / name
            path.write_bytes(content.replace(b"\r\n", b"\n"))
            shutil.chown(path, NOBODY, NOBODY)
            path.rename(self.inbox / "new" / name)
            return
        if self.name == "pymap":  # a login there takes half a second of a processor
            self._poster = self._poster or self._logged_in()
            try:
                assert self._poster.append("INBOX", "", "", content)[0] == "OK"
            except (OSError, imaplib.IMAP4.error):
                self._hang_up()
                raise
            return
        with self.client() as client:
            status, told = client.append("INBOX", "", "", content)
            assert status == "OK", told

    def _logged_in(self) -> imaplib.IMAP4:
        client = imaplib.IMAP4("127.0.0.1", self.port, timeout=10)
        client.login(USER, PASSWORD)
        return client

    def _hang_up(self) -> None:
        poster, self._poster = self._poster, None
        if poster is not None:
            poster.shutdown()

    def sessions(self) -> list[int]:
        """The processes of sessions; none where sessions have none of their own."""
        found, wanted = [], SESSIONS.get(self.name)
        for pid in _descendants(self.process.pid) if self.process is not None else ():
            with contextlib.suppress(OSError):
                name = Path(f"/proc/{pid}/comm").read_text().strip()
                found += [pid] if name == wanted else []
        return found

    def stop(self) -> None:
        """End it as its administrator does."""
        self._hang_up()
        if self.process is not None:
            pid = self.process.pid if self.name != "courier" else _descendants(self.process.pid)[0]  # below unshare
            os.kill(pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(3)
            self.crash()

    def crash(self) -> None:
        """End the whole of it at once."""
        self._hang_up()
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def _descendants(pid: int) -> list[int]:
    """The processes below one."""
    with contextlib.suppress(OSError):
        children = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return children + [one for child in children for one in _descendants(child)]
    return []


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
