"""A real Cyrus on loopback for the length of a test: another mind than Dovecot's about pushes, flags and Nagle's algorithm.

Its packages and Dovecot's push each other out, so it is not installed but unpacked, and runs from there.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import smtplib
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from imapclient import IMAPClient

from mailbridge.ingress.tls import self_signed
from tests.peers.daemon import free_port

UNPACKED = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mailbridge" / "cyrus"
MEND = f"no Cyrus in {UNPACKED}; `make e2e` unpacks it there (Debian)"
PASSWORD = "pw"
SERVERS = Path("usr/lib/cyrus/bin")
KILLABLE = ("imapd", "lmtpd", "idled")

IMAPD = """configdirectory: {folder}/conf
partition-default: {folder}/spool
defaultpartition: default
cyrus_user: {user}
admins: cyrus
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {folder}/sasldb
sasl_mech_list: PLAIN
allowplaintext: yes
virtdomains: userid
defaultdomain: localhost
servername: localhost
autocreate_quota: 0
autocreate_inbox_folders: Processed|Junk
autocreate_subscribe_folders: Processed|Junk
idlesocket: {folder}/socket/idle
notifysocket: {folder}/socket/notify
lmtpsocket: {folder}/socket/lmtp
mboxname_lockpath: {folder}/lock
proc_path: {folder}/proc
tls_server_cert: {folder}/tls/tls-cert.pem
tls_server_key: {folder}/tls/tls-key.pem
"""

SERVICES = """START {{
  recover cmd="{bin}/ctl_cyrusdb -C {folder}/imapd.conf -r"
}}
SERVICES {{
  imap cmd="{bin}/imapd -C {folder}/imapd.conf" listen="127.0.0.1:{imap}"
  imaps cmd="{bin}/imapd -C {folder}/imapd.conf -s" listen="127.0.0.1:{imaps}"
  lmtp cmd="{bin}/lmtpd -C {folder}/imapd.conf -a" listen="127.0.0.1:{lmtp}"
}}
DAEMON {{
  idled cmd="{bin}/idled -C {folder}/imapd.conf"
}}
"""


def is_installed() -> bool:
    """Whether there is a Cyrus to start."""
    return (UNPACKED / ".complete").exists()


@dataclass
class Cyrus:
    """A server that runs, or can be started again in the same folder and on the same ports."""

    folder: Path
    users: Sequence[str] = ("ann@corp.example",)
    imap: int = field(default_factory=free_port)
    imaps: int = field(default_factory=free_port)
    lmtp: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def ca(self) -> Path:
        """The certificate to trust; it is for ``localhost``."""
        return self.folder / "tls" / "tls-cert.pem"

    @property
    def _programs(self) -> Path:
        """A copy that the server's own user can reach: the cache may be in a home that is closed to it."""
        return self.folder / "programs"

    @property
    def _environ(self) -> dict[str, str]:
        found = [*self._programs.glob("usr/lib/*-linux-gnu*"), *self._programs.glob("lib/*-linux-gnu*")]
        plugins = [place / "sasl2" for place in found if (place / "sasl2").exists()]
        return {
            **os.environ,
            "LD_LIBRARY_PATH": ":".join(map(str, found)),
            "SASL_PATH": ":".join(map(str, plugins)),
        }

    def prepare(self) -> None:
        """Write what the server reads, and give it to the user that it runs as: never root."""
        for name in (
            "tls",
            "conf/socket",
            "spool",
            "socket",
            "lock",
            "proc",
        ):  # each session has a socket for pushes in the first
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self_signed(self.folder / "tls", "localhost")
        for place in ("lib", "usr/lib"):
            shutil.copytree(UNPACKED / place, self._programs / place, symlinks=True, dirs_exist_ok=True)
        user = "nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        values = {"folder": self.folder, "user": user, "bin": self._programs / SERVERS}
        ports = {"imap": self.imap, "imaps": self.imaps, "lmtp": self.lmtp}
        (self.folder / "imapd.conf").write_text(IMAPD.format(**values))
        (self.folder / "cyrus.conf").write_text(SERVICES.format(**values, **ports))
        self.set_password(PASSWORD)
        if os.getuid() == 0:
            for path in (self.folder, *self.folder.rglob("*")):
                if self._programs not in path.parents:
                    shutil.chown(path, user)

    def set_password(self, password: str) -> None:
        """Let the users in by this password from the next login on."""
        for address in self.users:
            name, _, domain = address.partition("@")
            command = [str(UNPACKED / "usr/sbin/saslpasswd2"), "-p", "-c", "-f", str(self.folder / "sasldb"), "-u", domain, name]
            subprocess.run(command, input=password.encode(), env=self._environ, check=True, capture_output=True)

    def make_anew(self) -> None:
        """Take all mailboxes away while it is down: they are made again at the next login, under another UIDVALIDITY."""
        for name in ("conf", "spool"):
            place = self.folder / name
            owner = place.stat().st_uid
            shutil.rmtree(place)
            for path in (place, place / "socket"):
                path.mkdir()
                os.chown(path, owner, -1)

    def start(self) -> None:
        """Start, and wait until every user's mailbox is there."""
        (self.folder / "socket" / "idle").unlink(missing_ok=True)
        master = [str(self._programs / SERVERS / "master"), "-D", "-C", str(self.folder / "imapd.conf")]
        rest = ["-M", str(self.folder / "cyrus.conf"), "-p", str(self.folder / "master.pid")]
        with (self.folder / "stderr").open("ab") as stderr:
            self.process = subprocess.Popen(
                [*master, *rest],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                start_new_session=True,
            )
        until = time.monotonic() + 15
        while time.monotonic() < until:
            with contextlib.suppress(OSError, IMAPClient.Error):
                (self.folder / "socket" / "idle").stat()  # a session that is older than what pushes only looks once a minute
                for user in self.users:
                    with IMAPClient("127.0.0.1", self.imap, ssl=False, timeout=5) as client:
                        client.plain_login(user, PASSWORD)
                        client.select_folder("INBOX", readonly=True)
                return
            time.sleep(0.02)
        raise RuntimeError(f"Cyrus did not start: {(self.folder / 'stderr').read_text()}")

    def deliver(self, content: bytes, user: str = "ann@corp.example") -> None:
        """Put a mail into a mailbox, through the front door."""
        with smtplib.LMTP("127.0.0.1", self.lmtp) as client:
            client.sendmail("no-reply@acme.example", [user], content)

    def pids(self, name: str) -> list[int]:
        """Process ids of one of this server's services."""
        if self.process is None:
            return []
        listing = subprocess.run(["ps", "-e", "-o", "pid=,ppid=,args="], check=True, capture_output=True, text=True).stdout
        rows = [line.split(None, 2) for line in listing.splitlines()]
        return [
            int(pid)
            for pid, parent, words in rows
            if parent == str(self.process.pid) and words.split()[0].rstrip(":").endswith(name)
        ]

    def sessions(self) -> list[int]:
        """Process ids of the sessions that somebody has logged in to. Those that wait are none of a test's business: a service
        of which five crash in ten seconds is not started again."""
        found = [path for path in (self.folder / "proc").glob("[0-9]*") if path.name.isdecimal()]  # not those being written
        return [int(path.name) for path in found if "\tann@" in path.read_text()]

    def signal(self, number: int, pids: Sequence[int]) -> None:
        """Send a signal to processes."""
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def crash(self) -> None:
        """End everything at once, as a power cut does."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGSTOP)
        children = [pid for name in KILLABLE for pid in self.pids(name)]
        self.process.kill()
        self.process.wait()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process = None


@contextmanager
def running_cyrus(folder: Path, **changes: object) -> Iterator[Cyrus]:
    """A Cyrus for the length of the block."""
    server = Cyrus(folder, **changes)  # type: ignore[arg-type]
    server.prepare()
    try:
        server.start()
        yield server
    finally:
        server.crash()
