"""`python -m tests.peers.dockerfile FOLDER`: the steps of the Dockerfile, done one after the other in empty roots, and its daemon started.

Where no container can be built, this is what is left of one: each stage has a root of its own with nothing in it but the system's /usr
(what a step writes there stays in the stage), the steps are run by /bin/sh in it, and the command of the image as its user, with a
root that cannot be written to. The base is the Python of this system in place of the official image's. It has to be called in a mount
namespace of its own (`unshare --mount`), with which everything that it mounts ends.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.peers.daemon import free_port

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "config" / "Dockerfile"
PYTHON = Path("/usr/bin/python3")
NEEDED = ("unshare", "mount", "chroot", "useradd")
MEND = "needs root on Linux with overlayfs, unshare, and the system's Python 3.11 or later with pip: apt-get install python3-pip"

TOLD = ("LABEL", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD", "USER")
"""What a builder only writes down."""

ETC = ("ssl", "resolv.conf", "nsswitch.conf", "hosts", "login.defs", "ld.so.cache", "ld.so.conf", "default/useradd", "pip.conf")
PASSWD = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n"
GROUP = "root:x:0:\nnogroup:x:65534:\n"
KEPT = ("SSL_CERT_FILE", "PIP_CERT", "UV_NATIVE_TLS", "HTTPS_PROXY", "https_proxy", "NO_PROXY")
BASE = {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "PIP_BREAK_SYSTEM_PACKAGES": "1"}
PATIENCE = 120.0


def is_possible() -> bool:
    """Whether what is needed is there."""
    if sys.platform != "linux" or os.geteuid() != 0 or not all(shutil.which(one) for one in NEEDED):
        return False
    probe = [str(PYTHON), "-c", "import sys, pip; sys.exit(sys.version_info < (3, 11))"]
    return PYTHON.exists() and subprocess.run(probe, capture_output=True, check=False).returncode == 0


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Each instruction and its words, lines that go on joined."""
    plain = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", text))
    for line in filter(None, map(str.strip, plain.splitlines())):
        name, _, rest = line.partition(" ")
        yield name.upper(), rest.strip()


@dataclass(kw_only=True)
class Stage:
    """One stage: its root, its environment, and what a builder would write down."""

    root: Path
    env: dict[str, str] = field(default_factory=lambda: {**BASE, **{one: os.environ[one] for one in KEPT if one in os.environ}})
    folder: str = "/"
    told: dict[str, str] = field(default_factory=dict)

    def does(self, name: str, words: str, stages: Mapping[str, Stage]) -> None:
        """One step."""
        match name:
            case "ENV":
                pairs = (one.partition("=") for one in shlex.split(words))
                self.env |= {key: value.replace("$PATH", self.env["PATH"]) for key, _, value in pairs}
            case "WORKDIR":
                self.folder = words
                (self.root / words.lstrip("/")).mkdir(parents=True, exist_ok=True)
            case "RUN":
                subprocess.run(["chroot", self.root, "/bin/sh", "-c", f"cd {self.folder} && {words}"], env=self.env, check=True)
            case "COPY":
                self._copy(words.split(), stages)
            case _ if name in TOLD:
                self.told[name] = words
            case _:
                raise ValueError(f"{name} is no step that this knows")

    def _copy(self, words: list[str], stages: Mapping[str, Stage]) -> None:
        source = ROOT
        if words[0].startswith("--from="):
            source = stages[words.pop(0).partition("=")[2]].root
        *names, target = words
        place = self.root / (target if target.startswith("/") else f"{self.folder}/{target}").lstrip("/")
        for name in names:
            whole = source / name.lstrip("/")
            if whole.is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(whole, place, symlinks=True, dirs_exist_ok=True, ignore=ignored)
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy2(whole, place)


def new_root(folder: Path) -> Path:
    """An empty root with the system's /usr, whose `python` and `pip` are those of a base image by their names."""
    root = folder / "root"
    for name in ("usr", "etc/default", "proc", "dev", "tmp", "root", "run", "var/lib", "var/tmp", "app"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    upper, work = folder / "upper", folder / "work"
    upper.mkdir()
    work.mkdir()
    _mount("-t", "overlay", "overlay", "-o", f"lowerdir=/usr,upperdir={upper},workdir={work}", root / "usr")
    _mount("--bind", "/proc", root / "proc")
    for name in ("null", "zero", "urandom"):
        (root / "dev" / name).touch()
        _mount("--bind", f"/dev/{name}", root / "dev" / name)
    for name in ETC:
        here = Path("/etc") / name
        if here.is_dir():
            shutil.copytree(here, root / "etc" / name, symlinks=False, ignore_dangling_symlinks=True)
        elif here.exists():
            shutil.copy(here, root / "etc" / name)
    (root / "etc/passwd").write_text(PASSWD, encoding="utf-8")
    (root / "etc/group").write_text(GROUP, encoding="utf-8")
    (root / "etc/shadow").touch(mode=0o600)
    local = root / "usr/local/bin"
    local.mkdir(parents=True, exist_ok=True)
    for name, text in (("python", f'exec {PYTHON} "$@"'), ("pip", f'exec {PYTHON} -m pip "$@"')):
        (local / name).unlink(missing_ok=True)
        (local / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (local / name).chmod(0o755)
    return root


def _mount(*words: object) -> None:
    subprocess.run(["mount", *map(str, words)], check=True)


def built(folder: Path) -> Stage:
    """The last stage, once every step was done."""
    stages: dict[str, Stage] = {}
    last = None
    for number, (name, words) in enumerate(instructions(DOCKERFILE.read_text(encoding="utf-8"))):
        print(f"{name} {words}", flush=True)
        if name == "ARG":
            continue
        if name == "FROM":
            last = Stage(root=new_root(folder / str(number)))
            stages[words.partition(" AS ")[2] or str(number)] = last
        elif last is not None:
            last.does(name, words, stages)
    assert last is not None
    return last


def run(stage: Stage) -> dict[str, object]:
    """Start the image as Compose does: its user, a root that cannot be written to, a volume, /tmp. Returns what came of it."""
    volume = stage.told["VOLUME"].lstrip("/")
    kept = stage.root.parent / "volume"
    shutil.copytree(stage.root / volume, kept)
    shutil.copystat(stage.root / volume, kept)
    os.chown(kept, (stage.root / volume).stat().st_uid, (stage.root / volume).stat().st_gid)
    _mount("--rbind", stage.root, stage.root)
    _mount("--bind", kept, stage.root / volume)
    _mount("-t", "tmpfs", "tmpfs", stage.root / "tmp")
    _mount("-o", "remount,ro,bind", stage.root)
    _mount("-o", "remount,ro,bind", stage.root / "usr")
    ports = {name: f"127.0.0.1:{free_port()}" for name in ("SMTP", "HTTP", "PRACTICE")}
    env = {key: value for key, value in stage.env.items() if key not in ("HOME", "PIP_BREAK_SYSTEM_PACKAGES")}
    env |= {
        f"MAILBRIDGE_{name}__LISTEN": value for name, value in ports.items()
    }  # as `docker run -e` does: the net is the machine's
    within = ["chroot", f"--userspec={stage.told['USER']}", str(stage.root)]
    entry = json.loads(stage.told["ENTRYPOINT"])

    def visit(*words: str) -> int:
        return subprocess.run([*within, *words], env=env, capture_output=True, timeout=PATIENCE, check=False).returncode

    log = kept.parent / "log"
    with log.open("wb") as stream:
        daemon = subprocess.Popen([*within, *entry, *json.loads(stage.told["CMD"])], env=env, stderr=stream)
    try:
        until = time.monotonic() + PATIENCE
        while b"daemon.ready" not in log.read_bytes():
            assert daemon.poll() is None, log.read_text(encoding="utf-8", errors="replace")
            assert time.monotonic() < until, log.read_text(encoding="utf-8", errors="replace")
            time.sleep(0.05)
        health = json.loads(stage.told["HEALTHCHECK"].partition(" CMD ")[2])
        found = {
            "healthcheck": visit(*health),
            "send-test": visit(*entry, "send-test"),
            "root is closed": visit("/bin/sh", "-c", "touch /app/x /usr/x /etc/x"),
            "user": (Path(f"/proc/{daemon.pid}").stat().st_uid, Path(f"/proc/{daemon.pid}").stat().st_gid),
            "kept": sorted(one.name for one in kept.iterdir()),
        }
    finally:
        daemon.send_signal(getattr(signal, stage.told["STOPSIGNAL"]))
        ended = daemon.wait(PATIENCE)
    return {**found, "ended": ended}


if __name__ == "__main__":
    print(json.dumps(run(built(Path(sys.argv[1])))))
