"""A machine of its own: systemd as the first process of a container, with wheel and units installed as the units' comments say.

The container (systemd-nspawn) has its own processes, mounts, network with nothing but loopback, and users; of the real machine it
sees /usr, the Python that runs the tests and its packages, all read-only. What systemd refuses there it refuses by the same code,
with the same filters of the kernel, as on any other machine.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.peers.daemon import PATIENCE, wait_for
from tests.peers.namespaces import inside
from tests.peers.wheel import ROOT

BOOT = 150.0
MEND = "needs root on Linux, and systemd-nspawn: apt-get install systemd-container"
SERVICE = ROOT / "config" / "mailbridge.service"
UNITS = (SERVICE, ROOT / "config" / "mailbridge.socket")
HOME = Path("opt/mailbridge")
CGROUPS = [Path("/sys/fs/cgroup", name) for name in ("systemd", "unified", ".")]
IS_UNDER_SYSTEMD = Path("/run/systemd/system").is_dir()

PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
GROUP = "root:x:0:\nnogroup:x:65534:\n"
TARGET = "[Unit]\nDescription=The machine is up\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n"
SCRIPT = "#!/opt/mailbridge/bin/python\nimport sys\nfrom mailbridge.cli import main\nsys.exit(main())\n"


class BootError(Exception):
    """No container can be booted here; the message says why."""


def is_possible() -> bool:
    """Whether what is needed is there; only the boot itself shows whether it is allowed."""
    return sys.platform == "linux" and os.geteuid() == 0 and shutil.which("systemd-nspawn") is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A booted one. ``tree`` is its root as seen from here, ``leader`` its systemd."""

    tree: Path
    leader: int

    def run(self, *words: str, is_checked: bool = True) -> str:
        """What a command prints that root runs there. Raises AssertionError with all it said where it fails and is checked."""
        enter = [
            "nsenter",
            "--target",
            str(self.leader),
            *(f"--{one}" for one in ("mount", "pid", "net", "ipc", "uts", "cgroup")),
        ]
        environ = {"PATH": "/usr/bin:/usr/sbin", "LD_LIBRARY_PATH": "/opt/python/lib"}
        done = subprocess.run(
            [*enter, "--root", *words], env=environ, capture_output=True, text=True, timeout=BOOT, check=False, cwd="/"
        )
        assert done.returncode == 0 or not is_checked, f"{words}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", unit, f"--property={name}", "--value").strip()

    def journal(self, unit: str) -> str:
        """What a unit has said."""
        return self.run("journalctl", "--no-pager", "--output=cat", f"--unit={unit}")

    def install(self, unit: str, text: str, **drop_ins: str) -> None:
        """Put a unit there, with its drop-ins, in place of what it was."""
        folder = self.tree / "etc/systemd/system"
        (folder / unit).write_text(text)
        shutil.rmtree(folder / f"{unit}.d", ignore_errors=True)
        for name, lines in (drop_ins | _python_elsewhere()).items():
            (folder / f"{unit}.d").mkdir(exist_ok=True)
            (folder / f"{unit}.d" / f"{name}.conf").write_text(f"[Service]\n{lines}\n")
        self.run("systemctl", "daemon-reload")

    @contextmanager
    def network(self) -> Iterator[None]:
        """Sockets and threads that begin in this block, in this thread, are on the machine's network, and stay there."""
        with inside(Path(f"/proc/{self.leader}/ns/net")):
            yield


def _python_elsewhere() -> dict[str, str]:
    """What a unit must be told where the Python of the tests is not one of the system's: nothing else differs."""
    if sys.base_prefix.startswith("/usr"):
        return {}
    return {"python": "Environment=LD_LIBRARY_PATH=/opt/python/lib"}


def _furnish(tree: Path, wheel: Path) -> Sequence[str]:
    """Make the root of the machine. Returns the binds that it needs."""
    for name in (
        "usr",
        "etc/systemd/system",
        "etc/mailbridge",
        "var",
        "opt/mailbridge/bin",
        "opt/packages",
        "opt/python",
        "root",
        "home",
    ):
        (tree / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (tree / name).symlink_to(f"usr/{name}")
    for name, text in {"passwd": PASSWD, "group": GROUP, "machine-id": "", "systemd/system/default.target": TARGET}.items():
        (tree / "etc" / name).write_text(text)
    for path in ("/etc/os-release", "/etc/ld.so.cache"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(path, f"{tree}{path}")
    for unit in UNITS:
        shutil.copy(unit, tree / "etc/systemd/system")
    is_own = sys.base_prefix.startswith("/usr")
    python = Path(sys.base_prefix if is_own else "/opt/python", "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    (tree / HOME / "pyvenv.cfg").write_text(f"home = {python.parent}\ninclude-system-site-packages = false\n")
    (tree / HOME / "bin/python").symlink_to(python)
    (tree / HOME / "bin/mailbridge").write_text(SCRIPT)
    (tree / HOME / "bin/mailbridge").chmod(0o755)
    installed = Path(sysconfig.get_path("purelib"))
    site = tree / HOME / "lib" / python.name / "site-packages"
    site.mkdir(parents=True)
    zipfile.ZipFile(wheel).extractall(site)
    for one in installed.iterdir():
        if "mailbridge" not in one.name and one.suffix != ".pth":
            (site / one.name).symlink_to(f"/opt/packages/{one.name}")
    pythons = [] if is_own else [f"--bind-ro={sys.base_prefix}:/opt/python"]
    return ["--bind-ro=/usr", f"--bind-ro={installed}:/opt/packages", *pythons]


@contextmanager
def _own_cgroup(name: str) -> Iterator[list[Path]]:
    """Where no systemd gives a container its place among the control groups: places of its own, gone afterwards."""
    places = [] if IS_UNDER_SYSTEMD else [one / name for one in CGROUPS if (one / "cgroup.procs").exists()]
    for place in places:
        place.mkdir()
    try:
        yield places
    finally:
        for place in places:
            for folder, _, _ in os.walk(place, topdown=False):
                wait_for(partial(_is_removed, Path(folder)), f"{folder} is empty")


def _is_removed(group: Path) -> bool:
    with contextlib.suppress(OSError):
        group.rmdir()
    return not group.exists()


@contextmanager
def running_machine(folder: Path, wheel: Path) -> Iterator[Machine]:
    """Boot one in ``folder``, for the length of the block.

    Raises:
        BootError: it is not allowed here, or did not come up.
    """
    tree = folder / "tree"
    name = f"mailbridge-{os.getpid()}"
    binds = _furnish(tree, wheel)
    with (
        _own_cgroup(name) as places,
        tempfile.TemporaryDirectory() as short,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notes,
        (folder / "boot.log").open("wb") as log,
    ):
        notes.bind(f"{short}/notify")

        def move() -> None:
            for place in places:
                (place / "cgroup.procs").write_text("0")

        place_it = ["--register=no"] if IS_UNDER_SYSTEMD else ["--register=no", "--keep-unit"]
        quiet = ["--quiet", "--console=pipe", "--notify-ready=yes", "--private-network", f"--machine={name}"]
        process = subprocess.Popen(
            ["systemd-nspawn", f"--directory={tree}", "--boot", *quiet, *place_it, *binds],
            env={"PATH": "/usr/bin:/usr/sbin", "NOTIFY_SOCKET": f"{short}/notify"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=move,
        )
        leader = 0
        try:
            leader = _booted(process, notes, folder / "boot.log")
            threading.Thread(target=_read_on, args=(notes, process), daemon=True).start()
            yield Machine(tree=tree, leader=leader)
        finally:
            _shut_down(process, leader)


def _booted(process: subprocess.Popen[bytes], notes: socket.socket, log: Path) -> int:
    """Wait until the machine is up. Returns the process number of its systemd."""
    leader = 0
    notes.settimeout(0.1)
    until = time.monotonic() + BOOT
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(TimeoutError):
            told = dict(line.split("=", 1) for line in notes.recv(4096).decode().splitlines() if "=" in line)
            leader = int(told.get("X_NSPAWN_LEADER_PID", leader))
            if told.get("READY") == "1" and leader:
                return leader
    if leader:
        _shut_down(process, leader)
    process.kill()
    raise BootError(f"systemd-nspawn: exit {process.wait()}: {log.read_text(errors='replace')[-800:]}")


def _read_on(notes: socket.socket, process: subprocess.Popen[bytes]) -> None:
    """Take what the machine tells of itself until its end: its systemd stands still once ten of these wait (``max_dgram_qlen``)."""
    while process.poll() is None:
        with contextlib.suppress(OSError):
            notes.recv(4096)


def _shut_down(process: subprocess.Popen[bytes], leader: int) -> None:
    """Power it off; what does not end by itself is killed."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        if leader:
            with contextlib.suppress(ProcessLookupError):  # its systemd has ended, and what runs it has not noticed
                os.kill(leader, signal.SIGKILL)
        process.kill()
        process.wait()
