"""A real Dovecot on loopback for the length of a test: IMAP, IMAPS and LMTP on free ports, everything in one folder."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import signal
import smtplib
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mailbridge.ingress.tls import self_signed
from tests.peers.daemon import free_port

DOVECOT = "/usr/sbin/dovecot"
MEND = "no Dovecot here; `make e2e` installs it (Debian: apt-get install dovecot-imapd dovecot-lmtpd)"
PRELOAD = Path(__file__).resolve().parent / "preload"
PASSWORD = "pw"

CONFIG = """
base_dir = {folder}/run
log_path = {folder}/dovecot.log
instance_name = mailbridge-test
listen = 127.0.0.1
protocols = imap lmtp
default_internal_user = {internal}
default_internal_group = {group}
default_login_user = {login}
default_process_limit = 3000
default_client_limit = 12000
default_vsz_limit = 1G
shutdown_clients = yes
first_valid_uid = 0
ssl = yes
ssl_cert = <{folder}/tls/tls-cert.pem
ssl_key = <{folder}/tls/tls-key.pem
disable_plaintext_auth = no
auth_mechanisms = plain login{mechanisms}
auth_failure_delay = 0
mail_location = maildir:{folder}/mail/%u
mail_uid = {owner}
mail_gid = {group}
mail_fsync = never
mail_max_userip_connections = {sessions}
mailbox_idle_check_interval = 30 secs
{bearer}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {folder}/users
}}
userdb {{
  driver = static
  args = uid={owner} gid={group} home={folder}/mail/%u/home
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Processed {{
    auto = create
  }}
  mailbox Junk {{
    auto = create
    special_use = \\Junk
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = {penalty}
  }}
}}
service stats {{
  chroot =
}}
service imap-login {{
  chroot =
  service_count = 0
  client_limit = 12000
  process_min_avail = 1
  process_limit = 1
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service imap {{
  process_limit = 3000
}}
service lmtp {{
  process_min_avail = 1
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
protocol lmtp {{
  postmaster_address = postmaster@localhost
}}
"""

BEARER = """
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/oauth2.conf.ext
}}
"""

INTROSPECTION = """introspection_url = {url}
introspection_mode = post
force_introspection = yes
username_attribute = username
username_format = %u
active_attribute = active
active_value = true
timeout_msecs = 2000
"""


def is_installed() -> bool:
    """Whether there is a Dovecot to start."""
    return Path(DOVECOT).exists() and Path("/usr/lib/dovecot/lmtp").exists()


@dataclass
class Dovecot:
    """A server that runs, or can be started again in the same folder and on the same ports. ``has_penalty``: who gives wrong
    passwords has to wait for every answer, 15 s in the end, and so has everybody else at that address. ``preload``: a library of `preload`; ``clock``: the file by
    which `set_clock` is told; ``store``: how mails are kept (``sdbox`` dates them by the clock, ``maildir`` by the file)."""

    folder: Path
    users: Sequence[str] = ("ann@corp.example",)
    introspection_url: str = ""
    sessions: int = 0
    has_penalty: bool = False
    preload: str = ""
    clock: str = ""
    store: str = "maildir"
    imap: int = field(default_factory=free_port)
    imaps: int = field(default_factory=free_port)
    lmtp: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def ca(self) -> Path:
        """The certificate to trust; it is for ``localhost``."""
        return self.folder / "tls" / "tls-cert.pem"

    def prepare(self) -> None:
        """Write what the server reads."""
        for name in ("tls", "mail", "run"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for path in (self.folder, *self.folder.parents):
            if path.stat().st_uid == os.getuid() and path != Path("/tmp"):
                path.chmod(path.stat().st_mode | 0o711)
        self_signed(self.folder / "tls", "localhost")
        self.set_password(PASSWORD)
        is_root = os.getuid() == 0
        me = pwd.getpwuid(os.getuid()).pw_name
        group = "dovecot" if is_root else grp.getgrgid(os.getgid()).gr_name
        config = CONFIG.format(
            folder=self.folder,
            internal="dovecot" if is_root else me,
            login="dovenull" if is_root else me,
            owner="dovecot" if is_root else me,
            group=group,
            mechanisms=" xoauth2 oauthbearer" if self.introspection_url else "",
            bearer=BEARER.format(folder=self.folder) if self.introspection_url else "",
            sessions=self.sessions,
            penalty="0600" if self.has_penalty else "0",
            imap=self.imap,
            imaps=self.imaps,
            lmtp=self.lmtp,
        )
        if self.preload:
            config = config.replace("maildir:", f"{self.store}:")
            clock = f" MAILBRIDGE_CLOCK={self.clock}" if self.clock else ""
            config += f"import_environment = TZ CORE_OUTOFMEM CORE_ERROR LD_PRELOAD{clock}\n"
        (self.folder / "oauth2.conf.ext").write_text(INTROSPECTION.format(url=self.introspection_url))
        (self.folder / "dovecot.conf").write_text(config)
        if is_root:
            shutil.chown(self.folder / "mail", "dovecot", "dovecot")

    def set_password(self, password: str) -> None:
        """Give every user this password, from the next login on."""
        (self.folder / "users").write_text("".join(f"{user}:{{PLAIN}}{password}\n" for user in self.users))

    def start(self) -> None:
        """Start, and wait for the greeting."""
        environ = {**os.environ, "LD_PRELOAD": self.preload} if self.preload else dict(os.environ)
        if self.clock:
            environ["MAILBRIDGE_CLOCK"] = self.clock
        with (self.folder / "stderr").open("ab") as stderr:
            self.process = subprocess.Popen(
                [DOVECOT, "-F", "-c", str(self.folder / "dovecot.conf")],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                start_new_session=True,
            )
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.imap), 1) as probe:
                probe.settimeout(2)
                if probe.recv(100).startswith(b"* OK"):
                    return
            time.sleep(0.01)
        raise RuntimeError(f"Dovecot did not start: {(self.folder / 'stderr').read_text()}")

    def deliver(self, content: bytes, user: str = "ann@corp.example") -> None:
        """Put a mail into a mailbox, through the front door."""
        with smtplib.LMTP("127.0.0.1", self.lmtp) as client:
            client.sendmail("no-reply@acme.example", [user], content)

    def deliver_all(self, contents: Sequence[bytes], user: str = "ann@corp.example") -> None:
        """Put mails into a mailbox back to back, over one connection."""
        with smtplib.LMTP("127.0.0.1", self.lmtp) as client:
            for content in contents:
                client.sendmail("no-reply@acme.example", [user], content)

    def doveadm(self, *arguments: str) -> str:
        """Run an operator's command; what it prints. To kick a user who is not there is no failure."""
        command = ["doveadm", "-c", str(self.folder / "dovecot.conf"), *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode and arguments[0] != "kick":
            raise RuntimeError(f"doveadm {arguments[0]}: {done.stderr}")
        return done.stdout

    def pids(self, name: str = "") -> list[int]:
        """Process ids of this server's children, of one service if ``name`` is given."""
        if self.process is None:
            return []
        listing = subprocess.run(["ps", "-e", "-o", "pid=,ppid=,args="], check=True, capture_output=True, text=True).stdout
        rows = [line.split(None, 2) for line in listing.splitlines()]
        family = {str(self.process.pid)}
        found = []
        for pid, parent, command in rows * 2:
            if parent in family and pid not in family:
                family.add(pid)
                if not name or Path(command.split()[0]).name == name:
                    found.append(int(pid))
        return found

    def signal(self, number: int, *names: str) -> None:
        """Send a signal to the processes of services."""
        for name in names:
            for pid in self.pids(name):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def crash(self) -> None:
        """End everything at once, as a power cut does."""
        if self.process is None:
            return
        children = self.pids()
        self.process.kill()
        self.process.wait()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process = None
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "run" / "master.pid").unlink()

    def stop(self) -> None:
        """End as an operator ends it."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(6)
                self.process = None


@contextmanager
def running_dovecot(folder: Path, **changes: object) -> Iterator[Dovecot]:
    """A Dovecot for the length of the block."""
    server = Dovecot(folder, **changes)  # type: ignore[arg-type]
    server.prepare()
    try:
        server.start()
        yield server
    finally:
        server.crash()


def preload_library(name: str, folder: Path) -> str:
    """A library of `preload`, compiled into ``folder``. Raises FileNotFoundError where there is no compiler."""
    made = folder / f"{name}.so"
    subprocess.run(
        ["gcc", "-O2", "-shared", "-fPIC", "-o", str(made), str(PRELOAD / f"{name}.c"), "-ldl"], check=True, capture_output=True
    )
    made.chmod(0o755)
    return str(made)
