"""The service under a real systemd, with all that its unit refuses it: it works, and what it must not do it cannot do."""

from __future__ import annotations

import json
import smtplib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.peers import machine as peer
from tests.peers.daemon import mail, wait_for
from tests.peers.machine import SERVICE, BootError, Machine, running_machine
from tests.peers.practice import PracticePeer, running_practice
from tests.peers.wheel import build_wheel

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

MAILBOXES = 500
PROGRAM = Path(peer.__file__).with_name("confined.py")
NAME = "mailbridge.service"
CONFIG = """
[smtp]
listen = ["0.0.0.0:25"]
[domains]
accept = ["{domain}"]
[skyvern]
base_url = "{base_url}"
api_key_file = "skyvern_api_key"
[trust]
default = "none"
[store]
url = "sqlite:////var/lib/mailbridge/mailbridge.db"
"""
MAILBOX = """
[[imap]]
name = "box{number}"
host = "127.0.0.1"
port = 9
tls = "none"
username = "ann{number}@corp.example"
password = "pw"
"""
"""Of a server where nobody listens."""

PROBE = """Type=oneshot
Restart=no
WatchdogSec=0
StateDirectory=
StateDirectory={name}
ExecStart=
ExecStart=/opt/mailbridge/bin/python /opt/confined.py /var/lib/{name}"""
"""What makes of a unit one that tries things, in place of the daemon."""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A booted machine with mailbridge installed."""
    if not peer.is_possible():
        pytest.skip(peer.MEND)
    try:
        with running_machine(tmp_path_factory.mktemp("machine"), build_wheel(tmp_path_factory.mktemp("wheel"))) as booted:
            yield booted
    except BootError as fault:
        pytest.skip(f"no container can be booted here ({fault}): run it as root on a machine, or in a privileged container")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The service on its machine, with a receiver beside it."""

    machine: Machine
    receiver: PracticePeer

    def configure(self, *, domain: str = "bridge.example", mailboxes: int = 1) -> None:
        """Write its configuration and its key, as the operator would."""
        folder = self.machine.tree / "etc/mailbridge"
        text = CONFIG.format(domain=domain, base_url=self.receiver.base_url)
        (folder / "mailbridge.toml").write_text(text + "".join(MAILBOX.format(number=one) for one in range(mailboxes)))
        (folder / "skyvern_api_key").write_text(self.receiver.api_key)
        (folder / "skyvern_api_key").chmod(0o600)

    def start(self, **drop_ins: str) -> None:
        """Install the unit, and start it as its first lines say. It is ready then."""
        self.machine.install(NAME, SERVICE.read_text(), **drop_ins)
        self.machine.run("systemctl", "enable", "--now", "mailbridge.socket", NAME)

    def send(self, code: str, *, rcpt: str = "codes@bridge.example", is_encrypted: bool = False) -> int:
        """Send a mail with a code for ann<code>@corp.example to port 25, and the reply's code."""
        content = mail(code, identifier=f"ann{code}@corp.example", sender="no-reply@larch.example", number=code)
        with self.machine.network(), smtplib.SMTP("127.0.0.1", 25, timeout=20) as client:
            if is_encrypted:
                trusting = ssl.create_default_context()
                trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
                client.starttls(context=trusting)
            client.ehlo("test")
            client.mail("no-reply@larch.example")
            status, _ = client.rcpt(rcpt)
            return client.data(content)[0] if status == 250 else status

    def brings(self, code: str) -> None:
        """The receiver has the code of such a mail."""
        wait_for(lambda: self.receiver.resolve(f"ann{code}@corp.example").value == code, f"{code} is pushed")

    @property
    def pid(self) -> str:
        """The daemon's process number on its machine."""
        return self.machine.show(NAME, "MainPID")

    def workers(self) -> list[str]:
        """The process numbers of what it has started."""
        return self.machine.run("cat", f"/proc/{self.pid}/task/{self.pid}/children").split()


@pytest.fixture
def service(machine: Machine) -> Iterator[Service]:
    """The service, configured, and stopped at the end."""
    with machine.network():
        peers = running_practice()
        receiver = peers.__enter__()
    try:
        found = Service(machine=machine, receiver=receiver)
        found.configure()
        yield found
    finally:
        machine.run("systemctl", "disable", "--now", "mailbridge.socket", NAME, is_checked=False)
        machine.run("systemctl", "reset-failed", is_checked=False)
        peers.__exit__(None, None, None)


def test_a_code_goes_all_the_way(service: Service) -> None:
    """Port 25 comes from systemd, the key as a credential, STARTTLS with a pair made at the first start; a dead mailbox harms nobody."""
    service.start()
    assert service.send("482913", is_encrypted=True) == 250
    service.brings("482913")
    assert service.machine.show(NAME, "NRestarts") == "0"
    assert "box0" in service.machine.run("/opt/mailbridge/bin/mailbridge", "imap", "status", is_checked=False)
    service.machine.run("/opt/mailbridge/bin/mailbridge", "healthcheck")
    made = service.machine.run(
        "stat", "--format=%a %n", "-L", "/var/lib/mailbridge/tls-key.pem", "/var/lib/mailbridge/mailbridge.key"
    )
    assert [line.split()[0] for line in made.splitlines()] == ["600", "600"]


def test_a_reload_is_taken_up(service: Service) -> None:
    """`systemctl reload` brings the new recipients."""
    service.start()
    assert service.send("100001", rcpt="codes@new.example") == 550
    service.configure(domain="new.example")
    service.machine.run("systemctl", "reload", NAME)
    wait_for(lambda: service.send("100001", rcpt="codes@new.example") == 250, "the new domain is ours")
    service.brings("100001")


def test_a_killed_worker_is_replaced(service: Service) -> None:
    """A new process can be started at any time, and reads the next mail."""
    service.start()
    (worker,) = service.workers()
    service.machine.run("kill", "-9", worker)
    wait_for(lambda: service.workers() not in ([], [worker]), "another worker")
    assert service.send("100002") == 250
    service.brings("100002")


def test_a_stop_is_clean_and_a_mail_starts_it_again(service: Service) -> None:
    """TERM ends it with 0 in time; who connects to port 25 afterwards waits for it, and is served."""
    service.start()
    service.machine.run("systemctl", "stop", NAME)
    assert [service.machine.show(NAME, one) for one in ("Result", "ExecMainStatus", "ActiveState")] == [
        "success",
        "0",
        "inactive",
    ]
    assert service.send("100003") == 250
    service.brings("100003")


def test_a_daemon_that_hangs_is_started_again(service: Service) -> None:
    """The watchdog hears from it in time, or restarts it."""
    service.start(quick="WatchdogSec=2s")
    first = service.pid
    heard = service.machine.show(NAME, "WatchdogTimestampMonotonic")
    wait_for(lambda: service.machine.show(NAME, "WatchdogTimestampMonotonic") != heard, "a sign of life")
    service.machine.run("kill", "-STOP", first)
    wait_for(lambda: service.pid not in ("0", first), "another daemon", patience=30)
    assert "Failed with result 'watchdog'" in service.machine.journal(NAME)
    assert service.send("100004") == 250
    service.brings("100004")


def test_many_mailboxes_fit_in(service: Service) -> None:
    """500 of them, each with a thread of its own, are within the unit's limits of tasks and open files."""
    service.configure(mailboxes=MAILBOXES)
    service.start()
    everyone = [service.pid, *service.workers()]

    def tasks() -> int:
        return sum(len(service.machine.run("ls", f"/proc/{one}/task").split()) for one in everyone)

    wait_for(lambda: tasks() > MAILBOXES, "a thread for every mailbox")
    assert service.send("100005") == 250
    service.brings("100005")
    assert tasks() < int(service.machine.show(NAME, "TasksMax"))
    assert len(service.machine.run("ls", f"/proc/{service.pid}/fd").split()) < int(service.machine.show(NAME, "LimitNOFILE"))


REFUSED = {
    "EPERM": [
        "user namespace",
        "ptrace",
        "another's memory",
        "io_uring",
        "personality",
        "writable code",
        "written code",
        "set-user-id file",
        "real time",
        "priority",
        "chroot",
        "other user",
        "host name",
        "raw",
        "mount",
    ],
    "EAFNOSUPPORT": ["netlink", "packets"],
    "EACCES": ["/root", "credential's source", "write /etc/mailbridge"],
    "EROFS": ["write /opt/mailbridge", "write /var/lib"],
    "ENOENT": ["init"],
}
"""What the unit refuses and a service without it may do on the same machine."""

ALLOWED = ["own folder", "temporary", "internet", "unix", "own limit", "own credential"]


def test_what_is_refused_is_refused(service: Service) -> None:
    """In a process with the unit's settings every forbidden act fails as it should; in one without them the same act is done."""
    machine = service.machine
    (machine.tree / "opt/confined.py").write_bytes(PROGRAM.read_bytes())
    machine.install("probe.service", SERVICE.read_text(), probe=PROBE.format(name="probe"))
    machine.install("free.service", "[Service]\n", probe=PROBE.format(name="free"))
    found = {}
    for name in ("probe", "free"):
        machine.run("systemctl", "start", f"{name}.service")
        (line,) = (line for line in machine.journal(f"{name}.service").splitlines() if line.startswith("{"))
        found[name] = json.loads(line)
    outcomes = found["probe"]["outcomes"]
    wanted = {act: errno for errno, acts in REFUSED.items() for act in acts} | dict.fromkeys(ALLOWED, "done")
    assert {act: outcomes[act] for act in wanted} == wanted
    free = found["free"]["outcomes"]
    assert [act for acts in REFUSED.values() for act in acts if free[act] != "done"] == []
    facts = found["probe"]["facts"]
    assert {facts[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (facts["NoNewPrivs"], facts["Seccomp"], facts["Umask"], facts["core"], facts["files"]) == (
        "1",
        "2",
        "0077",
        "0",
        "16384",
    )
    assert int(facts["uid"]) > 60_000
